/**
 * Self-hosted debug (Arm ARM D2): the debug registers of EL1, and when they make breakpoint, watchpoint and software step
 * exceptions. While none of that is enabled `active` is false, and nothing else here is asked.
 */
import { type Encoding, encodingKey, MDSCR_EL1, SYSREG } from "../arm/registers.ts";
import {
  BREAKPOINTS,
  breakpointControl,
  breakpointMatches,
  breakpointPage,
  comparedPage,
  matchesAnywhere,
  type Pair,
  pageHas,
  WATCHPOINTS,
  type Watched,
  type WatchedAccess,
  watchedAt,
  watchpointControl,
  watchpointMatch,
  watchpointValue,
} from "./debug-match.ts";
import { SPSR, type VcpuState } from "./vcpu-state.ts";

/** ERR, HDE, TDA, INTdis, TXU, RXO, TXfull, RXfull: an external debugger's, written only while the OS lock is set. */
const MDSCR_EXTERNAL = 0x6ce0_4040n;
const WORD = 0xffff_ffffn;
/** The claim tags that there are. */
const CLAIM_TAGS = 0xffn;
/** External debug of Non-secure state is there and disabled, invasive or not; there is no Secure state. */
const AUTHENTICATION = 0xan;
/** Bits of PSTATE.D as DAIF has them. */
const MASKED = 0x200;

const PLACE = {
  MDCCINT_EL1: [SYSREG.MDCCINT_EL1, 0x6000_0000n],
  OSDTRRX_EL1: [SYSREG.OSDTRRX_EL1, WORD],
  OSDTRTX_EL1: [SYSREG.OSDTRTX_EL1, WORD],
  DBGPRCR_EL1: [SYSREG.DBGPRCR_EL1, 1n],
  OSDLR_EL1: [SYSREG.OSDLR_EL1, 1n],
} as const;
/** Registers that hold what is written to them, by encoding, with the bits that they have. */
const PLACES: ReadonlyMap<number, bigint> = new Map<number, bigint>(Object.values(PLACE));

/** Whether EL0 may read or write a register of the debug communications channel unless MDSCR_EL1.TDCC is set. */
export const isDebugChannel = (encoding: Encoding, isRead: boolean): boolean => {
  const key = encodingKey(encoding);
  return key === SYSREG.DBGDTR_EL0 || key === SYSREG.DBGDTRRX_EL0 || (key === SYSREG.MDCCSR_EL0 && isRead);
};

/** DBGBVR, DBGBCR, DBGWVR and DBGWCR by op2. */
const OP2 = { BVR: 4, BCR: 5, WVR: 6, WCR: 7 } as const;

/** LDXR and LDAXR of all sizes; LDXP and LDAXP, which CASP resembles. */
const isLoadExclusive = (word: number): boolean =>
  (word & 0x3fe0_0000) === 0x0840_0000 || (word & 0xbfe0_0000) >>> 0 === 0x8860_0000;

interface StoredPair {
  value: bigint;
  control: number;
}

const pairs = (count: number): StoredPair[] =>
  Array.from({ length: count }, () => ({ value: 0n, control: 0 }));

/** What a level of exceptions has to look out for. */
interface Watch {
  /** Software step is enabled, PSTATE.D aside. */
  readonly steps: boolean;
  /** A breakpoint may match at any address. */
  readonly everywhere: boolean;
  readonly codePages: ReadonlySet<number>;
  readonly data: readonly Watched[];
}

const NOTHING: Watch = { steps: false, everywhere: false, codePages: new Set(), data: [] };
const isActive = ({ steps, everywhere, codePages, data }: Watch): boolean =>
  steps || everywhere || codePages.size > 0 || data.length > 0;
/** Whether some pages must stay out of the soft TLBs and code maps. */
const guards = ({ codePages, data }: Watch): boolean => codePages.size > 0 || data.length > 0;

