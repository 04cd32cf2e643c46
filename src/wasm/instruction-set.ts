/**
 * The instructions that follow one of four patterns, from the tables: what the emitting methods (operations.ts), the
 * checker and the tests are derived from. Instructions with immediates of their own kind (constants, control, locals,
 * tables, bulk memory, shuffle) are written by hand in operations.ts and function-body.ts.
 */
import { SCALAR_MEMORY, SCALAR_PLAIN } from "./scalar-instructions.ts";
import { SIMD_LANE, SIMD_MEMORY, SIMD_MEMORY_LANE, SIMD_PLAIN } from "./simd-instructions.ts";
import type { ValueType } from "./types.ts";

export type Immediates = "none" | "memory" | "lane" | "memory-lane";

/** One instruction: its name in the specification, how it is encoded, what it takes and leaves. */
export interface Instruction {
  readonly name: string;
  /** A byte, or a prefix byte and the number that follows it (0xfd1a: 0xfd, 0x1a). */
  readonly opcode: number;
  readonly immediates: Immediates;
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
  /** Bytes accessed in memory; 0 if it does not access memory. */
  readonly accessBytes: number;
  /** Lanes that a lane immediate chooses from; 0 if there is none. */
  readonly lanes: number;
}

type NamesOf<Table> = { [S in keyof Table]: keyof Table[S] }[keyof Table] & string;

export type PlainName = NamesOf<typeof SCALAR_PLAIN> | NamesOf<typeof SIMD_PLAIN>;
export type MemoryName = NamesOf<typeof SCALAR_MEMORY> | NamesOf<typeof SIMD_MEMORY>;
export type LaneName = NamesOf<typeof SIMD_LANE>;
export type MemoryLaneName = NamesOf<typeof SIMD_MEMORY_LANE>;

type Table = Readonly<Record<string, Readonly<Record<string, number | readonly [number, number]>>>>;

const types = (text: string): readonly ValueType[] => text.split(" ").filter(Boolean) as ValueType[];

function listed(immediates: Immediates, ...tables: readonly Table[]): Instruction[] {
  return tables.flatMap((table) =>
    Object.entries(table).flatMap(([signature, group]) => {
      const [params = "", results = ""] = signature.split("->");
      return Object.entries(group).map(([name, entry]) => {
        const [opcode, size] = typeof entry === "number" ? [entry, 0] : entry;
        const memory = immediates === "memory" || immediates === "memory-lane";
        return {
          name,
          opcode,
          immediates,
          params: types(params),
          results: types(results),
          accessBytes: memory ? size : 0,
          lanes: immediates === "lane" ? size : immediates === "memory-lane" ? 16 / size : 0,
        };
      });
    }),
  );
}

/** Every instruction of the four patterns. */
export const INSTRUCTIONS: readonly Instruction[] = [
  ...listed("none", SCALAR_PLAIN, SIMD_PLAIN),
  ...listed("memory", SCALAR_MEMORY, SIMD_MEMORY),
  ...listed("lane", SIMD_LANE),
  ...listed("memory-lane", SIMD_MEMORY_LANE),
];

/** A name of the specification as a method: `shr_u` is `shrU`. */
export type MethodName<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<MethodName<Tail>>}`
  : Name;

/** The method for an instruction's name without its namespace. */
export const methodName = (name: string): string =>
  name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

/** The bytes that encode an opcode. */
export function opcodeBytes(opcode: number): readonly number[] {
  if (opcode <= 0xff) return [opcode];
  const number = opcode & 0xff;
  return number < 0x80 ? [opcode >> 8, number] : [opcode >> 8, (number & 0x7f) | 0x80, number >> 7];
}
