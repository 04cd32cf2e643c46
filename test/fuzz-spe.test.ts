/** Hostile guests, under each policy and on bare metal. The long form is `npm run fuzz:spe`. */
import { expect, it } from "vitest";
import { HostileGuests, REACHED } from "./fuzz-spe/hostile.ts";

const CASES = 1000;
const FIRST_SEED = 1_000_000;

it("the host and the invariants outlast whatever a guest does to its profiling unit", {
  timeout: 600_000,
}, () => {
  const guests = new HostileGuests();
  const reached = new Map<string, number>();
  for (let i = 0; i < CASES; i++)
    for (const name of guests.run(FIRST_SEED + i).reached) reached.set(name, (reached.get(name) ?? 0) + 1);
  console.log(`fuzz-spe: ${[...reached].map(([name, count]) => `${name} ${count}`).join(", ")}`);
  // Programs that come across nothing show nothing.
  for (const name of REACHED) expect(reached.get(name) ?? 0, name).toBeGreaterThan(CASES / 100);
});

/** Seeds by which longer campaigns have found something. */
const FOUND = [
  // A policy's limit below address 0, of a buffer that begins with the first page.
  77_097,
  // The timer of `window` goes off while the guest's buffer is one that KVM has refused as too large.
  311_332,
];

it.each(FOUND)("goes on where it once did not: seed %i", (seed) => {
  expect(new HostileGuests().run(seed).instructions).toBeGreaterThan(0);
});
