/**
 * `npm run bench:spe`: what SPE costs the machine that emulates it: host time of a guest instruction with the buffer on, at periods of
 * 4,096 and 1,024, beside the same work under perf without SPE. All turns are interleaved; medians.
 *
 * `--beside DIR` runs another checkout's machine in the same turns; `--only NAME…` some of the works; `--repeats N` turns.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readReport } from "../src/lab/report/report-file.ts";
import { debianRoot, IN_DEBIAN_ROOT } from "../test/guest/debian-root.ts";

const COMPILER = "aarch64-linux-gnu-gcc";
const EVENTS = { off: "-e dummy", "4,096": "-c 4096 -e arm_spe//", "1,024": "-c 1024 -e arm_spe//" } as const;
type Event = keyof typeof EVENTS;
const EVENT_NAMES = Object.keys(EVENTS) as Event[];

interface Work {
  readonly what: string;
  /** What perf records. */
  readonly command: string;
  /** What goes before it in the guest, and how perf is called there. */
  readonly before?: string;
  readonly in?: string;
  readonly options?: readonly string[];
  readonly input?: string;
}

const SORT =
  "awk 'BEGIN{srand(1);for(i=0;i<60000;i++)print rand()}' >/tmp/r; sort /tmp/r >/tmp/s; sort -n /tmp/r >/tmp/s";
const MANY =
  "for i in 1 2 3 4 5 6 7 8; do ls -lR /sys/class /sys/bus >/tmp/l; grep -c : /tmp/l; done; dmesg >/tmp/d";

const { values } = parseArgs({
  options: {
    beside: { type: "string" },
    repeats: { type: "string", default: "3" },
    only: { type: "string", multiple: true },
  },
});
const folder = mkdtempSync(join(tmpdir(), "spevisor-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
process.on("SIGINT", () => process.exit(130));

const has = (program: string): boolean => spawnSync(program, ["--version"]).error === undefined;

/** A static program for the guest; undefined without a cross compiler. */
function hotLoop(): string | undefined {
  if (!has(COMPILER)) return undefined;
  const program = join(folder, "spe");
  const source = fileURLToPath(new URL("spe.c", import.meta.url));
  const { status, stderr } = spawnSync(COMPILER, ["-O2", "-static", "-o", program, source], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${COMPILER} cannot build ${source}: ${stderr}`);
  return program;
}

async function works(): Promise<Work[]> {
  const all: Work[] = [
    { what: "shell loop", command: "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done" },
    { what: "sort", command: SORT },
    { what: "ls, grep, dmesg", command: MANY },
  ];
  const loop = hotLoop();
  if (loop === undefined) console.log(`No hot loop: ${COMPILER} is not installed`);
  else
    all.push({
      what: "hot loop",
      before: "cat >/tmp/spe && chmod +x /tmp/spe",
      command: "/tmp/spe 400000000",
      input: loop,
    });
  if (!has("mmdebstrap") || !has("mksquashfs"))
    console.log("No compile: apt-get install mmdebstrap squashfs-tools");
  else if (values.only === undefined || values.only.includes("compile"))
    all.push({
      what: "compile",
      before: `cat >/tmp/spe.c; ${IN_DEBIAN_ROOT.replace(/\n *chroot \/mnt$/, "")}; cp /tmp/spe.c /mnt/tmp/`,
      in: "chroot /mnt",
      command: "for i in 1 2 3; do cc -O2 -c /tmp/spe.c -o /tmp/spe.o; done",
      options: ["--disk", `${await debianRoot("bookworm", join(folder, "root.squashfs"))},snapshot`],
      input: fileURLToPath(new URL("spe.c", import.meta.url)),
    });
  return values.only === undefined ? all : all.filter(({ what }) => values.only?.includes(what));
}

interface Turn {
  /** Host ns of a guest instruction. */
  readonly ns: number;
  readonly instructions: number;
  readonly samples: number;
}

function turn(project: string, work: Work, event: Event): Turn {
  const json = join(folder, "run.json");
  const perf = `${work.in ?? ""} perf record --no-bpf-event -o /dev/null ${EVENTS[event]} -- sh -c "${work.command.replaceAll(/(["$\\])/g, "\\$1")}"`;
  const command = work.before === undefined ? perf : `${work.before}; ${perf}`;
  const argv = [
    "run",
    "--policy",
    "adaptive",
    "--json",
    json,
    ...(work.options ?? []),
    "--",
    "sh",
    "-c",
    command,
  ];
  const { status, stderr } = spawnSync(process.execPath, [join(project, "bin/spevisor.js"), ...argv], {
    stdio: [work.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    ...(work.input === undefined ? {} : { input: readFileSync(work.input) }),
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${work.what} at ${event} ended with ${status}: ${stderr}`);
  const { runs, host } = readReport(readFileSync(json, "utf8"), json);
  const { runNs, instructions } = host.machine as NonNullable<typeof host.machine>;
  return { ns: runNs / instructions, instructions, samples: runs[0]?.samples.selected ?? 0 };
}

/** Of two in the middle the mean: two turns have no slower one for their median. */
function median(of: readonly number[]): number {
  const sorted = [...of].sort((a, b) => a - b);
  const [low, high] = [Math.ceil(of.length / 2) - 1, Math.floor(of.length / 2)].map((i) => sorted[i]);
  return ((low as number) + (high as number)) / 2;
}

const projects = [fileURLToPath(new URL("..", import.meta.url))];
if (values.beside !== undefined) projects.push(resolve(values.beside));
for (const project of projects)
  if (!existsSync(join(project, "bin/spevisor.js"))) throw new Error(`${project} has no bin/spevisor.js`);

console.log(
  ["", ...EVENT_NAMES.flatMap((event) => (event === "off" ? ["off"] : [event, "times", "a sample"]))]
    .map((cell, i) => (i === 0 ? cell.padEnd(24) : cell.padStart(11)))
    .join(""),
);
for (const work of await works()) {
  const turns = projects.map(() => new Map<Event, Turn[]>(EVENT_NAMES.map((event) => [event, []])));
  for (let i = 0; i < Number(values.repeats); i++)
    for (const event of EVENT_NAMES)
      for (const [p, project] of projects.entries()) turns[p]?.get(event)?.push(turn(project, work, event));
  turns.forEach((of, p) => {
    const ns = (event: Event) => median((of.get(event) ?? []).map((one) => one.ns));
    const cells = EVENT_NAMES.flatMap((event) => {
      const shown = `${ns(event).toFixed(2)} ns`;
      if (event === "off") return [shown];
      const [{ instructions, samples }] = of.get(event) as [Turn];
      const sampleUs = ((ns(event) - ns("off")) * instructions) / Math.max(1, samples) / 1000;
      return [shown, (ns(event) / ns("off")).toFixed(2), `${sampleUs.toFixed(1)} µs`];
    });
    console.log(
      [(p === 0 ? work.what : "  beside it").padEnd(24), ...cells.map((cell) => cell.padStart(11))].join(""),
    );
  });
}
