import { expect, it } from "vitest";
import { ConsoleLines } from "./console-lines.ts";

it("tells each line without its end, long ones cut", () => {
  const lines: string[] = [];
  const console = new ConsoleLines((line) => lines.push(line));
  for (const byte of new TextEncoder().encode(`one\r\n\n${"x".repeat(1000)}\nhalf`)) console.push(byte);
  expect(lines).toEqual(["one\r", "", "x".repeat(256)]);
});
