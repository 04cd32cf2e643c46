import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ipn } from "../common/address.ts";
import { Timeline } from "../common/timeline.ts";
import { costTable } from "../host/costs.ts";
import { HUGE_PAGES } from "../host/frames.ts";
import { HOST_PAGE } from "../host/host-page.ts";
import { type Backing, HostMm } from "../host/mm.ts";
import { applyPressure, PRESSURE_KINDS } from "../host/pressure.ts";
import { PROFILES } from "../host/profiles.ts";
import { GuestPages, PageSet } from "./guest-pages.ts";
import { Memslots } from "./memslots.ts";
import { Stage2 } from "./stage2.ts";

const COSTS = costTable(PROFILES[0] as (typeof PROFILES)[number]);
const FIRST = 0x40000;

interface Options {
  readonly pages?: number;
  /** Guest page of the slot's start. */
  readonly firstIpn?: number;
  readonly extents?: boolean;
}

/** A VM's memory with its notifier as KVM registers it, and the TLB invalidations that stage 2 asked for. */
function machine(
  backing: Backing,
  { pages = 2 * HUGE_PAGES, firstIpn = FIRST, extents = true }: Options = {},
) {
  const mm = new HostMm(COSTS, { extents });
  const memslots = new Memslots();
  const tlbi: string[] = [];
  const stage2 = new Stage2(mm, memslots, (first, count) => tlbi.push(`${first - firstIpn}+${count}`));
  const hostPage = mm.mmap(pages, backing);
  memslots.add({ firstIpn: ipn(firstIpn), pages, hostPage });
  mm.register({
    invalidateRangeStart: (first, count, _event, timeline) =>
      stage2.unmap(ipn(firstIpn + first - hostPage), count, timeline),
    invalidateRangeEnd: () => undefined,
  });
  const time = new Timeline("vcpu");
  const fault = (page: number, write = true) => stage2.fault(ipn(firstIpn + page), write, time);
  const frameAt = (page: number): number | undefined => stage2.lookup(ipn(firstIpn + page))?.frame;
  return { mm, stage2, memslots, tlbi, time, hostPage, fault, frameAt };
}

describe("a stage-2 fault", () => {
  it("maps one base page, and charges its handling, the host's fault and a leaf", () => {
    const m = machine("base");
    expect(m.fault(7)).toEqual({ kind: "done" });
    expect(m.stage2.lookup(ipn(FIRST + 7))).toEqual({ frame: m.mm.frameOf(7), writable: true });
    expect(m.frameAt(6)).toBeUndefined();
    expect(m.frameAt(8)).toBeUndefined();
    expect(m.time.nowNs).toBe(COSTS.stage2FaultHandling + COSTS.faultInPage + COSTS.stage2Leaf);
    // Nothing was there before, so no TLB can know of it.
    expect(m.tlbi).toEqual([]);
  });

  it.each(["thp", "hugetlb-2M"] as const)("maps a whole block of %s by one leaf", (backing) => {
    const m = machine(backing);
    m.fault(HUGE_PAGES + 9);
    for (const page of [HUGE_PAGES, HUGE_PAGES + 9, 2 * HUGE_PAGES - 1])
      expect(m.frameAt(page)).toBe(m.mm.frameOf(page));
    expect(m.frameAt(HUGE_PAGES - 1)).toBeUndefined();
    expect(m.time.nowNs).toBe(COSTS.stage2FaultHandling + COSTS.faultInHuge + COSTS.stage2Leaf);
  });

  it("maps no block where guest and host addresses differ below 2 MiB", () => {
    const m = machine("thp", { firstIpn: FIRST + 3 });
    // The guest's block lies in the memslot as a whole, but over two of the host's.
    m.fault(HUGE_PAGES + 9);
    expect(m.frameAt(HUGE_PAGES + 9)).toBe(m.mm.frameOf(HUGE_PAGES + 9));
    expect(m.frameAt(HUGE_PAGES + 10)).toBeUndefined();
  });

  it("maps no block that reaches out of the memslot", () => {
    const mm = new HostMm(COSTS);
    const memslots = new Memslots();
    const stage2 = new Stage2(mm, memslots, () => undefined);
    const hostPage = mm.mmap(HUGE_PAGES, "thp");
    memslots.add({ firstIpn: ipn(FIRST), pages: 100, hostPage });
    stage2.fault(ipn(FIRST), true, new Timeline("vcpu"));
    expect(stage2.allows(ipn(FIRST), true)).toBe(true);
    expect(stage2.allows(ipn(FIRST + 1), true)).toBe(false);
    expect(stage2.allows(ipn(FIRST + 100), false)).toBe(false);
  });

  it("finds nothing outside of the memslots or where no VMA is left", () => {
    const m = machine("base", { pages: 16 });
    expect(m.fault(16)).toEqual({ kind: "unbacked", page: FIRST + 16 });
    m.mm.munmap(4, 1, m.time);
    expect(m.fault(4)).toEqual({ kind: "unbacked", page: FIRST + 4 });
  });

  it("maps a page shared by KSM read-only, and a write moves it to its own frame after a TLBI", () => {
    const m = machine("base");
    m.fault(7);
    applyPressure(m.mm, { atNs: 0, kind: "ksm", first: 7, pages: 1 }, m.hostPage, m.time);
    expect(m.frameAt(7)).toBeUndefined();
    m.fault(7, false);
    expect(m.stage2.allows(ipn(FIRST + 7), false)).toBe(true);
    expect(m.stage2.allows(ipn(FIRST + 7), true)).toBe(false);
    const shared = m.frameAt(7);
    m.tlbi.length = 0;
    m.fault(7, true);
    expect(m.stage2.allows(ipn(FIRST + 7), true)).toBe(true);
    expect(m.frameAt(7)).not.toBe(shared);
    expect(m.tlbi).toEqual(["7+1"]);
  });
});

