/**
 * The AUX buffers of the model's guest. A vCPU has one, wherever the guest's allocator puts it; or those that a machine's guest
 * was seen to have, one after the other or side by side, each mapped when it is first enabled, in the place of what was there.
 */
import type { Vpn } from "../common/address.ts";
import type { AuxReading } from "./aux-buffer.ts";
import type { ModelMemory } from "./memory.ts";
import type { SpeEvent } from "./spe-event.ts";

/** A buffer whose place and use are known. */
export interface PlacedBuffer {
  /** Its first page of VA, and the guest pages behind it as [first, pages]. */
  readonly first: Vpn;
  readonly pages: readonly (readonly [first: number, pages: number])[];
  /** The guest pages of the tables that map it, in the order of a walk: the root is the first. */
  readonly tables: readonly number[];
  readonly event: SpeEvent;
  /** perf record -S. */
  readonly snapshot: boolean;
  /** How far perf's reader has read at each window that the driver opens; absent: the driver's model assumes when it reads. */
  readonly readings?: readonly AuxReading[];
  /** How long the driver took for each of its interrupts, in ns; absent, and behind the last: as long as it costs. */
  readonly interruptNs?: readonly number[];
  /** Whether a driver without space for a full buffer's records writes PMBLIMITR_EL1 a second time; absent: it does. */
  readonly haltsTwice?: boolean;
  /** PMSICR_EL1 as the driver writes it when the event starts, by start; absent: as it was when the event was stopped. */
  readonly startCounts?: readonly (bigint | undefined)[];
}

/** How many pages a buffer has. */
export const pagesOf = ({ pages }: Pick<PlacedBuffer, "pages">): number =>
  pages.reduce((sum, [, count]) => sum + count, 0);

/** The guest pages behind it, in order of VA. */
export const guestPagesOf = ({ pages }: PlacedBuffer): Int32Array =>
  Int32Array.from(pages.flatMap(([first, count]) => Array.from({ length: count }, (_, i) => first + i)));

/** The first guest page behind all of them and their tables. */
export const pageBehind = (placed: readonly (readonly PlacedBuffer[])[]): number =>
  Math.max(
    ...placed
      .flat()
      .flatMap(({ pages, tables }) => [
        ...pages.map(([first, count]) => first + count),
        ...tables.map((table) => table + 1),
      ]),
  );

/** Buffers by vCPU and their order there: which are mapped changes with what the guest enables. */
export class PlacedBuffers {
  readonly #memory: ModelMemory;
  readonly #placed: readonly (readonly PlacedBuffer[])[];
  #mapped: readonly PlacedBuffer[] = [];

  /** Maps each once, so that there are tables for all of them. */
  constructor(memory: ModelMemory, placed: readonly (readonly PlacedBuffer[])[]) {
    this.#memory = memory;
    this.#placed = placed;
    for (const [vcpu, buffers] of placed.entries())
      for (const buffer of buffers.keys()) this.map(vcpu, buffer);
  }

  /**
   * The guest enables this buffer: what it had freed where it lies is gone.
   * @returns whether it was not mapped
   */
  map(vcpu: number, index: number): boolean {
    const buffer = this.#placed[vcpu]![index]!;
    if (this.#mapped.includes(buffer)) return false;
    const end = buffer.first + pagesOf(buffer);
    const inItsPlace = (other: PlacedBuffer): boolean =>
      other.first < end && buffer.first < other.first + pagesOf(other);
    for (const other of this.#mapped.filter(inItsPlace)) this.#memory.unmap(other.first, pagesOf(other));
    this.#memory.offerTables(buffer.tables);
    this.#memory.mapBufferAt(buffer.first, buffer.pages);
    this.#mapped = [...this.#mapped.filter((other) => !inItsPlace(other)), buffer];
    return true;
  }

  /** Which are mapped, of all in order: what `restore` takes. */
  save(): readonly number[] {
    const all = this.#placed.flat();
    return this.#mapped.map((buffer) => all.indexOf(buffer));
  }

  /** Where the tables are restored by themselves. */
  restore(mapped: readonly number[]): void {
    const all = this.#placed.flat();
    this.#mapped = mapped.map((i) => all[i]!);
  }
}
