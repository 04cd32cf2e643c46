import { describe, expect, it } from "vitest";
import { UserError } from "../common/errors.ts";
import { POLICIES } from "../kvm/spe/policies/index.ts";
import { asPolicy, policyNamed } from "./policies.ts";

const GOOD = {
  name: "my-policy",
  summary: "Does nothing.",
  origin: "me",
  tradeOff: "none",
  trapsBuffer: true,
  create: () => ({}),
};

describe("policies that a user brings", () => {
  it("are taken as they are if they have the shape of one", () => {
    expect(asPolicy(GOOD)).toBe(GOOD);
    const held = { ...GOOD, backing: "guest-memfd" };
    expect(asPolicy(held)).toBe(held);
    for (const policy of POLICIES) expect(asPolicy(policy)).toBe(policy);
  });

  it.each([
    ["no object", 42, /an object/],
    ["null", null, /an object/],
    ["no name", { ...GOOD, name: undefined }, /no name/],
    ["an empty summary", { ...GOOD, summary: " " }, /no summary/],
    ["no origin", { ...GOOD, origin: 3 }, /no origin/],
    ["no trade-off", { ...GOOD, tradeOff: "" }, /no tradeOff/],
    ["a name with capitals", { ...GOOD, name: "MyPolicy" }, /"MyPolicy" is not lower case/],
    ["no word about traps", { ...GOOD, trapsBuffer: "yes" }, /trapsBuffer/],
    ["no create", { ...GOOD, create: {} }, /create\(\)/],
    ["an unknown backing", { ...GOOD, backing: "thp" }, /guest-memfd/],
  ])("are refused with the reason: %s", (_what, candidate, reason) => {
    expect(asPolicy(candidate)).toMatch(reason);
  });
});

describe("policies by name", () => {
  it("are found, or the user is told which there are", () => {
    for (const policy of POLICIES) expect(policyNamed(policy.name)).toBe(policy);
    expect(() => policyNamed("pin")).toThrow(UserError);
    expect(() => policyNamed("pin")).toThrow(/pin-on-enable/);
  });
});
