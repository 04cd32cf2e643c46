/**
 * PMBIDR_EL1.MaxBuffSize: the largest profiling buffer a hypervisor lets a guest use. An exponent E in bits 45:41
 * and a mantissa M in bits 40:32: with E = 0 it is M * 4096 bytes, otherwise (1:M) << (E + 11). Zero means no
 * limit, and is what hardware reads. (Linux: the MaxBuffSize fields of arch/arm64/tools/sysreg and their decoding in
 * the KVM SPE series.)
 */
import { UserError } from "../common/errors.ts";
import { PMBIDR_EL1 } from "./registers-spe.ts";

const MANTISSA_BITS = 9;
const MANTISSA_LIMIT = 2 ** MANTISSA_BITS;
const EXPONENT_MAX = 31;

/** Bytes from a PMBIDR_EL1 value; undefined: no limit. Exact: at most 10 significant bits. */
export function maxBufferBytes(pmbidr: bigint): number | undefined {
  const mantissa = PMBIDR_EL1.num(pmbidr, "MaxBuffSize_M");
  const exponent = PMBIDR_EL1.num(pmbidr, "MaxBuffSize_E");
  if (exponent === 0) return mantissa === 0 ? undefined : mantissa * 4096;
  return (MANTISSA_LIMIT + mantissa) * 2 ** (exponent + 11);
}

/**
 * A PMBIDR_EL1 value with MaxBuffSize set.
 * @param bytes undefined for no limit; otherwise it must be representable exactly: a multiple of 4096, and above
 *   2 MiB with at most 10 significant bits. Anything else is a UserError.
 */
export function withMaxBufferBytes(pmbidr: bigint, bytes: number | undefined): bigint {
  if (bytes === undefined) return PMBIDR_EL1.with(pmbidr, { MaxBuffSize_M: 0, MaxBuffSize_E: 0 });
  const refuse = (): never => {
    throw new UserError(
      `${bytes} bytes cannot be a maximum profiling buffer size`,
      "Use a positive multiple of 4096 with at most 10 significant bits, such as 4M or 256M",
    );
  };
  if (!Number.isSafeInteger(bytes) || bytes <= 0 || bytes % 4096 !== 0) refuse();
  let mantissa = bytes / 4096;
  let exponent = 0;
  if (mantissa >= MANTISSA_LIMIT) {
    exponent = 1;
    while (mantissa >= 2 * MANTISSA_LIMIT && mantissa % 2 === 0) {
      mantissa /= 2;
      exponent++;
    }
    if (mantissa >= 2 * MANTISSA_LIMIT || exponent > EXPONENT_MAX) refuse();
    mantissa -= MANTISSA_LIMIT;
  }
  return PMBIDR_EL1.with(pmbidr, { MaxBuffSize_M: mantissa, MaxBuffSize_E: exponent });
}
