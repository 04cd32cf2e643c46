import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { policyCodeOf } from "./policy-code.ts";

const folder = mkdtempSync(join(tmpdir(), "spevisor-policy-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("leaves out what is spevisor's own, which workers have", async () => {
  const { text, policy, input } = await policyCodeOf(
    fileURLToPath(new URL("../../kvm/spe/policies/pin-on-enable.ts", import.meta.url)),
  );
  expect(text).toContain('from "spevisor:kvm/spe/hold.ts"');
  expect(policy.name).toBe("pin-on-enable");
  expect(input.name).toBe("pin-on-enable.ts");
});

it("is refused with the file's name where it is no policy, or no code", async () => {
  for (const [name, text, why] of [
    ["none.ts", "export const ONE = 1;", /none.ts exports no policy/],
    ["broken.ts", "export const = 1;", /broken.ts does not load: .*Expected identifier/s],
    ["lost.ts", 'import "./nowhere.ts";', /lost.ts does not load: .*nowhere.ts/s],
  ] as const) {
    writeFileSync(join(folder, name), text);
    await expect(policyCodeOf(join(folder, name))).rejects.toThrow(why);
  }
  await expect(policyCodeOf(join(folder, "absent.ts"))).rejects.toThrow(/absent.ts: there is no such file/);
});
