/** Question 17: how long one pin stops a vCPU, and in which chunks it must be done instead. */
import { formatNs } from "../../common/sizes.ts";
import { DEFAULT_EVENT } from "../../guest/spe-event.ts";
import type { CostEnd } from "../../host/costs.ts";
import { pinOnEnable } from "../../kvm/spe/policies/pin-on-enable.ts";
import type { PinPolicy, SpeBuffer } from "../../kvm/spe/policy.ts";
import { formatCount, listed } from "../report/words.ts";
import { settingOf } from "../scenarios.ts";
import { toggling } from "../schedules.ts";
import { trial } from "../trial.ts";
import { question, type Series } from "./question.ts";

interface Cell {
  readonly profile: string;
  readonly end: CostEnd;
  /** Pages that are pinned before the guest runs again; 0: all of them at once, as v6 does. */
  readonly chunkPages: number;
  readonly [key: string]: string | number;
}
interface Row {
  readonly pages: number;
  readonly longestStopNs: number;
  readonly [key: string]: number;
}

const HOSTS = [
  { profile: "thread-normal", end: "value" },
  { profile: "thread-normal", end: "high" },
  { profile: "thread-debug", end: "value" },
  { profile: "thread-debug", end: "high" },
] as const;
const CHUNKS = [16, 32, 64, 128, 256, 512, 1_024, 4_096] as const;
/** An enable concerns half of an empty buffer: 65,536 pages of 4 KiB. */
const BUFFER_BYTES = 512 * 1024 ** 2;
const SEED = 1;
/** Chunks are alike: the first few tell how long one takes. */
const CHUNKS_RUN = 6;
const RUN_NS = 10e6;
/** How long the guest runs between two chunks: assumed; enough for a timer's handler. */
const BREATH_NS = 50_000;
/** CONFIG_RCU_CPU_STALL_TIMEOUT's default. */
const STALL_NS = 21e9;
/** What the question asks for. */
const LATENCY_NS = 1e6;

/** Pages [from, from + pages) of a buffer. */
function slice(buffer: SpeBuffer, from: number, pages: number): SpeBuffer {
  const firstPage = buffer.firstPage + from;
  const pointer = from === 0 ? buffer.pointer : BigInt(firstPage) << 12n;
  return { pointer, limit: BigInt(firstPage + pages) << 12n, firstPage, pages };
}

/** Walks, pins and maps the first few chunks one at a time, the guest running unsampled in between. */
const inChunks = (chunkPages: number): PinPolicy => ({
  name: "in-chunks",
  summary: `Pins ${chunkPages} pages at a time and lets the guest run in between.`,
  origin: "Written for this question.",
  tradeOff: "No long stop, but a blackout until the last page is pinned.",
  trapsBuffer: true,
  create() {
    let done = 0;
    return {
      onBufferEnabled(_buffer, ctx) {
        done = 0;
        ctx.armTimer(ctx.nowNs + BREATH_NS, "chunk");
        return { kind: "withheld" };
      },
      onBufferDisabled: (_buffer, ctx) => ctx.background("unpin"),
      onBackground: (_tag, worker) => worker.unpin(worker.pinned),
      onTimer(_tag, ctx) {
        const { buffer } = ctx;
        if (buffer === undefined) return;
        const walk = ctx.walk(slice(buffer, done, Math.min(chunkPages, buffer.pages - done)));
        // The guest unmapped it meanwhile, or memlock is too low: none of which this question's guest does.
        if (walk.kind !== "walked" || ctx.pin(walk.all).kind !== "done") return;
        if (ctx.map(walk.all).kind !== "done") return;
        done += walk.buffer.pages;
        if (done < Math.min(buffer.pages, CHUNKS_RUN * chunkPages))
          ctx.armTimer(ctx.nowNs + BREATH_NS, "chunk");
      },
    };
  },
});

const hostName = ({ profile, end }: { readonly profile: string; readonly end: CostEnd }): string =>
  end === "high" ? `${profile}, worst end` : profile;

