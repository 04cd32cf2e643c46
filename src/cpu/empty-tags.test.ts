import { expect, it } from "vitest";
import { bareCore, DATA } from "./core.testing.ts";

/** LDRB W3, [X1]. */
const LDRB = 0x3940_0023;
/** The first address behind the core's memory. */
const END = 32n << 12n;

it("no address is taken for what an empty soft TLB holds", () => {
  const { core, execute } = bareCore();
  const load = (va: bigint) => {
    core.state.setX(1, va);
    return execute([LDRB]);
  };
  for (let byte = 0n; byte < 256n; byte++)
    for (const beside of [-0x1000n, -1n, 0n, 0xaabn, 0xfffn, 0x1000n, 0x1001n]) {
      const va = BigInt.asUintN(64, byte * 0x0101_0101_0101_0101n + beside);
      if (va >= END) expect(load(va), va.toString(16)).toBeTypeOf("bigint");
    }
  expect(load(DATA)).toBe(undefined);
});
