/** Words that are UNDEFINED here: a program on QEMU must get SIGILL for them, too. */
import { randomStream } from "../../src/common/random.ts";
import { INPUT, OUTPUT, SIGNAL } from "./format.ts";
import { BATCH, SUBJECTS } from "./fuzz.ts";
import { CaseMachine } from "./machine.ts";
import { askQemu } from "./oracle.ts";
import { bits32, chance, pick } from "./values.ts";

export interface Unallocated {
  readonly cases: number;
  /** Words that QEMU executes: its Cortex-A72 has no feature that this machine lacks. */
  readonly executed: readonly number[];
}

/** Random words, and words near to allocated ones. */
export async function fuzzUnallocated(runner: string, total: number, seed: number): Promise<Unallocated> {
  const { decoder } = new CaseMachine().core.code;
  const random = randomStream(seed);
  const executed: number[] = [];
  let done = 0;
  while (done < total) {
    const count = Math.min(BATCH, total - done);
    const cases = new Uint8Array(count * INPUT.BYTES);
    const view = new DataView(cases.buffer);
    for (let i = 0; i < count; ) {
      let word = bits32(random);
      if (chance(random, 2)) {
        const { row } = pick(random, SUBJECTS);
        word = (row.value | (word & ~row.mask)) >>> 0;
        for (let flips = random.integer(1, 3); flips > 0; flips--)
          word = (word ^ (1 << random.integer(10, 31))) >>> 0;
      }
      if (decoder.decode(word) !== undefined) continue;
      view.setUint32(i * INPUT.BYTES + INPUT.WORDS, word, true);
      view.setUint32(i * INPUT.BYTES + INPUT.COUNT, 1, true);
      i += 1;
    }
    const answers = await askQemu(runner, cases, count, { cpu: "cortex-a72" });
    const out = new DataView(answers.buffer, answers.byteOffset);
    for (let i = 0; i < count; i++)
      if (out.getUint32(i * OUTPUT.BYTES + OUTPUT.SIGNAL, true) !== SIGNAL.ILL)
        executed.push(view.getUint32(i * INPUT.BYTES + INPUT.WORDS, true));
    done += count;
  }
  return { cases: done, executed };
}
