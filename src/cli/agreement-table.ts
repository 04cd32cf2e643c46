/** The model beside the machine, on a terminal. */
import Table from "cli-table3";
import type { Agreement } from "../lab/report/run.ts";
import type { Look } from "./tables.ts";

const number = (value: number): string => value.toLocaleString("en");

export function renderAgreement({ policy, profile, rows, agrees }: Agreement, { colors }: Look): string {
  const table = new Table({
    head: [`${policy}, ${profile}`, "machine", "model", "must be", ""],
    colAligns: ["left", "right", "right", "left", "left"],
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows)
    table.push([
      row.what,
      number(row.machine),
      number(row.model),
      row.rule === "equal" ? "equal" : "within 5 %",
      row.agrees ? "" : colors.red("differs"),
    ]);
  const differ = rows.filter((row) => !row.agrees).length;
  const verdict = agrees
    ? "=> the model agrees with the machine"
    : `=> the model differs from the machine in ${differ} of ${rows.length}`;
  return `\n${table.toString()}\n${verdict}\n`;
}
