/** A VM of the model as data, to go on in another one of the same setting. */
import { decodeState, type EncodedState, encodeState } from "../kvm/state-codec.ts";
import type { MachineState } from "../vmm/machine.ts";
import type { GuestState, MadeVm } from "./experiment.ts";

/** As JSON: what is in memory as well, by frame. */
export interface SavedVm {
  readonly machine: MachineState;
  readonly guest: EncodedState;
  readonly pages: readonly (readonly [frame: number, words: readonly number[]])[];
}

/** @returns why it cannot be saved, as a string */
export function saveVm({ machine, guest }: MadeVm): SavedVm | string {
  const state = machine.save();
  if (typeof state === "string") return state;
  return {
    machine: state,
    guest: encodeState(guest.save()),
    pages: [...machine.mm.frames.contents].map(([frame, words]) => [frame, [...words]] as const),
  };
}

/** Into a VM of the same setting that has not started; it has then, unless no policy had acted when it was saved. */
export function restoreVm({ machine, guest }: MadeVm, saved: SavedVm): void {
  const { frames } = machine.mm;
  machine.restore(saved.machine);
  for (const [frame, words] of saved.pages) frames.writable(frame).set(words);
  frames.wrote();
  guest.restore(decodeState(saved.guest) as GuestState);
  if (!machine.spe.started) machine.start();
}
