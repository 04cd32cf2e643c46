/**
 * The bounce policy against until-changed, record by record: the same guest runs under both, on a host whose work takes
 * no time, and finds the same bytes in its buffer.
 */
import { describe, expect, it } from "vitest";
import { PMBSR_EL1, PMSCR_EL1, type SpeRegisterName } from "../src/arm/registers.ts";
import { type Ipn, ipn, PAGE_BYTES } from "../src/common/address.ts";
import { ModelMemory, RAM_FIRST_IPN } from "../src/guest/memory.ts";
import { ModelPe } from "../src/guest/pe.ts";
import { type GuestAction, ScriptedCore } from "../src/guest/scripted-core.ts";
import { modelWorkload } from "../src/guest/workload.ts";
import { COST_NAMES, type CostTable } from "../src/host/costs.ts";
import { bounceOf } from "../src/kvm/spe/policies/bounce.ts";
import { untilChanged } from "../src/kvm/spe/policies/until-changed.ts";
import type { PinPolicy } from "../src/kvm/spe/policy.ts";
import { decodeSpe } from "../src/perf/spe-record.ts";
import { Machine } from "../src/vmm/machine.ts";
import { PMBIRQ_INTID } from "../src/vmm/spe-device.ts";

const NO_COSTS = Object.fromEntries(COST_NAMES.map((name) => [name, 0])) as CostTable;
const MEMORY_PAGES = 2048;
const BUFFER_PAGES = 24;

const write = (register: SpeRegisterName, value: bigint): GuestAction => ({ kind: "write", register, value });
const run = (ns: number): GuestAction => ({ kind: "run", ns });

interface Found {
  /** The guest's buffer, in order of VA. */
  readonly aux: Uint8Array;
  /** Status and pointer that the guest's interrupt handler found. */
  readonly told: readonly bigint[];
  readonly interrupts: number;
  readonly blackouts: number;
  readonly written: number;
}

/** Samples every 1024 instructions, with timestamps or without, until `ns` are over or the buffer is full. */
function profiled(policy: PinPolicy, ns: readonly number[], timestamps: boolean): Found {
  const machine = new Machine({
    memoryPages: MEMORY_PAGES,
    firstIpn: RAM_FIRST_IPN,
    backing: "base",
    costs: NO_COSTS,
    policy,
    memlockBytes: 1 << 20,
    memlockMaxBytes: 1 << 20,
    maxBufferBytes: BUFFER_PAGES * PAGE_BYTES,
    irqLatencyNs: 0,
    seed: 1,
  });
  const memory = new ModelMemory({
    memory: machine.pristineMemory,
    pages: MEMORY_PAGES,
    pageBytes: 4096,
    seed: 1,
  });
  const buffer = memory.mapBuffer(BUFFER_PAGES);
  const limit = buffer.base + BigInt(BUFFER_PAGES * PAGE_BYTES);
  const told: bigint[] = [];
  let core: ScriptedCore | undefined;
  machine.addVcpus(1, (hardware) => {
    const made = new ScriptedCore({
      pe: new ModelPe(hardware, { regime: memory.regime, seed: 1, storeRecords: true }),
      script: {
        actions: [
          // Not at the start of a page.
          write("PMBPTR_EL1", buffer.base + 320n),
          write("PMBLIMITR_EL1", limit + 1n),
          write("PMSIRR_EL1", 1024n),
          write("PMSCR_EL1", PMSCR_EL1.with(0n, { E1SPE: 1, CX: 1, TS: timestamps })),
          ...ns.flatMap((each): GuestAction[] => [run(each), { kind: "read", register: "PMBPTR_EL1" }]),
          write("PMSCR_EL1", 0n),
          write("PMBLIMITR_EL1", 0n),
        ],
        handler: [
          { kind: "read", register: "PMBSR_EL1" },
          { kind: "read", register: "PMBPTR_EL1" },
          write("PMBSR_EL1", 0n),
          write("PMBLIMITR_EL1", 0n),
        ],
        mostInterrupts: 1,
      },
      spaces: [],
      peers: [],
      workload: modelWorkload(2, 1),
      isRam: () => true,
      pmbirq: PMBIRQ_INTID,
    });
    core = made;
    const { regs } = made;
    return Object.assign(made, {
      regs: {
        ...regs,
        write(rt: number, value: bigint): void {
          told.push(value);
          regs.write(rt, value);
        },
      },
    });
  });
  machine.start();
  machine.run();
  const aux = new Uint8Array(BUFFER_PAGES * PAGE_BYTES);
  for (const [i, page] of buffer.ipns.entries()) {
    const host = machine.vm.memslots.hostPageOf(ipn(page) as Ipn);
    const words = machine.mm.frames.read(machine.mm.frameOf(host));
    aux.set(new Uint8Array(words.buffer, words.byteOffset, PAGE_BYTES), i * PAGE_BYTES);
  }
  const found = {
    aux,
    told,
    interrupts: core?.interrupts ?? 0,
    blackouts: machine.vcpus[0]?.truth.blackoutCount ?? 0,
    written: core?.spu.counters.written ?? 0,
  };
  machine.destroy();
  return found;
}

describe("the guest's buffer under bounce and under until-changed", () => {
  it("holds the same records, timestamps included, where each exit comes before the bounce buffer's end", () => {
    const stretches = [20_000, 1_000, 30_000, 7_777];
    const bounced = profiled(bounceOf({ pages: 16 }), stretches, true);
    expect(bounced).toEqual(profiled(untilChanged, stretches, true));
    const { records } = decodeSpe(bounced.aux.subarray(320));
    expect(records.length).toBe(bounced.written);
    expect(records.length).toBeGreaterThan(100);
    expect(records.every(({ timestamp }) => timestamp !== undefined)).toBe(true);
  });

  it("and without timestamps where the guest asks for none", () => {
    const bounced = profiled(bounceOf({ pages: 16 }), [20_000], false);
    expect(bounced).toEqual(profiled(untilChanged, [20_000], false));
    const { records } = decodeSpe(bounced.aux.subarray(320));
    expect(records.length).toBe(bounced.written);
    expect(records.every(({ timestamp }) => timestamp === undefined)).toBe(true);
  });

  it("when it is full, whatever the size of the bounce buffer: the same records, status and pointer", () => {
    // A record takes 512 ns here, so the buffer is full before the end.
    const untilFull = [BUFFER_PAGES * 64 * 512 + 100_000];
    const direct = profiled(untilChanged, untilFull, false);
    expect(direct.interrupts).toBe(1);
    expect(direct.told.some((value) => PMBSR_EL1.is(value, "S") && PMBSR_EL1.num(value, "MSS") === 1)).toBe(
      true,
    );
    for (const pages of [2, 3, 16, 64])
      expect(profiled(bounceOf({ pages }), untilFull, false)).toEqual(direct);
  });
});
