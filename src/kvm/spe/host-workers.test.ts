import { describe, expect, it } from "vitest";
import { HostWorkers } from "./host-workers.ts";
import type { SpeOwner } from "./owner.ts";

const WAKE_NS = 10;

/** Two vCPUs each have work of 100 ns queued, one after the other, twice. */
function run(spareCpus: number) {
  const workers = new HostWorkers(WAKE_NS, spareCpus);
  const preempted: [vcpu: number, atNs: number, ns: number][] = [];
  const owner = (index: number): SpeOwner =>
    ({
      index,
      preempt: (atNs: number, ns: number) => preempted.push([index, atNs, ns]),
    }) as Partial<SpeOwner> as SpeOwner;
  const ends: number[] = [];
  for (const [vcpu, atNs] of [
    [0, 0],
    [1, 20],
    [0, 30],
    [1, 500],
  ] as const) {
    workers.queue(vcpu, "work", atNs);
    workers.runDue(owner(vcpu), 1_000, (_tag, timeline) => {
      timeline.charge("pin", 100);
      ends.push(timeline.nowNs);
    });
  }
  return { workers, preempted, ends };
}

describe("host workers", () => {
  it("work beside each other, each on one thing after the other, and take no vCPU's time", () => {
    const { ends, preempted, workers } = run(Number.POSITIVE_INFINITY);
    expect(ends).toEqual([110, 130, 210, 610]);
    expect(preempted).toEqual([]);
    expect(workers.doneAtNs).toBe(610);
    expect(workers.timelines.map((worker) => worker.hypervisorNs())).toEqual([200, 200]);
  });

  it("wait for a CPU where there are fewer", () => {
    expect(run(1).ends).toEqual([110, 210, 310, 610]);
    expect(run(2).ends).toEqual([110, 130, 210, 610]);
  });

  it("take the CPU of the vCPU that they work for where there is none", () => {
    const { ends, preempted } = run(0);
    expect(ends).toEqual([110, 130, 210, 610]);
    expect(preempted).toEqual([
      [0, 10, 100],
      [1, 30, 100],
      [0, 110, 100],
      [1, 510, 100],
    ]);
  });

  it("do nothing before they are awake, and what is queued already once", () => {
    const workers = new HostWorkers(WAKE_NS, Number.POSITIVE_INFINITY);
    const done: string[] = [];
    for (const tag of ["a", "a", "b", "a"]) workers.queue(0, tag, 5);
    expect(workers.nextNs(0)).toBe(5 + WAKE_NS);
    expect(workers.nextNs(1)).toBe(Number.POSITIVE_INFINITY);
    const owner = { index: 0 } as SpeOwner;
    workers.runDue(owner, 14, (tag) => done.push(tag));
    expect(done).toEqual([]);
    workers.runDue(owner, 15, (tag) => done.push(tag));
    expect(done).toEqual(["a", "b"]);
  });

  it("come back from a snapshot, with what is queued", () => {
    const { workers } = run(1);
    workers.queue(0, "later", 2_000);
    const again = new HostWorkers(WAKE_NS, 1);
    again.restore(workers.save());
    expect(again.save()).toEqual(workers.save());
  });
});
