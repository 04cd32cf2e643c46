/** Which of architecture's invariants, by number. */
export type InvariantNumber = 1 | 2 | 3 | 4 | 5;

/** An invariant does not hold. */
export class InvariantBroken extends Error {
  override readonly name = "InvariantBroken";
  readonly invariant: InvariantNumber;

  constructor(invariant: InvariantNumber, what: string) {
    super(`invariant ${invariant}: ${what}`);
    this.invariant = invariant;
  }
}
