// `npm run replay -- --seed N [--policy NAME|FILE] [--no-extents] [--quiet]`: one scenario of the invariants' property
// tests again, with what it is, each event, call and charge, and how it ended.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { ensureInstalled } from "./ensure.js";

ensureInstalled();
const { registerTypeScript } = await import("../bin/typescript/register.js");
registerTypeScript();
const { scenarioOf } = await import("../src/lab/invariants/generate.ts");
const { describeScenario } = await import("../src/lab/invariants/scenario.ts");
const { policyOf, runScenario } = await import("../src/lab/invariants/run.ts");
const { policyNamed, asPolicy } = await import("../src/lab/policies.ts");

const print = (line) => process.stdout.write(`${line}\n`);

async function choose(name, seed) {
  if (name === undefined) return policyOf(seed);
  if (!/[./\\]/.test(name)) return policyNamed(name);
  const module = await import(pathToFileURL(resolve(name)).href);
  const found = Object.values(module).find((value) => typeof asPolicy(value) !== "string");
  if (found === undefined) throw new Error(`${name} exports no policy`);
  return found;
}

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    policy: { type: "string" },
    extents: { type: "boolean", default: true },
    quiet: { type: "boolean", default: false },
  },
  allowNegative: true,
});
const seed = Number(values.seed);
if (values.seed === undefined || !Number.isSafeInteger(seed)) {
  process.stderr.write("usage: npm run replay -- --seed N [--policy NAME|FILE] [--no-extents] [--quiet]\n");
  process.exit(2);
}
const policy = await choose(values.policy, seed);
const scenario = scenarioOf(seed);
print(`seed ${seed}, policy ${policy.name}`);
for (const line of describeScenario(scenario)) print(line);
const trace = values.quiet
  ? undefined
  : ({ atNs, vcpu, what, name, detail }) => {
      const numbers = Object.entries(detail ?? {}).map(([key, value]) => `${key}=${value}`);
      print(
        `${String(atNs).padStart(9)} ${vcpu < 0 ? "host  " : `vcpu ${vcpu}`} ${what.padEnd(6)} ${[name, ...numbers].join(" ")}`,
      );
    };
try {
  const outcome = runScenario(scenario, policy, { extents: values.extents, trace });
  const reached = Object.entries(outcome.reached).filter(([, was]) => was);
  print(
    `every invariant held over ${outcome.steps} steps${outcome.gaveUp ? "; user space gave up over memlock" : ""}`,
  );
  print(`came across: ${reached.map(([name]) => name).join(", ") || "nothing in particular"}`);
} catch (error) {
  print(error.stack);
  process.exitCode = 1;
}
