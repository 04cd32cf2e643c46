/**
 * States as JSON: what `save` methods return may have bigints, maps, infinities, what is undefined, and sets of guest pages; of
 * those, each list of pages is written once, however many sets are runs of it.
 */
import { BrokenInvariant } from "../common/errors.ts";
import { GuestPages, PageSet } from "./guest-pages.ts";

export type Plain = null | boolean | number | string | readonly Plain[] | { readonly [key: string]: Plain };

/** A state as JSON, with the lists that its sets of pages are of. */
export interface EncodedState {
  readonly lists: readonly {
    readonly ipns: readonly number[];
    readonly host: readonly number[];
    readonly areTables: boolean;
  }[];
  readonly value: Plain;
}

/** @throws BrokenInvariant for what has no such form: functions, instances of other classes */
export function encodeState(state: unknown): EncodedState {
  const lists = new Map<GuestPages, number>();
  const indexOf = (list: GuestPages): number => {
    const known = lists.get(list) ?? lists.size;
    lists.set(list, known);
    return known;
  };
  const encode = (value: unknown): Plain => {
    if (value === null || typeof value === "boolean" || typeof value === "string") return value;
    if (typeof value === "number") return Number.isFinite(value) ? value : { $number: String(value) };
    if (value === undefined) return { $undefined: true };
    if (typeof value === "bigint") return { $bigint: String(value) };
    if (Array.isArray(value)) return value.map(encode);
    if (value instanceof Map) return { $map: [...value].map(encode) };
    if (value instanceof PageSet)
      return { $pages: value.runs.map(({ list, from, to }) => [indexOf(list), from, to]) };
    if (typeof value !== "object" || Object.getPrototypeOf(value) !== Object.prototype)
      throw new BrokenInvariant(`a state with a ${typeof value} that cannot be saved`);
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, encode(each)]));
  };
  const value = encode(state);
  return {
    lists: [...lists.keys()].map(({ ipns, host, areTables }) => ({
      ipns: [...ipns],
      host: [...host.pages],
      areTables,
    })),
    value,
  };
}

/** What `encodeState` was given; sets of pages that were runs of one list are so again. */
export function decodeState({ lists, value }: EncodedState): unknown {
  const pages = lists.map(
    ({ ipns, host, areTables }) => new GuestPages(Int32Array.from(ipns), Int32Array.from(host), areTables),
  );
  const decode = (plain: Plain): unknown => {
    if (plain === null || typeof plain !== "object") return plain;
    if (isArray(plain)) return plain.map(decode);
    const [name, ...more] = Object.keys(plain);
    const only = more.length === 0 && name !== undefined ? plain[name] : undefined;
    switch (only === undefined ? undefined : name) {
      case "$number":
        return Number(only);
      case "$undefined":
        return undefined;
      case "$bigint":
        return BigInt(only as string);
      case "$map":
        return new Map((only as Plain[]).map(decode) as [unknown, unknown][]);
      case "$pages":
        return PageSet.of(
          (only as [number, number, number][]).map(([list, from, to]) => ({
            list: pages[list] as GuestPages,
            from,
            to,
          })),
        );
    }
    return Object.fromEntries(Object.entries(plain).map(([key, each]) => [key, decode(each)]));
  };
  return decode(value);
}

const isArray = (plain: Plain): plain is readonly Plain[] => Array.isArray(plain);
