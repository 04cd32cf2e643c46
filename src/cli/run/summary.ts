/** What a run of a machine comes to, in a few lines for people. */
import { formatNs } from "../../common/sizes.ts";
import { type Host, type LinuxRun, TIME_PARTS } from "../../lab/report/run.ts";
import { byFrequency } from "../../vmm/figures.ts";

const STORM_WORDS = {
  nested: "a storm of exceptions: %n, none of which has returned",
  repeated: "a storm of exceptions: %n in a row, each of which returned to the next",
} as const;

const MOST_REASONS = 6;
const MOST_WORDS = 8;

const count = (value: number): string => value.toLocaleString("en");

/** "MMIO 1,204, HVC 3". */
const frequent = (counts: Readonly<Record<string, number | undefined>>, most: number): string =>
  Object.entries(byFrequency(counts))
    .slice(0, most)
    .map(([name, times]) => `${name} ${count(times)}`)
    .join(", ");

export function summaryOf(run: LinuxRun, host: NonNullable<Host["machine"]>): string {
  const { machine } = run;
  const kinds = TIME_PARTS.filter((part) => run[part] > 0)
    .sort((a, b) => run[b] - run[a])
    .map((part) => `${part.replace(/Ns$/, "")} ${formatNs(run[part])}`);
  const started = host.snapshot === "restored" ? "restored" : "started";
  const lines = [
    `${count(host.instructions)} instructions in ${formatNs(host.runNs)} (${host.mips} MIPS), ${started} in ${formatNs(host.startNs)}`,
    `${formatNs(run.guestWallNs)} of the guest's time; vCPUs: ${kinds.join(", ")}`,
    `${count(run.cpuStage2Faults)} stage-2 faults; exits: ${frequent(run.exitReasons, MOST_REASONS)}`,
  ];
  if (machine.boot !== null)
    lines.push(
      `before that: ${formatNs(machine.boot.wallNs)}, ${count(machine.boot.instructions)} instructions, ` +
        `${count(machine.boot.cpuStage2Faults)} stage-2 faults; exits: ${frequent(machine.boot.exitReasons, MOST_REASONS)}`,
    );
  const words = frequent(machine.undefined, MOST_WORDS);
  if (words !== "") lines.push(`UNDEFINED on this core: ${words}`);
  if (machine.ended !== "done" && machine.ended !== "off")
    for (const [i, { pc, el, storm }] of machine.vcpus.entries()) {
      lines.push(`vCPU ${i} stopped at ${pc}, EL${el}`);
      if (storm !== null)
        lines.push(
          `vCPU ${i} is in ${STORM_WORDS[storm.kind].replace("%n", count(storm.exceptions))}; the last: ` +
            `ESR_EL1 ${storm.esr}, ELR_EL1 ${storm.elr}, FAR_EL1 ${storm.far}, VBAR_EL1 ${storm.vbar}`,
        );
    }
  return lines.map((line) => `spevisor: ${line}\n`).join("");
}