export const q17 = question<Cell, Row>({
  number: 17,
  title: "How long may one pin take?",
  asked:
    "A pin of 65,536 pages runs to its end before the guest goes on. How long is that, and in chunks of how many pages " +
    "must it be done so that the guest's kernel reports no stall (21 s) and its timers are late by less than 1 ms?",
  origin:
    "James Clark, 9 January 2026, reply to v6 29/35, shows an RCU stall of 6,503 jiffies in a guest with one vCPU.",
  leavesOut: [
    "Whether GUP lets other tasks of the host run in between (cond_resched): the guest has to wait either way.",
    "Other causes of latency: the host's scheduler, interrupts, contention on its locks.",
    "Chunks are evenly expensive here; on a real host some pages must be faulted in or moved first.",
  ],
  decidedBy: "pinPage",
  cells: () => HOSTS.flatMap((host) => [0, ...CHUNKS].map((chunkPages) => ({ ...host, chunkPages }))),
  run({ profile, end, chunkPages }, costTables) {
    const run = trial({
      setting: settingOf(
        "one-enable",
        toggling({ count: 1, runNs: RUN_NS, gapNs: 0 }),
        // Only the stops matter here, not the samples.
        { ...DEFAULT_EVENT, period: 2 ** 20 },
        BUFFER_BYTES,
        SEED,
      ),
      policy: chunkPages === 0 ? pinOnEnable : inChunks(chunkPages),
      costs: costTables.of(profile, end),
      profile,
    });
    return {
      pages: run.pagesPinned - run.tablePagesPinned,
      longestStopNs: Math.max(run.longestStopNs.cold, run.longestStopNs.warm),
    };
  },
  answer(rows) {
    const of = (host: (typeof HOSTS)[number], chunkPages: number): Row => {
      const found = rows.find(
        ({ cell }) =>
          cell.profile === host.profile && cell.end === host.end && cell.chunkPages === chunkPages,
      );
      if (found === undefined) throw new Error(`no row for ${hostName(host)}, ${chunkPages}`);
      return found.row;
    };
    const largest = (host: (typeof HOSTS)[number]): number | undefined =>
      CHUNKS.findLast((chunk) => of(host, chunk).longestStopNs < LATENCY_NS);
    const chunkText = (host: (typeof HOSTS)[number]): string => {
      const chunk = largest(host);
      return chunk === undefined ? `fewer than ${CHUNKS[0]}` : formatCount(chunk);
    };
    const price = (host: (typeof HOSTS)[number]): string => {
      const chunk = largest(host);
      if (chunk === undefined) return `unknown (${hostName(host)})`;
      const count = Math.ceil(of(host, 0).pages / chunk);
      const ns = count * (BREATH_NS + of(host, chunk).longestStopNs);
      return `${formatNs(ns)} (${hostName(host)})`;
    };
    const [normal, normalWorst, debug, worst] = HOSTS;
    const whole = of(debug, 0);
    const worstWhole = of(worst, 0);
    const stalls = worstWhole.longestStopNs >= STALL_NS;
    const inARow = Math.ceil(STALL_NS / whole.longestStopNs);
    const stallPages = Math.floor((STALL_NS / worstWhole.longestStopNs) * worstWhole.pages);
    return {
      headline:
        `One pin of ${formatCount(whole.pages)} pages stops its vCPU for ${formatNs(of(normal, 0).longestStopNs)} ` +
        `(${formatNs(whole.longestStopNs)} on a debug kernel), which by itself ${stalls ? "can cause" : "cannot cause"} ` +
        `a 21 s stall; timers stay within 1 ms in chunks of ${chunkText(normal)} pages (${chunkText(debug)} there).`,
      sentences: [
        stalls
          ? `Against the stall alone, chunks of ${formatCount(stallPages)} pages would do at the worst end of the ranges.`
          : `A stretch of 21 s would need ${formatCount(stallPages)} pages even at the worst end of the ranges. ` +
            `The stall in the thread is many stops in a row with too little guest time between them: ` +
            `${formatCount(inARow)} of these on a debug kernel. Chunks do not help against that; fewer pins do.`,
        `At the worst end of the ranges the largest chunk is ${chunkText(worst)} pages on a debug kernel and ${chunkText(normalWorst)} on a normal one.`,
        `The price is a blackout until the last chunk is pinned. With ${formatNs(BREATH_NS)} of guest time between two chunks it lasts ${listed(HOSTS.map(price))}.`,
        `A chunk walks, pins and maps its pages; the exit of the timer that starts it is included. The first ${CHUNKS_RUN} are run, how many there are is counted.`,
      ],
      table: {
        columns: ["host", "at once", ...CHUNKS.map((chunk) => `${formatCount(chunk)} pages`)],
        rows: HOSTS.map((host) => [
          hostName(host),
          ...[0, ...CHUNKS].map((chunk) => formatNs(of(host, chunk).longestStopNs)),
        ]),
      },
      charts: [
        {
          title: "Longest stop by chunk",
          kind: "line",
          x: { name: "pages in a chunk", scale: "log" },
          y: { name: "longest stop (µs)", scale: "log" },
          series: HOSTS.map(
            (host): Series => ({
              name: hostName(host),
              points: CHUNKS.map((chunk) => [chunk, of(host, chunk).longestStopNs / 1e3]),
            }),
          ),
        },
      ],
    };
  },
});
