import { hash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, it } from "vitest";
import { fileError } from "../files.ts";
import type { InputStore } from "./input-stores.ts";
import { InputCache } from "./inputs.ts";

const root = mkdtempSync(join(tmpdir(), "spevisor-inputs-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let tests = 0;
let folder = "";
beforeEach(() => {
  folder = join(root, String(tests++));
});

const fileOf = (text: string) => ({ name: `${text}.data`, sha256: hash("sha256", text) });
const [ONE, TWO, THREE] = ["one", "two", "three"].map(fileOf) as [Input, Input, Input];
type Input = ReturnType<typeof fileOf>;

/** A store of texts, by what they should be. */
class Texts implements InputStore {
  readonly #texts: ReadonlyMap<string, string>;
  asked = 0;
  constructor(...texts: readonly (readonly [Input, string])[]) {
    this.#texts = new Map(texts.map(([{ sha256 }, text]) => [sha256, text]));
  }
  has = (sha256: string) => Promise.resolve(this.#texts.has(sha256));
  put = () => Promise.reject(new Error("nobody puts"));
  async get(sha256: string, to: string): Promise<boolean> {
    this.asked += 1;
    const text = this.#texts.get(sha256);
    if (text !== undefined) writeFileSync(to, text);
    return text !== undefined;
  }
}
const all = () => new Texts([ONE, "one"], [TWO, "two"], [THREE, "three"]);

it("brings an input once, however many ask for it at once", async () => {
  const store = all();
  const cache = new InputCache(folder, 100, [store]);
  await Promise.all([cache.hold([ONE]), cache.hold([ONE]), cache.hold([ONE, TWO])]);
  expect(store.asked).toBe(2);
  expect([...cache.paths.keys()].sort()).toEqual([ONE.sha256, TWO.sha256].sort());
});

it("asks one store after the other, and names what none has", async () => {
  const cache = new InputCache(folder, 100, [new Texts([ONE, "one"]), new Texts([TWO, "two"])]);
  await cache.hold([ONE, TWO]);
  await expect(cache.hold([THREE])).rejects.toMatchObject({ wanted: THREE.sha256 });
});

it("keeps nothing that is not what was asked for", async () => {
  const cache = new InputCache(folder, 100, [new Texts([ONE, "another"])]);
  await expect(cache.hold([ONE])).rejects.toMatchObject({
    message: expect.stringContaining("arrived damaged"),
    wanted: ONE.sha256,
  });
  expect(readdirSync(folder)).toEqual([]);
});

it("gives an input back for which there is no room, and wants it from nobody", async () => {
  const full: InputStore = {
    ...all(),
    get: async (_, to) => {
      writeFileSync(to, "o");
      throw fileError(to, Object.assign(new Error("ENOSPC"), { code: "ENOSPC" }));
    },
  };
  const cache = new InputCache(folder, 100, [full]);
  await expect(cache.hold([ONE])).rejects.toMatchObject({
    name: "InputMissing",
    message: expect.stringContaining("no space left on the device"),
    wanted: undefined,
  });
  expect(readdirSync(folder)).toEqual([]);
});

it("is as large as it may be, but for what is in use", async () => {
  const cache = new InputCache(folder, 6, [all()]);
  const has = ({ sha256 }: Input) => existsSync(join(folder, sha256));
  await cache.hold([ONE, TWO]);
  await cache.hold([THREE]);
  expect([ONE, TWO, THREE].map(has)).toEqual([true, true, true]);
  cache.release([ONE, TWO]);
  cache.release([THREE]);
  expect(cache.bytes).toBeLessThanOrEqual(6);
});
