/** What a worker runs of a sweep beside what other commands have: runs of the model, and fuzzers. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BrokenInvariant, UserError } from "../../common/errors.ts";
import type { RecordedRuns } from "../../guest/recording/build.ts";
import { readRuns } from "../../guest/recording/read.ts";
import { costTable } from "../../host/costs.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import type { Baseline } from "../../lab/measure.ts";
import { policyNamed } from "../../lab/policies.ts";
import type { Json } from "../../lab/questions/question.ts";
import type { FuzzCell, PredictCell, SweepCell, ThreadCell } from "../../lab/sweep/cell.ts";
import { predictBaseline, runModelCell, threadBaseline } from "../../lab/sweep/model.ts";
import type { Row } from "../../lab/sweep/row.ts";
import { openInput, pathOf } from "../cells/inputs.ts";
import type { CellContext } from "../cells/task.ts";
import { importSource } from "../import-source.ts";
import { profileNamed } from "../lab.ts";
import { loadPolicyCode } from "./policy-code.ts";

type Paths = Readonly<Record<string, string>>;

/** The few things made last, by their keys: cells that follow each other have much in common. */
class Recent<T> {
  readonly #most: number;
  readonly #made = new Map<string, Promise<T>>();

  constructor(most: number) {
    this.#most = most;
  }

  of(key: string, make: () => Promise<T>): Promise<T> {
    const known = this.#made.get(key) ?? make();
    this.#made.delete(key);
    this.#made.set(key, known);
    for (const oldest of this.#made.keys()) if (this.#made.size > this.#most) this.#made.delete(oldest);
    return known;
  }
}

const recordings = new Recent<RecordedRuns>(2);
const baselines = new Recent<Baseline>(4);

async function read(path: string, name: string): Promise<RecordedRuns> {
  const { source, close } = await openInput(path, name);
  try {
    return await readRuns(source);
  } finally {
    await close();
  }
}

/** The bare metal that a cell shares with those of other policies, profiles and costs. */
function baselineOf(cell: ThreadCell | PredictCell, paths: Paths): Promise<Baseline> {
  const { policy: _, policyFile: __, profile: ___, costs: ____, ...shared } = cell;
  return baselines.of(JSON.stringify(shared), async () => {
    if (cell.kind === "thread") return threadBaseline(cell);
    const { recording } = cell;
    const path = pathOf(recording, paths);
    return predictBaseline(
      cell,
      await recordings.of(recording.sha256 + recording.name, () => read(path, recording.name)),
    );
  });
}

/** Where a checkout has its fuzzers. */
const FUZZERS = new URL("../../../test/fuzz-cells.ts", import.meta.url);

interface Fuzzers {
  /** Runs cases of a fuzzer from a seed on. @throws UserError where what it compares with is not installed */
  runFuzzCell(target: FuzzCell["target"], cases: number, seed: number): Promise<Row>;
}

async function runFuzz({ target, cases, seed }: FuzzCell): Promise<Row> {
  if (!existsSync(fileURLToPath(FUZZERS)))
    throw new UserError(
      "fuzzers are no part of the package",
      "Run the sweep, and its workers, from a checkout",
    );
  return ((await importSource(FUZZERS.href)) as Fuzzers).runFuzzCell(target, cases, seed);
}

/** Policies from files, by their SHA-256. */
const policies = new Recent<PinPolicy>(16);

/** A cell's policy. @throws UserError where it is somebody else's code, and that is not run here */
async function policyOf(
  { policy, policyFile }: ThreadCell | PredictCell,
  paths: Paths,
  context: CellContext,
) {
  if (policyFile === undefined) return policyNamed(policy);
  if (!context.allowPolicies)
    throw new UserError(
      `a worker runs no code from a sweep, and ${policy} is from ${policyFile.name}`,
      "Start workers with --allow-policies where whoever can write to the queue may run code on them",
    );
  return policies.of(policyFile.sha256, () => loadPolicyCode(pathOf(policyFile, paths), policyFile.name));
}

/** Runs a cell. @returns its row */
export async function runSweepCell(input: Json, paths: Paths, context: CellContext): Promise<Json> {
  const cell = input as unknown as SweepCell;
  switch (cell.kind) {
    case "thread":
    case "predict":
      return {
        ...runModelCell(
          cell,
          await policyOf(cell, paths, context),
          await baselineOf(cell, paths),
          costTable(profileNamed(cell.profile)),
        ),
      };
    case "fuzz":
      return runFuzz(cell);
    case "ask":
    case "bar":
    case "linux":
      throw new BrokenInvariant(`a cell of ${cell.kind} is a task of its own`);
  }
}
