import { beforeEach, describe, expect, it } from "vitest";
import { HANDLER } from "../../a64/handlers.ts";
import { DECODED } from "../../a64/state.ts";
import { CpuMemory } from "../memory.ts";

const FIRST = 4096;
const SECOND = 8192;

let memory: CpuMemory;

beforeEach(() => {
  memory = new CpuMemory(1, 4);
});

const handlerAt = (decoded: number, i: number): number =>
  memory.view.getUint16(decoded + i * DECODED.BYTES + DECODED.HANDLER, true);
const decode = (decoded: number, i: number): void =>
  memory.view.setUint16(decoded + i * DECODED.BYTES + DECODED.HANDLER, 99, true);

describe("the code cache", () => {
  it("has nothing decoded of a page at first, and an end behind it", () => {
    const decoded = memory.code.decodedOf(FIRST);
    expect([handlerAt(decoded, 0), handlerAt(decoded, 1023)]).toEqual([HANDLER.DECODE, HANDLER.DECODE]);
    expect(handlerAt(decoded, 1024)).toBe(HANDLER.PAGE_END);
    expect(memory.code.pageOf(decoded)).toBe(FIRST);
    expect(memory.code.decodedOf(FIRST)).toBe(decoded);
  });

  it("forgets the instructions of some bytes, and of no others", () => {
    const decoded = memory.code.decodedOf(FIRST);
    for (const i of [15, 16, 31, 32]) decode(decoded, i);
    memory.code.forget(FIRST + 64, 64);
    expect([15, 16, 31, 32].map((i) => handlerAt(decoded, i))).toEqual([
      99,
      HANDLER.DECODE,
      HANDLER.DECODE,
      99,
    ]);
  });

  it("gives a page's code another generation when some of it goes, and other pages' none", () => {
    const { code } = memory;
    const [first, second] = [code.decodedOf(FIRST), code.decodedOf(SECOND)];
    const before = [code.generationOf(first), code.generationOf(second)];
    code.forget(FIRST, 64);
    expect(code.generationOf(first)).not.toBe(before[0]);
    expect(code.generationOf(second)).toBe(before[1]);
  });

  it("gives all another generation when all is dropped, so that a place that somebody else has is not taken for it", () => {
    const { code } = memory;
    let told = 0;
    code.onDropped.push(() => {
      told += 1;
    });
    const first = code.decodedOf(FIRST);
    const before = code.generationOf(first);
    code.drop();
    expect(code.pageOf(first)).toBe(undefined);
    expect(code.decodedOf(SECOND)).toBe(first);
    expect(code.generationOf(first)).not.toBe(before);
    expect(told).toBe(1);
  });

  it("is emptied when it is full", () => {
    const { code } = memory;
    const first = code.decodedOf(FIRST);
    const before = code.generationOf(first);
    // What is behind the last page is what is known of each instruction.
    const pages = (code.entryOf(first) - first) / DECODED.PAGE_BYTES;
    for (let i = 1; i < pages; i++) code.decodedOf(FIRST + i * 4096);
    expect([code.pageOf(first), code.generationOf(first)]).toEqual([FIRST, before]);
    expect(code.decodedOf(FIRST + pages * 4096)).toBe(first);
    expect(code.generationOf(first)).not.toBe(before);
  });

  it("forgets the code of a page whose memory is freed", () => {
    const page = memory.pages.allocatePage();
    const decoded = memory.code.decodedOf(page.byteOffset);
    const before = memory.code.generationOf(decoded);
    decode(decoded, 7);
    memory.pages.freePage(page);
    expect(handlerAt(decoded, 7)).toBe(HANDLER.DECODE);
    expect(memory.code.generationOf(decoded)).not.toBe(before);
  });
});
