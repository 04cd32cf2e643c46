import { expect, it } from "vitest";
import { ByteStream, SerialConsole } from "./console.ts";

const say = (serial: SerialConsole, text: string): void => {
  for (const byte of new TextEncoder().encode(text)) serial.byte(byte);
};

it("shows the guest's bytes as they come, be they characters or not", () => {
  const serial = new SerialConsole();
  const shown: number[] = [];
  say(serial, "before ");
  serial.out = { write: (bytes) => shown.push(...(bytes as Uint8Array)) };
  say(serial, "ü€😀\n");
  for (const byte of [0xff, 0xc3, 0x0a]) serial.byte(byte);
  expect(shown).toEqual([...new TextEncoder().encode("ü€😀\n"), 0xff, 0xc3, 0x0a]);
});

it("keeps the last thirty lines, and not more of them than a console's history", () => {
  const serial = new SerialConsole();
  say(serial, Array.from({ length: 50 }, (_, i) => `line ${i}\r\n`).join(""));
  const lines = serial.tail.split("\n");
  expect([lines.length, lines[0], lines.at(-1)]).toEqual([30, "line 20", "line 49"]);
  say(serial, "x".repeat(100_000));
  expect(serial.tail.length).toBe(16 * 1024);
});

it("knows when its reader has not caught up", async () => {
  let drain: () => void = () => undefined;
  let full = false;
  const written: string[] = [];
  const stream = new ByteStream({
    write: (text) => {
      written.push(Buffer.from(text as Uint8Array).toString());
      return !full;
    },
    once: (_event: string, listener: () => void) => {
      drain = listener;
    },
  });
  stream.write(Uint8Array.of(0x61));
  expect(stream.drained).toBeUndefined();
  full = true;
  stream.write(Uint8Array.of(0x62));
  const first = stream.drained;
  expect(first).toBeInstanceOf(Promise);
  stream.write(Uint8Array.of(0x63));
  expect(stream.drained).toBe(first);
  drain();
  await first;
  expect([stream.drained, written]).toEqual([undefined, ["a", "b", "c"]]);
});
