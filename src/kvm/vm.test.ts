import { beforeEach, describe, expect, it } from "vitest";
import { type Ipn, ipn } from "../common/address.ts";
import { Timeline } from "../common/timeline.ts";
import { costTable } from "../host/costs.ts";
import { type Backing, HostMm, type NotifierEvent } from "../host/mm.ts";
import { PROFILES } from "../host/profiles.ts";
import { type PageKeeper, Vm } from "./vm.ts";

const COSTS = costTable(PROFILES[0]!);
const FIRST = 0x40000;
/** Another memslot, behind a gap, whose host memory comes before that of the first. */
const SECOND = 0x50000;
const PAGES = 16;

let mm: HostMm;
let vm: Vm;
let time: Timeline;
let hostPage: number;
/** TLB invalidations that a core is told of. */
let tlbi: string[];

function machine(backing: Backing = "base"): void {
  mm = new HostMm(COSTS);
  vm = new Vm({ mm });
  time = new Timeline("host");
  const second = mm.mmap(PAGES, "base");
  hostPage = mm.mmap(PAGES, backing);
  vm.addMemslot({ firstIpn: ipn(SECOND), pages: PAGES, hostPage: second });
  vm.addMemslot({ firstIpn: ipn(FIRST), pages: PAGES, hostPage });
  tlbi = [];
  vm.onTlbi((first, pages) => tlbi.push(`${first - FIRST}+${pages}`));
}

beforeEach(() => machine());

const page = (n: number): Ipn => ipn(FIRST + n);

/** Maps the guest's pages at stage 2, as its accesses do. */
function map(...pages: number[]): void {
  for (const n of pages) expect(vm.stage2.fault(page(n), true, time)).toEqual({ kind: "done" });
}

const isMapped = (n: number): boolean => vm.stage2.allows(page(n), true);

/** What the host does to pages of the first memslot. */
function change(
  first: number,
  pages: number,
  event: NotifierEvent,
  edit: (page: number) => void = () => undefined,
): void {
  mm.change(hostPage + first, pages, event, time, edit);
}

/** One who keeps some pages, and hears what becomes of them. */
class Keeper implements PageKeeper {
  readonly held = new Map<number, number>();
  readonly heard: string[] = [];

  hold(n: number): void {
    this.held.set(page(n), mm.frameOf(hostPage + n));
  }

  get keepsNone(): boolean {
    return this.held.size === 0;
  }

  keeps(at: Ipn): boolean {
    return this.held.has(at);
  }

  keptFrame(at: Ipn): number {
    return this.held.get(at) ?? -1;
  }

  dropStale(at: Ipn): void {
    this.held.delete(at);
    this.heard.push(`stale ${at - FIRST}`);
  }

  invalidated(first: Ipn, pages: number, event: NotifierEvent): void {
    this.heard.push(`${event} ${first - FIRST}+${pages}`);
  }
}

describe("a memslot", () => {
  it.each([
    ["begins in another", FIRST + PAGES - 1, PAGES],
    ["ends in another", FIRST - 1, 2],
    ["lies in another", FIRST + 1, 1],
    ["is around another", FIRST - 1, PAGES + 2],
  ])("that %s is refused", (_what, firstIpn, pages) => {
    expect(() => vm.addMemslot({ firstIpn: ipn(firstIpn), pages, hostPage: 0 })).toThrow("overlaps");
    expect(vm.memslots.all).toHaveLength(2);
  });

  it("may touch another", () => {
    vm.addMemslot({ firstIpn: ipn(FIRST - 1), pages: 1, hostPage: 0 });
    vm.addMemslot({ firstIpn: ipn(FIRST + PAGES), pages: 1, hostPage: 0 });
    expect(vm.memslots.all.map(({ firstIpn }) => firstIpn - FIRST)).toEqual([-1, 0, PAGES, SECOND - FIRST]);
  });

  it("says which host page is behind a guest page, and that none is behind others", () => {
    const host = [FIRST - 1, FIRST, FIRST + PAGES - 1, FIRST + PAGES, SECOND].map((n) =>
      vm.memslots.hostPageOf(ipn(n)),
    );
    expect(host).toEqual([-1, hostPage, hostPage + PAGES - 1, -1, 0]);
  });
});

describe("guest memory as KVM reads it", () => {
  it("is faulted in where it is not there, at the reader's cost", () => {
    const memory = vm.guestMemory(time);
    const words = memory.page(page(3), { by: "inspect", el: 1, write: true });
    (words as Uint32Array)[7] = 5;
    expect(time.nowNs).toBe(COSTS.faultInPage);
    expect(mm.frames.read(mm.frameOf(hostPage + 3))[7]).toBe(5);
    // Stage 2 has nothing to do with it.
    expect(isMapped(3)).toBe(false);
  });

  it("is not there outside of memslots, and where nothing is mapped in the host", () => {
    const memory = vm.guestMemory(time);
    const read = { by: "inspect", el: 1, write: false } as const;
    expect(memory.page(ipn(FIRST + PAGES), read)).toBeUndefined();
    mm.munmap(hostPage + 2, 1, time);
    expect(memory.page(page(2), read)).toBeUndefined();
  });
});