export interface DebugState {
  readonly breakpoints: readonly (readonly [value: string, control: number])[];
  readonly watchpoints: readonly (readonly [value: string, control: number])[];
  readonly places: readonly (readonly [key: number, value: string])[];
  readonly claim: string;
  readonly osLock: boolean;
  readonly stepped: readonly [exceptions: number, exclusive: boolean];
}

export class Debug {
  readonly #state: VcpuState;
  readonly #guardsChanged: () => void;
  #breakpoints = pairs(BREAKPOINTS);
  #watchpoints = pairs(WATCHPOINTS);
  readonly #places = new Map<number, bigint>();
  #claim = 0n;
  /** Set by a cold reset: nothing is generated until software clears it. */
  #osLock = true;
  /** How many exceptions had been taken when an instruction was stepped last, and whether it was a load-exclusive. */
  #stepped: readonly [exceptions: number, exclusive: boolean] = [-1, false];
  #watches: readonly [el0: Watch, el1: Watch] = [NOTHING, NOTHING];
  #active = false;

  /** @param guardsChanged told when other pages than before must stay out of soft TLBs and code maps */
  constructor(state: VcpuState, guardsChanged: () => void) {
    this.#state = state;
    this.#guardsChanged = guardsChanged;
  }

  /** Whether any debug exception but that of BRK is possible. */
  get active(): boolean {
    return this.#active;
  }

