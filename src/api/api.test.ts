import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { adaptive } from "../kvm/spe/policies/adaptive.ts";
import { bootGuest, predict, UserError } from "./index.ts";

const RECORDING = fileURLToPath(new URL("../../recordings/make-j2.task.data", import.meta.url));

describe("predict", () => {
  it("gives a record for each profile and policy, from a path as from bytes, by name as by object", async () => {
    const told: string[] = [];
    const profiles = ["thread-normal", "thread-debug"];
    const byName = await predict(RECORDING, { policies: ["adaptive", "fault"], profiles });
    expect(byName.map(({ policy, profile }) => [policy, profile])).toEqual([
      ["adaptive", "thread-normal"],
      ["fault", "thread-normal"],
      ["adaptive", "thread-debug"],
      ["fault", "thread-debug"],
    ]);
    const [first] = await predict(new Uint8Array(readFileSync(RECORDING)), {
      policies: [adaptive],
      onProgress: ({ what }) => told.push(what),
    });
    expect({ ...first, scenario: "" }).toEqual({ ...byName[0], scenario: "" });
    expect(told.length).toBeGreaterThan(0);
  });

  it.each([
    [{ policies: ["nonesuch"] }, /no policy is called "nonesuch"/],
    [{ profiles: ["nonesuch"] }, /cost profile "nonesuch" does not exist/],
    [{ backing: "paper" }, /backing "paper" does not exist/],
    [{ bufferBytes: 1.5 }, /bufferBytes: 1.5 is not a whole number/],
    [{ frequencyGHz: 0 }, /frequencyGHz: 0 is not a number above 0/],
    [{ seed: -1 }, /seed: -1/],
    [{ policies: [{ ...adaptive, name: "Not a name" }] }, /not a policy: its name "Not a name"/],
  ])("refuses what is wrong (%#)", async (options, message) => {
    const error: unknown = await predict(RECORDING, options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(message);
  });

  it("refuses what is no recording", async () => {
    await expect(predict("missing.data")).rejects.toThrow(UserError);
    await expect(predict(Uint8Array.of(1, 2, 3))).rejects.toThrow(UserError);
  });
});

describe("bootGuest refuses", () => {
  it.each([
    [{ cpus: 17 }, /cpus: 17 is not a whole number from 1 to 16/],
    [{ memoryBytes: 1 }, /memoryBytes/],
    [{ seed: 0.5 }, /seed/],
    [{ policy: "nonesuch" }, /no policy is called/],
    [{ profile: "nonesuch" }, /no cost profile is called/],
    [{ shares: [{ directory: "/no/such" }] }, /there is no such/],
    [{ shares: [{ directory: "/", at: "data" }] }, /data.*absolute/],
  ])("what is wrong (%#)", async (options, message) => {
    const error: unknown = await bootGuest(options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(message);
  });
});
