/** Whether the driver model, which replays what a machine did, comes to what the machine came to. */
import type { Agreement, Run } from "./report/run.ts";

/** What of a run is compared. */
type Compared = Pick<
  Run,
  | "scenario"
  | "policy"
  | "profile"
  | "guestWallNs"
  | "bufferEnables"
  | "bufferDisables"
  | "pins"
  | "unpins"
  | "pagesPinned"
  | "tablePagesPinned"
  | "recordStage2Faults"
  | "blackouts"
  | "samples"
  | "exitReasons"
>;

/** How far apart what depends on time may be, of the machine's figure. */
const MOST_APART = 0.05;

type AgreementRow = Agreement["rows"][number];

/** Exits that a guest without SPE would not make: the host's timers are the policy's. */
const isOfSpe = (reason: string): boolean =>
  reason === "PMBIRQ" ||
  reason === "host timer" ||
  reason === "KVM_EXIT_RLIMIT" ||
  /^M(RS|SR) PM[BS].*_EL1$/.test(reason);

const EQUAL = [
  ["enables", (run: Compared) => run.bufferEnables],
  ["disables", (run: Compared) => run.bufferDisables],
  ["pins", (run: Compared) => run.pins],
  ["unpins", (run: Compared) => run.unpins],
  ["pages pinned", (run: Compared) => run.pagesPinned],
  ["table pages pinned", (run: Compared) => run.tablePagesPinned],
  ["record faults", (run: Compared) => run.recordStage2Faults],
] as const;

const NEAR = [
  ["wall time, ns", (run: Compared) => run.guestWallNs],
  ["blackouts", (run: Compared) => run.blackouts.count],
  ["blackouts, ns", (run: Compared) => run.blackouts.totalNs],
  ["samples selected", (run: Compared) => run.samples.selected],
  ["samples written", (run: Compared) => run.samples.written],
  ["samples lost in blackouts", (run: Compared) => run.samples.lostInBlackout],
] as const;

const row = (what: string, machine: number, model: number, rule: AgreementRow["rule"]): AgreementRow => ({
  what,
  machine,
  model,
  rule,
  agrees: rule === "equal" ? machine === model : Math.abs(machine - model) <= MOST_APART * machine,
});

/** The machine's run beside the model's of the same policy and profile. */
export function agreementOf(machine: Compared, model: Compared): Agreement {
  const reasons = [...new Set([...Object.keys(machine.exitReasons), ...Object.keys(model.exitReasons)])];
  const exits = reasons.filter(isOfSpe).sort() as (keyof Run["exitReasons"])[];
  const rows = [
    ...EQUAL.map(([what, of]) => row(what, of(machine), of(model), "equal")),
    ...exits.map((reason) =>
      row(`exits: ${reason}`, machine.exitReasons[reason] ?? 0, model.exitReasons[reason] ?? 0, "equal"),
    ),
    ...NEAR.map(([what, of]) => row(what, of(machine), of(model), "near")),
  ];
  const { scenario, policy, profile } = machine;
  return { scenario, policy, profile, rows, agrees: rows.every(({ agrees }) => agrees) };
}
