import { describe, expect, it } from "vitest";
import { VcpuGic } from "./vgic.ts";
import { FIRST_PPI, LAST_PPI } from "./wires.ts";

describe("the vGIC's private interrupts", () => {
  it("are levels: told when they rise, forgotten when they fall", () => {
    const gic = new VcpuGic();
    expect(gic.setLevel(21, true)).toBe(true);
    expect(gic.setLevel(21, true)).toBe(false);
    expect(gic.level(21)).toBe(true);
    expect(gic.isSignalled).toBe(true);
    expect(gic.setLevel(21, false)).toBe(false);
    expect(gic.level(21)).toBe(false);
    expect(gic.isSignalled).toBe(false);
    expect(gic.setLevel(21, true)).toBe(true);
  });

  it("do not touch each other", () => {
    const gic = new VcpuGic();
    for (let intid = FIRST_PPI; intid <= LAST_PPI; intid++) expect(gic.setLevel(intid, true)).toBe(true);
    gic.setLevel(27, false);
    for (let intid = FIRST_PPI; intid <= LAST_PPI; intid++) expect(gic.level(intid)).toBe(intid !== 27);
  });
});
