/** Puts records into time order within bounded memory, as perf's ordered events do (tools/perf/util/ordered-events.c). */

/**
 * Positions 0..count-1 in ascending order of `keys`, equal keys in their own order. Merges the runs that are already
 * there: what a perf.data holds is a few sorted stretches, one for each ring buffer and round.
 */
export function stableOrder(keys: Float64Array, count: number): Uint32Array {
  let order = new Uint32Array(count);
  const runs: number[] = [];
  for (let i = 0; i < count; i++) {
    order[i] = i;
    if (i === 0 || (keys[i] as number) < (keys[i - 1] as number)) runs.push(i);
  }
  let scratch = runs.length > 1 ? new Uint32Array(count) : order;
  let starts = runs;
  while (starts.length > 1) {
    const merged: number[] = [];
    for (let r = 0; r < starts.length; r += 2) {
      const low = starts[r] as number;
      const middle = starts[r + 1] ?? count;
      const high = starts[r + 2] ?? count;
      merged.push(low);
      let a = low;
      let b = middle;
      for (let out = low; out < high; out++) {
        const takeA =
          a < middle &&
          (b >= high || (keys[order[a] as number] as number) <= (keys[order[b] as number] as number));
        scratch[out] = order[takeA ? a++ : b++] as number;
      }
    }
    [order, scratch] = [scratch, order];
    starts = merged;
  }
  return order;
}

/** One record as it waits for its turn. The meaning of `a`, `b` and `text` is the owner's. */
export interface QueuedRecord {
  timeNs: number;
  kind: number;
  cpu: number;
  pid: number;
  tid: number;
  a: number;
  b: number;
  text: string;
}

/** Held at once at most: 40 bytes each. Two rounds of a machine with 128 CPUs and perf's usual buffers are about 3 million. */
const DEFAULT_LIMIT = 4_000_000;

/**
 * Holds records until no earlier one can come. perf writes FINISHED_ROUND when it has emptied every ring buffer once:
 * what had been read at the end of one round is older than anything read after the end of the next.
 */
export class TimeOrder {
  /** Records that came when a later one had already been passed on. */
  lateRecords = 0;
  readonly #deliver: (record: QueuedRecord) => void;
  readonly #limit: number;
  readonly #record: QueuedRecord = { timeNs: 0, kind: 0, cpu: 0, pid: 0, tid: 0, a: 0, b: 0, text: "" };
  #capacity = 4096;
  #time = new Float64Array(this.#capacity);
  #kind = new Uint8Array(this.#capacity);
  #words = new Int32Array(this.#capacity * 5);
  #texts = new Map<number, string>();
  #count = 0;
  #flushNs = Number.NEGATIVE_INFINITY;
  #latestNs = Number.NEGATIVE_INFINITY;
  #passedNs = Number.NEGATIVE_INFINITY;

  /**
   * @param deliver gets the records in time order; the object is reused for the next one
   * @param limit records held at most; beyond it the older half goes out before its round is over
   */
  constructor(deliver: (record: QueuedRecord) => void, limit = DEFAULT_LIMIT) {
    this.#deliver = deliver;
    this.#limit = limit;
  }

  push(
    timeNs: number,
    kind: number,
    cpu: number,
    pid: number,
    tid: number,
    a: number,
    b: number,
    text?: string,
  ) {
    if (this.#count === this.#limit) this.#flush(Number.POSITIVE_INFINITY, this.#limit >> 1);
    if (this.#count === this.#capacity) this.#grow();
    const i = this.#count++;
    this.#time[i] = timeNs;
    this.#kind[i] = kind;
    const at = i * 5;
    this.#words[at] = cpu;
    this.#words[at + 1] = pid;
    this.#words[at + 2] = tid;
    this.#words[at + 3] = a;
    this.#words[at + 4] = b;
    if (text !== undefined) this.#texts.set(i, text);
    if (timeNs > this.#latestNs) this.#latestNs = timeNs;
  }

  /** FINISHED_ROUND: passes on what was there at the last one. */
  finishRound(): void {
    this.#flush(this.#flushNs, this.#count);
    this.#flushNs = this.#latestNs;
  }

  /** The end of the recording: passes on all that is left. */
  finish(): void {
    this.#flush(Number.POSITIVE_INFINITY, this.#count);
  }

  #flush(untilNs: number, atMost: number): void {
    if (this.#count === 0) return;
    const order = stableOrder(this.#time, this.#count);
    const record = this.#record;
    let out = 0;
    for (; out < atMost; out++) {
      const i = order[out] as number;
      const timeNs = this.#time[i] as number;
      if (timeNs > untilNs) break;
      if (timeNs < this.#passedNs) this.lateRecords++;
      else this.#passedNs = timeNs;
      const at = i * 5;
      record.timeNs = timeNs;
      record.kind = this.#kind[i] as number;
      record.cpu = this.#words[at] as number;
      record.pid = this.#words[at + 1] as number;
      record.tid = this.#words[at + 2] as number;
      record.a = this.#words[at + 3] as number;
      record.b = this.#words[at + 4] as number;
      record.text = this.#texts.get(i) ?? "";
      this.#deliver(record);
    }
    this.#keep(order.subarray(out));
  }

  /** What stays, in the order in which it came: the next flush sorts it together with what comes. */
  #keep(order: Uint32Array): void {
    const stay = order.slice().sort();
    const texts = new Map<number, string>();
    for (let to = 0; to < stay.length; to++) {
      const from = stay[to] as number;
      this.#time[to] = this.#time[from] as number;
      this.#kind[to] = this.#kind[from] as number;
      this.#words.copyWithin(to * 5, from * 5, from * 5 + 5);
      const text = this.#texts.get(from);
      if (text !== undefined) texts.set(to, text);
    }
    this.#texts = texts;
    this.#count = stay.length;
  }

  #grow(): void {
    this.#capacity = Math.min(this.#capacity * 2, this.#limit);
    const time = new Float64Array(this.#capacity);
    time.set(this.#time);
    this.#time = time;
    const kind = new Uint8Array(this.#capacity);
    kind.set(this.#kind);
    this.#kind = kind;
    const words = new Int32Array(this.#capacity * 5);
    words.set(this.#words);
    this.#words = words;
  }
}
