/**
 * A branch predictor: gshare for directions, targets of indirect branches by address and history, a stack of return addresses.
 * Addresses are instruction numbers: VA[48:2], as natural numbers.
 */

import type { BranchOp } from "../../a64/op-class.ts";

/** No more than are executed before a sample, most likely, where only those are followed. */
const HISTORY_BITS = 4;
const HISTORY_MASK = (1 << HISTORY_BITS) - 1;
const HISTORY_SHIFT = 8;
const COUNTERS = 1 << 12;
const TARGETS = 512;
const RETURNS = 16;

export interface BranchModelState {
  readonly history: number;
  readonly known: number;
  readonly counters: readonly (readonly [place: number, counter: number])[];
  readonly targets: readonly (readonly [place: number, target: number])[];
  readonly returns: readonly number[];
}

/** Two-bit counters start as "weakly not taken". */
const WEAK = 1;

export class BranchModel {
  #history = 0;
  /** How many bits of the history are those of the branches right before. */
  #known = HISTORY_BITS;
  readonly #counters = new Uint8Array(COUNTERS).fill(WEAK);
  readonly #targets = new Float64Array(TARGETS);
  #returns: number[] = [];

  /**
   * Follows a branch.
   * @param to where execution went on: a branch that was not taken goes on behind itself
   * @returns whether it was predicted rightly
   */
  follow(
    { conditional, indirect, procedure }: Pick<BranchOp, "conditional" | "indirect" | "procedure">,
    from: number,
    to: number,
    taken: boolean,
  ): boolean {
    let isRight = true;
    if (conditional) {
      const place = (from ^ (this.#history << HISTORY_SHIFT)) & (COUNTERS - 1);
      const counter = this.#counters[place] as number;
      isRight = counter >= 2 === taken;
      // With a history that is another branch's there is nothing to learn.
      if (this.#known === HISTORY_BITS)
        this.#counters[place] = taken ? Math.min(3, counter + 1) : Math.max(0, counter - 1);
      else this.#known += 1;
      this.#history = ((this.#history << 1) | (taken ? 1 : 0)) & HISTORY_MASK;
    } else if (procedure === "return") isRight = (this.#returns.pop() ?? to) === to;
    else if (indirect) {
      const place = (from ^ (this.#history << 5)) & (TARGETS - 1);
      isRight = this.#targets[place] === to;
      this.#targets[place] = to;
    }
    if (procedure === "call") {
      this.#returns.push(from + 1);
      if (this.#returns.length > RETURNS) this.#returns.shift();
    }
    return isRight;
  }

  /** What comes next does not follow what came last: returns to where nobody was seen to call from are as predicted. */
  resume(): void {
    this.#known = 0;
    this.#returns = [];
  }

  save(): BranchModelState {
    const counters: [number, number][] = [];
    this.#counters.forEach((counter, place) => {
      if (counter !== WEAK) counters.push([place, counter]);
    });
    const targets: [number, number][] = [];
    this.#targets.forEach((target, place) => {
      if (target !== 0) targets.push([place, target]);
    });
    return { history: this.#history, known: this.#known, counters, targets, returns: [...this.#returns] };
  }

  restore({ history, known, counters, targets, returns }: BranchModelState): void {
    this.#history = history;
    this.#known = known;
    this.#counters.fill(WEAK);
    for (const [place, counter] of counters) this.#counters[place] = counter;
    this.#targets.fill(0);
    for (const [place, target] of targets) this.#targets[place] = target;
    this.#returns = [...returns];
  }
}
