import { describe, expect, it } from "vitest";
import { ipn, vaOf, vpn } from "../common/address.ts";
import { UserError } from "../common/errors.ts";
import { AT_WRITE } from "../mmu/access.ts";
import { halfOf } from "../mmu/config.ts";
import { isFault } from "../mmu/fault.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import { translate } from "../mmu/translate.ts";
import { type GuestPageBytes, ModelMemory, RAM_FIRST_IPN } from "./memory.ts";

const PAGES = 4096;

/** RAM that keeps what is written to it and has nothing behind any other page. */
function ram(): TableMemory & { readonly written: Map<number, Uint32Array> } {
  const written = new Map<number, Uint32Array>();
  return {
    written,
    page: (page) => {
      if (page < RAM_FIRST_IPN || page >= RAM_FIRST_IPN + PAGES) return undefined;
      const words = written.get(page) ?? new Uint32Array(1024).fill(0xdead_beef);
      written.set(page, words);
      return words;
    },
    wrote: () => undefined,
  };
}

function guest(pageBytes: GuestPageBytes, seed = 1) {
  const memory = ram();
  return { memory, guest: new ModelMemory({ memory, pages: PAGES, pageBytes, seed }) };
}

describe("the model guest's memory", () => {
  it.each([4096, 16_384, 65_536] as const)(
    "maps buffers by real descriptors of %i-byte pages",
    (pageBytes) => {
      const { memory, guest: g } = guest(pageBytes);
      const units = pageBytes / 4096;
      const buffers = [g.mapBuffer(512), g.mapBuffer(64)];
      const used = new Set<number>();
      for (const { base, firstPage, ipns } of buffers) {
        expect(vaOf(firstPage)).toBe(base);
        ipns.forEach((page, i) => {
          const at = vpn(firstPage + i);
          const found = translate(halfOf(g.regime, at), at, AT_WRITE, memory);
          if (isFault(found)) throw new Error(found.kind);
          expect(found.outputPage).toBe(page);
          expect(used.has(page)).toBe(false);
          used.add(page);
          expect(page).toBeGreaterThanOrEqual(RAM_FIRST_IPN);
          expect(page).toBeLessThan(RAM_FIRST_IPN + PAGES);
          // A guest page is contiguous and aligned.
          if (i % units > 0) expect(page).toBe((ipns[i - 1] as number) + 1);
          else expect(page % units).toBe(0);
        });
        const guard = vpn(firstPage + ipns.length);
        expect(isFault(translate(halfOf(g.regime, guard), guard, AT_WRITE, memory))).toBe(true);
      }
      for (const table of g.tablePages) expect(used.has(table)).toBe(false);
      // Every page that was written is a table page: no data page is touched.
      for (const page of memory.written.keys()) expect(g.tablePages).toContain(page);
    },
  );

  it("gives out scattered memory: many short runs, in no order", () => {
    const { ipns } = guest(4096).guest.mapBuffer(2048);
    const runs = [...ipns].filter((page, i) => i === 0 || page !== (ipns[i - 1] as number) + 1);
    expect(runs.length).toBeGreaterThan(2048 / 64);
    expect(runs).not.toEqual([...runs].sort((a, b) => a - b));
  });

  it("is the same for the same seed", () => {
    expect(guest(4096, 5).guest.mapBuffer(100).ipns).toEqual(guest(4096, 5).guest.mapBuffer(100).ipns);
    expect(guest(4096, 5).guest.mapBuffer(100).ipns).not.toEqual(guest(4096, 6).guest.mapBuffer(100).ipns);
  });

  it("maps and unmaps as it is told", () => {
    const { memory, guest: g } = guest(4096);
    const { firstPage } = g.mapBuffer(8);
    const at = vpn(firstPage + 3);
    const look = () => translate(halfOf(g.regime, at), at, AT_WRITE, memory);
    g.unmap(at, 1);
    expect(isFault(look())).toBe(true);
    g.map(at, ipn(RAM_FIRST_IPN + 7), 1);
    expect(look()).toMatchObject({ outputPage: RAM_FIRST_IPN + 7 });
  });

  it("says so where the buffers do not fit", () => {
    const { guest: g } = guest(4096);
    expect(() => g.mapBuffer(PAGES)).toThrow(UserError);
  });
});
