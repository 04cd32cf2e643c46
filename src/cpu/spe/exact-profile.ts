/**
 * The exact profile: how often each instruction was executed while the guest's own view says that it is profiled, and how often
 * the unit has written a record of it. What a hypervisor hides from the unit counts all the same: it is what bare metal would
 * have sampled from.
 *
 * Counts lie by page of code, so that what a run takes depends on how much code it has, not on how long it is.
 */
import { LOG } from "../../a64/state.ts";

/** Instructions in a page of 4 KiB. */
const IN_PAGE = 1024;

/** A page of code, with a count for each of its instructions. */
export interface ExactPage {
  /** CONTEXTIDR_EL1 of who executed it, which Linux makes the process; undefined: the kernel's half of the address space. */
  readonly context: number | undefined;
  /** VA[63:32] and VA[31:12]. */
  readonly high: number;
  readonly low: number;
  readonly executed: Float64Array;
  /** Records written of each. */
  readonly sampled: Float64Array;
}

/** The VA of a page. */
export const vaOfPage = ({ high, low }: ExactPage): bigint => (BigInt(high) << 32n) | (BigInt(low) << 12n);

export class ExactProfile {
  readonly #pages = new Map<string, ExactPage>();
  #last: ExactPage | undefined;

  /** Pages in the order in which they were first executed. */
  get pages(): Iterable<ExactPage> {
    return this.#pages.values();
  }

  /** What comes from now on counts. */
  restart(): void {
    this.#pages.clear();
    this.#last = undefined;
  }

  #pageOf(context: number, high: number, low: number): ExactPage {
    const isKernel = high >>> 31 === 1;
    const whose = isKernel ? undefined : context;
    const page = low >>> 12;
    const last = this.#last;
    if (last !== undefined && last.low === page && last.high === high && last.context === whose) return last;
    const key = `${whose} ${high} ${page}`;
    const found = this.#pages.get(key) ?? {
      context: whose,
      high,
      low: page,
      executed: new Float64Array(IN_PAGE),
      sampled: new Float64Array(IN_PAGE),
    };
    this.#pages.set(key, found);
    this.#last = found;
    return found;
  }

  /** An instruction was executed. @param context CONTEXTIDR_EL1 */
  executes(pc: bigint, context: number): void {
    const low = Number(pc & 0xffff_ffffn);
    this.#pageOf(context, Number(pc >> 32n), low).executed[(low & 0xfff) >>> 2]! += 1;
  }

  /** A record of one was written. */
  samples(pc: bigint, context: number): void {
    const low = Number(pc & 0xffff_ffffn);
    this.#pageOf(context, Number(pc >> 32n), low).sampled[(low & 0xfff) >>> 2]! += 1;
  }

  /**
   * The instructions of a log were executed (LOG in a64/state.ts).
   * @param first where its first entry lies, and `end` where the one after the last would
   */
  executesLog(words: Uint32Array, first: number, end: number, context: number): void {
    for (let at = first >>> 2; at < end >>> 2; at += LOG.ENTRY_BYTES >>> 2) {
      if (words[at + (LOG.WHAT >>> 2)] !== 0) continue;
      const low = words[at]!;
      this.#pageOf(context, words[at + 1]!, low).executed[(low & 0xfff) >>> 2]! += 1;
    }
  }
}
