import { describe, expect, it } from "vitest";
import { UserError } from "../../common/errors.ts";
import { Memlock } from "../../host/memlock.ts";
import { SpeDevice } from "./attributes.ts";

const MIB = 1024 ** 2;

const device = (options: { limitBytes?: number; vcpus?: number; trapsBuffer?: boolean } = {}): SpeDevice =>
  new SpeDevice({
    spus: [0, 3],
    memlock: new Memlock(options.limitBytes ?? 64 * MIB),
    vcpus: options.vcpus ?? 1,
    trapsBuffer: options.trapsBuffer ?? true,
  });

describe("KVM_ARM_VCPU_SPE_CTRL", () => {
  it("initialises with an interrupt and an SPU, and keeps what was set", () => {
    const spe = device();
    expect(spe.set("irq", 21)).toBe(0);
    expect(spe.set("spu", 3)).toBe(0);
    expect(spe.set("max-buffer-size", 4 * MIB)).toBe(0);
    expect(() => spe.attributes).toThrow(UserError);
    expect(spe.set("init", 0)).toBe(0);
    expect(spe.attributes).toEqual({ irq: 21, spu: 3, maxBufferBytes: 4 * MIB });
  });

  it("ENXIO: init before interrupt and SPU", () => {
    const spe = device();
    expect(spe.set("init", 0)).toBe("ENXIO");
    spe.set("irq", 21);
    expect(spe.set("init", 0)).toBe("ENXIO");
    spe.set("spu", 0);
    expect(spe.set("init", 0)).toBe(0);
  });

  it("EINVAL: an interrupt that is no PPI", () => {
    for (const intid of [0, 15, 32, 21.5, -1]) expect(device().set("irq", intid)).toBe("EINVAL");
    for (const intid of [16, 31]) expect(device().set("irq", intid)).toBe(0);
  });

  it("ENODEV: an SPU that does not exist", () => {
    expect(device().set("spu", 1)).toBe("ENODEV");
  });

  it("EBUSY: set twice, or after init; a refused value may be followed by a good one", () => {
    const spe = device();
    expect(spe.set("irq", 5)).toBe("EINVAL");
    expect(spe.set("irq", 21)).toBe(0);
    expect(spe.set("irq", 22)).toBe("EBUSY");
    expect(spe.set("spu", 9)).toBe("ENODEV");
    expect(spe.set("spu", 0)).toBe(0);
    expect(spe.set("spu", 3)).toBe("EBUSY");
    spe.set("init", 0);
    for (const attribute of ["irq", "spu", "max-buffer-size", "init"] as const)
      expect(spe.set(attribute, 0)).toBe("EBUSY");
    expect(spe.attributes).toEqual({ irq: 21, spu: 0, maxBufferBytes: undefined });
  });

  it("EINVAL: a size that PMBIDR_EL1.MaxBuffSize cannot say", () => {
    for (const bytes of [1, 4095, 4097, 4096.5, -4096, 1025 * 4096]) // 1025 has 11 significant bits
      expect(device().set("max-buffer-size", bytes)).toBe("EINVAL");
    expect(device().set("max-buffer-size", 1023 * 4096)).toBe(0);
  });

  it("ENOMEM: a size that could never be locked for all vCPUs", () => {
    expect(device({ limitBytes: 8 * MIB, vcpus: 2 }).set("max-buffer-size", 4 * MIB)).toBe(0);
    expect(device({ limitBytes: 8 * MIB, vcpus: 3 }).set("max-buffer-size", 4 * MIB)).toBe("ENOMEM");
  });

  it("takes 0 for no limit, and has no limit to set without traps (ENXIO)", () => {
    const spe = device();
    spe.set("max-buffer-size", 4 * MIB);
    expect(spe.set("max-buffer-size", 0)).toBe(0);
    spe.set("irq", 21);
    spe.set("spu", 0);
    spe.set("init", 0);
    expect(spe.attributes.maxBufferBytes).toBeUndefined();
    expect(device({ trapsBuffer: false }).set("max-buffer-size", 4 * MIB)).toBe("ENXIO");
  });
});
