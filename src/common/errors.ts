/**
 * The two kinds of failure. What a guest may do wrong is a value (a fault, an exit); what our user or one of us
 * did wrong is one of these classes.
 */

/** The user gave something we cannot work with. The command line prints it without a stack and exits with 2. */
export class UserError extends Error {
  override readonly name = "UserError";
  /** What is wrong and where (file and offset, option, register). */
  readonly what: string;
  /** What to do about it; empty where `what` says it all. */
  readonly remedy: string;

  constructor(what: string, remedy = "") {
    super(remedy === "" ? what : `${what}\n${remedy}`);
    this.what = what;
    this.remedy = remedy;
  }
}

/** One of our own invariants does not hold. Always a bug, never the guest's or the user's doing. */
export class BrokenInvariant extends Error {
  override readonly name = "BrokenInvariant";
}

/** Throws BrokenInvariant unless `condition` holds. */
export function invariant(condition: boolean, what: string): asserts condition {
  if (!condition) throw new BrokenInvariant(what);
}

/** Ends a switch over a union: a member that is not handled does not compile. */
export function assertNever(value: never, what = "unhandled case"): never {
  throw new BrokenInvariant(`${what}: ${JSON.stringify(value)}`);
}
