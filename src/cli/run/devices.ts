/** What of this computer becomes devices of a machine: directories and disk images. */
import type { FileSystem } from "../../board/virtio/p9/file-system.ts";
import { UserError } from "../../common/errors.ts";
import type { DiskConfig } from "../../vmm/machine-config.ts";
import type { OpenedDisk } from "../../vmm/node/disk.ts";
import { openDisks } from "../../vmm/node/disk-options.ts";
import { openShare } from "../../vmm/node/share.ts";
import type { Snapshot } from "../../vmm/node/snapshot-file.ts";
import type { MachineFlags } from "./flags.ts";
import { type PlacedShare, placeShares } from "./shares.ts";

/** Of the board's 32 virtio transports, console and entropy have one each. */
const MOST_DEVICES = 30;
/** What stays out of a snapshot: its JSON has an end. */
const MOST_DISK_STATE_LENGTH = 192 * 1024 ** 2;

export interface HostDevices {
  readonly shares: readonly (PlacedShare & { readonly files: FileSystem })[];
  readonly disks: readonly OpenedDisk[];
  readonly diskConfigs: readonly DiskConfig[];
  close(): void;
}

function openPlaced(share: PlacedShare): PlacedShare & { readonly files: FileSystem } {
  try {
    return { ...share, files: openShare(share.path, { readOnly: share.readOnly }) };
  } catch (error) {
    if (error instanceof UserError) throw new UserError(`--share ${error.what}`, error.remedy);
    throw error;
  }
}

/** Opens what --share and --disk name. @throws UserError for what cannot be opened, and for too many of them */
export function openDevices({ share = [], disk = [] }: MachineFlags): HostDevices {
  const shares = placeShares(share).map(openPlaced);
  const count = shares.length + disk.length;
  if (count > MOST_DEVICES)
    throw new UserError(
      `${count} disks and shares: the machine has room for ${MOST_DEVICES}`,
      "Share a directory above several, or put several disks into one image",
    );
  const disks = openDisks(disk);
  return {
    shares,
    disks,
    diskConfigs: disks.map(({ mode }, i) => ({ id: `disk${i}`, mode })),
    close: () => {
      for (const opened of disks) opened.close();
    },
  };
}

/**
 * What snapshot disks have of their own.
 * @param path the snapshot, for errors
 * @throws UserError where it is too much for a file
 */
export function diskStates(disks: readonly OpenedDisk[], path: string): NonNullable<Snapshot["disks"]> {
  const states = disks.map((disk) => disk.save() ?? null);
  const length = states.reduce(
    (sum, state) => sum + (state?.blocks.reduce((all, [, data]) => all + data.length, 0) ?? 0),
    0,
  );
  if (length > MOST_DISK_STATE_LENGTH)
    throw new UserError(
      `--save-snapshot ${path}: the guest has written more to its snapshot disks than a snapshot holds (128 MiB)`,
      "Give the disk without ,snapshot: then its file has what the guest writes",
    );
  return states;
}
