/** An engine that gives made-up runs at once: for tests of the command line, which must not wait for a real one. */

import type { Engine, PolicyChoice, PolicyInfo } from "../src/cli/engine.ts";
import { UserError } from "../src/common/errors.ts";
import type { RunDetail } from "../src/lab/report/detail.ts";
import { syntheticRun, syntheticThread } from "./synthetic-runs.ts";

const policy = (name: string): PolicyInfo => ({
  name,
  summary: `What ${name} does.`,
  origin: "made up",
  tradeOff: "none",
  trapsBuffer: name !== "prefault",
});

const POLICIES = ["fault", "pin-on-enable", "prefault", "until-changed"].map(policy);

/** What the last call was given. */
export interface Calls {
  policies: readonly PolicyChoice[];
  profiles: readonly string[];
  options: unknown;
}

const nameOf = (choice: PolicyChoice): string =>
  choice.kind === "named" ? choice.name : (choice.policy as { name: string }).name;

/** A fresh engine and the record of what it was asked. */
export function syntheticEngine(): { engine: Engine; calls: Calls } {
  const calls: Calls = { policies: [], profiles: [], options: null };
  const engine: Engine = {
    listPolicies: () => POLICIES,
    listScenarios: () => [{ name: "thread-a", summary: "The first command.", ofThread: true }],
    listProfiles: () =>
      ["thread-normal", "thread-debug", "free"].map((name) => ({
        name,
        inAll: name !== "free",
        summary: `Costs of ${name}.`,
        costs: [{ name: "pin", valueNs: 610, lowNs: 500, highNs: 1220, source: "the thread" }],
      })),
    listBackings: () => ["base", "thp"],
    describePolicy: (candidate) => {
      if (typeof candidate !== "object" || candidate === null) return "not an object";
      if (!("name" in candidate) || typeof candidate.name !== "string") return "it has no name";
      return "onBufferEnabled" in candidate ? policy(candidate.name) : "onBufferEnabled is missing";
    },
    async *runThread(options, onProgress): AsyncGenerator<RunDetail> {
      Object.assign(calls, { policies: options.policies, profiles: options.profiles, options });
      const wanted = options.policies.map(nameOf);
      const details = syntheticThread().filter(
        ({ run }) => wanted.includes(run.policy) && options.profiles.includes(run.profile),
      );
      for (const [done, detail] of details.entries()) {
        onProgress({ done, total: details.length, what: detail.run.scenario });
        yield detail;
      }
    },
    async *runPredict(recording, options, _onProgress, trace): AsyncGenerator<RunDetail> {
      Object.assign(calls, { policies: options.policies, profiles: options.profiles, options });
      const { length: readBytes } = await recording.read(0, 4096);
      if (readBytes === 0) throw new UserError(`${recording.name}: empty`);
      trace?.("first line");
      trace?.("second line");
      for (const choice of options.policies)
        yield {
          run: syntheticRun({
            scenario: recording.name,
            policy: nameOf(choice),
            warnings: [`${readBytes} bytes`],
          }),
          spans: [],
          pinnedOverTime: [],
        };
    },
  };
  return { engine, calls };
}
