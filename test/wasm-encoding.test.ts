import { beforeAll, describe, expect, it } from "vitest";
import wabtModule from "wabt";
import { BrokenInvariant } from "../src/common/errors.ts";
import { randomStream } from "../src/common/random.ts";
import { INSTRUCTIONS } from "../src/wasm/instruction-set.ts";
import { asText, type Body, emitted, generate } from "./wasm/generate.ts";
import { wasm } from "./wasm/webassembly.ts";

const FEATURES = { tail_call: true };

let wabt: Awaited<ReturnType<typeof wabtModule>>;
beforeAll(async () => {
  wabt = await wabtModule();
});

/** What wabt assembles from the text. */
function assembled(text: string): Uint8Array {
  const module = wabt.parseWat("generated.wat", text, FEATURES);
  const { buffer } = module.toBinary({});
  module.destroy();
  return buffer;
}

/** The module as wabt writes it after reading ours: it writes sizes as short as they can be. */
function rewritten(bytes: Uint8Array): Uint8Array {
  const module = wabt.readWasm(bytes, FEATURES);
  const { buffer } = module.toBinary({});
  module.destroy();
  return buffer;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const MODULES = 300;

describe("random well-typed modules", () => {
  it("have every instruction of the tables in them", () => {
    const bodies = Array.from({ length: MODULES }, (_, seed) => generate(randomStream(seed), 3, 30)).flat();
    const used = new Set(bodies.flatMap(({ steps }) => steps.map(({ text }) => text.split(" ")[0])));
    expect(INSTRUCTIONS.map(({ name }) => name).filter((name) => !used.has(name))).toEqual([]);
  });

  it("are what another assembler makes of the same instructions, and valid", () => {
    for (let seed = 0; seed < MODULES; seed++) {
      const bodies = generate(randomStream(seed), 3, 30);
      const bytes = emitted(bodies, { checked: true });
      expect(hex(emitted(bodies, {})), `seed ${seed}: checking changes no byte`).toBe(hex(bytes));
      expect(wasm.validate(bytes), `seed ${seed}`).toBe(true);
      const text = asText(bodies);
      expect(hex(rewritten(bytes)), `seed ${seed}\n${text}`).toBe(hex(assembled(text)));
    }
  });

  it("are refused by the checker if and only if they are not valid, after a step is lost, doubled or moved", () => {
    const seen = { valid: 0, invalid: 0 };
    for (let seed = 0; seed < 4 * MODULES; seed++) {
      const draw = randomStream(seed);
      const bodies = generate(draw, 2, 12);
      const body = bodies[draw.integer(0, 1)]!;
      const steps = [...body.steps];
      const at = draw.integer(0, Math.max(0, steps.length - 1));
      const other = draw.integer(0, Math.max(0, steps.length - 1));
      const [a, b] = [steps[at], steps[other]];
      if (a === undefined || b === undefined || a.structural || b.structural) continue;
      // A branch keeps its depth wherever it goes, so it stays where that depth exists.
      if (/^br/.test(a.text) || /^br/.test(b.text)) continue;
      const kind = draw.integer(0, 2);
      if (kind === 0) steps.splice(at, 1);
      else if (kind === 1) steps.splice(at, 0, a);
      else [steps[at], steps[other]] = [b, a];
      const changed: Body[] = bodies.map((one) => (one === body ? { ...one, steps } : one));
      const valid = wasm.validate(emitted(changed, {}));
      seen[valid ? "valid" : "invalid"]++;
      const checked = () => emitted(changed, { checked: true });
      if (valid) expect(checked, `seed ${seed}`).not.toThrow();
      else expect(checked, `seed ${seed}`).toThrow(BrokenInvariant);
    }
    expect(Math.min(seen.valid, seen.invalid)).toBeGreaterThan(MODULES / 10);
  });
});
