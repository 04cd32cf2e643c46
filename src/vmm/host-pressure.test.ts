import { expect, it } from "vitest";
import { runTurns, smallRun } from "../../test/small-run.ts";
import { Timeline } from "../common/timeline.ts";
import type { VmSpe } from "../kvm/spe/vm-spe.ts";
import { HostPressure } from "./host-pressure.ts";

it("what would have come before an instant does not come", () => {
  const events = [1, 5, 9].map((atNs) => ({ atNs, kind: "reclaim" as const, first: 0, pages: 1 }));
  const pressure = new HostPressure({} as VmSpe, new Timeline("host"), 0, events.values());
  pressure.skipTo(5);
  expect(pressure.nowNs).toBe(5);
  pressure.skipTo(10);
  expect(pressure.isOver).toBe(true);
});

it("a machine that was saved without it goes on under it", async () => {
  const saved = smallRun().session.save();
  if (typeof saved === "string") throw new Error(saved);
  const { session, said } = smallRun({ pressure: { kinds: ["reclaim"], perSecond: 1e5 } }, false);
  session.restore(saved);
  expect(await session.console(runTurns)).toBe("off");
  expect(said()).toBe("A");
  expect(session.vm.machine.host.nowNs).toBeGreaterThan(0);
});

it("a machine whose memory is populated faults no page in", async () => {
  const faultsOf = async (populated: boolean): Promise<number> => {
    const { session } = smallRun();
    if (populated) session.populate();
    await session.console(runTurns);
    return session.work.counted.exitReasons.DABT ?? 0;
  };
  expect(await faultsOf(false)).toBeGreaterThan(0);
  expect(await faultsOf(true)).toBe(0);
});
