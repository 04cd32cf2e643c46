/** Policies by name, and those that a user brings. */
import { UserError } from "../common/errors.ts";
import { POLICIES } from "../kvm/spe/policies/index.ts";
import type { PinPolicy } from "../kvm/spe/policy.ts";

/** @throws UserError for a name that is not registered */
export function policyNamed(name: string): PinPolicy {
  const found = POLICIES.find((policy) => policy.name === name);
  if (found === undefined)
    throw new UserError(
      `no policy is called "${name}"`,
      `There are ${POLICIES.map((policy) => policy.name).join(", ")}`,
    );
  return found;
}

const TEXTS = ["name", "summary", "origin", "tradeOff"] as const;

/** A value as a policy if it has the shape of one, otherwise why it has not. */
export function asPolicy(candidate: unknown): PinPolicy | string {
  if (typeof candidate !== "object" || candidate === null) return "a policy is an object";
  const fields = candidate as Readonly<Record<string, unknown>>;
  for (const text of TEXTS) {
    const value = fields[text];
    if (typeof value !== "string" || value.trim() === "") return `it has no ${text} (a sentence)`;
  }
  if (!/^[a-z0-9][a-z0-9-]*$/.test(fields["name"] as string))
    return `its name "${String(fields["name"])}" is not lower case with dashes`;
  if (typeof fields["trapsBuffer"] !== "boolean")
    return "it does not say whether it traps: trapsBuffer is not a boolean";
  if (typeof fields["create"] !== "function") return "it has no create() that makes its event handlers";
  const { backing, neverProfiles } = fields;
  if (neverProfiles !== undefined && neverProfiles !== true) return "its neverProfiles can only be true";
  if (backing !== undefined && backing !== "guest-memfd") return 'its backing can only be "guest-memfd"';
  return candidate as PinPolicy;
}
