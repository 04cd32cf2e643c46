import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { NO_INPUT } from "../../../test/no-input.ts";
import { syntheticEngine } from "../../../test/synthetic-engine.ts";
import { fakeImage } from "../../guest/node/fake-mirror.testing.ts";
import type { AgentState } from "../../vmm/agent.ts";
import { DEFAULT_HOST, type MachineConfig } from "../../vmm/machine-config.ts";
import { encodeSnapshot } from "../../vmm/node/snapshot-file.ts";
import type { VirtualMachineState } from "../../vmm/virtual-machine.ts";
import { sourceVersion } from "../cache-folder.ts";
import { main } from "../main.ts";

const folder = mkdtempSync(join(tmpdir(), "spevisor-run-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
mkdirSync(at("folder"));
writeFileSync(at("Image"), fakeImage());
writeFileSync(at("qcow2"), "QFI\xfb".padEnd(512, "\0"), "latin1");
writeFileSync(at("empty"), "");
writeFileSync(at("text"), "#!/bin/sh\n".repeat(100));

const config: MachineConfig = {
  cpus: 1,
  memoryBytes: 2 ** 26,
  policy: "fault",
  profile: "thread-normal",
  seed: 1,
  startSeconds: 0,
  shares: ["share0"],
  disks: [],
  spe: { version: "1.2", intervalOps: 1024, models: "sampled" },
  clockGHz: 2,
  host: DEFAULT_HOST,
  agent: false,
};
const snapshot = (name: string, build: string, more: Partial<MachineConfig> = {}, agent?: AgentState): void =>
  writeFileSync(
    at(name),
    encodeSnapshot(
      { config: { ...config, ...more }, agent, state: {} as unknown as VirtualMachineState, pages: [] },
      build,
    ),
  );
snapshot("shared.snapshot", sourceVersion());
snapshot("shares.snapshot", sourceVersion(), { shares: ["share0", "share1"] });
snapshot(
  "mounted.snapshot",
  sourceVersion(),
  { agent: true },
  {
    ready: true,
    line: "",
    orders: [],
    asked: null,
    shared: [{ tag: "share0", directory: "/a", readOnly: false }],
  },
);
snapshot("disk.snapshot", sourceVersion(), { shares: [], disks: [{ id: "disk0", mode: "writable" }] });
snapshot("old.snapshot", "another build");

let out = "";
let err = "";
beforeEach(() => {
  out = "";
  err = "";
});

const run = (argv: readonly string[]): Promise<number> => {
  const { engine } = syntheticEngine();
  return main(["run", ...argv], {
    stdin: NO_INPUT,
    stdout: { write: (text) => (out += text), columns: 100 },
    stderr: { write: (text) => (err += text) },
    // No mirror answers there, and no guest is kept there.
    env: { XDG_CACHE_HOME: at("cache"), SPEVISOR_MIRROR: "http://127.0.0.1:9" },
    runJob: () => {
      throw new Error("a machine is no job of the laboratory's");
    },
    loadLab: () => Promise.resolve(engine),
    questions: new URL("../../lab/questions/index.ts", import.meta.url),
    nowNs: () => 0,
  });
};

describe("spevisor run refuses, with exit code 2 and nothing left behind,", () => {
  const kernel = ["--policy", "fault", "--kernel", at("Image")];
  it.each<[string[], RegExp]>([
    [["--cpus", "0"], /--cpus: "0" is not a whole number from 1 to 16/],
    [["--cpus", "17"], /--cpus: "17" is not a whole number from 1 to 16/],
    [["--cpus", "1.5"], /--cpus: "1.5" is not a whole number/],
    [["--memory", "12banana"], /--memory: "12banana" is not a size/],
    [["--memory", "0"], /--memory: must be more than nothing/],
    [["--seed", "-1"], /--seed: "-1" is not a whole number/],
    [["--seed", "4294967296"], /--seed: "4294967296" is not a whole number/],
    [["--timeout", "soon"], /--timeout: "soon" is not a number/],
    [["--timeout", "0"], /--timeout: /],
    [["--rtc", "yesterday"], /--rtc: "yesterday" is no date\nGive one such as 2026-01-01T00:00:00, or now/],
    [["--rtc", "1969-12-31"], /--rtc: "1969-12-31" is no date/],
    [["--suite", "sarge"], /--suite.*sarge/],
    [["--bare-metal", "--save-snapshot", at("new")], /a machine on bare metal cannot be saved/],
    [["--bare-metal", "--policy", "fault"], /--policy: on bare metal there is no hypervisor/],
    [["--kernel", ""], /--kernel/],
    [["--krenel", "F"], /unknown option '--krenel'\n\(Did you mean --kernel\?\)/],
    [
      ["--policy", "faulty", "--kernel", at("Image")],
      /policy "faulty" does not exist\n.*Did you mean fault\?/,
    ],
    [[...kernel, "--profile", "thread-nomal"], /Did you mean thread-normal\?/],
    [["--policy", "fault", "--kernel", at("missing")], /--kernel .*missing: there is no such file/],
    [["--policy", "fault", "--kernel", at("folder")], /--kernel .*folder: it is a directory/],
    [["--policy", "fault", "--kernel", at("text")], /--kernel .*text: not an arm64 Image/],
    [[...kernel, "--initrd", at("missing")], /--initrd .*missing: there is no such file/],
    [[...kernel, "--initrd", at("text"), "--", "true"], /a command needs spevisor's own RAM disk/],
    [[...kernel, "--dtb", at("text")], /--dtb .*text: at offset 0x0: no device tree begins so/],
    [[...kernel, "--disk", at("missing")], /missing: there is no such file/],
    [[...kernel, "--share", at("missing")], /missing: there is no such/],
    [[...kernel, "--share", `${at("missing")}:/data:ro`], /missing: there is no such/],
    [[...kernel, "--share", at("folder"), "--share", at("text")], /text: it is not a directory/],
    [[...kernel, "--share", `${at("folder")}:/`], /the guest's root is taken/],
    [[...kernel, "--share", ""], /names no directory/],
    [
      [...kernel, "--share", `${at("folder")}:/a`, "--share", `${at("folder")}:/a`],
      /at the guest's \/a already/,
    ],
    [[...kernel, "--out", at("new")], /brings back what a command has left, and there is none/],
    [[...kernel, "--out", at("text"), "--", "true"], /--out .*text: is no directory/],
    [[...kernel, "--out", join(at("text"), "x"), "--", "true"], /--out .*text is no directory/],
    [[...kernel, "--out", at("new"), "--initrd", at("text"), "--", "true"], /needs spevisor's own RAM disk/],
    [[...kernel, "--out", "", "--", "true"], /--out/],
    [[...kernel, "--memory", "2M"], /of memory, and the machine has 2 MiB\nRaise --memory/],
    [
      [...kernel, "--disk", at("qcow2")],
      /--disk .*qcow2: it is a qcow2 image, and not a raw image\nMake a raw image of it/,
    ],
    [[...kernel, "--disk", at("empty")], /--disk .*empty: it is empty\nMake one with `truncate -s 1G/],
    [[...kernel, "--disk", `${at("text")},format=qcow2`], /"qcow2" images are not read here/],
    [[...kernel, "--disk", `${at("text")},ro,snapshot`], /cannot be readonly and snapshot at once/],
    [[...kernel, "--modules", at("missing")], /--modules .*missing: there is no such folder/],
    [[...kernel, "--modules", at("folder")], /--modules .*folder: no kernel's modules are in it/],
    [[...kernel, "--modules", "D", "--initrd", at("text")], /--modules is for spevisor's own RAM disk/],
    [["--memory", "65G"], /--memory: 65 GiB is more than 64 GiB/],
    [["-smp", "2"], /-smp is an option of QEMU's.*\nSay --cpus N/],
    [["-m", "512"], /-m is an option of QEMU's.*\nSay --memory SIZE/],
    [["-nographic", "-kernel", "K"], /-nographic .*\nLeave it away/],
    [["--cpus", "2", "-drive", "file=x"], /-drive .*\nSay --disk FILE/],
    [["-hda", "x", "--", "true"], /-hda .*\nSay --disk FILE/],
    [[...kernel, "--json", at("folder")], /folder.*is a directory/],
    [[...kernel, "--trace-instructions", at("folder")], /folder.*is a directory/],
    [
      ["--trace-instructions", "F", "--trace-range", "1-2-3"],
      /--trace-range: "1-2-3" is no range of addresses/,
    ],
    [["--trace-instructions", "F", "--trace-level", "0,2"], /--trace-level: the guest has no level "2"/],
    [["--trace-instructions", "F", "--trace-count", "0"], /--trace-count: "0" is not a whole number/],
    [["--trace-count", "5"], /--trace-count: says which instructions --trace-instructions has/],
    [["--trace-range", "vfs_read"], /--trace-range: says .*\nGive --trace-instructions FILE/],
    [["--trace-instructions", "-", "--json", "-"], /standard output takes one of them/],
    [[...kernel, "--save-snapshot", join(folder, "no", "such")], /no such file or directory/],
    [
      ["--snapshot", at("missing")],
      /--snapshot .*missing: there is no such file\nMake one with --save-snapshot/,
    ],
    [["--snapshot", at("text")], /--snapshot .*text: no snapshot of spevisor's/],
    [["--snapshot", at("old.snapshot")], /old\.snapshot: written by another version \(another build\)/],
    [
      ["--snapshot", at("shared.snapshot"), "--", "true"],
      /was not started by spevisor and takes no commands/,
    ],
    [["--snapshot", at("shared.snapshot")], /it was saved with --share\nGive --share/],
    [
      ["--snapshot", at("shares.snapshot"), "--share", at("folder")],
      /it was saved with --share 2 times\nGive --share 2 times/,
    ],
    [
      ["--snapshot", at("mounted.snapshot"), "--share", `${at("folder")}:/b`],
      /it is mounted at \/a\nGive DIR:\/a/,
    ],
    [["--snapshot", at("disk.snapshot")], /it was saved with --disk \(writable\)\nGive --disk/],
    [["--snapshot", at("disk.snapshot"), "--disk", at("missing")], /missing: there is no such file/],
    [
      ["--snapshot", "F", "--cpus", "2"],
      /--cpus: the machine of --snapshot F has been made\nLeave --cpus away/,
    ],
    [["--snapshot", "F", "--rtc", "now"], /--rtc: the machine of --snapshot F has been made/],
    [["--snapshot", "F", "--modules", "D"], /--modules: the machine of --snapshot F has been made/],
    [
      ["--snapshot", "F", "--no-default-append"],
      /--no-default-append: the machine of --snapshot F has been made/,
    ],
    [["--snapshot", "F", "--kernel", "K"], /--kernel: the machine of --snapshot F has been made/],
  ])("%j", async (argv, message) => {
    const before = readdirSync(folder);
    const code = await run(argv);
    expect(err).toMatch(message);
    expect([code, out]).toEqual([2, ""]);
    expect(err).not.toMatch(/\n\s+at |a bug of ours/);
    expect(readdirSync(folder)).toEqual(before);
  });
});

it("says how to use it", async () => {
  expect(await run(["--help"])).toBe(0);
  expect(out).toContain("Ctrl-A x ends the machine");
  expect(out).toContain("Exit codes:");
  expect(out).toContain("$ spevisor run --snapshot");
  for (const name of ["SPEVISOR_MIRROR", "XDG_CACHE_HOME", "NO_COLOR", "readonly", "--no-default-append"])
    expect(out).toContain(name);
});
