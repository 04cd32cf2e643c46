import { expect, it } from "vitest";
import { bytesSource } from "./byte-source.ts";
import { readProfile } from "./profile.ts";

const ATTR_BYTES = 128;
const DATA_AT = 104 + ATTR_BYTES + 16;

/** A perf.data of one attr that says nothing, and these records. */
function recording(records: readonly Uint8Array[]): Uint8Array {
  const data = Buffer.concat(records);
  const header = new DataView(new ArrayBuffer(DATA_AT));
  new Uint8Array(header.buffer).set(new TextEncoder().encode("PERFILE2"));
  for (const [at, value] of [
    [8, 104],
    [16, ATTR_BYTES + 16],
    [24, 104],
    [32, ATTR_BYTES + 16],
    [40, DATA_AT],
    [48, data.length],
  ] as const)
    header.setBigUint64(at, BigInt(value), true);
  header.setUint32(104 + 4, ATTR_BYTES, true);
  return Buffer.concat([new Uint8Array(header.buffer), data]);
}

function record(type: number, misc: number, body: Uint8Array): Uint8Array {
  const header = new DataView(new ArrayBuffer(8));
  header.setUint32(0, type, true);
  header.setUint16(4, misc, true);
  header.setUint16(6, 8 + body.length, true);
  return Buffer.concat([new Uint8Array(header.buffer), body]);
}

const named = (bytesBefore: number, name: string): Uint8Array =>
  Buffer.concat([new Uint8Array(bytesBefore), new TextEncoder().encode(name.padEnd(64, "\0"))]);

function auxtrace(sizeBytes: number, offset: number, index: number, tid: number, cpu: number): Uint8Array {
  const body = new DataView(new ArrayBuffer(40));
  body.setBigUint64(0, BigInt(sizeBytes), true);
  body.setBigUint64(8, BigInt(offset), true);
  body.setUint32(24, index, true);
  body.setInt32(28, tid, true);
  body.setInt32(32, cpu, true);
  return record(71, 0, new Uint8Array(body.buffer));
}

const USER = 2;
const DATA = 1 << 13;
const read = (records: readonly Uint8Array[]) => readProfile(bytesSource("test.data", recording(records)));

it("names each file that was mapped to be executed once, and no other mapping", async () => {
  const { mapped } = await read([
    record(1, 1, named(32, "[kernel.kallsyms]_text")),
    record(1, 1, named(32, "/lib/modules/6.1.0/kernel/a.ko")),
    record(10, USER, named(64, "/usr/bin/ls")),
    record(10, USER, named(64, "/usr/bin/ls")),
    record(10, USER | DATA, named(64, "/etc/data")),
    ...["[vdso]", "//anon", "/memfd:x (deleted)", "/dev/zero", "/tmp/gone (deleted)"].map((name) =>
      record(10, USER, named(64, name)),
    ),
  ]);
  expect(mapped).toEqual(["/lib/modules/6.1.0/kernel/a.ko", "/usr/bin/ls"]);
});

it("says where a process has which part of a file, above 2^53 as well; the kernel's modules are none's", async () => {
  const mapping = (pid: number, path: string): Uint8Array => {
    const body = named(64, path);
    const view = new DataView(body.buffer, body.byteOffset);
    view.setInt32(0, pid, true);
    view.setBigUint64(8, 0xffff_a123_4567_8000n, true);
    view.setBigUint64(16, 0x2000n, true);
    view.setBigUint64(24, 0x1000n, true);
    return body;
  };
  const { mappings } = await read([
    record(10, USER, mapping(7, "/usr/bin/ls")),
    record(10, 1, mapping(-1, "/lib/modules/6.1.0/kernel/a.ko")),
  ]);
  expect(mappings).toEqual([
    { pid: 7, start: 0xffff_a123_4567_8000n, sizeBytes: 0x2000n, offset: 0x1000n, path: "/usr/bin/ls" },
  ]);
});

it("finds AUX data where it is, and goes on behind it", async () => {
  const records = [
    auxtrace(128, 4096, 1, -1, 1),
    new Uint8Array(128).fill(0xff),
    record(10, USER, named(64, "/usr/bin/behind")),
  ];
  expect(await read(records)).toEqual({
    aux: [{ at: DATA_AT + 48, sizeBytes: 128, offset: 4096, index: 1, tid: -1, cpu: 1 }],
    mapped: ["/usr/bin/behind"],
    mappings: [{ pid: 0, start: 0n, sizeBytes: 0n, offset: 0n, path: "/usr/bin/behind" }],
    damage: undefined,
  });
});

it("gives what comes before damage, and says where that is", async () => {
  const { mapped, damage } = await read([
    record(10, USER, named(64, "/usr/bin/before")),
    record(71, 0, new Uint8Array(8)),
    record(10, USER, named(64, "/usr/bin/behind")),
  ]);
  expect(mapped).toEqual(["/usr/bin/before"]);
  expect(damage).toBe(`damaged at offset ${DATA_AT + 8 + 64 + 64}: AUXTRACE without its size`);
});
