import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Decoder } from "../../a64/decoder.ts";
import type { InstructionTrace } from "../../cpu/instruction-trace.ts";
import type { Session } from "../../vmm/guest-session.ts";
import type { MachineFlags } from "./flags.ts";
import { TraceFile, traceLine } from "./trace-file.ts";

const at = {
  vcpu: 3,
  atNs: 1_234_567_890,
  number: 17,
  el: 1,
  pc: 0xffff_8000_8001_0010n,
  word: 0x13,
} as const;

it("a line has vCPU, time, number, level, address, symbol, word and text, of a width where that is fixed", () => {
  expect(traceLine(at, "undefined", { name: "vfs_read", offset: 0x10n })).toBe(
    "[003] 1.234567890: 17 EL1 ffff800080010010 vfs_read+0x10: 00000013 undefined\n",
  );
  expect(traceLine({ ...at, el: 0, pc: 0x1000n }, "nop", undefined)).toBe(
    "[003] 1.234567890: 17 EL0 0000000000001000: 00000013 nop\n",
  );
});

describe("the file", () => {
  const folder = mkdtempSync(join(tmpdir(), "spevisor-trace-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** A guest of one vCPU, which has a trace while there is one. */
  const core: { trace: InstructionTrace | undefined } = { trace: undefined };
  const guest = { vm: { cores: [core], code: { decoder: new Decoder(new Set()) } } } as unknown as Session;
  const NOP = 0xd503_201f;

  /** @param name of the file; "-": standard output */
  function traced(name: string, toStdout: string[] = []): TraceFile {
    const path = name === "-" ? name : join(folder, name);
    const flags = { traceCount: 1 } as MachineFlags;
    const file = new TraceFile(path, flags, { write: (text) => toStdout.push(String(text)) });
    file.open(guest, undefined);
    file.begin(guest);
    core.trace?.of(0, 5).executes(
      0x1000n,
      0,
      7,
      () => 9,
      () => NOP,
    );
    return file;
  }

  const LINE = /^\[000\] 0\.000000009: 2 EL0 0000000000001000: d503201f nop/;

  it("has what was traced, and its name when the run is over", () => {
    const file = traced("whole");
    expect(existsSync(join(folder, "whole"))).toBe(false);
    file.end(guest);
    expect(core.trace).toBeUndefined();
    file.commit(() => expect.unreachable());
    file.close();
    expect(readFileSync(join(folder, "whole"), "utf8")).toMatch(LINE);
  });

  it("stays where the run has failed: that is what it is for", () => {
    traced("failed").close();
    expect(readFileSync(join(folder, "failed"), "utf8")).toMatch(LINE);
  });

  it("is none where nothing could be traced", () => {
    new TraceFile(join(folder, "none"), {} as MachineFlags, { write: () => undefined }).close();
    expect(existsSync(join(folder, "none"))).toBe(false);
  });

  it("says where nothing was", () => {
    const said: string[] = [];
    const file = new TraceFile(join(folder, "empty"), {} as MachineFlags, { write: () => undefined });
    file.open(guest, undefined);
    file.begin(guest);
    file.commit((text) => said.push(text));
    expect(said).toEqual(["--trace-instructions: none of those that it is for was executed"]);
  });

  it("may be standard output", () => {
    const out: string[] = [];
    traced("-", out).close();
    expect(out.join("")).toMatch(LINE);
  });
});
