/** The command that repeats a cell. */
import { fieldsOf, type SweepCell } from "./cell.ts";

const quoted = (word: string): string =>
  /^[\w./=,:@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** "256M" where it comes out even. */
function sizeOf(bytes: number): string {
  for (const [suffix, unit] of [
    ["G", 1024 ** 3],
    ["M", 1024 ** 2],
    ["K", 1024],
  ] as const)
    if (bytes % unit === 0) return `${bytes / unit}${suffix}`;
  return String(bytes);
}

const option = (name: string, value: string | number | null | undefined): readonly string[] =>
  value === null || value === undefined || value === "" ? [] : [`--${name}`, String(value)];

/**
 * What to type for a cell's run again, and all that is said of it.
 * @param pathOf where a recording or a policy is, by its SHA-256
 */
export function commandOf(cell: SweepCell, pathOf: (sha256: string) => string): string {
  const { policy, profile, costs, seed, period } = fieldsOf(cell);
  const file = "policyFile" in cell ? cell.policyFile : undefined;
  const chosen = [
    ...option("policy", file === undefined ? policy : pathOf(file.sha256)),
    ...option("profile", profile),
  ];
  const words = (...command: readonly string[]): string =>
    ["npx", "spevisor", ...command].map(quoted).join(" ");
  switch (cell.kind) {
    case "thread": {
      const more = [...chosen, "--buffer", sizeOf(cell.bufferBytes), ...option("seed", seed)];
      return costs === "" && period === null
        ? words("thread", "--scenario", cell.scenario, ...more)
        : words(
            "sweep",
            "--kind",
            "thread",
            "--scenario",
            cell.scenario,
            ...more,
            ...option("costs", costs),
            ...option("period", period),
          );
    }
    case "predict": {
      const path = pathOf(cell.recording.sha256);
      const more = [
        ...option("comm", cell.comm),
        ...chosen,
        "--buffer",
        sizeOf(cell.bufferBytes),
        ...option("period", period),
        ...option("vcpus", cell.vcpus),
        ...option("backing", cell.backing),
        ...option("seed", seed),
      ];
      return costs === ""
        ? words("predict", path, ...more)
        : words("sweep", "--kind", "predict", "--recording", path, ...more, ...option("costs", costs));
    }
    case "bar": {
      const { setting } = cell;
      const of =
        setting.kind === "scenario"
          ? ["--scenario", setting.name]
          : setting.kind === "recording"
            ? ["--recording", pathOf(setting.file.sha256)]
            : ["--random", "1"];
      return words("bar", cell.policy, ...of, "--profile", cell.profile, ...option("seed", seed));
    }
    case "ask":
      return words("ask", String(cell.question), ...option("costs", costs));
    case "linux":
      return words(
        "thread",
        "--guest",
        "linux",
        "--scenario",
        cell.scenario.replace(/ --no-bpf-event$/, ""),
        ...(cell.policy === "none" || cell.policy === "free-spe" ? [] : chosen),
        ...option("seed", seed),
      );
    case "fuzz":
      switch (cell.target) {
        case "a64":
          return `npm run fuzz:a64 -- --cases ${cell.cases} --seed ${cell.seed}`;
        case "a64-sequences":
          return `npm run fuzz:a64 -- --sequences --cases ${cell.cases} --seed ${cell.seed}`;
        case "recordings":
          return `FUZZ_SEED=${cell.seed} FUZZ_COUNT=${cell.cases} npx vitest run test/perf-fuzz.test.ts`;
        case "hostile-guests":
          return `npm run fuzz:spe -- --cases ${cell.cases} --seed ${cell.seed}`;
      }
  }
}
