/** Which instructions breakpoints name, and which bytes watchpoints (Arm ARM D2.8 and D2.10). */

/** As ID_AA64DFR0_EL1 says: BRPs, CTX_CMPs (the last of the breakpoints), WRPs. */
export const BREAKPOINTS = 6;
export const CONTEXT_BREAKPOINTS = 2;
export const WATCHPOINTS = 4;

/** A pair of DBGBVR<n>_EL1 and DBGBCR<n>_EL1, or of DBGWVR<n>_EL1 and DBGWCR<n>_EL1. */
export interface Pair {
  readonly value: bigint;
  readonly control: number;
}

/** Bytes that are watched: the first, with bits 48:0 only, and how many. */
export interface Watched {
  readonly first: bigint;
  readonly bytes: bigint;
}

/** Bits that the registers have; the others are RES0. */
const BCR_BITS = 0x00ff_e1e7;
const WCR_BITS = 0x1f1f_ffff;
/** BAS of breakpoints selects among halfwords of T32 and is RES1 where there is no AArch32. */
const BCR_BAS = 0x1e0;

const BT_ADDRESS = 0;
const BT_ADDRESS_LINKED = 1;

/** Bits 48:0 of an address are compared: DBGBVR and DBGWVR hold no more, their bits 63:49 repeat bit 48. */
const ADDRESS_BITS = 49;
const addressOf = (va: bigint): bigint => BigInt.asUintN(ADDRESS_BITS, va);

/** The 4 KiB page of an address as comparisons see it. */
export const comparedPage = (va: bigint): number => Number(addressOf(va) >> 12n);

/** What a breakpoint control register keeps of a value written to it. */
export const breakpointControl = (value: bigint): number =>
  (Number(value & BigInt(BCR_BITS)) | BCR_BAS) >>> 0;
export const watchpointControl = (value: bigint): number => Number(value & BigInt(WCR_BITS));
/** What DBGWVR<n>_EL1 keeps; a DBGBVR keeps everything, for what it holds depends on its type. */
export const watchpointValue = (value: bigint): bigint =>
  BigInt.asUintN(64, BigInt.asIntN(ADDRESS_BITS, value)) & ~3n;

const enabled = (control: number): boolean => (control & 1) !== 0;
const breakpointType = (control: number): number => (control >>> 20) & 15;
const linkedBreakpoint = (control: number): number => (control >>> 16) & 15;

/**
 * Whether a control register names an exception level of Non-secure state (AArch64.StateMatch): SSC 0b10 is Secure state
 * only, and bits 1 and 0 of PMC or PAC are EL0 and EL1. EL2, which HMC is about, is not the guest's.
 */
const namesLevel = (control: number, el: 0 | 1): boolean =>
  ((control >>> 14) & 3) !== 2 && ((control >>> (el === 0 ? 2 : 1)) & 1) === 1;

/**
 * Whether a context breakpoint matches CONTEXTIDR_EL1: types 0b0010 and 0b0110, and with `linked` 0b0011 and 0b0111. Those
 * that compare a VMID or EL2's context are the hypervisor's and never match.
 */
function matchesContext({ value, control }: Pair, linked: boolean, contextId: bigint): boolean {
  const type = breakpointType(control);
  return (
    enabled(control) &&
    (type & 0b1010) === 0b0010 &&
    (type & 1) === (linked ? 1 : 0) &&
    BigInt.asUintN(32, value) === BigInt.asUintN(32, contextId)
  );
}

/** Whether the breakpoint that another one or a watchpoint links to (LBN) is context-aware, linked, and matches. */
function linkMatches(breakpoints: readonly Pair[], control: number, contextId: bigint): boolean {
  const n = linkedBreakpoint(control);
  const other = n >= BREAKPOINTS - CONTEXT_BREAKPOINTS ? breakpoints[n] : undefined;
  return other !== undefined && matchesContext(other, true, contextId);
}

const isAddressBreakpoint = (control: number): boolean => breakpointType(control) <= BT_ADDRESS_LINKED;

/** The page outside of which an address breakpoint never matches at a level. Undefined: it is none, or not enabled. */
export const breakpointPage = ({ value, control }: Pair, el: 0 | 1): number | undefined =>
  enabled(control) && namesLevel(control, el) && isAddressBreakpoint(control)
    ? comparedPage(value)
    : undefined;

