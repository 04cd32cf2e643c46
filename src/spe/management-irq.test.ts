import { expect, it } from "vitest";
import { ManagementIrq } from "./management-irq.ts";

const NEVER = Number.POSITIVE_INFINITY;

it("is due a latency after the level was noticed, and once only while it stays high", () => {
  const spu = { pmbirq: false };
  const irq = new ManagementIrq(spu, 100);
  irq.notice(5);
  expect(irq.dueNs).toBe(NEVER);
  spu.pmbirq = true;
  irq.notice(10);
  irq.notice(50);
  expect(irq.dueNs).toBe(110);
  irq.take();
  irq.notice(120);
  expect(irq.dueNs).toBe(NEVER);
});

it("comes again when the level has fallen meanwhile, and not where it fell before it was due", () => {
  const spu = { pmbirq: true };
  const irq = new ManagementIrq(spu, 100);
  irq.notice(0);
  irq.take();
  spu.pmbirq = false;
  irq.lowerIfClear();
  spu.pmbirq = true;
  irq.notice(200);
  expect(irq.dueNs).toBe(300);
  spu.pmbirq = false;
  expect(irq.dueNs).toBe(NEVER);
  spu.pmbirq = true;
  irq.notice(400);
  expect(irq.dueNs).toBe(500);
});

it("goes on from a saved state", () => {
  const spu = { pmbirq: true };
  const [a, b] = [new ManagementIrq(spu, 100), new ManagementIrq(spu, 100)];
  a.notice(1);
  b.restore(a.save());
  expect(b.dueNs).toBe(101);
  a.take();
  b.restore(a.save());
  b.notice(200);
  expect(b.dueNs).toBe(NEVER);
});
