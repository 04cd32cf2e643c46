import { describe, expect, it } from "vitest";
import { ipn } from "../common/address.ts";
import { Timeline } from "../common/timeline.ts";
import { costTable } from "../host/costs.ts";
import { HUGE_PAGES } from "../host/frames.ts";
import { type Backing, HostMm } from "../host/mm.ts";
import { PROFILES } from "../host/profiles.ts";
import { Journal } from "./journal.ts";
import { Memslots } from "./memslots.ts";
import { Stage2 } from "./stage2.ts";

const FIRST = 0x40000;
const PAGES = 2 * HUGE_PAGES;

function memory(backing: Backing) {
  const mm = new HostMm(costTable(PROFILES[0]!));
  const memslots = new Memslots();
  const stage2 = new Stage2(mm, memslots, () => undefined);
  memslots.add({ firstIpn: ipn(FIRST), pages: PAGES, hostPage: mm.mmap(PAGES, backing) });
  return { mm, memslots, stage2 };
}

type Memory = ReturnType<typeof memory>;

/** Does something to a memory and writes it down, as a VM does. */
const happens = ({ mm, memslots, stage2 }: Memory, journal: Journal) => ({
  touch(page: number, write: boolean): void {
    mm.faultIn(memslots.hostPageOf(ipn(FIRST + page)), write, new Timeline("user space"));
    journal.touched(ipn(FIRST + page), write);
  },
  fault(page: number, write: boolean, atNs: number): void {
    journal.faulted(ipn(FIRST + page), write, atNs);
    expect(stage2.fault(ipn(FIRST + page), write, new Timeline("vcpu", atNs)).kind).toBe("done");
  },
});

/** Which frame the host has behind each page, and where stage 2 has it. */
const framesOf = ({ mm, memslots, stage2 }: Memory): unknown[] =>
  Array.from({ length: PAGES }, (_, page) => [
    mm.frameOf(memslots.hostPageOf(ipn(FIRST + page))),
    stage2.lookup(ipn(FIRST + page)),
  ]);

describe.each<Backing>(["thp", "base"])("a journal over %s", (backing) => {
  const busy = (vm: Memory, journal: Journal): void => {
    const { touch, fault } = happens(vm, journal);
    touch(700, true);
    touch(3, false);
    journal.started();
    fault(3, false, 1000);
    fault(5, true, 2500.5);
    touch(9, false);
    fault(3, true, 4000);
    fault(700, false, 5000);
    touch(1023, true);
  };

  it("brings about the same frames behind the same pages", () => {
    const [vm, journal] = [memory(backing), new Journal()];
    busy(vm, journal);
    const copy = memory(backing);
    new Journal(JSON.parse(JSON.stringify(journal.save()))).replay(copy, () => undefined);
    expect(framesOf(copy)).toEqual(framesOf(vm));
  });

  it("is the same afterwards, and can be replayed again after more has happened", () => {
    const [vm, journal] = [memory(backing), new Journal()];
    busy(vm, journal);
    const before = [...journal.save()];
    const [copy, again] = [memory(backing), new Journal(before)];
    let starts = 0;
    again.replay(copy, () => {
      starts++;
    });
    expect(starts).toBe(1);
    expect(again.save()).toEqual(before);
    happens(vm, journal).fault(600, true, 9000);
    happens(copy, again).fault(600, true, 9000);
    expect(again.save()).toEqual(journal.save());
    const third = memory(backing);
    new Journal(again.save()).replay(third, () => undefined);
    expect(framesOf(third)).toEqual(framesOf(vm));
  });

  it("keeps what it was given to itself", () => {
    const entries = [0, FIRST, 0];
    const journal = new Journal(entries);
    journal.touched(ipn(FIRST + 1), true);
    expect(entries).toHaveLength(3);
    expect(journal.save()).toEqual([0, FIRST, 0, 1, FIRST + 1, 0]);
  });

  it("does nothing for a machine to which nothing has happened", () => {
    const vm = memory(backing);
    new Journal().replay(vm, () => expect.unreachable());
    expect(framesOf(vm)).toEqual(framesOf(memory(backing)));
  });
});