/** Whether breakpoint `n` may match at any address at a level: it compares the context only. */
export const matchesAnywhere = ({ control }: Pair, n: number, el: 0 | 1): boolean =>
  n >= BREAKPOINTS - CONTEXT_BREAKPOINTS &&
  enabled(control) &&
  namesLevel(control, el) &&
  (breakpointType(control) & 0b1011) === 0b0010;

/** Whether any breakpoint matches an instruction (AArch64.BreakpointMatch). */
export function breakpointMatches(
  breakpoints: readonly Pair[],
  pc: bigint,
  el: 0 | 1,
  contextId: bigint,
): boolean {
  return breakpoints.some((breakpoint, n) => {
    const { value, control } = breakpoint;
    if (!enabled(control) || !namesLevel(control, el)) return false;
    if (!isAddressBreakpoint(control))
      return matchesAnywhere(breakpoint, n, el) && matchesContext(breakpoint, false, contextId);
    if (addressOf(value) >> 2n !== addressOf(pc) >> 2n) return false;
    return breakpointType(control) === BT_ADDRESS || linkMatches(breakpoints, control, contextId);
  });
}

/**
 * The bytes that a watchpoint selects, by BAS or by MASK (AArch64.WatchpointByteMatch). What is CONSTRAINED UNPREDICTABLE:
 * of a BAS with gaps the first run of bytes counts, MASK comes before BAS and ignores the masked bits of the address, and
 * with the reserved masks 1 and 2 nothing matches.
 */
export function watchedBytes({ value, control }: Pair): Watched | undefined {
  const mask = (control >>> 24) & 31;
  if (mask === 1 || mask === 2) return undefined;
  if (mask > 0) {
    const bytes = 1n << BigInt(mask);
    return { first: addressOf(value) & ~(bytes - 1n), bytes };
  }
  // Bit 2 of the address set: BAS[7:4] are ignored.
  let bas = (control >>> 5) & 0xff & ((value & 4n) !== 0n ? 0xf : 0xff);
  if (bas === 0) return undefined;
  let first = addressOf(value) & ~3n;
  for (; (bas & 1) === 0; bas >>= 1) first += 1n;
  let bytes = 0n;
  for (; (bas & 1) === 1; bas >>= 1) bytes += 1n;
  return { first, bytes };
}

/** As `watchedBytes`, of a watchpoint that is enabled for accesses with the privileges of a level. */
export const watchedAt = (watchpoint: Pair, el: 0 | 1): Watched | undefined =>
  enabled(watchpoint.control) && namesLevel(watchpoint.control, el) ? watchedBytes(watchpoint) : undefined;

/** Whether the 4 KiB page of an address has watched bytes. */
export function pageHas({ first, bytes }: Watched, va: bigint): boolean {
  const page = addressOf(va) & ~0xfffn;
  return first < page + 4096n && page < first + bytes;
}

/** The kinds of access that a watchpoint's LSC names; an atomic read-modify-write is both. */
export interface WatchedAccess {
  readonly va: bigint;
  readonly bytes: number;
  readonly write: boolean;
  readonly atomic: boolean;
  /** Whose privileges count: EL0's for LDTR and STTR. */
  readonly el: 0 | 1;
}

/**
 * The first byte of an access that a watchpoint matches, tag and all, and WnR; undefined where none does. WnR of an atomic
 * access is 0 if reading alone would have matched (Arm ARM D19.2.37, ISS of a Watchpoint exception).
 */
export function watchpointMatch(
  watchpoints: readonly Pair[],
  breakpoints: readonly Pair[],
  access: WatchedAccess,
  contextId: bigint,
): { readonly va: bigint; readonly write: boolean } | undefined {
  const at = addressOf(access.va);
  let found: { va: bigint; write: boolean } | undefined;
  for (const watchpoint of watchpoints) {
    const { control } = watchpoint;
    const watched = watchedAt(watchpoint, access.el);
    if (watched === undefined) continue;
    const [loads, stores] = [(control & 8) !== 0, (control & 16) !== 0];
    if (access.atomic ? !loads && !stores : access.write ? !stores : !loads) continue;
    const linked = ((control >>> 20) & 1) === 1;
    if (linked && !linkMatches(breakpoints, control, contextId)) continue;
    const { first, bytes } = watched;
    if (at >= first + bytes || first >= at + BigInt(access.bytes)) continue;
    const va = access.va + (first > at ? first - at : 0n);
    const write = access.atomic ? !loads : access.write;
    if (found === undefined) found = { va, write };
    else found = { va: va < found.va ? va : found.va, write: found.write && write };
  }
  return found;
}
