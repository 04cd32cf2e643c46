/**
 * A bare-metal program that profiles itself, its buffer emptied by an interrupt handler and turned off and on: what it finds there
 * is the same on bare metal and under each policy that loses nothing, and wherever it was saved and restored.
 */
import { expect, it } from "vitest";
import { randomStream } from "../src/common/random.ts";
import { POLICIES } from "../src/kvm/spe/policies/index.ts";
import { DEFAULT_SPE, implementationOf } from "../src/spe/implementation.ts";
import { codeFigures, machineFigures } from "../src/vmm/figures.ts";
import type { Machine } from "../src/vmm/machine.ts";
import type { VirtualMachine, VirtualMachineOptions } from "../src/vmm/virtual-machine.ts";
import { describePayload, machineWith } from "./payload/bare-metal.ts";

const SPE = { spe: implementationOf(DEFAULT_SPE) };

interface Payload {
  readonly vm: VirtualMachine;
  readonly text: () => string;
}

function made(image: string | undefined, options: Partial<VirtualMachineOptions>): Payload {
  let text = "";
  const vm = machineWith(
    image,
    (more) => {
      text += more;
    },
    1,
    { ...SPE, ...options },
  );
  return { vm, text: () => text };
}

/** Runs it to its end. */
function finish({ vm, text }: Payload): string {
  for (let i = 0; i < 100_000; i++) if (vm.run(16) !== "running") return text();
  throw new Error("it does not end");
}

const lineOf = (text: string, what: string): string | undefined =>
  text
    .split("\n")
    .find((line) => line.startsWith(`${what}: `))
    ?.slice(what.length + 2);

describePayload(
  "a program that profiles itself",
  "spe",
  (image) => {
    it("finds the same records on bare metal and under each policy that loses none", {
      timeout: 300_000,
    }, () => {
      const bare = made(image(), { bareMetal: true });
      const alone = finish(bare);
      const { counters } = bare.vm.cores[0]!.spu;
      expect(alone).toMatch(/done\n$/);
      expect(lineOf(alone, "records")).toBe(String(counters.written));
      expect(lineOf(alone, "sample_filtrate")).toBe(
        String(counters.written + counters.truncated + counters.discarded),
      );
      expect(lineOf(alone, "sample_pop")).toBe(String(counters.population));
      expect(Number(lineOf(alone, "l1d_cache"))).toBeGreaterThan(10_000);
      expect(Number(lineOf(alone, "full"))).toBeGreaterThan(5);
      for (const what of ["misplaced", "other interrupts", "moved in discard mode"])
        expect(lineOf(alone, what)).toBe("0");
      expect(counters.discarded).toBeGreaterThan(50);
      for (const policy of POLICIES) {
        const machine = made(image(), { policy });
        const text = finish(machine);
        const { spu } = machine.vm.cores[0]!;
        const { selected, written, filtered, collided, discarded, truncated } = spu.counters;
        expect(written + filtered + collided + discarded + truncated, policy.name).toBe(selected);
        // As reports have it: what is discarded is as the guest has asked for, as what is filtered is.
        const { samples } = machineFigures(machine.vm.machine);
        expect(samples.filtered).toBe(filtered + discarded);
        expect(samples.written + samples.filtered + samples.collided + samples.truncated).toBe(
          samples.selected,
        );
        const { truth } = machine.vm.machine.vcpus[0]!;
        if (truth.blackoutCount === 0) expect(text, policy.name).toBe(alone);
        else expect(Number(lineOf(text, "records")), policy.name).toBeLessThan(counters.written);
      }
    });

    it("goes on from wherever it was saved, under each policy, as if it had not been", {
      timeout: 300_000,
    }, () => {
      const random = randomStream(7);
      let heldPages = 0;
      for (const policy of POLICIES) {
        const whole = made(image(), { policy });
        const text = finish(whole);
        const figures = JSON.stringify(codeFigures(whole.vm));
        for (let i = 0; i < 2; i++) {
          const first = made(image(), { policy });
          first.vm.run(random.integer(1, whole.vm.machine.turns - 1));
          const saved = first.vm.save();
          if (typeof saved === "string") throw new Error(saved);
          // Nobody misses a machine that ends there, in the middle of a buffer: all pins are given back.
          const ended = first.vm.machine as Machine;
          heldPages += ended.spe.pinnedPages;
          ended.destroy();
          expect([ended.spe.pinnedPages, ended.memlock.currentBytes], policy.name).toEqual([0, 0]);
          const second = made(undefined, { policy });
          second.vm.restore(JSON.parse(JSON.stringify(saved.state)), saved.pages);
          const rest = finish(second);
          expect(first.text() + rest, policy.name).toBe(text);
          expect(JSON.stringify(codeFigures(second.vm)), policy.name).toBe(figures);
        }
      }
      expect(heldPages).toBeGreaterThan(0);
    });
  },
  ["-march=armv8.2-a+profile"],
);
