/**
 * `npm run results`: runs what docs/results.md tells of, and writes it and its page. The runs repeat exactly, so the files do:
 * with `--check` they are compared instead, and the exit status says whether they are the same.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { modelPart } from "./results/model.ts";
import { recordingsPart } from "./results/recordings.ts";
import { at, say } from "./results/runs.ts";
import { threadPart } from "./results/thread.ts";
import { truthPart } from "./results/truth.ts";

const docs = (name: string): string => fileURLToPath(new URL(`../docs/${name}`, import.meta.url));
const NAMES = ["results.md", "results.html"] as const;

const page = at("results.html");
const thread = threadPart(page);
const truth = truthPart();
const model = modelPart();
const text = `# Results

What was found by running Debian's kernel, driver and perf on the machine. \`npm run results\` runs all of it again and writes
this file and [its page](results.html), byte for byte; \`npm run results -- --check\` compares.

- ${thread.finding}
- ${truth.finding}
- The driver model, which replays what the machine did, comes to the same in ${model.agreeing} of ${model.all} scenarios: enables, pins,
  pages, faults and exits equal, time and samples within 5 %.

## The thread's commands

\`spevisor thread --guest linux\` has them under every policy, and with samples. Slowdown is over the VM whose SPE costs nothing.

${thread.text}

## The profile against the truth

The same run counts every instruction that the guest believes to be profiled (\`spevisor run --exact-profile\`). *Away* is the
total variation between that and the records that were written: half the sum of the differences of shares. *By chance* is what as
many independent samples would have in the mean, *hardly more than* what they exceed once in a thousand cases. A sample every
1,024 instructions, with jitter. The hard host unmaps 20,000 pages a second, and takes 1 ms from a fault of the unit's to its
handler, where the guest is too slow to bring names of symbols: there lines are compared, by address.

${truth.text}

## The model against the machine

A run writes what it did with its buffers (\`spevisor run --schedule\`), and \`spevisor predict --against\` holds the driver model's
replay of it against the run itself: enables, disables, pins, pages, faults and exits, those of its timers too, must be equal, times and samples within 5 %.
"a / b" are the machine's and the model's. ${model.agreeing} of ${model.all} agree in everything.

${model.text}

## What a recording leaves open

Enables of the buffer, counted by the machine, and predicted from what \`perf record --switch-events\` has recorded in the same guest:
with CPU numbers a switch between two tasks of the command is told from others, without them by time alone (5 µs from one to the
next), and where that decides both ends are given.

${recordingsPart()}

## What was seen on the way

- With a sample each 256 instructions into 256 MiB (\`fills-256m\`) adaptive has one blackout of 16.5 µs, 70 µs after the first enable:
  records come at 1 GB/s, so its first 64 KiB are full before its first look, and only then it asks its worker for more. At the
  periods that the unit recommends (1,024 and more) there is none.
- Where the host goes over all of guest memory once a second (\`reclaim\`, \`migration\`, \`numa-hints\`, \`ksm\`) fault truncates a record
  for each page of the buffer that is gone; pin-on-enable and adaptive none.
- Where user space may lock 4 MiB (\`memlock-short\`) pin-on-enable's first enable of 16 MiB ends the VM; adaptive goes on with less.
`;
writeFileSync(at("results.md"), text);
if (process.argv.includes("--check")) {
  const differing = NAMES.filter((name) => !readFileSync(at(name)).equals(readFileSync(docs(name))));
  say(differing.length === 0 ? "docs/ is what the runs come to" : `docs/ differs: ${differing.join(", ")}`);
  process.exitCode = differing.length === 0 ? 0 : 1;
} else for (const name of NAMES) writeFileSync(docs(name), readFileSync(at(name)));
