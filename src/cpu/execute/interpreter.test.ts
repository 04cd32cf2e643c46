import { describe, expect, it } from "vitest";
import type { Semantics } from "../../a64/emit.ts";
import { ALL_ROWS } from "../../a64/encodings/index.ts";
import { FIRST_HANDLER, Handlers, writeDecoded } from "../../a64/handlers.ts";
import { SEMANTICS } from "../../a64/semantics/index.ts";
import { DECODED, SLOT } from "../../a64/state.ts";
import { engine } from "../../wasm/engine.ts";
import { handlersModule, madeWith } from "./handlers.ts";
import { interpreterModule } from "./loop.ts";

const handlers = new Handlers(ALL_ROWS, (row) => (SEMANTICS as Record<string, Semantics>)[row.name]);

const others = handlers.encodings.filter(({ first }) => first >= handlers.inlineEnd);

describe("the interpreter", () => {
  it("is a module whose every operand has the type that it must have", () => {
    const bytes = interpreterModule(handlers, { memoryPages: 1, checked: true });
    expect(() => new engine.Module(bytes)).not.toThrow();
  });

  it("has handlers beside its loop in modules of which that is true as well", () => {
    const all = others.flatMap((encoded) => handlers.variantsOf(encoded));
    const bytes = handlersModule(all, { memoryPages: 1, checked: true });
    expect(() => new engine.Module(bytes)).not.toThrow();
  });

  it("has each of those in one of these modules only, with others of its encoding", () => {
    for (const encoded of others)
      for (const { id } of handlers.variantsOf(encoded)) {
        const together = madeWith(handlers, encoded, id).map((each) => each.id);
        expect(together).toContain(id);
        for (const other of together)
          expect(madeWith(handlers, encoded, other).map((each) => each.id)).toEqual(together);
      }
  });

  it("is the same module every time", () => {
    const module = () => interpreterModule(handlers, { memoryPages: 1 });
    expect(Buffer.compare(Buffer.from(module()), Buffer.from(module()))).toBe(0);
  });

  it("numbers handlers one after the other, within 16 bits", () => {
    let next = FIRST_HANDLER;
    for (const { first, variants } of handlers.encodings) {
      expect(first).toBe(next);
      next += variants;
    }
    expect(next).toBe(handlers.end);
    expect(next).toBeLessThan(0x1_0000);
  });
});

describe("a decoded instruction", () => {
  const decoded = (name: keyof typeof SEMANTICS, word: number) => {
    const row = ALL_ROWS.find((each) => each.name === name)!;
    const view = new DataView(new ArrayBuffer(DECODED.BYTES));
    const encoded = handlers.encoded(row)!;
    const id = writeDecoded(view, 0, encoded, word);
    expect(view.getUint16(DECODED.HANDLER, true)).toBe(id);
    return {
      handler: handlers.variantsOf(encoded, id, id + 1)[0]!,
      slots: [0, 1, 2, 3].map((i) => view.getUint8(DECODED.SLOTS + i)),
      imm: view.getBigInt64(DECODED.IMM, true),
    };
  };

  it("has register slots, with ZR or SP for 31 as the row says", () => {
    // ADD SP, SP, #16 and ADDS XZR, SP, #16.
    expect(decoded("ADD_imm", 0x9100_43ff)).toMatchObject({ slots: [SLOT.SP, SLOT.SP, 0, 0], imm: 16n });
    expect(decoded("ADDS_imm", 0xb100_43ff)).toMatchObject({ slots: [SLOT.ZR, SLOT.SP, 0, 0], imm: 16n });
  });

  it("has the variant of the word's small fields", () => {
    expect(decoded("CSEL", 0x9a82_1020).handler.fixed.get("cond")).toBe(1);
    expect(decoded("CSEL", 0x1a82_1020).handler.fixed.get("sf")).toBe(0);
  });

  it("has signed immediates whole", () => {
    // LDUR X0, [X1, #-8]; B .-4.
    expect(decoded("LDR_unscaled", 0xf85f_8020).imm).toBe(-8n);
    expect(decoded("B", 0x17ff_ffff).imm).toBe(-4n);
  });
});
