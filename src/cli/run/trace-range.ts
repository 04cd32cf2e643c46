/** `--trace-range`: START-END, SYMBOL or SYMBOL+OFFSET, as somebody types it, and which addresses of a guest that is. */
import { UserError } from "../../common/errors.ts";
import type { CodeRange } from "../../cpu/instruction-trace.ts";
import type { SymbolTable } from "../../lab/exact/symbols.ts";

const INSTRUCTION_BYTES = 4n;

/** An address, or so many bytes behind a symbol. */
interface Place {
  readonly symbol: string | undefined;
  readonly offset: bigint;
  /** Whether an offset was given. */
  readonly isExact: boolean;
}

export interface TypedRange {
  readonly text: string;
  readonly start: Place;
  /** Undefined: a whole symbol, or one instruction. */
  readonly end: Place | undefined;
}

/** A list of ranges is one option given several times. @throws UserError for what is no range */
export function traceRange(text: string, before: readonly TypedRange[] | undefined): readonly TypedRange[] {
  const [first = "", last, ...more] = text.split("-");
  const start = placeIn(first);
  const end = last === undefined ? undefined : placeIn(last);
  if (start === undefined || more.length > 0 || (last !== undefined && end === undefined))
    throw new UserError(
      `--trace-range: "${text}" is no range of addresses`,
      "Write 0xSTART-0xEND (END is behind it), SYMBOL for all of a function, SYMBOL+0xOFFSET for one instruction, or two of these with - between them",
    );
  return [...(before ?? []), { text, start, end }];
}

const NUMBER = /^(0x[0-9a-f]{1,16}|[0-9]{1,20})$/i;

function placeIn(text: string): Place | undefined {
  if (NUMBER.test(text)) return { symbol: undefined, offset: BigInt(text), isExact: true };
  const [, symbol, , offset] = /^([a-z_.$][\w.$]*)(\+(.+))?$/i.exec(text) ?? [];
  if (symbol === undefined || (offset !== undefined && !NUMBER.test(offset))) return undefined;
  return { symbol, offset: BigInt(offset ?? 0), isExact: offset !== undefined };
}

/**
 * @param kernel the guest's symbols; undefined: it has none
 * @throws UserError for a symbol that there is none of, or several, and for a range that ends before it begins
 */
export function rangeIn({ text, start, end }: TypedRange, kernel: SymbolTable | undefined): CodeRange {
  const from = addressOf(start, text, kernel);
  if (end === undefined)
    return { start: from.start, end: start.isExact ? from.start + INSTRUCTION_BYTES : from.end };
  const to = addressOf(end, text, kernel).start;
  if (to <= from.start)
    throw new UserError(
      `--trace-range ${text}: ends at 0x${to.toString(16)}, and begins at 0x${from.start.toString(16)}`,
      "Give an END behind START",
    );
  return { start: from.start, end: to };
}

function addressOf({ symbol, offset }: Place, text: string, kernel: SymbolTable | undefined): CodeRange {
  if (symbol === undefined) return { start: offset, end: offset };
  if (kernel === undefined)
    throw new UserError(
      `--trace-range ${text}: the symbols of this guest's kernel are not known`,
      "Give addresses: 0xSTART-0xEND",
    );
  const found = kernel.named(symbol);
  const [only] = found;
  if (only === undefined)
    throw new UserError(
      `--trace-range ${text}: the guest's kernel has no function "${symbol}"`,
      `Look for its name: spevisor run -- grep -i ${symbol} /proc/kallsyms`,
    );
  if (found.length > 1)
    throw new UserError(
      `--trace-range ${text}: the guest's kernel has ${found.length} functions of the name "${symbol}"`,
      `Give one's address: ${found.map((each) => `0x${each.start.toString(16)}`).join(", ")}`,
    );
  return { start: only.start + offset, end: only.end };
}
