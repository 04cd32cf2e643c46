import { expect, it } from "vitest";
import { type Pfn, pfn } from "../common/address.ts";
import { PROFILING_BUFFER_WRITE } from "../mmu/access.ts";
import { BareMetal } from "./bare-metal.ts";

it("has no memory but where it says: what the profiling unit writes elsewhere is lost", () => {
  const { memory, frames } = new BareMetal({ isMemory: (page) => page >= 16 && page < 20 });
  const written = (page: Pfn) => memory.page(page, PROFILING_BUFFER_WRITE) !== undefined;
  expect([15, 16, 19, 20, 2 ** 36].map((page) => written(pfn(page)))).toEqual([
    false,
    true,
    true,
    false,
    false,
  ]);
  expect([...frames.contents].length).toBe(2);
});
