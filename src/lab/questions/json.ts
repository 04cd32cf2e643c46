/** Cells and rows as text: what a worker sends back, what is cached, and what is compared byte for byte. */
import { BrokenInvariant } from "../../common/errors.ts";
import type { Json } from "./question.ts";

/**
 * A value as JSON.
 * @throws BrokenInvariant for what JSON would silently turn into something else: NaN, infinities, undefined
 */
export function jsonText(value: Json): string {
  return JSON.stringify(value, (key, part: unknown) => {
    const kept = part !== undefined && (typeof part !== "number" || Number.isFinite(part));
    if (!kept)
      throw new BrokenInvariant(`JSON cannot hold ${String(part)}${key === "" ? "" : ` ("${key}")`}`);
    return part;
  });
}
