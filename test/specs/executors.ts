/** Whatever executes specs: the core's ways of doing so, and qemu-aarch64. */
import { STATE } from "../../src/a64/state.ts";
import type { Core } from "../../src/cpu/core.ts";
import { VCPU_AREA } from "../../src/cpu/memory.ts";
import type { OpWatcher } from "../../src/cpu/op-watcher.ts";
import { OUTPUT } from "../fuzz-a64/format.ts";
import { CaseMachine } from "../fuzz-a64/machine.ts";
import { askQemu, buildRunner } from "../fuzz-a64/oracle.ts";

export interface Executor {
  readonly name: string;
  /** What came of cases, as the fuzzer has it. @param directory for what is made meanwhile */
  run(cases: Uint8Array, count: number, directory: string): Promise<Uint8Array>;
}

/** Everything is executed by the careful interpreter, as where each op is followed. */
const careful = ({ state, code }: Core): OpWatcher => ({
  isWatching: true,
  levelChanges: () => undefined,
  enter: () => {
    code.memory.view.setUint32(state.base + STATE.LOG_AT, state.base + VCPU_AREA.LOG, true);
    return code.careful.run(state.base);
  },
  begins: () => undefined,
  ends: () => undefined,
  skips: () => undefined,
});

/** @param prepare what is to be done with a machine before it executes anything */
const ours = (
  name: string,
  make: () => CaseMachine,
  prepare: (machine: CaseMachine) => void = () => undefined,
): Executor => ({
  name,
  run: (cases, count) => {
    const machine = make();
    prepare(machine);
    const results = new Uint8Array(count * OUTPUT.BYTES);
    machine.load(cases, count);
    for (let i = 0; i < count; i++) machine.run(cases, i, results);
    return Promise.resolve(results);
  },
});

export const OURS: readonly Executor[] = [
  ours("the interpreter", () => new CaseMachine()),
  ours("translated code", () => new CaseMachine({ hotAfter: 1, batch: 1, patience: 1000 })),
  ours(
    "the careful interpreter",
    () => new CaseMachine(),
    ({ core }) => {
      core.watcher = careful(core);
    },
  ),
];

export const QEMU: Executor = {
  name: "qemu-aarch64",
  run: (cases, count, directory) => askQemu(buildRunner(directory), cases, count),
};
