/** `perf report -D`, packet by packet, beside our decoder. */
import { expect } from "vitest";
import { type SpePacket, spePackets } from "../../src/perf/spe-packets.ts";
import { EVENT } from "../../src/spe/op.ts";
import { type DumpedPacket, dumpedPackets } from "./perf-tool.ts";

const EVENT_WORDS: readonly [number, string][] = [
  [EVENT.exceptionGenerated, "EXCEPTION-GEN"],
  [EVENT.retired, "RETIRED"],
  [EVENT.l1dAccess, "L1D-ACCESS"],
  [EVENT.l1dRefill, "L1D-REFILL"],
  [EVENT.tlbAccess, "TLB-ACCESS"],
  [EVENT.tlbWalk, "TLB-REFILL"],
  [EVENT.notTaken, "NOT-TAKEN"],
  [EVENT.mispredicted, "MISPRED"],
  [EVENT.llcAccess, "LLC-ACCESS"],
  [EVENT.llcMiss, "LLC-REFILL"],
  [EVENT.remoteAccess, "REMOTE-ACCESS"],
  [EVENT.misaligned, "ALIGNMENT"],
  [EVENT.partialPredicate, "SVE-PARTIAL-PRED"],
  [EVENT.emptyPredicate, "SVE-EMPTY-PRED"],
];
const SUBCLASS_WORDS: Readonly<Record<number, string>> = {
  0: "GP-REG",
  4: "SIMD-FP",
  16: "UNSPEC-REG",
  20: "MTE-TAG",
  32: "MEMCPY",
  36: "MEMSET",
  48: "NV-SYSREG",
};
const OP_WORDS = ["OTHER", "COND-SELECT", "LD", "ST", "AT", "EXCL", "AR", "B", "COND", "IND"];
const VOCABULARY = new Set([...OP_WORDS, ...Object.values(SUBCLASS_WORDS), ...EVENT_WORDS.map(([, w]) => w)]);

/** Words that perf 6.1 does not know yet; where one is printed it must be right. */
const NEWER = new Set(["MTE-TAG", "MEMCPY", "MEMSET"]);

/** Words of perf's line that this test knows: a newer perf may add others. */
const knownWords = (text: string): string[] =>
  text
    .split(" ")
    .filter((word) => VOCABULARY.has(word))
    .sort();

function comparedText(
  text: string,
  expected: string | readonly string[],
): readonly [is: string, should: string] {
  if (typeof expected === "string") return [text, expected];
  const printed = knownWords(text);
  const should = expected.filter((word) => !NEWER.has(word) || printed.includes(word));
  return [printed.join(" "), should.join(" ")];
}

function opWords(packet: SpePacket & { kind: "op-type" }): string[] {
  const has = (bit: number): boolean => (packet.subclass & bit) !== 0;
  switch (packet.opClass) {
    case "other":
      return has(1) ? ["OTHER", "COND-SELECT"] : ["OTHER"];
    case "branch":
      return ["B", ...(has(1) ? ["COND"] : []), ...(has(2) ? ["IND"] : [])];
    case "load-store": {
      const words = [has(1) ? "ST" : "LD"];
      if ((packet.subclass & 0xe2) === 0x02) {
        if (has(4)) words.push("AT");
        if (has(8)) words.push("EXCL");
        if (has(16)) words.push("AR");
      } else words.push(SUBCLASS_WORDS[packet.subclass & 0xfe] ?? "unnamed");
      return words;
    }
    case "reserved":
      return ["reserved"];
  }
}

/** What perf prints for one of our packets; words in any order for operation types and events. */
function expectedText(packet: SpePacket): string | string[] {
  switch (packet.kind) {
    case "padding":
      return "PAD";
    case "end":
      return "END";
    case "timestamp":
      return `TS ${BigInt.asIntN(64, packet.value)}`;
    case "data-source":
      return `DATA-SOURCE ${packet.value}`;
    case "context":
      return `CONTEXT 0x${packet.value.toString(16)} el${packet.el}`;
    case "counter":
      return `LAT ${packet.value} ${["TOT", "ISSUE", "XLAT"][packet.index]}`;
    case "events":
      return EVENT_WORDS.filter(([bit]) => (Number(packet.value) & bit) !== 0)
        .map(([, word]) => word)
        .sort();
    case "op-type":
      return opWords(packet).sort();
    case "address": {
      const low = `0x${(packet.value & ((1n << 56n) - 1n)).toString(16)}`;
      const ns = packet.value >> 63n;
      if (packet.index === 2) return `VA 0x${packet.value.toString(16)}`;
      if (packet.index === 3)
        return `PA ${low} ns=${ns} ch=${(packet.value >> 62n) & 1n} pat=${((packet.value >> 56n) & 15n).toString(16)}`;
      const name = ["PC", "TGT", "", "", "PBT"][packet.index];
      return `${name} ${low} el${(packet.value >> 61n) & 3n} ns=${ns}`;
    }
    default:
      return `our decoder does not understand these bytes (${packet.kind})`;
  }
}

/** perf prints 16 bytes of padding a line; we give a run as one packet. */
function joinPadding(lines: readonly DumpedPacket[]): DumpedPacket[] {
  const out: (DumpedPacket & { readonly bytes: number[] })[] = [];
  for (const line of lines) {
    const last = out.at(-1);
    if (line.text === "PAD" && last?.text === "PAD") last.bytes.push(...line.bytes);
    else out.push({ ...line, bytes: [...line.bytes] });
  }
  return out;
}

/**
 * Expects that perf has dumped AUX data as our decoder reads it: byte by byte, and word by word.
 * @param pieces what follows each AUXTRACE event
 * @param report what `perf report -D` printed
 */
export function expectSameDump(pieces: readonly Uint8Array[], report: string): void {
  const dumped = dumpedPackets(report);
  expect(dumped.length).toBe(pieces.length);
  for (const [piece, aux] of pieces.entries()) {
    const ours = [...spePackets(aux)];
    const theirs = joinPadding(dumped[piece] ?? []);
    expect(theirs.map((p) => [p.at, p.bytes.length])).toEqual(ours.map((p) => [p.at, p.sizeBytes]));
    // All of a piece at once: there are tens of thousands of packets.
    const hex = (bytes: readonly number[] | Uint8Array): string => Buffer.from(bytes).toString("hex");
    expect(theirs.map(({ bytes }) => hex(bytes))).toEqual(
      ours.map(({ at, sizeBytes }) => hex(aux.subarray(at, at + sizeBytes))),
    );
    const texts = ours.map((packet, i) =>
      comparedText((theirs[i] as DumpedPacket).text, expectedText(packet)),
    );
    expect(texts.map(([is]) => is)).toEqual(texts.map(([, should]) => should));
  }
}