  save(): DebugState {
    const plain = ({ value, control }: Pair) => [String(value), control] as const;
    return {
      breakpoints: this.#breakpoints.map(plain),
      watchpoints: this.#watchpoints.map(plain),
      places: [...this.#places].map(([key, value]) => [key, String(value)]),
      claim: String(this.#claim),
      osLock: this.#osLock,
      stepped: this.#stepped,
    };
  }

  /** Takes what `save` gave; MDSCR_EL1 is in the vCPU's state, which must be there already. */
  restore(saved: DebugState): void {
    const pair = ([value, control]: readonly [string, number]) => ({ value: BigInt(value), control });
    this.#breakpoints = saved.breakpoints.map(pair);
    this.#watchpoints = saved.watchpoints.map(pair);
    this.#places.clear();
    for (const [key, value] of saved.places) this.#places.set(key, BigInt(value));
    this.#claim = BigInt(saved.claim);
    this.#osLock = saved.osLock;
    this.#stepped = saved.stepped;
    this.#changed();
  }

  /** A cold reset. */
  reset(): void {
    const zero = ["0", 0] as const;
    this.restore({
      breakpoints: this.#breakpoints.map(() => zero),
      watchpoints: this.#watchpoints.map(() => zero),
      places: [],
      claim: "0",
      osLock: true,
      stepped: [-1, false],
    });
  }

  // ---- Registers ----

  /** The value of a debug register; undefined if there is none of that encoding. */
  read(encoding: Encoding): bigint | undefined {
    const key = encodingKey(encoding);
    const place = PLACES.get(key);
    if (place !== undefined) return this.#places.get(key) ?? 0n;
    switch (key) {
      case SYSREG.MDSCR_EL1:
        return this.#state.get64("MDSCR_EL1");
      case SYSREG.OSLSR_EL1:
        // OSLM = 0b10, whose high bit is bit 3: there is an OS lock.
        return 8n | (this.#osLock ? 2n : 0n);
      case SYSREG.DBGCLAIMSET_EL1:
        return CLAIM_TAGS;
      case SYSREG.DBGCLAIMCLR_EL1:
        return this.#claim;
      case SYSREG.DBGAUTHSTATUS_EL1:
        return AUTHENTICATION;
      case SYSREG.MDRAR_EL1:
      case SYSREG.OSECCR_EL1:
      case SYSREG.MDCCSR_EL0:
      case SYSREG.DBGDTR_EL0:
      case SYSREG.DBGDTRRX_EL0:
        return 0n;
    }
    const [pair, isControl] = this.#pairOf(encoding) ?? [];
    if (pair === undefined) return undefined;
    return isControl ? BigInt(pair.control) : pair.value;
  }

  /** Writes a debug register; false if there is none of that encoding that can be written. */
  write(encoding: Encoding, value: bigint): boolean {
    const key = encodingKey(encoding);
    const place = PLACES.get(key);
    if (place !== undefined) {
      this.#places.set(key, value & place);
      this.#changed();
      return true;
    }
    switch (key) {
      case SYSREG.MDSCR_EL1: {
        const writable = MDSCR_EL1.mask | (this.#osLock ? MDSCR_EXTERNAL : 0n);
        const kept = this.#state.get64("MDSCR_EL1") & ~writable;
        this.#state.set64("MDSCR_EL1", kept | (value & writable));
        this.#changed();
        return true;
      }
      case SYSREG.OSLAR_EL1:
        this.#osLock = (value & 1n) === 1n;
        this.#changed();
        return true;
      case SYSREG.DBGCLAIMSET_EL1:
        this.#claim |= value & CLAIM_TAGS;
        return true;
      case SYSREG.DBGCLAIMCLR_EL1:
        this.#claim &= ~value;
        return true;
      case SYSREG.OSECCR_EL1:
      case SYSREG.DBGDTR_EL0:
      case SYSREG.DBGDTRRX_EL0:
        return true;
    }
    const [pair, isControl] = this.#pairOf(encoding) ?? [];
    if (pair === undefined) return false;
    const isWatchpoint = encoding[4] >= OP2.WVR;
    if (isControl) pair.control = isWatchpoint ? watchpointControl(value) : breakpointControl(value);
    else pair.value = isWatchpoint ? watchpointValue(value) : value;
    this.#changed();
    return true;
  }

  #pairOf([op0, op1, crn, crm, op2]: Encoding): readonly [StoredPair, isControl: boolean] | undefined {
    if (op0 !== 2 || op1 !== 0 || crn !== 0 || op2 < OP2.BVR) return undefined;
    const pair = (op2 < OP2.WVR ? this.#breakpoints : this.#watchpoints)[crm];
    return pair === undefined ? undefined : [pair, op2 === OP2.BCR || op2 === OP2.WCR];
  }

  /** Whether MDSCR_EL1.TDCC traps EL0's use of the debug communications channel. */
  get channelTraps(): boolean {
    return MDSCR_EL1.is(this.#state.get64("MDSCR_EL1"), "TDCC");
  }

  /** A register changed that says what is enabled (AArch64.GenerateDebugExceptionsFrom, PSTATE.D aside). */
  #changed(): void {
    const before = this.#watches;
    const mdscr = this.#state.get64("MDSCR_EL1");
    const locked =
      this.#osLock ||
      // DoubleLockStatus.
      ((this.#places.get(PLACE.OSDLR_EL1[0]) ?? 0n) === 1n &&
        (this.#places.get(PLACE.DBGPRCR_EL1[0]) ?? 0n) === 0n);
    const watchOf = (el: 0 | 1): Watch => {
      if (locked || (el === 1 && !MDSCR_EL1.is(mdscr, "KDE"))) return NOTHING;
      const steps = MDSCR_EL1.is(mdscr, "SS");
      if (!MDSCR_EL1.is(mdscr, "MDE")) return { ...NOTHING, steps };
      const isThere = <T>(value: T | undefined): value is T => value !== undefined;
      return {
        steps,
        everywhere: this.#breakpoints.some((pair, n) => matchesAnywhere(pair, n, el)),
        codePages: new Set(this.#breakpoints.map((pair) => breakpointPage(pair, el)).filter(isThere)),
        data: this.#watchpoints.map((pair) => watchedAt(pair, el)).filter(isThere),
      };
    };
    this.#watches = [watchOf(0), watchOf(1)];
    this.#active = this.#watches.some(isActive);
    if (before.some(guards) || this.#watches.some(guards)) this.#guardsChanged();
  }

  // ---- Software step (Arm ARM D2.12) ----

  /** The watch of the current level; undefined where PSTATE.D masks debug exceptions. */
  get #watch(): Watch | undefined {
    const { el, words, at } = this.#state;
    if (el === 1 && ((words[at.DAIF] as number) & MASKED) !== 0) return undefined;
    return this.#watches[el];
  }

  /** Whether software step is enabled here and now: active, pending or not. */
  get steps(): boolean {
    return this.#watch?.steps === true;
  }

  /** Active and pending: a Software Step exception comes before the instruction at PC. */
  get stepIsDue(): boolean {
    return this.steps && this.#state.get32("SS") === 0;
  }

  /** SSAdvance: an instruction that has an exception of its own (SVC) counts as stepped. */
  advance(): void {
    const { words, at } = this.#state;
    if (((words[at.MDSCR_EL1] as number) & MDSCR_EL1.fields.SS.mask32) !== 0) words[at.SS] = 0;
  }

  /** The instruction `word` was stepped, after `exceptions` exceptions. */
  stepped(word: number, exceptions: number): void {
    this.#state.set32("SS", 0);
    this.#stepped = [exceptions, isLoadExclusive(word)];
  }

  /** ISV and EX of a Software Step exception: what was stepped, unless another exception came since. */
  stepSyndrome(exceptions: number): number {
    const [at, exclusive] = this.#stepped;
    return at === exceptions ? (1 << 24) | (exclusive ? 1 << 6 : 0) : 0;
  }

  /** PSTATE.SS after an exception return to a level with this SPSR (DebugExceptionReturnSS). */
  stepAfterReturn(spsr: number, to: 0 | 1): number {
    const there = this.#watches[to].steps && (to === 0 || (spsr & MASKED) === 0);
    return !this.steps && there && (spsr & SPSR.SS) !== 0 ? 1 : 0;
  }

  // ---- Breakpoints and watchpoints ----

  /** Whether instructions must be looked at one by one: at PC, or in all of its page. */
  confines(pc: bigint): boolean {
    const watch = this.#watches[this.#state.el];
    return watch.steps || watch.everywhere || this.guardsCode(pc);
  }

  /** Whether the page of PC has a breakpoint for the current level, so that no code map may keep it. */
  guardsCode(pc: bigint): boolean {
    const { codePages } = this.#watches[this.#state.el];
    return codePages.size > 0 && codePages.has(comparedPage(pc));
  }

  /** The pages that `guardsCode` may name, at any level. */
  get guardedCode(): readonly number[] {
    return this.#watches.flatMap(({ codePages }) => [...codePages]);
  }

  /** Whether the instruction at PC has a Breakpoint exception. */
  breakpointAt(pc: bigint): boolean {
    const watch = this.#watch;
    if (watch === undefined || !(watch.everywhere || this.guardsCode(pc))) return false;
    return breakpointMatches(this.#breakpoints, pc, this.#state.el, this.#state.get64("CONTEXTIDR_EL1"));
  }

  /** Whether the page of an address has watched bytes for accesses with a level's privileges. */
  guardsData(va: bigint, el: 0 | 1): boolean {
    if (!this.#active) return false;
    return this.#watches[el].data.some((watched) => pageHas(watched, va));
  }

  /** The Watchpoint exception of an access: where (FAR_EL1) and WnR. Undefined: none. */
  watchpointAt(access: WatchedAccess): { readonly va: bigint; readonly write: boolean } | undefined {
    // At EL1 accesses with EL0's privileges need what EL1's need: KDE, and PSTATE.D clear.
    const watch = this.#watch;
    if (watch === undefined || this.#watches[access.el].data.length === 0) return undefined;
    if (this.#state.el === 1 && !this.#matchesAtEl1) return undefined;
    return watchpointMatch(this.#watchpoints, this.#breakpoints, access, this.#state.get64("CONTEXTIDR_EL1"));
  }

  get #matchesAtEl1(): boolean {
    return MDSCR_EL1.is(this.#state.get64("MDSCR_EL1"), "KDE");
  }
}
