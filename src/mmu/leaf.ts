/**
 * What a leaf descriptor means: its attributes, and whether an access may use it.
 *
 * Both depend on few bits, so a leaf's attribute bits are packed into a key and the answer is kept with the
 * stage's configuration. A walk then compares keys and meets this file only where attributes change.
 */
import { HI, LO, SH } from "../arm/descriptors.ts";
import { type Access, accessCode } from "./access.ts";
import type { StageConfig } from "./config.ts";
import type { FaultKind } from "./fault.ts";
import {
  DEVICE_NGNRNE,
  decodeMair,
  decodeShareability,
  decodeStage2MemAttr,
  effectiveShareability,
  isDevice,
  NORMAL_NON_CACHEABLE,
  NORMAL_WRITE_BACK,
  NORMAL_WRITE_THROUGH_READ_ALLOCATE,
} from "./memory-type.ts";
import type { Attributes, LeafVerdict } from "./verdict.ts";

/** Bits 11:2 of the descriptor are bits 9:0 of a key. */
const LO_KEY = 0xffc;
/** Bits 58:51 less the contiguous hint, which never changes a result. */
const HI_KEY = 0xfd;

/**
 * A leaf's attribute bits as one number below 2^22.
 * @param tablePermissions bits 62:59 of the table descriptors above, or-ed: PXN, UXN, AP[0], AP[1]
 */
export const leafKey = (lo: number, hi: number, tablePermissions: number): number =>
  ((lo & LO_KEY) >>> 2) | (((hi >>> 19) & HI_KEY) << 10) | (tablePermissions << 18);

/** What leaves with this key answer to this access. Equal arguments give the identical object. */
export function leafVerdict(config: StageConfig, key: number, access: Access): LeafVerdict {
  const cached = config.leafCache.get(key * 128 + accessCode(access));
  if (cached !== undefined) return cached;
  const verdict = judge(config, key, access);
  config.leafCache.set(key * 128 + accessCode(access), verdict);
  return verdict;
}

function judge(config: StageConfig, key: number, access: Access): LeafVerdict {
  const lo = (key & 0x3ff) << 2;
  const hi = ((key >>> 10) & HI_KEY) << 19;
  const managed = config.hardwareDirtyState && (hi & HI.dirtyBitModifier) !== 0;
  const permissions =
    config.stage === 1
      ? stage1Permissions(config, lo, hi, key >>> 18, managed)
      : stage2Permissions(config, lo, hi, managed);
  const memory = memoryOf(config, lo, access);
  const fault = faultOf(config, lo, memory, permissions, access);
  const marked = config.stage === 1 ? (lo & LO.apReadOnly) === 0 : (lo & LO.s2Write) !== 0;
  const pure = fault !== undefined || access.by === "inspect";
  const marks =
    !pure && managed && !marked && access.write && access.by !== "at" && access.by !== "maintenance";
  const setAccessFlag = !pure && config.hardwareAccessFlag && (lo & LO.accessFlag) === 0;
  const setLo = (setAccessFlag ? LO.accessFlag : 0) | (marks && config.stage === 2 ? LO.s2Write : 0);
  const clearLo = marks && config.stage === 1 ? LO.apReadOnly : 0;
  return {
    attributes: Object.freeze({
      memory,
      shareability: effectiveShareability(memory, decodeShareability((lo >> 8) & 3)),
      ...permissions,
      accessed: setAccessFlag || (lo & LO.accessFlag) !== 0,
      clean: managed && !marked && !marks,
      global: config.stage === 2 || (lo & LO.notGlobal) === 0,
      software: hi >>> 23,
    }),
    fault,
    setLo,
    clearLo,
    updates: setLo !== 0 || clearLo !== 0,
  };
}

type Permissions = Pick<
  Attributes,
  "readable" | "writable" | "executable" | "el0Readable" | "el0Writable" | "el0Executable"
>;

