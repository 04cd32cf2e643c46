/** The guest's initial RAM disk, which is all the root file system it has. */
import { type CpioEntry, cpioArchive } from "./cpio.ts";
import type { KernelModules } from "./modules.ts";

export interface InitrdParts {
  /** src/guest/debian/init.sh. */
  readonly init: Uint8Array;
  /** A static busybox; it makes the links of its applets itself, when init starts. */
  readonly busybox: Uint8Array;
  /** Other programs, by their names. `dash` is what /bin/sh is. */
  readonly programs: ReadonlyMap<string, Uint8Array>;
  /** perf's own tests of SPE, by their paths: `perf test` looks for them below its package's lib/perf-core. */
  readonly perfTests: ReadonlyMap<string, Uint8Array>;
  /** By the name that the loader looks for; the loader itself is one of them. */
  readonly libraries: ReadonlyMap<string, Uint8Array>;
  readonly release: string;
  readonly modules: KernelModules;
}

const LOADER = "ld-linux-aarch64.so.1";
const LIBRARIES = "usr/lib/aarch64-linux-gnu";

const FOLDERS = ["dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin", "var/tmp"];

/** As Debian has it since bookworm: everything is in /usr. */
const LINKS = { bin: "usr/bin", sbin: "usr/sbin", lib: "usr/lib", "var/run": "../run" };

const ETC = {
  passwd: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
  group: "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
  hostname: "spevisor\n",
  hosts: "127.0.0.1 localhost spevisor\n::1 localhost\n",
  "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
  // What mount without -t tries, in this order: each is loaded when it is asked for.
  filesystems: "ext4\nxfs\nbtrfs\nsquashfs\nerofs\nexfat\nvfat\niso9660\nudf\n",
  profile: "alias ll='ls -l'\nPS1='\\u@\\h:\\w\\$ '\n",
};

/** The archive's bytes; the same parts always give the same. */
export function makeInitrd(parts: InitrdParts): Uint8Array<ArrayBuffer> {
  const entries = new Map<string, CpioEntry>();
  const file = (path: string, content: Uint8Array, mode = 0o644): unknown =>
    entries.set(path, { kind: "file", mode, content });
  for (const folder of FOLDERS) entries.set(folder, { kind: "directory", mode: 0o755 });
  for (const folder of ["tmp", "var/tmp"]) entries.set(folder, { kind: "directory", mode: 0o1777 });
  for (const [path, target] of Object.entries(LINKS)) entries.set(path, { kind: "link", target });
  for (const [name, text] of Object.entries(ETC)) file(`etc/${name}`, new TextEncoder().encode(text));
  // The kernel opens it for init before init can mount anything.
  entries.set("dev/console", { kind: "character-device", mode: 0o600, major: 5, minor: 1 });
  file("init", parts.init, 0o755);
  file("usr/bin/busybox", parts.busybox, 0o755);
  for (const [name, content] of parts.programs) file(`usr/bin/${name}`, content, 0o755);
  // busybox makes no link where there is a file.
  entries.set("usr/bin/sh", { kind: "link", target: "dash" });
  for (const [path, content] of parts.perfTests) file(path, content, 0o755);
  for (const [name, content] of parts.libraries) file(`${LIBRARIES}/${name}`, content, 0o755);
  entries.set(`usr/lib/${LOADER}`, { kind: "link", target: `aarch64-linux-gnu/${LOADER}` });
  for (const entry of moduleEntries(parts.modules, parts.release)) entries.set(...entry);
  return cpioArchive(entries);
}

const moduleEntries = (modules: KernelModules, release: string): readonly (readonly [string, CpioEntry])[] =>
  [...modules.files].map(([path, content]) => [
    `usr/lib/modules/${release}/${path}`,
    { kind: "file", mode: 0o644, content },
  ]);

/**
 * Modules of another kernel as an archive of their own: the kernel unpacks archives one after the other, so it goes
 * behind the initial RAM disk.
 */
export const makeModulesArchive = (modules: KernelModules, release: string): Uint8Array<ArrayBuffer> =>
  cpioArchive(new Map(moduleEntries(modules, release)));
