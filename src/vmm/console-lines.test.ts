import { expect, it } from "vitest";
import { ConsoleLines, KernelLog } from "./console-lines.ts";

it("tells each line without its end, long ones cut", () => {
  const lines: string[] = [];
  const console = new ConsoleLines((line) => lines.push(line));
  for (const byte of new TextEncoder().encode(`one\r\n\n${"x".repeat(1000)}\nhalf`)) console.push(byte);
  expect(lines).toEqual(["one\r", "", "x".repeat(256)]);
});

it("keeps the last lines of a kernel, and its complaints", () => {
  const log = new KernelLog();
  const stall = "[  21.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:";
  const lockup = "[  30.0] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [perf:77]";
  for (const line of [stall, lockup]) log.line(`${line}\r`);
  for (let i = 0; i < 40; i++) log.line(`[  31.0] usb ${i}: INFO: nothing is wrong`);
  expect(log.said.complaints).toEqual([stall, lockup]);
  expect([log.said.last.length, log.said.last[0]]).toEqual([30, "[  31.0] usb 10: INFO: nothing is wrong"]);
  log.restart();
  expect(log.said).toEqual({ last: [], complaints: [] });
});
