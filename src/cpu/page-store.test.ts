import { expect, it } from "vitest";
import { Frames } from "../host/frames.ts";
import { CpuMemory } from "./memory.ts";
import { HostMemoryFull } from "./page-store.ts";

it("gives content to as many pages as it was made for, and says when there is none left", () => {
  const memory = new CpuMemory(1, 3).pages;
  const pages = [memory.allocatePage(), memory.allocatePage(), memory.allocatePage()];
  expect(new Set(pages.map(({ byteOffset }) => byteOffset)).size).toBe(3);
  expect(() => memory.allocatePage()).toThrow(HostMemoryFull);
  const [first] = pages;
  first!.fill(7);
  memory.freePage(first!);
  expect([...new Set(memory.allocatePage())]).toEqual([0]);
  expect(() => memory.allocatePage()).toThrow(HostMemoryFull);
});

it("takes a guest that has more memory than WebAssembly has addresses: pages get content when they are used", () => {
  const memory = new CpuMemory(16, 2 ** 21);
  const { byteLength } = memory.memory.buffer;
  expect(byteLength).toBeLessThan(2 ** 32);
  expect(byteLength).toBeGreaterThan(3.9 * 2 ** 30);
  memory.pages.allocatePage()[1023] = 1;
});

it("has code decoded again of a page that others than the guest's instructions have written to", () => {
  const { code, pages } = new CpuMemory(1, 3);
  const frames = new Frames(pages);
  const decoded = [7, 8].map((frame) => code.decodedOf(frames.writable(frame).byteOffset));
  const before = decoded.map((at) => code.generationOf(at));
  frames.wrote(7);
  frames.wrote();
  const after = decoded.map((at) => code.generationOf(at));
  expect(after[0]).not.toBe(before[0]);
  expect(after[1]).toBe(before[1]);
});
