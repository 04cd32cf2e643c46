/** Arm ARM C4.1.94: Advanced SIMD loads and stores of structures. */
import { type Fields, type RowOptions, rows } from "../encoding.ts";

/** opcode: 0 LD4, 2 LD1 of four, 4 LD3, 6 LD1 of three, 7 LD1 of one, 8 LD2, 10 LD1 of two. */
const OPCODES = [0, 2, 4, 6, 7, 8, 10];
const multiple: RowOptions = {
  sp: ["Rn"],
  // Structures of 64-bit elements need full registers; LD1 does not interleave.
  undefined: (f) => !OPCODES.includes(f.opcode) || (f.size === 3 && f.Q === 0 && (f.opcode & 2) === 0),
};

/** Size and lane of a single structure's elements, and their number, are specials of its semantics. */
const single: RowOptions = {
  sp: ["Rn"],
  dynamic: ["Q", "S", "size", "opcode", "R"],
  undefined: ({ opcode, size, S }: Fields) => {
    // opcode<2:1> is the size, 3 a form of its own; bits that name no lane are reserved.
    const scale = opcode >> 1;
    if (scale === 1) return (size & 1) === 1;
    if (scale === 2) return (size & 2) !== 0 || ((size & 1) === 1 && S === 1);
    return scale === 3;
  },
};
const replicate: RowOptions = { sp: ["Rn"] };

export const SIMD_LOADS_STORES = rows("Advanced SIMD loads and stores", {
  LDST_multiple: ["0 Q 0011000 L 000000 opcode:4 size:2 Rn:5 Rt:5", multiple],
  LDST_multiple_post: ["0 Q 0011001 L 0 Rm:5 opcode:4 size:2 Rn:5 Rt:5", multiple],
  LDST_single: ["0 Q 0011010 L R 00000 opcode:3 S size:2 Rn:5 Rt:5", single],
  LDST_single_post: ["0 Q 0011011 L R Rm:5 opcode:3 S size:2 Rn:5 Rt:5", single],
  LD_replicate: ["0 Q 0011010 1 R 00000 11 o0 0 size:2 Rn:5 Rt:5", replicate],
  LD_replicate_post: ["0 Q 0011011 1 R Rm:5 11 o0 0 size:2 Rn:5 Rt:5", replicate],
});
