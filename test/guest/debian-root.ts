/** A root file system of Debian's arm64 packages as a disk for the guest, where what it has to call is not in its RAM disk. */
import { quoted } from "../../src/vmm/agent.ts";
import { has } from "../oracles.ts";
import { run } from "./cli.ts";

/** What perf's own tests call: a compiler, for one. mmdebstrap adds what these depend on. */
const PACKAGES = "base-files,dash,coreutils,grep,psmisc,linux-perf,gcc,libc6-dev";
/** What update-alternatives makes, as gcc's installation asks it to; packages are unpacked here, and no script of theirs runs. */
const ALTERNATIVES = 'ln -s gcc "$1/usr/bin/cc"';
/** The guest's CPU is the slow part: nothing is compressed. */
const UNCOMPRESSED = "-noI -noD -noF -noX";

/** Shell commands by which the guest enters the disk of `debianRoot` and runs one of its programs. */
export const IN_DEBIAN_ROOT = `mount -t squashfs -o ro /dev/vda /mnt || exit 1
  for of in proc sys dev; do mount --rbind /$of /mnt/$of; done
  mount -t tmpfs tmpfs /mnt/tmp
  export HOME=/tmp
  chroot /mnt`;

/** Why there can be no such disk here; undefined: there can. */
export function whyNoDebianRoot(): string | undefined {
  if ((process.env["CI"] ?? "") === "")
    return "it fetches 120 MB of packages, which is only done with CI in the environment: CI=true npm test -- FILE";
  const missing = ["mmdebstrap", "mksquashfs"].filter((program) => !has(program));
  return missing.length === 0
    ? undefined
    : `there is no ${missing.join(", no ")}: apt-get install mmdebstrap squashfs-tools`;
}

/**
 * Fetches the packages of a suite, and unpacks them into a SquashFS image.
 * @throws Error where a program fails
 */
export async function debianRoot(suite: string, image: string): Promise<string> {
  const unpack = [
    "mmdebstrap --quiet --variant=extract --architectures=arm64",
    `--include=${PACKAGES} --extract-hook=${quoted(ALTERNATIVES)} ${suite} - $SPEVISOR_MIRROR`,
  ].join(" ");
  const pack = `mksquashfs - ${quoted(image)} -tar ${UNCOMPRESSED} -noappend -quiet -no-progress`;
  const { code, err } = await run("bash", ["-c", `set -o pipefail; ${unpack} | ${pack}`]);
  if (code !== 0) throw new Error(`a Debian root of ${suite}: mmdebstrap and mksquashfs say ${err}`);
  return image;
}
