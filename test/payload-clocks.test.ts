/**
 * Time between CPUs, by a bare-metal program on two and on four: what one has read no other may undercut, on QEMU and here;
 * and what only a machine whose time is counted can promise.
 */
import { expect, it } from "vitest";
import { countAt } from "../src/kvm/timers.ts";
import { runMachine } from "../src/vmm/node/run-machine.ts";
import { describePayload, machineWith, onQemu } from "./payload/bare-metal.ts";

/** Where the program tells the test what it has read, and asks to be stopped for some ns. */
const TELL_COUNTER = 0x0903_0fe0;
const STOP_FOR_NS = 0x0903_0ff0;

const SHARED = [
  "reads that went back, under a lock of exclusives: 0",
  "of the physical counter, under a lock of an atomic: 0",
  "under a lock that is waited for by WFE: 0",
  "less than a message said: 0",
  "interrupts before they were sent: 0",
  "to one who slept: 0",
  "shared",
];

/** Runs the program; what it tells is compared with the timeline of whoever tells it. */
async function run(image: string, cpus: number) {
  let text = "";
  const vm = machineWith(
    image,
    (more) => {
      text += more;
    },
    cpus,
  );
  const { machine, board } = vm;
  const told: number[] = [];
  const access = board.access.bind(board);
  board.access = (ipa, bytes, write, data) => {
    if (write && ipa === TELL_COUNTER) told.push(Number(countAt(machine.nowNs) - data));
    if (write && ipa === STOP_FOR_NS) machine.vcpus.at(-1)!.timeline.charge("pin", Number(data));
    return access(ipa, bytes, write, data);
  };
  const errand = { feed: () => 0, isDone: () => false };
  const stopped = await runMachine(vm, errand, { timeoutMs: 0, input: undefined, paced: false });
  return { lines: text.split("\n"), stopped, told, instructions: vm.instructions, nowNs: machine.nowNs };
}

for (const cpus of [2, 4])
  describePayload(
    `clocks of ${cpus} CPUs`,
    "clocks",
    (image) => {
      it("never go back between them, and waits take what they must", { timeout: 240_000 }, async () => {
        const first = await run(image(), cpus);
        expect(first.lines).toEqual([
          ...SHARED,
          "! two reads of PMCCNTR_EL0 in a row are alike: 0",
          "! events of the stream that came at another time: 0",
          "! 10 us of spinning that took other than 18,000 to 22,000 cycles: 0",
          "! the same while one was stopped: 0",
          `! spun: ${2 * 20 * cpus}`,
          "! woken by a store later than a microsecond: 0",
          `! woken: ${20 * (cpus - 1)}`,
          // "An event caused by the clearing of the global monitor for the PE" (Arm ARM D1.6.1): another PE's store clears it, of
          // which a granule is CTR_EL0.ERG; CLREX clears the local monitor (B2.12.2).
          "! 10 us of WFE until a store to what was marked: 1",
          "! until one to another word of the granule: 1",
          "! until an event: the store was to another granule: 4",
          "! until an event: CLREX had cleared the monitor, which is none itself: 4",
          "done",
          "",
        ]);
        expect(first.stopped).toBe("off");
        // The counter is the reader's own timeline: the store comes one instruction later.
        expect(first.told).toHaveLength(2 * 20 * cpus);
        for (const ticks of first.told) expect([0, 1]).toContain(ticks);
        // And all of it once more.
        expect(await run(image(), cpus)).toEqual(first);
      });

      it("never go back on QEMU either", { timeout: 240_000 }, () => {
        expect(onQemu(image(), cpus).split("\n").slice(0, SHARED.length)).toEqual(SHARED);
      });
    },
    [`-DCPUS=${cpus}`],
  );
