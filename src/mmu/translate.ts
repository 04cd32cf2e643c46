/** Translating one page: one stage, or both. */
import { descriptorPage, HI, type Shareability } from "../arm/descriptors.ts";
import type { Ipn, Pfn, Vpn } from "../common/address.ts";
import { type Access, INSPECT, WALK_READ, WALK_UPDATE } from "./access.ts";
import { relativePage, type Stage1Config, type Stage2Config, type StageConfig } from "./config.ts";
import { blameOn, type Fault, type FaultKind, faultAt, isFault, type Level } from "./fault.ts";
import { disabledAttributes, leafKey, leafVerdict } from "./leaf.ts";
import { combineMemory, combineShareability, effectiveShareability } from "./memory-type.ts";
import type { TableMemory } from "./table-memory.ts";
import type { Attributes } from "./verdict.ts";

/** Where one stage puts a page. */
export interface Translation<Out extends number = number> {
  /** The 4 KiB page that the input page goes to. */
  readonly outputPage: Out;
  readonly attributes: Attributes;
  /** The level of the leaf; 0 where the stage is off. */
  readonly level: Level;
  /** The leaf carries the contiguous hint (and its level has one). */
  readonly contiguous: boolean;
  /** 4 KiB pages that the leaf maps; 1 where the stage is off. */
  readonly leafPages: number;
}

/** Whether a descriptor with this `lo` leads to another table. */
export const isTable = (lo: number, level: number): boolean => level < 3 && (lo & 3) === 3;

/** Whether a descriptor with this `lo` maps memory: a page at the last level, a block where one is allowed. */
export const isLeaf = (config: StageConfig, lo: number, level: number): boolean =>
  level === 3 ? (lo & 3) === 3 : (lo & 3) === 1 && level >= config.firstBlockLevel;

/** The first page of the table that a table descriptor leads to. */
export function nextTable(config: StageConfig, lo: number, hi: number): number {
  const page = descriptorPage(lo, hi);
  return page - (page & (config.granulePages - 1));
}

/** The first page that a leaf maps to. */
export function leafPage(config: StageConfig, lo: number, hi: number, level: number): number {
  const page = descriptorPage(lo, hi);
  return page - (page & ((config.entryPages[level] as number) - 1));
}

/** Bits 62:59 of a table descriptor, where they count. */
export const tablePermissionsOf = (config: StageConfig, hi: number): number =>
  config.hierarchicalPermissions ? (hi >>> 27) & 0xf : 0;

const contiguousAt = (config: StageConfig, hi: number, level: number): boolean =>
  (hi & HI.contiguous) !== 0 && level >= config.firstBlockLevel;

const refuse = (config: StageConfig, kind: FaultKind, level: Level, page: number, access: Access): Fault =>
  faultAt(config.stage, kind, level, page, access.write, access.by === "walk");

/** The fault of a table page that cannot be read: stage 2's, or an external abort at this level. */
export const unreadableTable = (
  config: StageConfig,
  answer: Fault | undefined,
  level: Level,
  page: number,
  access: Access,
): Fault =>
  answer === undefined
    ? faultAt(config.stage, "external", level, page, access.write, access.by === "walk")
    : config.stage === 1
      ? blameOn(answer, page as Vpn)
      : answer;

/**
 * Translates one page through one stage (AArch64_S1Translate, AArch64_S2Translate).
 *
 * Sets the access flag and the dirty state in the tables where the stage's controls say so, as the access asks.
 * @param page the whole page number: for stage 1, VA[63:12] with the tag still in it
 */
