/** A sweep's cells: plain data that says all that a result depends on, in words that files and tables have them in. */
import { formatBytes } from "../../common/sizes.ts";
import type { Json } from "../questions/question.ts";
import type { Filter } from "./matrix.ts";

/** A file by its content; the name is what records call it. */
export interface CellFile {
  readonly name: string;
  readonly sha256: string;
}

interface ModelCell {
  readonly policy: string;
  /** The code of a policy that is from a file; there only then. */
  readonly policyFile?: CellFile;
  readonly profile: string;
  /** Factors by the costs' names. */
  readonly costs: Readonly<Record<string, number>>;
  readonly bufferBytes: number;
  readonly seed: number;
}
export interface ThreadCell extends ModelCell {
  readonly kind: "thread";
  readonly scenario: string;
  /** Null: the scenario's own. */
  readonly period: number | null;
}
export interface PredictCell extends ModelCell {
  readonly kind: "predict";
  readonly recording: CellFile;
  /** Null: the recorded command and its children. */
  readonly comm: string | null;
  readonly period: number;
  /** Null: as many as the recording needs. */
  readonly vcpus: number | null;
  readonly backing: string;
}
export interface BarCell {
  readonly kind: "bar";
  readonly policy: string;
  readonly profile: string;
  /** One of the three; `index` counts a recording's settings. */
  readonly setting:
    | { readonly kind: "scenario"; readonly name: string; readonly seed: number }
    | {
        readonly kind: "recording";
        readonly file: CellFile;
        readonly index: number;
        readonly seed: number;
      }
    | { readonly kind: "random"; readonly seed: number };
}
export interface AskCell {
  readonly kind: "ask";
  readonly question: number;
  readonly cell: Json;
  readonly costs: Readonly<Record<string, number>>;
}
export interface LinuxCell {
  readonly kind: "linux";
  readonly scenario: string;
  /** A policy's name, "none" on bare metal, "free-spe" for the VM whose SPE costs nothing. */
  readonly policy: string;
  /** Null on bare metal. */
  readonly profile: string | null;
  readonly seed: number;
}
export interface FuzzCell {
  readonly kind: "fuzz";
  readonly target: "a64" | "a64-sequences" | "recordings" | "hostile-guests";
  readonly cases: number;
  readonly seed: number;
}
export type SweepCell = ThreadCell | PredictCell | BarCell | AskCell | LinuxCell | FuzzCell;

/** What a cell is on: what its row of a table begins with. */
function workloadOf(cell: SweepCell): string {
  switch (cell.kind) {
    case "thread":
    case "linux":
      return cell.scenario;
    case "predict":
      return cell.comm === null ? cell.recording.name : `${cell.recording.name} --comm ${cell.comm}`;
    case "bar":
      return cell.setting.kind === "scenario"
        ? cell.setting.name
        : cell.setting.kind === "recording"
          ? `${cell.setting.file.name}${cell.setting.index === 0 ? "" : ` (${cell.setting.index + 1})`}`
          : `random ${cell.setting.seed}`;
    case "ask":
      return `question ${cell.question}`;
    case "fuzz":
      return cell.target;
  }
}

const factorsText = (costs: Readonly<Record<string, number>>): string =>
  Object.entries(costs)
    .map(([name, factor]) => `${name}=${factor}`)
    .join(",");

/** What filters, tables and CSV know of a cell, by field. */
export function fieldsOf(cell: SweepCell): Readonly<Record<string, string | number | null>> {
  const workload = workloadOf(cell);
  switch (cell.kind) {
    case "thread":
    case "predict":
      return {
        kind: cell.kind,
        workload,
        policy: cell.policy,
        profile: cell.profile,
        costs: factorsText(cell.costs),
        bufferBytes: cell.bufferBytes,
        period: cell.period,
        vcpus: cell.kind === "predict" ? cell.vcpus : null,
        backing: cell.kind === "predict" ? cell.backing : null,
        seed: cell.seed,
      };
    case "bar":
      return {
        kind: cell.kind,
        workload,
        policy: cell.policy,
        profile: cell.profile,
        seed: cell.setting.seed,
      };
    case "ask":
      return { kind: cell.kind, workload, costs: factorsText(cell.costs), cell: JSON.stringify(cell.cell) };
    case "linux":
      return { kind: cell.kind, workload, policy: cell.policy, profile: cell.profile, seed: cell.seed };
    case "fuzz":
      return { kind: cell.kind, workload, cases: cell.cases, seed: cell.seed };
  }
}

/** "make-j2.task.data, adaptive, thread-normal, 256 MiB, seed 1". */
export function labelOf(cell: SweepCell): string {
  const { policy, profile, costs, bufferBytes, period, vcpus, backing, cell: inner, seed } = fieldsOf(cell);
  const words: readonly (string | undefined)[] = [
    workloadOf(cell),
    policy?.toString(),
    profile?.toString(),
    costs ? costs.toString() : undefined,
    typeof bufferBytes === "number" ? formatBytes(bufferBytes) : undefined,
    typeof period === "number" && period !== 4096 ? `period ${period}` : undefined,
    typeof vcpus === "number" ? `${vcpus} vCPUs` : undefined,
    backing && backing !== "thp" ? backing.toString() : undefined,
    inner?.toString(),
    typeof seed === "number" && cell.kind !== "ask" ? `seed ${seed}` : undefined,
  ];
  return words.filter((word) => word !== undefined).join(", ");
}

/** The names that a filter may have, and the field of each. */
const FILTERED: Readonly<Record<string, string>> = {
  scenario: "workload",
  recording: "workload",
  workload: "workload",
  policy: "policy",
  profile: "profile",
  costs: "costs",
  buffer: "bufferBytes",
  period: "period",
  vcpus: "vcpus",
  backing: "backing",
  seed: "seed",
  question: "workload",
  target: "workload",
};
export const FILTER_NAMES: readonly string[] = Object.keys(FILTERED);

/**
 * Whether a cell fits a filter.
 * @param sizeOf bytes of what a filter says of a buffer
 */
export function fits(cell: SweepCell, filter: Filter, sizeOf: (text: string | number) => number): boolean {
  const fields = fieldsOf(cell);
  return Object.entries(filter).every(([name, wanted]) => {
    const is = fields[FILTERED[name] ?? name];
    return [wanted].flat().some((value) => {
      if (name === "buffer") return is === sizeOf(value);
      if (name === "question") return is === `question ${value}`;
      return String(is) === String(value);
    });
  });
}