/** AArch64_S1DirectBasePermissions without PAN, for both columns. */
function stage1Permissions(
  config: StageConfig,
  lo: number,
  hi: number,
  table: number,
  managed: boolean,
): Permissions {
  const noWrites = (table & 0b1000) !== 0;
  const writable = ((lo & LO.apReadOnly) === 0 || managed) && !noWrites;
  const el0Readable = (lo & LO.apEl0) !== 0 && (table & 0b0100) === 0;
  const el0Writable = el0Readable && writable;
  const executable = (hi & HI.pxn) === 0 && (table & 0b0001) === 0 && !el0Writable;
  const el0Executable = (hi & HI.xn) === 0 && (table & 0b0010) === 0;
  const wxn = config.writeImpliesExecuteNever;
  return {
    readable: true,
    writable,
    executable: executable && !(wxn && writable),
    el0Readable,
    el0Writable,
    el0Executable: el0Executable && !(wxn && el0Writable),
  };
}

/** AArch64_S2DirectBasePermissions, for both columns. */
function stage2Permissions(config: StageConfig, lo: number, hi: number, managed: boolean): Permissions {
  const readable = (lo & LO.s2Read) !== 0;
  const writable = (lo & LO.s2Write) !== 0 || managed;
  const xn = (hi & HI.xn) !== 0;
  const differs = config.executeNeverByEl && (hi & HI.pxn) !== 0;
  return {
    readable,
    writable,
    executable: xn === differs,
    el0Readable: readable,
    el0Writable: writable,
    el0Executable: !xn,
  };
}

function memoryOf(config: StageConfig, lo: number, access: Access): number {
  const index = lo >> 2;
  const memory =
    config.stage === 1
      ? decodeMair(config.mair[index & 7] ?? DEVICE_NGNRNE)
      : decodeStage2MemAttr(index & 15);
  if (access.by === "fetch")
    return isDevice(memory) || !config.fetchCacheable ? NORMAL_NON_CACHEABLE : memory;
  if (config.stage === 2 && access.by === "walk" && isDevice(memory) && !config.protectedTableWalk)
    return NORMAL_NON_CACHEABLE;
  return isDevice(memory) || config.dataCacheable ? memory : NORMAL_NON_CACHEABLE;
}

/** The access flag comes before permissions (S1Walk before S1CheckPermissions). */
function faultOf(
  config: StageConfig,
  lo: number,
  memory: number,
  permissions: Permissions,
  access: Access,
): FaultKind | undefined {
  if (access.by === "inspect") return undefined;
  if ((lo & LO.accessFlag) === 0 && !config.hardwareAccessFlag) return "access-flag";
  if (access.by === "walk" && config.protectedTableWalk && isDevice(memory)) return "permission";
  return permitted(config, permissions, access) ? undefined : "permission";
}

function permitted(config: StageConfig, p: Permissions, access: Access): boolean {
  const el0 = access.el === 0;
  if (access.by === "fetch") return el0 ? p.el0Executable : p.executable;
  if (access.by === "walk") return p.readable && (!access.write || p.writable);
  if (el0) return access.write ? p.el0Writable : p.el0Readable;
  if (config.stage === 1 && panForbids(config, p, access)) return false;
  return access.write ? p.writable : p.readable;
}

/** PSTATE.PAN applies to explicit accesses only: not to the profiling buffer, nor to a fetch or a walk. */
const panForbids = (config: StageConfig, p: Permissions, access: Access): boolean =>
  access.pan === true &&
  access.by !== "profiling-buffer" &&
  (p.el0Readable || p.el0Writable || (config.enhancedPan && p.el0Executable));

/** What a stage says that is switched off (AArch64_S1DisabledOutput; stage 2 off adds nothing to stage 1). */
export function disabledAttributes(config: StageConfig, access: Access): Attributes {
  const memory =
    config.defaultCacheable || config.stage === 2
      ? NORMAL_WRITE_BACK
      : access.by !== "fetch"
        ? DEVICE_NGNRNE
        : config.fetchCacheable
          ? NORMAL_WRITE_THROUGH_READ_ALLOCATE
          : NORMAL_NON_CACHEABLE;
  return {
    memory,
    shareability: config.defaultCacheable || config.stage === 2 ? SH.none : SH.outer,
    readable: true,
    writable: true,
    executable: true,
    el0Readable: true,
    el0Writable: true,
    el0Executable: true,
    accessed: true,
    clean: false,
    global: true,
    software: 0,
  };
}
