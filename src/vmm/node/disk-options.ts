/** `--disk FILE,OPTION...`: QEMU's -drive in the options that a raw image has here, and Podman's :ro. */
import { existsSync } from "node:fs";
import { UserError } from "../../common/errors.ts";
import type { DiskMode } from "../machine-config.ts";
import { type OpenedDisk, openDisk } from "./disk.ts";

/** What a --disk says. */
export interface DiskOption {
  readonly path: string;
  readonly mode: DiskMode;
  readonly raw: boolean;
}

const USAGE = "Write --disk FILE, --disk FILE,readonly or --disk FILE,snapshot";
const SWITCHES: Readonly<Record<string, Exclude<DiskMode, "writable">>> = {
  readonly: "readonly",
  "read-only": "readonly",
  ro: "readonly",
  snapshot: "snapshot",
};

/**
 * Reads one. A file whose whole name is there is that file; in other names a comma is written twice, as for QEMU.
 * @param exists whether there is a file of a name
 * @throws UserError for an option that there is none of, and for two that contradict each other
 */
export function parseDisk(text: string, exists: (path: string) => boolean = existsSync): DiskOption {
  if (exists(text)) return { path: text, mode: "writable", raw: false };
  const refuse = (what: string, remedy = USAGE): never => {
    throw new UserError(`--disk ${text}: ${what}`, remedy);
  };
  const [first = "", ...options] = text.split(/,(?!,)(?<!,,)/).map((part) => part.replaceAll(",,", ","));
  let path = first.startsWith("file=") && !exists(first) ? first.slice("file=".length) : first;
  let raw = false;
  const modes = new Set<DiskMode>();
  for (const option of options) {
    const [key = "", value] = option.split(/=(.*)/s);
    const mode = SWITCHES[key];
    if (mode !== undefined) {
      if (value !== undefined && !/^(on|off)$/.test(value)) refuse(`${key} is on or off, and not "${value}"`);
      if (value !== "off") modes.add(mode);
    } else if (key === "rw" && value === undefined) modes.add("writable");
    else if (key === "format" && value === "raw") raw = true;
    else if (key === "format")
      refuse(
        `"${value ?? ""}" images are not read here`,
        `Make a raw image of it: qemu-img convert -f ${value ?? "FORMAT"} -O raw ${path} disk.img`,
      );
    else if (key === "file" && value !== undefined && path === "") path = value;
    else if (
      !(key === "if" && (value === "virtio" || value === "none")) &&
      !(key === "media" && value === "disk")
    )
      refuse(`there is no option "${option}"`);
  }
  const [, plain, flag] = /^(.+):(ro|rw)$/s.exec(path) ?? [];
  if (plain !== undefined && !exists(path) && exists(plain)) {
    path = plain;
    modes.add(flag === "ro" ? "readonly" : "writable");
  }
  if (path === "") refuse("no file");
  if (modes.size > 1) refuse(`it cannot be ${[...modes].join(" and ")} at once`);
  const [mode = "writable"] = modes;
  return { path, mode, raw };
}

/**
 * Opens the disks of all --disk options, in their order: /dev/vda, /dev/vdb and so on.
 * @throws UserError where one cannot be opened, and where a file that one writes to is another one, too
 */
export function openDisks(options: readonly string[]): readonly OpenedDisk[] {
  const disks: OpenedDisk[] = [];
  try {
    for (const text of options) {
      const { path, ...how } = parseDisk(text);
      let disk: OpenedDisk;
      try {
        disk = openDisk(path, how);
      } catch (error) {
        if (error instanceof UserError) throw new UserError(`--disk ${error.what}`, error.remedy);
        throw error;
      }
      const same = disks.find(({ identity }) => identity === disk.identity);
      disks.push(disk);
      if (same !== undefined && (same.mode === "writable" || disk.mode === "writable"))
        throw new UserError(
          `--disk ${path}: it is a disk already, and two cannot have one file that is written to`,
          "Use a copy, or give both as FILE,readonly or FILE,snapshot",
        );
    }
    return disks;
  } catch (error) {
    for (const disk of disks) disk.close();
    throw error;
  }
}
