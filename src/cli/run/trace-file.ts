/** `--trace-instructions`: what a run's vCPUs execute, a line for each instruction. */
import { disassemble } from "../../a64/disassembler.ts";
import { UserError } from "../../common/errors.ts";
import { InstructionTrace, type TracedInstruction } from "../../cpu/instruction-trace.ts";
import type { SymbolTable } from "../../lab/exact/symbols.ts";
import type { Session } from "../../vmm/guest-session.ts";
import { beginFile, type PendingFile } from "../files.ts";
import { STDOUT } from "../output.ts";
import type { TextOut } from "../world.ts";
import type { MachineFlags } from "./flags.ts";
import { rangeIn } from "./trace-range.ts";

/** Lines go out in blocks. */
const BLOCK_CHARS = 1 << 16;
const NS_PER_SECOND = 1e9;
const EACH_LEVEL = [0, 1] as const;

/**
 * A line, as `perf script` has its: [vCPU], seconds of the machine's time, the instruction's number on its vCPU, exception level,
 * address, symbol, word, disassembly.
 */
export function traceLine(
  { vcpu, atNs, number, el, pc, word }: TracedInstruction,
  text: string,
  symbol: ReturnType<SymbolTable["find"]>,
): string {
  const cpu = `[${String(vcpu).padStart(3, "0")}]`;
  const time = (atNs / NS_PER_SECOND).toFixed(9);
  const place = symbol === undefined ? "" : ` ${symbol.name}+0x${symbol.offset.toString(16)}`;
  const hex = (value: bigint | number, digits: number): string => value.toString(16).padStart(digits, "0");
  return `${cpu} ${time}: ${number} EL${el} ${hex(pc, 16)}${place}: ${hex(word, 8)} ${text}\n`;
}

export class TraceFile {
  readonly #flags: MachineFlags;
  readonly #file: PendingFile | undefined;
  readonly #stdout: TextOut;
  #trace: InstructionTrace | undefined;
  #block = "";
  #lines = 0;
  /** Whether anything could have been traced, and whether the file has its name. */
  #isBegun = false;
  #isWhole = false;

  /**
   * @param path of the file; "-": standard output
   * @throws UserError for a place that cannot be written to
   */
  constructor(path: string, flags: MachineFlags, stdout: TextOut) {
    this.#flags = flags;
    this.#file = path === STDOUT ? undefined : beginFile(path);
    this.#stdout = stdout;
  }

  /**
   * The guest is there.
   * @param kernel its symbols; undefined: it tells none
   * @throws UserError for a range that it has not
   */
  open({ vm }: Session, kernel: SymbolTable | undefined): void {
    const { traceRange = [], traceLevel = EACH_LEVEL, traceSkip = 0, traceCount = Infinity } = this.#flags;
    const texts = new Map<number, string>();
    const textOf = (word: number): string => {
      const known = texts.get(word) ?? disassemble(vm.code.decoder, word);
      texts.set(word, known);
      return known;
    };
    this.#trace = new InstructionTrace(
      {
        levels: traceLevel,
        ranges: traceRange.map((range) => rangeIn(range, kernel)),
        skip: traceSkip,
        count: traceCount,
      },
      (instruction) => {
        const symbol = instruction.pc >> 63n === 1n ? kernel?.find(instruction.pc) : undefined;
        this.#add(traceLine(instruction, textOf(instruction.word), symbol));
      },
    );
  }

  /** From now on what is executed is traced. */
  begin({ vm }: Session): void {
    this.#isBegun = true;
    for (const core of vm.cores) core.trace = this.#trace;
  }

  end({ vm }: Session): void {
    for (const core of vm.cores) core.trace = undefined;
  }

  /** Gives the file its name. @param warn told where nothing is in it */
  commit(warn: (text: string) => void): void {
    this.#finish();
    if (this.#lines === 0) warn("--trace-instructions: none of those that it is for was executed");
  }

  /** What was traced stays, whatever the run has ended with: that is what it is for. */
  close(): void {
    if (!this.#isBegun) this.#file?.discard();
    else if (!this.#isWhole) this.#finish();
  }

  #finish(): void {
    this.#flush();
    this.#file?.commit();
    this.#isWhole = true;
  }

  #add(line: string): void {
    this.#lines += 1;
    this.#block += line;
    if (this.#block.length >= BLOCK_CHARS) this.#flush();
  }

  #flush(): void {
    if (this.#file === undefined) this.#stdout.write(this.#block);
    else this.#file.append(this.#block);
    this.#block = "";
  }
}

/** @throws UserError where one of the options is given that is nothing without another, or contradicts it */
export function checkTraceFlags(flags: MachineFlags): void {
  if (flags.traceInstructions === STDOUT && flags.json === STDOUT)
    throw new UserError(
      "--trace-instructions - and --json -: standard output takes one of them",
      "Give one of them a file",
    );
  if (flags.traceInstructions !== undefined) return;
  for (const option of ["range", "level", "skip", "count"] as const)
    if (flags[`trace${option[0]!.toUpperCase()}${option.slice(1)}` as "traceRange"] !== undefined)
      throw new UserError(
        `--trace-${option}: says which instructions --trace-instructions has, and that is not given`,
        'Give --trace-instructions FILE, or "-" for standard output',
      );
}