describe("an unmap", () => {
  it("takes one page out of a block and leaves the others to the same frames", () => {
    const m = machine("thp");
    m.fault(0);
    const { generation } = m.stage2;
    const before = m.time.nowNs;
    const frame = m.frameAt(0) as number;
    m.stage2.unmap(ipn(FIRST + 5), 1, m.time);
    expect(m.frameAt(5)).toBeUndefined();
    for (const page of [0, 4, 6, HUGE_PAGES - 1]) expect(m.frameAt(page)).toBe(frame + page);
    expect(m.stage2.generation).toBeGreaterThan(generation);
    expect(m.tlbi).toEqual(["5+1"]);
    expect(m.time.nowNs - before).toBe(COSTS.stage2Unmap + COSTS.tlbi);
  });

  it("charges a block by its one leaf and pages by each, with one TLBI", () => {
    const m = machine("thp");
    m.fault(0);
    m.fault(HUGE_PAGES);
    m.mm.splitHuge(HUGE_PAGES, m.time);
    for (const page of [HUGE_PAGES + 1, HUGE_PAGES + 2, HUGE_PAGES + 9]) m.fault(page);
    m.tlbi.length = 0;
    const before = m.time.nowNs;
    m.stage2.unmap(ipn(FIRST), 2 * HUGE_PAGES, m.time);
    expect(m.time.nowNs - before).toBe(4 * COSTS.stage2Unmap + COSTS.tlbi);
    expect(m.tlbi).toEqual([`0+${2 * HUGE_PAGES}`]);
    for (const page of [0, 511, HUGE_PAGES + 1, HUGE_PAGES + 9]) expect(m.frameAt(page)).toBeUndefined();
  });

  it("does and costs nothing where nothing is mapped", () => {
    const m = machine("base");
    m.fault(3);
    const { generation } = m.stage2;
    const before = m.time.nowNs;
    m.stage2.unmap(ipn(FIRST + 4), 100, m.time);
    expect(m.stage2.generation).toBe(generation);
    expect(m.time.nowNs).toBe(before);
    expect(m.tlbi).toEqual([]);
  });
});

