/**
 * Operands that have found mistakes, here and in other people's emulators, or stand where one would be: to random bits they
 * would not happen in a lifetime.
 */

/** Of integers; narrower operands take their low bits. */
export const INTEGERS: readonly bigint[] = [
  // The ends of each size, sign-extended and not, and one beyond.
  0x7fn,
  0x80n,
  0xffn,
  0x100n,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x1_0000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0xffff_ffff_ffff_ff80n,
  0xffff_ffff_ffff_8000n,
  0xffff_ffff_8000_0000n,
  0x8000_0000_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  // Halves that are each other's ends: carries and signs between lanes of 32 bits.
  0x7fff_ffff_8000_0000n,
  0x8000_0000_7fff_ffffn,
  0xffff_ffff_0000_0000n,
  0x7fff_ffff_ffff_0000n,
  // All lanes alike: the least and the greatest of bytes and halfwords, whose products and sums saturate.
  0x8080_8080_8080_8080n,
  0x7f7f_7f7f_7f7f_7f7fn,
  0x8000_8000_8000_8000n,
  0x7fff_7fff_7fff_7fffn,
  0x8000_0000_8000_0000n,
  0x7fff_ffff_7fff_ffffn,
  0x0101_0101_0101_0101n,
  0x0001_0001_0001_0001n,
  0x5555_5555_5555_5555n,
  0xaaaa_aaaa_aaaa_aaaan,
  0x0f0f_0f0f_0f0f_0f0fn,
  0x00ff_00ff_00ff_00ffn,
  // Counts of bits, leading zeros and signs.
  0x0123_4567_89ab_cdefn,
  0xfedc_ba98_7654_3210n,
  // Square roots of the ends: products that just fit.
  0xb504_f333n,
  0xb504_f334n,
  0xb505n,
  // Shift counts by register: the low byte counts, as a signed number.
  0x3fn,
  0x40n,
  0x81n,
  0xc0n,
  0xc1n,
];

/** Magnitudes of floating-point numbers, by width; the sign is drawn. */
export const FLOATS = {
  16: [
    // The greatest, the least normal, the greatest and the least denormal; 1 and its neighbours; 2^15 and what rounds to it.
    ...[0x7bffn, 0x0400n, 0x03ffn, 0x0001n, 0x3c00n, 0x3bffn, 0x3c01n, 0x7800n, 0x77ffn],
    // Quiet and signalling NaNs: the least and the greatest payload.
    ...[0x7e00n, 0x7fffn, 0x7c01n, 0x7dffn, 0x7c00n],
  ],
  32: [
    ...[0x7f7f_ffffn, 0x0080_0000n, 0x007f_ffffn, 0x0000_0001n, 0x3f80_0000n, 0x3f7f_ffffn, 0x3f80_0001n],
    // What rounds into the denormals when it is multiplied by 1/2, and what overflows when it is doubled.
    ...[0x00ff_ffffn, 0x0100_0000n, 0x0100_0001n, 0x7eff_ffffn, 0x7f00_0000n],
    // 2^23 and 2^24, above which there are no fractions; halves that go to even.
    ...[0x4b00_0000n, 0x4aff_ffffn, 0x4b80_0000n, 0x3f00_0000n, 0x3fc0_0000n, 0x4020_0000n, 0x3eff_ffffn],
    // The ends of 32 and 64 bits.
    ...[0x4eff_ffffn, 0x4f00_0000n, 0x4f7f_ffffn, 0x4f80_0000n, 0x5eff_ffffn, 0x5f00_0000n, 0x5f80_0000n],
    // 65504 + 16 and its neighbours, where half precision overflows; 2^-25 and 2^-24, where it underflows.
    ...[0x477f_efffn, 0x477f_f000n, 0x477f_e000n, 0x3300_0000n, 0x3300_0001n, 0x3380_0000n, 0x3387_ffffn],
    ...[0x7fc0_0000n, 0x7fff_ffffn, 0x7f80_0001n, 0x7fbf_ffffn, 0x7f80_0000n],
  ],
  64: [
    ...[0x7fef_ffff_ffff_ffffn, 0x0010_0000_0000_0000n, 0x000f_ffff_ffff_ffffn, 0x0000_0000_0000_0001n],
    ...[0x3ff0_0000_0000_0000n, 0x3fef_ffff_ffff_ffffn, 0x3ff0_0000_0000_0001n],
    ...[0x001f_ffff_ffff_ffffn, 0x0020_0000_0000_0001n, 0x7fdf_ffff_ffff_ffffn, 0x7fe0_0000_0000_0000n],
    // 2^52 and 2^53; halves.
    ...[0x4330_0000_0000_0000n, 0x432f_ffff_ffff_ffffn, 0x4340_0000_0000_0000n, 0x3fe0_0000_0000_0000n],
    ...[0x3ff8_0000_0000_0000n, 0x4004_0000_0000_0000n, 0x3fdf_ffff_ffff_ffffn],
    // The ends of 32 and 64 bits.
    ...[0x41df_ffff_ffc0_0000n, 0x41e0_0000_0000_0000n, 0x41ef_ffff_ffe0_0000n, 0x41df_ffff_ffff_ffffn],
    ...[0x43df_ffff_ffff_ffffn, 0x43e0_0000_0000_0000n, 0x43ef_ffff_ffff_ffffn, 0x43f0_0000_0000_0000n],
    // Half-way cases of single precision: the greatest, 1 + 2^-24, the least denormal and half of it.
    ...[0x47ef_ffff_efff_ffffn, 0x47ef_ffff_f000_0000n, 0x3ff0_0000_1000_0000n, 0x3ff0_0000_3000_0000n],
    ...[0x3690_0000_0000_0000n, 0x3690_0000_0000_0001n, 0x36a0_0000_0000_0000n, 0x380f_ffff_ffff_ffffn],
    ...[0x7ff8_0000_0000_0000n, 0x7fff_ffff_ffff_ffffn, 0x7ff0_0000_0000_0001n, 0x7ff7_ffff_ffff_ffffn],
    0x7ff0_0000_0000_0000n,
  ],
} as const satisfies Record<number, readonly bigint[]>;
