/** A small Linux program here and on qemu-aarch64, instruction by instruction, until a register differs. */
import type { Decoder } from "../../src/a64/decoder.ts";
import { disassemble } from "../../src/a64/disassembler.ts";
import { fieldsOf, type Row } from "../../src/a64/encoding.ts";
import { SIGNAL } from "../fuzz-a64/format.ts";
import { signalOf, UserSpace } from "../fuzz-a64/user-space.ts";
import type { GdbClient } from "./gdb.ts";

const PAGE = 4096n;
const SEGMENT_PAGES = 2048;
const STACK_PAGES = 32;
/** What lies above SP when a program starts: its arguments and environment. */
const ARGUMENTS_BYTES = 4096;
const READ_BYTES = 1024;

/** Registers by name. */
export type Registers = ReadonlyMap<string, bigint>;

export interface Step {
  readonly pc: bigint;
  readonly text: string;
}

export interface Outcome {
  /** How many instructions were the same. */
  readonly executed: number;
  /** Why it ended: the program did (SVC, BRK, or the same signal on both), a register differs, or enough were executed. */
  readonly ending: "ended" | "differs" | "limit";
  /** The last instructions, the one at which it ended as the last. */
  readonly last: readonly Step[];
  /** What differs after it: before it, here and on QEMU. */
  readonly differences: readonly {
    readonly register: string;
    readonly before: bigint;
    readonly here: bigint;
    readonly onQemu: bigint;
  }[];
}

interface Segment {
  readonly va: bigint;
  readonly bytes: Uint8Array;
  readonly sizeBytes: number;
}

/** What is loaded of an ELF program (PT_LOAD), and where it starts. */
function segmentsOf(elf: Uint8Array): { entry: bigint; segments: Segment[] } {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  const table = Number(view.getBigUint64(32, true));
  const segments: Segment[] = [];
  for (let i = 0; i < view.getUint16(56, true); i++) {
    const at = table + i * view.getUint16(54, true);
    if (view.getUint32(at, true) !== 1) continue;
    const offset = Number(view.getBigUint64(at + 8, true));
    const inFile = Number(view.getBigUint64(at + 32, true));
    segments.push({
      va: view.getBigUint64(at + 16, true),
      bytes: elf.subarray(offset, offset + inFile),
      sizeBytes: Number(view.getBigUint64(at + 40, true)),
    });
  }
  return { entry: view.getBigUint64(24, true), segments };
}

/** The program on a core of ours. */
class Here {
  readonly #space = new UserSpace(SEGMENT_PAGES + STACK_PAGES + 64);
  readonly #pages = new Map<bigint, Uint8Array>();

  constructor(elf: Uint8Array) {
    const { entry, segments } = segmentsOf(elf);
    for (const { va, bytes, sizeBytes } of segments) {
      for (let page = va & -PAGE; page < va + BigInt(sizeBytes); page += PAGE) this.#map(page);
      this.write(va, bytes);
    }
    this.#space.enterEl0(entry);
  }

  get decoder(): Decoder {
    return this.#space.core.code.decoder;
  }

  #map(va: bigint): void {
    if (this.#pages.has(va)) return;
    const page = this.#space.allocate();
    const words = this.#space.pages[page]!;
    this.#pages.set(va, new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
    this.#space.map(va, page, "code");
  }

  /** Begins with the registers and the stack that the program has on QEMU. */
  start(registers: Registers, arguments_: Uint8Array): void {
    const { state } = this.#space.core;
    for (let n = 0; n < 31; n++) state.setX(n, registers.get(`x${n}`)!);
    state.nzcv = Number(registers.get("nzcv")! << 28n);
    const sp = registers.get("sp")!;
    for (let i = 1 - STACK_PAGES; i <= 1; i++) this.#map((sp & -PAGE) + BigInt(i) * PAGE);
    this.write(sp, arguments_);
    state.sp = sp;
  }

  write(va: bigint, bytes: Uint8Array): void {
    bytes.forEach((byte, i) => {
      const at = va + BigInt(i);
      const page = this.#pages.get(at & -PAGE);
      if (page !== undefined) page[Number(at & (PAGE - 1n))] = byte;
    });
  }

  wordAt(va: bigint): number {
    const page = this.#pages.get(va & -PAGE);
    const at = Number(va & (PAGE - 1n));
    return page === undefined ? 0 : new DataView(page.buffer, page.byteOffset).getUint32(at, true);
  }

  /** Executes one instruction. Returns the signal that it ends the program with; 0: none. */
  step(): number {
    const { core } = this.#space;
    core.run(1);
    return core.state.el === 0 ? 0 : signalOf(core.state.get64("ESR_EL1"));
  }

  registers(vectors: readonly number[]): Registers {
    const { state } = this.#space.core;
    const faulted = state.el === 1;
    const out = new Map<string, bigint>();
    for (let n = 0; n < 31; n++) out.set(`x${n}`, state.x(n));
    out.set("sp", faulted ? state.get64("SP_EL0") : state.sp);
    out.set("pc", faulted ? state.get64("ELR_EL1") : state.pc);
    out.set("nzcv", faulted ? (state.get64("SPSR_EL1") >> 28n) & 15n : BigInt((state.nzcv >>> 28) & 15));
    for (const n of vectors)
      if (n === FPSR) out.set("fpsr", BigInt(state.get32("FPSR")));
      else if (n === FPCR) out.set("fpcr", BigInt(state.get32("FPCR")));
      else out.set(`v${n}`, state.d(n) | (state.lane(n, 3, 1) << 64n));
    return out;
  }
}

