import { describe, expect, it } from "vitest";
import type { Semantics } from "../a64/emit.ts";
import { ALL_ROWS } from "../a64/encodings/index.ts";
import { FIRST_HANDLER, Handlers, writeRecord } from "../a64/handlers.ts";
import { SEMANTICS } from "../a64/semantics/index.ts";
import { RECORD, SLOT } from "../a64/state.ts";
import { engine } from "../wasm/engine.ts";
import { handlersModule, interpreterModule, isCold, madeWith } from "./interpreter.ts";

const handlers = new Handlers(ALL_ROWS, (row) => (SEMANTICS as Record<string, Semantics>)[row.name]);

describe("the interpreter", () => {
  it("is a module whose every operand has the type that it must have", () => {
    const bytes = interpreterModule(handlers.all, { memoryPages: 1, checked: true });
    expect(() => new engine.Module(bytes)).not.toThrow();
  });

  it("has its other handlers in modules of which that is true as well", () => {
    const bytes = handlersModule(handlers.all.filter(isCold), { memoryPages: 1, checked: true });
    expect(() => new engine.Module(bytes)).not.toThrow();
  });

  it("has each of those in one module only, with others of its encoding", () => {
    for (const handler of handlers.all) {
      const together = madeWith(handlers.all, handler);
      expect(together).toContain(handler);
      expect(new Set(together.map(({ row }) => row)).size).toBe(1);
      for (const other of together) expect(madeWith(handlers.all, other)).toEqual(together);
    }
  });

  it("is the same module every time", () => {
    const module = () => interpreterModule(handlers.all, { memoryPages: 1 });
    expect(Buffer.compare(Buffer.from(module()), Buffer.from(module()))).toBe(0);
  });

  it("numbers handlers one after the other, within a record's 16 bits", () => {
    expect(handlers.all.map(({ id }) => id)).toEqual(handlers.all.map((_, i) => FIRST_HANDLER + i));
    expect(FIRST_HANDLER + handlers.all.length).toBeLessThan(0x1_0000);
  });
});

describe("a record", () => {
  const record = (name: keyof typeof SEMANTICS, word: number) => {
    const row = ALL_ROWS.find((each) => each.name === name)!;
    const view = new DataView(new ArrayBuffer(RECORD.BYTES));
    writeRecord(view, 0, handlers.encoded(row)!, word);
    return {
      handler: handlers.all[view.getUint16(RECORD.HANDLER, true) - FIRST_HANDLER]!,
      slots: [0, 1, 2, 3].map((i) => view.getUint8(RECORD.SLOTS + i)),
      imm: view.getBigInt64(RECORD.IMM, true),
    };
  };

  it("has register slots, with ZR or SP for 31 as the row says", () => {
    // ADD SP, SP, #16 and ADDS XZR, SP, #16.
    expect(record("ADD_imm", 0x9100_43ff)).toMatchObject({ slots: [SLOT.SP, SLOT.SP, 0, 0], imm: 16n });
    expect(record("ADDS_imm", 0xb100_43ff)).toMatchObject({ slots: [SLOT.ZR, SLOT.SP, 0, 0], imm: 16n });
  });

  it("has the variant of the word's small fields", () => {
    expect(record("CSEL", 0x9a82_1020).handler.fixed.get("cond")).toBe(1);
    expect(record("CSEL", 0x1a82_1020).handler.fixed.get("sf")).toBe(0);
  });

  it("has signed immediates whole", () => {
    // LDUR X0, [X1, #-8]; B .-4.
    expect(record("LDR_unscaled", 0xf85f_8020).imm).toBe(-8n);
    expect(record("B", 0x17ff_ffff).imm).toBe(-4n);
  });
});
