/** Calls of a policy's that are refused, in whichever handler: no guest and no host comes to harm, and each is counted. */
import { describe, expect, it } from "vitest";
import { adaptive } from "../src/kvm/spe/policies/adaptive.ts";
import { DONE, type PinPolicy, type PolicyContext, type PolicyHandlers } from "../src/kvm/spe/policy.ts";
import type { Statistics } from "../src/kvm/statistics.ts";
import { scenarioOf } from "../src/lab/invariants/generate.ts";
import { runScenario } from "../src/lab/invariants/run.ts";
import { savedAt } from "./invariants/snapshots.ts";

type Handler = Exclude<keyof PolicyHandlers, "save" | "restore">;
const HANDLERS: Readonly<Record<Handler, true>> = {
  onVmStart: true,
  onBufferEnabled: true,
  onBufferDisabled: true,
  onBufferFull: true,
  onHardwareLimit: true,
  onStage2Fault: true,
  onInvalidated: true,
  onVcpuLoad: true,
  onVcpuPut: true,
  onGuestExit: true,
  onTimer: true,
  onBackground: true,
};

/** What is always refused. */
const CALLS: readonly ((ctx: PolicyContext) => unknown)[] = [
  (ctx) => ctx.bounce(1),
  (ctx) => ctx.bounce(2 ** 40),
  (ctx) => ctx.setHardwareLimit(5n),
  (ctx) => ctx.setHardwareLimit(-4096n),
];

/** As adaptive, with a first window of a page and a timer soon: random scenarios take microseconds. */
const hasty = (): PolicyHandlers => {
  const handlers = adaptive.create();
  return {
    ...handlers,
    onBufferEnabled(buffer, ctx) {
      const outcome = handlers.onBufferEnabled?.(buffer, ctx) ?? DONE;
      if (outcome.kind === "done" && buffer.pages > 1)
        ctx.setHardwareLimit(BigInt(buffer.firstPage + 1) << 12n);
      ctx.armTimer(ctx.nowNs + 2_000, "soon");
      return outcome;
    },
  };
};

/**
 * Does what a policy does, and then, every second time that one of its handlers is called, what is refused.
 * @param onRefused told before each
 */
const refusedIn = (handler: Handler, onRefused: () => void): PinPolicy => ({
  ...adaptive,
  name: `refused-in-${handler}`,
  create() {
    const handlers = hasty();
    const own = handlers[handler] as ((...of: unknown[]) => unknown) | undefined;
    let called = 0;
    return {
      ...handlers,
      [handler]: (...of: unknown[]) => {
        const outcome = own?.(...of);
        called += 1;
        if (handler === "onVmStart" || called % 2 === 0) {
          onRefused();
          CALLS[Math.floor(called / 2) % CALLS.length]?.(of.at(-1) as PolicyContext);
        }
        return outcome;
      },
    };
  },
});

const SCENARIOS = 60;

describe.each(Object.keys(HANDLERS) as Handler[])("a call that is refused in %s", (handler) => {
  it(`harms no guest and no host over ${SCENARIOS} random scenarios, and is counted`, () => {
    let refused = 0;
    const policy = refusedIn(handler, () => {
      refused += 1;
    });
    let all = 0;
    for (let seed = 0; seed < SCENARIOS; seed++) {
      refused = 0;
      const { digest } = runScenario(scenarioOf(seed), policy);
      const { statistics } = JSON.parse(digest) as { statistics: Statistics };
      expect(statistics.refusedCalls, `scenario ${seed}`).toBe(refused);
      all += refused;
    }
    expect(all).toBeGreaterThan(0);
  });
});

it("is said by a machine that goes on from a snapshot as by the one that was saved", () => {
  let refused = 0;
  const policy = refusedIn("onBufferDisabled", () => {
    refused += 1;
  });
  const { first, second } = savedAt(40, 1, policy);
  expect(refused).toBeGreaterThan(0);
  const { warnings } = first.machine.spe;
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(
    /^policy refused-in-onBufferDisabled: .* refused: .* Profiling was withheld there/,
  );
  expect(second.machine.spe.warnings).toEqual(warnings);
  // The first refusal is what is said, however many follow.
  second.machine.run();
  expect(second.machine.spe.warnings[0]?.split(". ")[0]).toBe(warnings[0]?.split(". ")[0]);
  second.machine.destroy();
  first.machine.destroy();
});