/** Bytes in hexadecimal, least significant first. */
const littleEndian = (text: string): bigint => BigInt(`0x${(text.match(/../g) ?? ["0"]).reverse().join("")}`);

/** QEMU's numbers: X0 to X30, SP, PC and CPSR in one answer, and V0 to V31, FPSR and FPCR by themselves. */
async function registersOnQemu(gdb: GdbClient, vectors: readonly number[]): Promise<Registers> {
  const text = await gdb.ask("g");
  const out = new Map<string, bigint>();
  for (let n = 0; n < 33; n++) {
    const name = n === 31 ? "sp" : n === 32 ? "pc" : `x${n}`;
    out.set(name, littleEndian(text.slice(16 * n, 16 * n + 16)));
  }
  out.set("nzcv", littleEndian(text.slice(16 * 33, 16 * 33 + 8)) >> 28n);
  for (const n of vectors)
    out.set(
      n === FPSR ? "fpsr" : n === FPCR ? "fpcr" : `v${n}`,
      littleEndian(await gdb.ask(`p${(34 + n).toString(16)}`)),
    );
  return out;
}

async function memoryOnQemu(gdb: GdbClient, va: bigint, bytes: number): Promise<Uint8Array> {
  const out: number[] = [];
  while (out.length < bytes) {
    const text = await gdb.ask(`m${(va + BigInt(out.length)).toString(16)},${READ_BYTES.toString(16)}`);
    // Memory that is not there.
    if (text.startsWith("E")) break;
    for (const byte of text.match(/../g) ?? []) out.push(Number.parseInt(byte, 16));
  }
  return Uint8Array.from(out);
}

/** Numbers of FPSR and FPCR, behind those of V0 to V31. */
const FPSR = 32;
const FPCR = 33;
const ALL_VECTORS = Array.from({ length: 34 }, (_, n) => n);

/** Which SIMD and FP registers an instruction may change: each takes a question. */
function vectorsOf(row: Row | undefined, word: number): readonly number[] {
  if (row?.name === "MSR_reg") return [FPSR, FPCR];
  if (
    row === undefined ||
    !(/^(Advanced SIMD|Floating point|Crypto)/.test(row.group) || /_fp/.test(row.name))
  )
    return [];
  const f = fieldsOf(row, word);
  // Structures of up to four registers are loaded from Rt on.
  const named = [f.Rd, f.Rt, f.Rt2].filter((n) => n !== undefined);
  const more = row.group === "Advanced SIMD loads and stores" ? [1, 2, 3].map((i) => (f.Rt + i) % 32) : [];
  return [...new Set([...named, ...more, FPSR])];
}

/** The signal in a stop reply: "T05thread:...", "S05"; and the status of a program that has ended, "W00". */
const stopSignal = (reply: string): number =>
  /^[TS]/.test(reply) ? Number.parseInt(reply.slice(1, 3), 16) : -1;

/**
 * Executes a static ELF program until it ends, or a register differs, or `limit` instructions are executed.
 * @param gdb the same program on QEMU, before its first instruction
 */
export async function lockstep(elf: Uint8Array, gdb: GdbClient, limit: number): Promise<Outcome> {
  // Only who has asked for the description gets the numbers of SIMD and FP registers.
  await gdb.ask("qSupported");
  await gdb.ask("qXfer:features:read:target.xml:0,ffb");
  const here = new Here(elf);
  const start = await registersOnQemu(gdb, ALL_VECTORS);
  const sp = start.get("sp")!;
  here.start(start, await memoryOnQemu(gdb, sp, ARGUMENTS_BYTES));
  const last: Step[] = [];
  let before = start;
  for (let executed = 0; ; executed++) {
    const pc = before.get("pc")!;
    const word = here.wordAt(pc);
    const row = here.decoder.decode(word);
    last.push({ pc, text: disassemble(here.decoder, word) });
    if (last.length > 8) last.shift();
    if (row?.name === "SVC" || row?.name === "BRK")
      return { executed, ending: "ended", last, differences: [] };
    if (executed === limit) return { executed, ending: "limit", last, differences: [] };
    const vectors = vectorsOf(row, word);
    const signal = here.step();
    const onQemu = stopSignal(await gdb.ask("s"));
    const ours = here.registers(vectors);
    const theirs = await registersOnQemu(gdb, vectors);
    const differences = [...ours].flatMap(([register, value]) => {
      const other = theirs.get(register)!;
      return value === other
        ? []
        : [{ register, before: before.get(register) ?? 0n, here: value, onQemu: other }];
    });
    // A step's own stop is a SIGTRAP.
    const theirSignal = onQemu === SIGNAL.TRAP ? 0 : onQemu;
    if (signal !== theirSignal)
      differences.unshift({
        register: "signal",
        before: 0n,
        here: BigInt(signal),
        onQemu: BigInt(theirSignal),
      });
    if (differences.length > 0) return { executed, ending: "differs", last, differences };
    if (signal !== 0) return { executed, ending: "ended", last, differences: [] };
    before = new Map([...before, ...theirs]);
  }
}
