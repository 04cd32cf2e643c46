/** That a handler says of its instructions what their words say. */
import { expect, it } from "vitest";
import { Decoder } from "../../a64/decoder.ts";
import { fieldsOf } from "../../a64/encoding.ts";
import { ALL_ROWS } from "../../a64/encodings/index.ts";
import { FIRST_HANDLER, Handlers, writeDecoded } from "../../a64/handlers.ts";
import { opClassOf } from "../../a64/op-class.ts";
import { SEMANTICS } from "../../a64/semantics/index.ts";
import { DECODED } from "../../a64/state.ts";
import { randomBitsAt } from "../../common/random.ts";
import { IMPLEMENTATION } from "../implementation.ts";
import { HandlerKinds, KIND } from "./handler-kinds.ts";

const decoder = new Decoder(IMPLEMENTATION.features);
const semantics: Readonly<Record<string, (typeof SEMANTICS)[keyof typeof SEMANTICS] | undefined>> = SEMANTICS;
const handlers = new Handlers(ALL_ROWS, (row) => semantics[row.name]);
const { kinds, branches } = new HandlerKinds(handlers);
const WORDS_A_ROW = 200;

it("is of the word where several classes have one handler, and else of the class of each word", () => {
  const view = new DataView(new ArrayBuffer(DECODED.BYTES));
  let drawn = 0;
  const ofWord = new Set<string>();
  let words = 0;
  for (const { mask, value } of ALL_ROWS)
    for (let i = 0; i < WORDS_A_ROW; i++) {
      const word = (value | (randomBitsAt(5, drawn++) & ~mask)) >>> 0;
      const row = decoder.decode(word);
      const encoded = row === undefined ? undefined : handlers.encoded(row);
      if (row === undefined || encoded === undefined) continue;
      words += 1;
      const op = opClassOf(row, fieldsOf(row, word));
      const kind = kinds[writeDecoded(view, 0, encoded, word)] as number;
      if (kind === KIND.OF_WORD) {
        ofWord.add(row.name);
        continue;
      }
      const said = kind >= KIND.BRANCH ? branches[kind - KIND.BRANCH] : kind;
      const right = {
        branch: op,
        load: KIND.LOAD,
        "load-atomic": KIND.LOAD,
        store: KIND.STORE,
        other: op.kind === "other" && (op.simd || op.floatingPoint) ? KIND.SIMD : KIND.OTHER,
      }[op.kind];
      expect(said, `${row.name} ${word.toString(16)}`).toBe(right);
    }
  expect(words).toBeGreaterThan(100 * ALL_ROWS.length);
  // With Rt = 31 these are stores; DC ZVA is one, and other maintenance no access.
  expect([...ofWord]).toEqual(expect.arrayContaining(["LDADD", "SWP", "SYS"]));
  expect([...ofWord].every((name) => /^(CAS|SWP|SYS$|LD)/.test(name))).toBe(true);
});

it("is of the word for what is no instruction's", () => {
  expect([...kinds.subarray(0, FIRST_HANDLER)].every((kind) => kind === KIND.OF_WORD)).toBe(true);
});
