/** Vector registers as lanes of unsigned integers, for the SIMD instructions that TypeScript carries out. */
import type { Fields } from "../a64/encoding.ts";
import type { FpEnv } from "../a64/fp/format.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** What an instruction has to work on. `size` is log2 of a lane's bytes, `count` how many lanes the result has. */
export interface Lanes {
  readonly f: Fields;
  readonly state: VcpuState;
  /** FPCR, and FPSR as it gathers flags. */
  readonly env: FpEnv;
}

/** What an instruction does. */
export type Execute = (lanes: Lanes) => void;

/** Scalar encodings have no Q. */
export const isScalar = (f: Fields): boolean => (f as { Q?: number }).Q === undefined;

/** Lanes of a result with lanes of this size. */
export const countOf = (f: Fields, size: number): number => (isScalar(f) ? 1 : (8 << f.Q) >> size);

export function lane({ state }: Lanes, register: number, size: number, i: number): bigint {
  return state.lane(register, size, i);
}

/** Writes Rd from its lowest lane on; what lies above becomes zero. */
export function writeAll({ f, state }: Lanes, size: number, values: readonly bigint[]): void {
  state.setD(f.Rd, 0n);
  for (let i = 0; i < values.length; i++) state.setLane(f.Rd, size, i, values[i]!);
}

/** Writes a narrow result: with Q = 1 the upper half of Rd, whose lower half stays. */
export function writeNarrow({ f, state }: Lanes, size: number, values: readonly bigint[]): void {
  const upper = !isScalar(f) && f.Q === 1;
  if (!upper) state.setD(f.Rd, 0n);
  for (let i = 0; i < values.length; i++) state.setLane(f.Rd, size, i + (upper ? 8 >> size : 0), values[i]!);
}
