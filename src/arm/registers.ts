/** All system registers that this project knows, as one table: by name and by encoding. */
import { invariant } from "../common/errors.ts";
import { type Encoding, encodingKey, type Register } from "./register.ts";
import { ID_REGISTERS } from "./registers-id.ts";
import { SPE_REGISTERS } from "./registers-spe.ts";
import { SYSTEM_REGISTERS } from "./registers-system.ts";

export {
  ENCODINGS,
  OPERATIONS,
  PMEVCNTR_EL0,
  PMEVTYPER_EL0,
  SYSOP,
  SYSREG,
  type SysregName,
} from "./encodings.ts";
export { bit, bits, type Encoding, encodingKey, type Register, register } from "./register.ts";
export * from "./registers-id.ts";
export * from "./registers-spe.ts";
export * from "./registers-system.ts";

export const REGISTERS = [...SPE_REGISTERS, ...SYSTEM_REGISTERS, ...ID_REGISTERS] as const;

/** The registers of the Statistical Profiling Extension. */
export type SpeRegisterName = (typeof SPE_REGISTERS)[number]["name"];
export type RegisterName = (typeof REGISTERS)[number]["name"];

const byName = new Map<string, Register>();
const byEncoding = new Map<number, Register>();
for (const r of REGISTERS as readonly Register[]) {
  const key = encodingKey(r.encoding);
  invariant(!byName.has(r.name), `${r.name} is declared twice`);
  invariant(!byEncoding.has(key), `${r.name} has the encoding of ${byEncoding.get(key)?.name}`);
  byName.set(r.name, r);
  byEncoding.set(key, r);
}

/** The register of a name. */
export function registerByName(name: RegisterName): Register {
  const found = byName.get(name);
  invariant(found !== undefined, `${name} is not in the table`);
  return found;
}

/** The register that an MSR/MRS names, or undefined if the table has none. */
export const registerByEncoding = (encoding: Encoding): Register | undefined =>
  byEncoding.get(encodingKey(encoding));