describe("mapping a set", () => {
  const listOf = (ipns: readonly number[], hostPage: number): GuestPages =>
    new GuestPages(
      Int32Array.from(ipns, (page) => FIRST + page),
      Int32Array.from(ipns, (page) => hostPage + page),
    );

  it("installs what is missing and only checks the rest", () => {
    const m = machine("base");
    const list = listOf([1, 2, 3, 9], m.hostPage);
    m.fault(2);
    const set = PageSet.of([{ list, from: 0, to: 4 }]);
    const before = m.time.nowNs;
    expect(m.stage2.map(set, m.time)).toEqual({ kind: "done" });
    const perPage = COSTS.faultInPage + COSTS.stage2Leaf;
    expect(m.time.nowNs - before).toBe(4 * COSTS.stage2Check + 3 * perPage);
    const again = m.time.nowNs;
    m.stage2.map(set, m.time);
    expect(m.time.nowNs - again).toBe(4 * COSTS.stage2Check);
  });

  it("stops at a page that the host cannot give", () => {
    const m = machine("base");
    const list = listOf([1, 2, 3], m.hostPage);
    m.mm.munmap(2, 1, m.time);
    const set = PageSet.of([{ list, from: 0, to: 3 }]);
    expect(m.stage2.map(set, m.time)).toEqual({ kind: "unbacked", page: FIRST + 2 });
  });

  it("prefaults every memslot, writable, by blocks where it can", () => {
    const m = machine("hugetlb-2M");
    m.stage2.prefault(m.time);
    expect(m.time.nowNs).toBe(2 * (COSTS.faultInHuge + COSTS.stage2Leaf));
    for (let page = 0; page < 2 * HUGE_PAGES; page += 37)
      expect(m.stage2.lookup(ipn(FIRST + page))).toEqual({ frame: m.mm.frameOf(page), writable: true });
  });

  type Act =
    | { readonly do: "map"; readonly which: number; readonly a: number; readonly b: number }
    | {
        readonly do: "host";
        readonly kind: (typeof PRESSURE_KINDS)[number];
        readonly page: number;
        readonly pages: number;
      }
    | { readonly do: "fault"; readonly page: number; readonly write: boolean };

  // Most acts fall on the pages that the lists share.
  const page = fc.oneof(fc.integer({ min: 500, max: 530 }), fc.nat(2 * HUGE_PAGES - 1));
  const act: fc.Arbitrary<Act> = fc.oneof(
    fc.record({ do: fc.constant("map" as const), which: fc.nat(2), a: fc.nat(), b: fc.nat() }),
    fc.record({
      do: fc.constant("host" as const),
      kind: fc.constantFrom(...PRESSURE_KINDS),
      page: fc.oneof(page, fc.constant(0)),
      pages: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constant(2 * HUGE_PAGES)),
    }),
    fc.record({ do: fc.constant("fault" as const), page, write: fc.boolean() }),
  );

  it("is never wrong about what it knew before, whatever the host does in between", () => {
    const run = (backing: Backing, acts: readonly Act[], extents: boolean): readonly number[] => {
      const m = machine(backing, { extents });
      const lists = [
        listOf(
          Array.from({ length: 40 }, (_, i) => 495 + i),
          m.hostPage,
        ),
        listOf(
          Array.from({ length: 30 }, (_, i) => 530 - i),
          m.hostPage,
        ),
        listOf([512, 3, 700, 511, 513, 900], m.hostPage),
      ];
      const host = new Timeline("host");
      const times: number[] = [];
      for (const action of acts) {
        if (action.do === "host")
          applyPressure(
            m.mm,
            { atNs: 0, kind: action.kind, first: action.page, pages: action.pages },
            m.hostPage,
            host,
          );
        else if (action.do === "fault") m.fault(action.page, action.write);
        else {
          const list = lists[action.which] as GuestPages;
          const [a, b] = [action.a % list.length, action.b % list.length];
          const set = PageSet.of([{ list, from: Math.min(a, b), to: Math.max(a, b) + 1 }]);
          expect(m.stage2.map(set, m.time)).toEqual({ kind: "done" });
          set.each((guestPage) => {
            const frame = m.mm.frameOf(guestPage - FIRST + m.hostPage);
            expect(frame).toBeGreaterThanOrEqual(0);
            expect(m.stage2.lookup(guestPage)).toEqual({ frame, writable: true });
          });
        }
        for (const list of lists) {
          const set = PageSet.of([{ list, from: 1, to: list.length - 1 }]);
          let every = true;
          set.each((guestPage) => {
            const frame = m.mm.frameOf(guestPage - FIRST + m.hostPage);
            const found = m.stage2.lookup(guestPage);
            every &&= found?.writable === true && found.frame === frame;
          });
          expect(m.stage2.maps(set)).toBe(every);
        }
        for (let at = 490; at < 535; at++) {
          const found = m.stage2.lookup(ipn(FIRST + at));
          if (found === undefined) continue;
          expect(found.frame).toBe(m.mm.frameOf(at));
          if (found.writable) expect(m.mm.has(at, HOST_PAGE.writable)).toBe(true);
        }
        times.push(m.time.nowNs, host.nowNs);
      }
      return times;
    };
    fc.assert(
      fc.property(
        fc.constantFrom<Backing>("base", "thp"),
        fc.array(act, { maxLength: 25 }),
        (backing, acts) => {
          expect(run(backing, acts, true)).toEqual(run(backing, acts, false));
        },
      ),
      { numRuns: 60 },
    );
  });
});
