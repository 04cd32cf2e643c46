/** What facts.sh prints, as lines that do not depend on where, when and how fast a machine runs. */

/** What is replaced, in order. */
const VARYING: readonly (readonly [RegExp, string])[] = [
  [/^\[ *\d+\.\d+\] /, ""],
  // Addresses, masks and identification registers that are no fact of their own.
  [/0x[0-9a-f]+/g, "0x…"],
  [/@[0-9a-f]+\b/g, "@…"],
  [/\b[0-9a-f]{6,16}\b/g, "…"],
  [/audit\(\d+\.\d+:\d+\)/, "audit(…)"],
  [/initialised in \d+ms/, "initialised in …ms"],
  [/\d+K reserved/, "…K reserved"],
  // A clock that does not stand still while the kernel boots.
  [/(setting system clock to [\d-]+T00:0)\S+/, "$1…"],
];

/** Where numbers are the facts. */
const EXACT: ReadonlySet<string> = new Set(["cpuinfo", "registers", "pmu"]);

/** Sections by name: "@@ NAME" begins one. Lines that only differ in what varies become one. */
export function factsOf(console: string): ReadonlyMap<string, ReadonlySet<string>> {
  const sections = new Map<string, Set<string>>();
  let lines: Set<string> | undefined;
  let varying = VARYING;
  for (const raw of console.split(/\r*\n/)) {
    const name = /^@@ (\w+)$/.exec(raw)?.[1];
    if (name !== undefined) {
      lines = new Set();
      sections.set(name, lines);
      varying = EXACT.has(name) ? [] : VARYING;
    } else lines?.add(varying.reduce((line, [what, by]) => line.replace(what, by), raw).trim());
  }
  return sections;
}

/** "SECTION: LINE" for each line that one machine has and the other has not. */
export function onlyIn(
  one: ReadonlyMap<string, ReadonlySet<string>>,
  other: ReadonlyMap<string, ReadonlySet<string>>,
): readonly string[] {
  const lines: string[] = [];
  for (const [section, facts] of one)
    for (const fact of facts)
      if (!(other.get(section)?.has(fact) ?? false)) lines.push(`${section}: ${fact}`);
  return lines;
}
