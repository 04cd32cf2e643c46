/** What the names in a sweep mean on this machine: policies, scenarios, questions, and files by patterns. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { globSync, isDynamicPattern } from "tinyglobby";
import { UserError } from "../../common/errors.ts";
import { LINUX_SCENARIOS } from "../../lab/linux/scenarios/index.ts";
import type { Question } from "../../lab/questions/question.ts";
import type { CellFile } from "../../lab/sweep/cell.ts";
import type { Choices } from "../../lab/sweep/expand.ts";
import type { Sweep } from "../../lab/sweep/matrix.ts";
import { recordedSettings } from "../bar/cell.ts";
import { inputOf } from "../cells/inputs.ts";
import type { Engine } from "../engine.ts";
import { ALL, isFile } from "../job.ts";
import { knownName } from "../options.ts";
import { type PolicyCode, policyCodeOf } from "./policy-code.ts";

const named = (kind: string, given: readonly string[], known: readonly string[], all = known): string[] => [
  ...new Set(given.flatMap((name) => (name === ALL ? all : [knownName(kind, name, known)]))),
];

/** The files of patterns, sorted; a path without a pattern is itself. @throws UserError where there is none */
function filesOf(patterns: readonly string[], folder: string): string[] {
  const files = patterns.flatMap((pattern) => {
    const plain = resolve(folder, pattern);
    if (!isDynamicPattern(pattern) || existsSync(plain)) return [plain];
    const found = globSync(pattern.replaceAll("\\", "/"), { cwd: folder, absolute: true }).sort();
    if (found.length === 0)
      throw new UserError(`recordings: no file is called ${pattern}`, `Looked in ${folder}`);
    return found;
  });
  return [...new Set(files)];
}

/** What a sweep's names mean, and where its files are. */
export interface Chosen {
  readonly choices: Choices;
  /** Paths by SHA-256. */
  readonly paths: Map<string, string>;
  /** The code of policies from files: `paths` has the file, which is not what a cell takes. */
  readonly policies: readonly PolicyCode[];
}

/**
 * Loads the policies of a sweep that are from files.
 * @returns them by the files' paths
 * @throws UserError for a file that holds none, and for one whose name another policy has
 */
async function policiesOf(
  { cells }: Sweep,
  folder: string,
  registered: readonly string[],
): Promise<Map<string, PolicyCode>> {
  const codes = new Map<string, PolicyCode>();
  const named = new Map<string, string>(registered.map((name) => [name, "spevisor"]));
  for (const name of cells.flatMap((matrix) =>
    "policies" in matrix ? matrix.policies.filter(isFile) : [],
  )) {
    const path = resolve(folder, name);
    if (codes.has(path)) continue;
    const code = await policyCodeOf(path);
    const other = named.get(code.policy.name);
    if (other !== undefined)
      throw new UserError(
        `${name}: ${other} has a policy "${code.policy.name}", too`,
        "Give it another name: results are told apart by it",
      );
    named.set(code.policy.name, name);
    codes.set(path, code);
  }
  return codes;
}

/**
 * Looks at the files of a sweep, so that its cells can be made.
 * @param folder that paths count from
 * @throws UserError for a file that is not there, or no recording or policy
 */
export async function chooseFor(
  sweep: Sweep,
  folder: string,
  lab: Engine,
  questions: readonly Question[],
): Promise<Chosen> {
  const policies = lab.listPolicies().map(({ name }) => name);
  const profiles = lab.listProfiles();
  const scenarios = lab.listScenarios().map(({ name }) => name);
  const codes = await policiesOf(sweep, folder, policies);
  const paths = new Map<string, string>([...codes].map(([path, { input }]) => [input.sha256, path]));
  const inputs = new Map<string, CellFile>();
  const settings = new Map<string, number>();
  for (const matrix of sweep.cells) {
    if (matrix.kind !== "predict" && matrix.kind !== "bar") continue;
    for (const path of filesOf(matrix.recordings ?? [], folder)) {
      const input = inputs.get(path) ?? (await inputOf(path));
      inputs.set(path, input);
      paths.set(input.sha256, path);
      if (matrix.kind === "bar" && !settings.has(input.sha256))
        settings.set(input.sha256, (await recordedSettings(path, input.name, 1)).length);
    }
  }
  return {
    paths,
    policies: [...codes.values()],
    choices: {
      policies: (given) => {
        const ofFile = (name: string) => codes.get(resolve(folder, name))?.policy.name;
        const known = [...policies, ...[...codes.values()].map(({ policy }) => policy.name)];
        const names = given.map((name) => (isFile(name) ? (ofFile(name) ?? name) : name));
        return named("policy", names, known, policies);
      },
      policyFile: (name) => [...codes.values()].find(({ policy }) => policy.name === name)?.input,
      profiles: (given) =>
        named(
          "cost profile",
          given,
          profiles.map(({ name }) => name),
          profiles.filter(({ inAll }) => inAll).map(({ name }) => name),
        ),
      scenarios: (given) => named("scenario", given, scenarios),
      linuxScenarios: (given) => {
        const chosen = named(
          "scenario",
          given,
          LINUX_SCENARIOS.map(({ name }) => name),
        );
        return LINUX_SCENARIOS.filter(({ name }) => chosen.includes(name));
      },
      questions: (given) =>
        given === "all"
          ? questions
          : given.map((number) => {
              const found = questions.find((question) => question.number === number);
              if (found === undefined) throw new UserError(`there is no question ${number}`);
              return found;
            }),
      recordings: (patterns) => filesOf(patterns, folder).map((path) => inputs.get(path)!),
      barSettings: ({ sha256 }) => settings.get(sha256) ?? 0,
    },
  };
}
