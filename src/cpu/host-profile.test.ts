import { describe, expect, it } from "vitest";
import { bareCore, CODE, DATA } from "./core.testing.ts";
import type { Translation } from "./execute/translator.ts";
import { type HostPart, HostProfile } from "./host-profile.ts";

const ROUNDS = 40_000;
/** x1 = ROUNDS; do { x0 += 1; [DATA] = x0 } while (--x1 != 0) */
const MOVZ_X1 = (0xd280_0001 | (ROUNDS << 5)) >>> 0;
const LOOP = [MOVZ_X1, 0x9100_0400, 0xf900_0040, 0xf100_0421, (0x5400_0001 | ((-3 & 0x7_ffff) << 5)) >>> 0];
const HVC_1 = 0xd400_0022;
const BUDGET = 1_000_000;

/** Runs the loop at a time that is the guest's: one nanosecond for each instruction, whoever reads it. */
function runLoop(options: { profiled: boolean; translation?: Translation; behind?: number }) {
  const { core, pages } = bareCore(undefined, options.translation);
  const { state } = core;
  pages[CODE >> 12]!.set([...LOOP, HVC_1]);
  state.set64("X", 0n);
  state.setX(2, DATA);
  state.pc = BigInt(CODE);
  const profile = new HostProfile(() => core.cycles);
  if (options.profiled) {
    core.hostProfile = profile;
    profile.begin();
  }
  const exits: string[] = [];
  do exits.push(core.run(options.behind ?? BUDGET).kind);
  while (exits.at(-1) !== "hvc");
  if (options.profiled) profile.end(state.pcHigh, state.pcLow);
  const parts = new Map<HostPart, number>();
  let sumNs = 0;
  for (const { pc, part, ns } of profile.times()) {
    expect(pc & ~0xfffn).toBe(BigInt(CODE));
    parts.set(part, (parts.get(part) ?? 0) + ns);
    sumNs += ns;
  }
  const registers = [state.x(0), state.x(1), state.pc, BigInt(state.nzcv), BigInt(core.cycles)];
  return { exits, registers, stored: pages[Number(DATA) >> 12]![0], parts, sumNs, profile };
}

describe("a profile of the host's time", () => {
  it("leaves what is executed as it is, however short the runs are", () => {
    for (const behind of [BUDGET, 12_345, 8_191, 1]) {
      const rounds = behind === 1 ? {} : { behind };
      const plain = runLoop({ profiled: false, ...rounds });
      const profiled = runLoop({ profiled: true, ...rounds });
      expect(profiled.registers).toEqual(plain.registers);
      expect(profiled.exits).toEqual(plain.exits);
      expect(profiled.stored).toBe(ROUNDS);
    }
  });

  it("adds up to the time between its ends", () => {
    const { sumNs, profile, registers } = runLoop({ profiled: true });
    expect(sumNs).toBe(profile.totalNs);
    expect(sumNs).toBe(Number(registers.at(-1)));
  });

  it("tells interpreted code from translated code", () => {
    const never = runLoop({
      profiled: true,
      translation: { hotAfter: 0xffff, batch: 0xffff, patience: 1000 },
    });
    expect(never.parts.get("interpreter")).toBeGreaterThan(0.99 * never.sumNs);
    expect(never.parts.has("translated code")).toBe(false);
    const soon = runLoop({ profiled: true, translation: { hotAfter: 7, batch: 1, patience: 1000 } });
    expect(soon.parts.get("translated code")).toBeGreaterThan(0.9 * soon.sumNs);
  });

  it("keeps addresses of both halves apart", () => {
    let nowNs = 0;
    const profile = new HostProfile(() => nowNs);
    profile.begin();
    for (const [high, low] of [
      [0xffff_8000, 0x8000_1234],
      [0x0000_8000, 0x8000_1234],
    ] as const) {
      nowNs += 5;
      profile.spent(0, high, low);
    }
    profile.end(0, 4);
    expect([...profile.times()]).toEqual([
      { pc: 0xffff_8000_8000_1234n, part: "interpreter", ns: 5 },
      { pc: 0x0000_8000_8000_1234n, part: "interpreter", ns: 5 },
    ]);
  });
});
