/** Whatever a guest does, its host can stop it: kernels that never end, by --timeout and by signals. */
import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { runMachine } from "../src/vmm/node/run-machine.ts";
import { SPEVISOR, scratchFolder, spevisor } from "./guest/cli.ts";
import { CROSS_COMPILER, hasCrossCompiler } from "./guest/programs.ts";
import { machineWith } from "./payload/bare-metal.ts";

if (!hasCrossCompiler) console.log("stopping guests: skipped, needs: apt-get install gcc-aarch64-linux-gnu");
const MINUTES = 60_000;
const scratch = scratchFolder("stopping");
afterAll(scratch.remove);

/** Kinds of test/payload/endless.S. */
const KINDS = [
  "a vector that cannot be fetched",
  "a handler that mends nothing",
  "a handler that faults itself",
  "WFE",
  "hypercalls",
  "reads of a device",
  "code that writes itself anew",
  "IC IALLU",
  "TLBI",
  "reads of the PMU",
  "WFI, with nothing to wake it",
  "a branch to itself",
] as const;
type Kind = (typeof KINDS)[number];

const images = new Map<Kind, string>();
/** The kernel of a kind, built once. */
function imageOf(kind: Kind): string {
  let image = images.get(kind);
  if (image === undefined) {
    const number = KINDS.indexOf(kind);
    const elf = scratch.at(`${number}.elf`);
    image = scratch.at(`${number}.img`);
    const [source, script] = ["endless.S", "payload.ld"].map((name) =>
      fileURLToPath(new URL(`./payload/${name}`, import.meta.url)),
    ) as [string, string];
    const flags = ["-march=armv8.2-a", "-nostdlib", "-static", "-Wl,--build-id=none", `-Wl,-T,${script}`];
    execFileSync(CROSS_COMPILER, [...flags, `-DKIND=${number}`, "-o", elf, source]);
    execFileSync("aarch64-linux-gnu-objcopy", ["-O", "binary", elf, image]);
    images.set(kind, image);
  }
  return image;
}

describe.skipIf(!hasCrossCompiler)("a guest that never ends", { timeout: 2 * MINUTES }, () => {
  for (const kind of KINDS)
    it(`is stopped by a time limit: ${kind}`, async () => {
      const vm = machineWith(imageOf(kind), () => undefined);
      let looks = 0;
      const looking = setInterval(() => (looks += 1), 1);
      const errand = { feed: () => 0, isDone: () => false };
      const stopped = await runMachine(vm, errand, { timeoutMs: 1000, input: undefined, paced: false });
      clearInterval(looking);
      expect(stopped).toBe(kind.startsWith("WFI") ? "asleep" : "timeout");
      // This process's own timers went off meanwhile: signals and streams have their turn.
      if (stopped === "timeout") expect(looks).toBeGreaterThan(0);
    });

  for (const [kind, words] of [
    [
      "a vector that cannot be fetched",
      /storm of exceptions: [\d,]+, none of which has returned; .*ESR_EL1 0x86000010/,
    ],
    ["a handler that mends nothing", /storm of exceptions: [\d,]+ in a row.*ESR_EL1 0x96000010/],
    ["a handler that faults itself", /storm of exceptions: [\d,]+, none of which.*ESR_EL1 0x96000010/],
  ] as const)
    it(`names a storm of exceptions: ${kind}`, async () => {
      const { code, err } = await spevisor(["run", "--kernel", imageOf(kind), "--timeout", "1"]);
      expect(code).toBe(124);
      expect(err).toMatch(/vCPU 0 stopped at 0x[0-9a-f]+, EL1/);
      expect(err).toMatch(words);
    });

  it("is no storm where it is none", async () => {
    const { code, err } = await spevisor([
      "run",
      "--kernel",
      imageOf("a branch to itself"),
      "--timeout",
      "1",
    ]);
    expect(code).toBe(124);
    expect(err).not.toContain("storm");
  });

  const signals: readonly (readonly [Kind, NodeJS.Signals, number])[] = [
    ["a vector that cannot be fetched", "SIGINT", 130],
    ["a vector that cannot be fetched", "SIGTERM", 143],
    ["WFE", "SIGINT", 130],
    ["hypercalls", "SIGTERM", 143],
    ["reads of a device", "SIGINT", 130],
    ["code that writes itself anew", "SIGTERM", 143],
  ];
  for (const [kind, signal, status] of signals)
    it(`ends by ${signal}: ${kind}`, async () => {
      const child = spawn(process.execPath, [SPEVISOR, "run", "--kernel", imageOf(kind), "--verbose"], {
        stdio: "ignore",
      });
      const ended = new Promise((resolve) => child.on("close", resolve));
      // It has used some of the processor: it runs.
      const ticksOf = (): number => {
        const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(" ");
        return Number(fields[13]) + Number(fields[14]);
      };
      await expect.poll(ticksOf, { timeout: MINUTES, interval: 50 }).toBeGreaterThan(120);
      child.kill(signal);
      expect(await ended).toBe(status);
    });
});
