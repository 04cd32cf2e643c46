/**
 * The guest's values of the buffer registers, in memory (the series' "memory copies"), apart from the hardware's: what a
 * guest reads while its accesses trap.
 *
 * They change on a guest's write; besides, PMBPTR_EL1 goes where records were written or copied to, and PMBSR_EL1 tells
 * of an event. PMBSR_EL1.S is the level of the virtual PMBIRQ.
 */
import { PMBLIMITR_EL1, PMBSR_EL1 } from "../../arm/registers.ts";
import { PMBSR_EC } from "../../arm/syndromes.ts";
import { vpnOf } from "../../common/address.ts";
import type { SpeOwner } from "./owner.ts";
import type { SpeBuffer } from "./policy.ts";

/** Values of the buffer registers: the guest's, or the hardware's. */
export interface BufferRegisters {
  readonly PMBLIMITR_EL1: bigint;
  readonly PMBPTR_EL1: bigint;
  readonly PMBSR_EL1: bigint;
}

export class GuestCopies {
  readonly #owner: SpeOwner;
  #values: BufferRegisters = { PMBLIMITR_EL1: 0n, PMBPTR_EL1: 0n, PMBSR_EL1: 0n };

  constructor(owner: SpeOwner) {
    this.#owner = owner;
  }

  get values(): BufferRegisters {
    return this.#values;
  }

  get buffer(): SpeBuffer {
    return bufferOf(this.#values);
  }

  /** All three; the virtual PMBIRQ follows. */
  set(values: BufferRegisters): void {
    this.#values = values;
    this.#owner.line(PMBSR_EL1.is(values.PMBSR_EL1, "S"));
  }

  /** PMBSR_EL1; the virtual PMBIRQ follows. COLL stays until the guest clears it. */
  setStatus(status: bigint): void {
    this.set({ ...this.#values, PMBSR_EL1: status | collision(this.#values.PMBSR_EL1) });
  }

  /** What the hardware's PMBSR_EL1 says of collisions is the guest's, whoever deals with the event that it reports beside. */
  addCollision(status: bigint): void {
    const PMBSR_EL1 = this.#values.PMBSR_EL1 | collision(status);
    this.#values = { ...this.#values, PMBSR_EL1 };
  }

  /** Records have moved PMBPTR_EL1 there. */
  setPointer(pointer: bigint): void {
    const { PMBLIMITR_EL1: limitr, PMBSR_EL1: status } = this.#values;
    this.#values = { PMBLIMITR_EL1: limitr, PMBPTR_EL1: pointer, PMBSR_EL1: status };
  }

  /** As `values` has told them. The line is restored by itself. */
  restore(values: BufferRegisters): void {
    this.#values = { ...values };
  }
}

const LIMIT = PMBLIMITR_EL1.fields.LIMIT.mask;
const COLL = PMBSR_EL1.with(0n, { COLL: 1 });
/** PMBSR_EL1.COLL alone: a sample was dropped, since another was in flight. It is no event, and raises no PMBIRQ. */
export const collision = (pmbsr: bigint): bigint => pmbsr & COLL;

/** PMBLIMITR_EL1.LIMIT as an address: the first byte after the buffer. */
export const limitOf = (pmblimitr: bigint): bigint => BigInt.asUintN(64, pmblimitr & LIMIT);

/** PMBLIMITR_EL1.E. */
export const enableBit = ({ PMBLIMITR_EL1: limitr }: BufferRegisters): boolean =>
  PMBLIMITR_EL1.is(limitr, "E");

/** The buffer that registers describe, on or off. */
export function bufferOf(registers: BufferRegisters): SpeBuffer {
  const pointer = registers.PMBPTR_EL1;
  const limit = limitOf(registers.PMBLIMITR_EL1);
  const firstPage = vpnOf(pointer);
  return { pointer, limit, firstPage, pages: vpnOf(limit) - firstPage };
}

export const sameRange = (a: BufferRegisters, b: BufferRegisters): boolean =>
  a.PMBPTR_EL1 === b.PMBPTR_EL1 && a.PMBLIMITR_EL1 === b.PMBLIMITR_EL1;

/** PMBSR_EL1 tells of a record that stage 2 did not translate: the hypervisor's business, never the guest's. */
export const isStage2Abort = (pmbsr: bigint): boolean => PMBSR_EL1.num(pmbsr, "EC") === PMBSR_EC.stage2Abort;

/** PMBSR_EL1 tells that the SPU has reached its limit. */
export const isBufferFull = (pmbsr: bigint): boolean => PMBSR_EL1.num(pmbsr, "EC") === PMBSR_EC.buffer;
