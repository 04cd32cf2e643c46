import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { POLICIES } from "../../kvm/spe/policies/index.ts";
import { policyNamed } from "../../lab/policies.ts";
import { DEFAULT_HOST, type MachineConfig } from "../../vmm/machine-config.ts";
import type { Snapshot } from "../../vmm/node/snapshot-file.ts";
import { Boots, bootingConfig } from "./boots.ts";

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "boots-"));
});
afterEach(() => rmSync(cache, { recursive: true }));
const files = (): string[] => readdirSync(join(cache, "boots")).map((name) => join(cache, "boots", name));
const snapshot = (seed: number): Snapshot =>
  ({ config: { seed }, state: { seed }, pages: [] }) as unknown as Snapshot;

it("finds what it has kept, by what it was made of", async () => {
  const boots = new Boots(cache, "build");
  expect(boots.find({ a: 1 })).toBeUndefined();
  boots.keep({ a: 1 }, snapshot(1));
  boots.keep({ a: 2 }, snapshot(2));
  expect([boots.find({ a: 1 })?.config.seed, boots.find({ a: 2 })?.config.seed]).toEqual([1, 2]);
  expect(boots.find({ a: 3 })).toBeUndefined();
  boots.keep({ a: 1 }, snapshot(4));
  expect(boots.find({ a: 1 })?.config.seed).toBe(4);
});

it("finds nothing of another build's", () => {
  new Boots(cache, "build").keep({ a: 1 }, snapshot(1));
  expect(new Boots(cache, "other").find({ a: 1 })).toBeUndefined();
});

it("leaves alone what another thread is writing", () => {
  const boots = new Boots(cache, "build");
  boots.keep({ a: 1 }, snapshot(1));
  const others = `${files()[0]}.${process.pid}.tmp`;
  writeFileSync(others, "theirs");
  boots.keep({ a: 1 }, snapshot(1));
  expect(readFileSync(others, "utf8")).toBe("theirs");
});

it("throws away what is damaged", () => {
  const boots = new Boots(cache, "build");
  boots.keep({ a: 1 }, snapshot(1));
  const [file] = files();
  writeFileSync(file as string, readFileSync(file as string).subarray(0, -1));
  expect(boots.find({ a: 1 })).toBeUndefined();
  expect(files()).toEqual([]);
});

it("keeps the twenty-four that were used last, and nothing half written", () => {
  const boots = new Boots(cache, "build");
  for (let i = 0; i < 24; i++) {
    boots.keep({ i }, snapshot(i));
    // Older the later it was kept, but for the one that is found.
    for (const file of files()) if (readFileSync(file).length > 0) utimesSync(file, 1000, 1000 + i);
  }
  expect(boots.find({ i: 0 })).toBeDefined();
  boots.keep({ i: 24 }, snapshot(24));
  expect([files().length, boots.find({ i: 0 }) !== undefined, boots.find({ i: 24 }) !== undefined]).toEqual([
    24,
    true,
    true,
  ]);
  expect(files().every((name) => name.endsWith(".snapshot"))).toBe(true);
});

it("boots alike for all policies with the same backing, but for those that act before the first instruction", () => {
  const host = { ...DEFAULT_HOST, memlockBytes: 4096, irqLatencyNs: 5 };
  const of = (policy: string, more: Partial<MachineConfig["host"]> = {}) =>
    ({ cpus: 2, policy, profile: "thread-debug", host: { ...host, ...more } }) as MachineConfig;
  const booting = (policy: string, more: Partial<MachineConfig["host"]> = {}) =>
    bootingConfig(of(policy, more), policyNamed(policy));
  const own = POLICIES.filter(({ name }) => booting(name).policy === name && name !== "fault");
  expect(own.map(({ name }) => name)).toEqual(["prefault", "whole-guest"]);
  expect(booting("prefault")).toEqual(of("prefault"));
  expect(booting("adaptive")).toEqual(booting("pin-on-enable"));
  expect(booting("adaptive")).toEqual({ ...of("fault"), profile: "free", host: DEFAULT_HOST });
  expect(booting("adaptive", { backing: "base" }).host.backing).toBe("base");
});