export function translate<In extends number, Out extends number>(
  config: StageConfig<In, Out>,
  page: In,
  access: Access,
  memory: TableMemory<Out>,
): Translation<Out> | Fault {
  if (!config.enabled) return translateDisabled(config, page, access);
  const at = relativePage(config, page, access.by === "fetch");
  if (config.refuses || !(at >= 0 && at < config.pages) || (config.el0Prevented && access.el === 0))
    return refuse(config, "translation", 0, page, access);

  let level = config.startLevel as number;
  let tablePermissions = 0;
  let word = config.rootWord + 2 * Math.floor(at / (config.entryPages[level] as number));
  let table: number = config.rootPage + (word >>> 10);
  if (config.rootPage >= config.outputPages) return refuse(config, "address-size", 0, page, access);
  for (;;) {
    const words = memory.page(table as Out, access.by === "inspect" ? INSPECT : WALK_READ);
    if (words === undefined || isFault(words))
      return unreadableTable(config, words, level as Level, page, access);
    const lo = words[word & 1023] as number;
    const hi = words[(word & 1023) + 1] as number;
    if (isTable(lo, level)) {
      const next = nextTable(config, lo, hi);
      if (next >= config.outputPages) return refuse(config, "address-size", level as Level, page, access);
      tablePermissions |= tablePermissionsOf(config, hi);
      level++;
      word = 2 * ((at / (config.entryPages[level] as number)) & config.indexMask);
      table = next + (word >>> 10);
      continue;
    }
    if (!isLeaf(config, lo, level)) return refuse(config, "translation", level as Level, page, access);
    const covered = config.entryPages[level] as number;
    const outputPage = leafPage(config, lo, hi, level) + (at % covered);
    if (outputPage >= config.outputPages) return refuse(config, "address-size", level as Level, page, access);
    const verdict = leafVerdict(config, leafKey(lo, hi, tablePermissions), access);
    if (verdict.fault !== undefined) return refuse(config, verdict.fault, level as Level, page, access);
    if (verdict.updates) {
      const writable = memory.page(table as Out, WALK_UPDATE);
      if (writable === undefined || isFault(writable))
        return unreadableTable(config, writable, level as Level, page, access);
      writable[word & 1023] = (lo | verdict.setLo) & ~verdict.clearLo;
      memory.wrote(table as Out);
    }
    return {
      outputPage: outputPage as Out,
      attributes: verdict.attributes,
      level: level as Level,
      contiguous: contiguousAt(config, hi, level),
      leafPages: covered,
    };
  }
}

/** A stage that is off puts out its input; bits above the physical address size are an address size fault. */
function translateDisabled<In extends number, Out extends number>(
  config: StageConfig<In, Out>,
  page: In,
  access: Access,
): Translation<Out> | Fault {
  const ignored = access.by === "fetch" ? config.topByteIgnoredOnFetch : config.topByteIgnored;
  const output = (ignored ? page % 2 ** 44 : page) as number;
  if (output >= config.implementedPages)
    return faultAt(config.stage, "address-size", 0, page, access.write, access.by === "walk");
  return {
    outputPage: output as Out,
    attributes: disabledAttributes(config, access),
    level: 0,
    contiguous: false,
    leafPages: 1,
  };
}

/**
 * Memory as stage 1's walks see it: by IPA, each read itself translated by stage 2. The faults it answers with are
 * stage 2 faults on a stage 1 table walk.
 */
export function throughStage2(stage2: Stage2Config, memory: TableMemory<Pfn>): TableMemory<Ipn> {
  return {
    page(pageNumber, access) {
      const translation = translate(stage2, pageNumber, access, memory);
      return isFault(translation) ? translation : memory.page(translation.outputPage, access);
    },
    wrote(pageNumber) {
      const translation = translate(stage2, pageNumber, INSPECT, memory);
      if (!isFault(translation)) memory.wrote(translation.outputPage);
    },
  };
}

/** Where both stages together put a page. */
export interface CombinedTranslation {
  readonly outputPage: Pfn;
  readonly stage1: Translation<Ipn>;
  readonly stage2: Translation<Pfn>;
  /** Both stages' memory type together, in MAIR_ELx's encoding (S2CombineS1MemAttrs). */
  readonly memory: number;
  readonly shareability: Shareability;
}

/**
 * Translates one page through stage 1 and then stage 2 (AArch64_FullTranslate). A stage 2 fault says by `onWalk`
 * whether it was met on stage 1's table walk, and always carries the VA's page.
 * @param memory physical memory, by PA
 * @param tables memory as stage 1's walk sees it, by IPA
 */
export function translateBoth(
  stage1: Stage1Config,
  stage2: Stage2Config,
  page: Vpn,
  access: Access,
  memory: TableMemory<Pfn>,
  tables: TableMemory<Ipn> = throughStage2(stage2, memory),
): CombinedTranslation | Fault {
  const first = translate(stage1, page, access, tables);
  if (isFault(first)) return first;
  const second = translate(stage2, first.outputPage, access, memory);
  if (isFault(second)) return blameOn(second, page);
  const combined = stage2.enabled
    ? combineMemory(first.attributes.memory, second.attributes.memory)
    : first.attributes.memory;
  const shareability = stage2.enabled
    ? combineShareability(first.attributes.shareability, second.attributes.shareability)
    : first.attributes.shareability;
  return {
    outputPage: second.outputPage,
    stage1: first,
    stage2: second,
    memory: combined,
    shareability: effectiveShareability(combined, shareability),
  };
}
