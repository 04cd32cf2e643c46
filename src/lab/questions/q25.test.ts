import { expect, it } from "vitest";
import { askHere } from "../../../test/questions.ts";
import { q25 } from "./q25.ts";

it("says whether sixteen windows get in each other's way, and what each takes of a host CPU", () => {
  const { headline } = askHere(q25);
  expect(headline).toContain("it scales");
  const dear = askHere(q25, { pinPage: 20 }).headline;
  expect(dear).not.toBe(headline);
  const share = (text: string): number => Number(/ to ([\d.]+) % of a host CPU/.exec(text)?.[1]);
  expect(share(dear)).toBeGreaterThan(share(headline));
});
