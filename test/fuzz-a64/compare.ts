/** Where two outcomes of a case differ, and the state that it began in, as text. */
import { fieldsOf, type Row } from "../../src/a64/encoding.ts";
import { INPUT, OUTPUT, SIGNAL } from "./format.ts";

const hex = (value: bigint | number, digits: number): string => value.toString(16).padStart(digits, "0");

export const signalOf = (outcome: DataView): number => outcome.getUint32(OUTPUT.SIGNAL, true);

/** Each line: what differs, here and on QEMU. */
export function differences(ours: DataView, theirs: DataView): string[] {
  const out: string[] = [];
  const differ64 = (name: string, at: number): void => {
    const a = ours.getBigUint64(at, true);
    const b = theirs.getBigUint64(at, true);
    if (a !== b) out.push(`${name} ${hex(a, 16)} against ${hex(b, 16)}`);
  };
  const differ32 = (name: string, at: number): void => {
    const a = ours.getUint32(at, true);
    const b = theirs.getUint32(at, true);
    if (a !== b) out.push(`${name} ${hex(a, 8)} against ${hex(b, 8)}`);
  };
  differ32("signal", OUTPUT.SIGNAL);
  const signal = signalOf(theirs);
  // What goes on and on is found somewhere.
  if (signal === SIGNAL.PROF) return out;
  differ64("PC", OUTPUT.PC);
  // What an access that faulted has loaded or stored by then is UNKNOWN (Arm ARM B2.2.1, D1.3.3).
  if (signal === SIGNAL.SEGV || signal === SIGNAL.BUS) return out;
  for (let i = 0; i < 31; i++) differ64(`X${i}`, OUTPUT.X + 8 * i);
  differ64("SP", OUTPUT.SP);
  differ32("NZCV", OUTPUT.NZCV);
  differ32("FPSR", OUTPUT.FPSR);
  for (let i = 0; i < 64; i++) differ64(`V${i >> 1}.D[${i & 1}]`, OUTPUT.V + 8 * i);
  differ32("memory", OUTPUT.MEMORY);
  return out;
}

/** What the instructions of a case begin with. */
export function describeInput(rows: readonly Row[], words: readonly number[], view: DataView): string {
  const parts = [
    `NZCV ${hex(view.getUint32(INPUT.NZCV, true), 8)}`,
    `FPCR ${hex(view.getUint32(INPUT.FPCR, true), 8)}`,
  ];
  const seen = new Set<string>();
  for (const [i, row] of rows.entries()) {
    const f = fieldsOf(row, words[i]!);
    for (const name of ["Rd", "Rt", "Rt2", "Rs", "Rn", "Rm", "Ra"] as const) {
      if (row.fields[name] === undefined) continue;
      const n = f[name];
      const x = n === 31 ? view.getBigUint64(INPUT.SP, true) : view.getBigUint64(INPUT.X + 8 * n, true);
      const low = view.getBigUint64(INPUT.V + 16 * n, true);
      const high = view.getBigUint64(INPUT.V + 16 * n + 8, true);
      const label = rows.length === 1 ? `${name}=${n}` : String(n);
      if (seen.has(label)) continue;
      seen.add(label);
      parts.push(`${label}: X ${hex(x, 16)} V ${hex(high, 16)}_${hex(low, 16)}`);
    }
  }
  return parts.join(", ");
}
