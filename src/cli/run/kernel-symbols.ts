/**
 * The symbols of a guest's kernel as it tells them itself. A copy of the machine is asked, so that the run is what it would be
 * without anybody having asked.
 */
import type { Disk } from "../../board/virtio/block.ts";
import type { CostTable } from "../../host/costs.ts";
import type { PinPolicy } from "../../kvm/spe/policy.ts";
import { kernelSymbols, type SymbolTable } from "../../lab/exact/symbols.ts";
import { Session } from "../../vmm/guest-session.ts";
import type { MachineConfig } from "../../vmm/machine-config.ts";
import { runMachine } from "../../vmm/node/run-machine.ts";
import { startProgress } from "../progress.ts";
import type { World } from "../world.ts";
import type { HostDevices } from "./devices.ts";

/** A disk that nothing comes to: what the copy writes is not to be found by the machine. */
const writtenNowhere = (disk: Disk): Disk => ({
  sectors: disk.sectors,
  readOnly: disk.readOnly,
  read: (sector, count) => disk.read(sector, count),
  write: () => undefined,
  flush: () => undefined,
});

/** What the copy is made with, beside its machine. */
interface CopyOptions {
  readonly policy: PinPolicy;
  readonly costs: CostTable;
  readonly devices: HostDevices;
  /** Milliseconds that there are for it; 0: it has no end. */
  readonly leftMs: () => number;
  readonly world: World;
}

/**
 * @param saved a machine whose guest is ready for orders
 * @returns undefined where the guest does not tell
 */
export async function symbolsOf(
  saved: Parameters<Session["restore"]>[0],
  config: MachineConfig,
  { policy, costs, devices, leftMs, world }: CopyOptions,
): Promise<SymbolTable | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  const copy = new Session({
    config,
    policy,
    costs,
    disks: devices.disks.map(({ disk }) => writtenNowhere(disk)),
    shares: devices.shares,
    boot: undefined,
    onConsole: () => undefined,
    onStdout: (bytes) => {
      text += decoder.decode(bytes, { stream: true });
    },
    onStderr: () => undefined,
    onError: () => undefined,
  });
  copy.restore(saved);
  const progress = startProgress("reading the kernel's symbols", world);
  try {
    const stopped = await copy.command("cat /proc/kallsyms", (vm, errand) =>
      runMachine(vm, errand, { timeoutMs: leftMs(), input: undefined, paced: false }),
    );
    return stopped === "done" && copy.status === 0 ? kernelSymbols(text) : undefined;
  } finally {
    progress.stop();
  }
}