describe("an invalidation by the host", () => {
  it("takes stage 2 of its pages away, and tells every core's TLB", () => {
    const others: string[] = [];
    vm.onTlbi((first, pages) => others.push(`${first - FIRST}+${pages}`));
    map(1, 2, 3, 5);
    change(2, 2, "CLEAR");
    expect([1, 2, 3, 5].map(isMapped)).toEqual([true, false, false, true]);
    expect(tlbi).toEqual(["2+2"]);
    expect(others).toEqual(tlbi);
  });

  it("is over before the host's edit is seen, so that nothing leads to what is gone", () => {
    map(2);
    const seen: boolean[] = [];
    change(2, 1, "CLEAR", () => seen.push(isMapped(2)));
    expect(seen).toEqual([false]);
  });

  it("of host pages that are in several memslots is one of each, and of none is none", () => {
    map(0);
    vm.stage2.fault(ipn(SECOND), true, time);
    mm.change(0, hostPage + PAGES, "CLEAR", time, () => undefined);
    expect(tlbi.sort()).toEqual(["0+16", `${SECOND - FIRST}+16`].sort());
    expect(vm.invalidations).toEqual(new Map([["CLEAR", 2]]));
    mm.change(PAGES, 1, "UNMAP", time, () => undefined);
    expect(vm.invalidations.get("UNMAP")).toBeUndefined();
  });

  it("is none of a guest_memfd's, which the host does not map", () => {
    machine("guest-memfd");
    map(2);
    change(2, 1, "CLEAR");
    expect([isMapped(2), tlbi]).toEqual([true, []]);
    expect(vm.invalidations.get("CLEAR")).toBe(1);
  });

  it("is not told of once the VM is gone", () => {
    map(2);
    vm.destroy();
    change(2, 1, "CLEAR");
    expect([isMapped(2), vm.invalidations.size]).toEqual([true, 0]);
  });
});

describe("pages that somebody keeps", () => {
  let keeper: Keeper;
  beforeEach(() => {
    keeper = new Keeper();
    vm.addKeeper(keeper);
    map(1, 2, 3, 4);
    keeper.hold(2);
  });

  it.each<NotifierEvent>(["CLEAR", "PROTECTION_VMA", "PROTECTION_PAGE", "SOFT_DIRTY", "RELEASE", "MIGRATE"])(
    "stay mapped through %s while the host leaves their frame",
    (event) => {
      change(1, 4, event);
      expect([1, 2, 3, 4].map(isMapped)).toEqual([false, true, false, false]);
      expect(tlbi).toEqual(["1+1", "3+2"]);
      expect(keeper.heard).toEqual([`${event} 1+4`]);
    },
  );

  it("go with UNMAP, and are stale since their frame is gone", () => {
    const seen: boolean[] = [];
    change(1, 4, "UNMAP", (at) => {
      seen.push(isMapped(at - hostPage));
      mm.zap(at);
    });
    // Before the host's edit, as those that nobody keeps.
    expect(seen).toEqual([false, false, false, false]);
    expect(keeper.heard).toEqual(["stale 2", "UNMAP 1+4"]);
  });

  it("are dropped at the end of whatever took their frame: MADV_DONTNEED comes as CLEAR", () => {
    const seen: boolean[] = [];
    change(2, 1, "CLEAR", (at) => {
      seen.push(isMapped(2));
      mm.zap(at);
    });
    expect([seen, isMapped(2)]).toEqual([[true], false]);
    expect(keeper.heard).toEqual(["stale 2", "CLEAR 2+1"]);
  });

  it("are dropped where they have another frame", () => {
    change(2, 1, "MIGRATE", (at) => mm.moveTo(at, mm.frames.allocate(), mm.flags(at)));
    expect([isMapped(2), keeper.heard[0]]).toEqual([false, "stale 2"]);
  });

  it("of an invalidation that has none of them are told of nothing", () => {
    change(3, 2, "CLEAR");
    expect([isMapped(2), keeper.heard]).toEqual([true, []]);
  });

  it("by two are dropped by both", () => {
    const other = new Keeper();
    vm.addKeeper(other);
    other.hold(2);
    change(2, 1, "CLEAR", (at) => mm.zap(at));
    expect([keeper.heard, other.heard]).toEqual([
      ["stale 2", "CLEAR 2+1"],
      ["stale 2", "CLEAR 2+1"],
    ]);
  });
});

it("comes back from what was saved: stage 2's generation and the invalidations so far", () => {
  map(1);
  change(1, 1, "CLEAR");
  const saved = vm.save();
  machine();
  vm.restore(saved);
  expect(vm.stage2.generation).toBe(saved.stage2.generation);
  expect(vm.invalidations).toEqual(new Map([["CLEAR", 1]]));
});
