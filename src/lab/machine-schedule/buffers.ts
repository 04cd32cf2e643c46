/**
 * Which buffer each line of a machine's schedule is about. A vCPU may have several: the guest maps one for each recording, and
 * where one was freed another may lie, over other pages.
 */
import { PAGE_BYTES } from "../../common/address.ts";
import type { ScheduleLine } from "./file.ts";

type Line<Kind extends ScheduleLine[0]> = Extract<ScheduleLine, readonly [Kind, ...unknown[]]>;

/** What a schedule says of one of its buffers. */
export interface ScheduledBuffer {
  readonly mapped: Line<"buffer">;
  /** The first that it was enabled with; undefined: the guest had not written its registers when it was disabled again. */
  readonly event: Line<"event"> | undefined;
  /** Its lines, in order. */
  readonly lines: readonly ScheduleLine[];
}

const NONE = 0;

const contains = ([, , base, pages]: Line<"buffer">, address: string): boolean => {
  const offset = BigInt(address) - BigInt(base);
  const bytes = pages.reduce((sum, [, count]) => sum + count * PAGE_BYTES, 0);
  return offset >= 0n && offset <= BigInt(bytes);
};

/**
 * For each line the place of its buffer among those of its vCPU: an "on" is about the one that was mapped last where its pointer
 * is, and what comes then about that one.
 */
export function placesOf(lines: readonly ScheduleLine[]): readonly number[] {
  const mapped = new Map<number, Line<"buffer">[]>();
  const enabled = new Map<number, number>();
  return lines.map((line) => {
    const vcpu = line[1];
    const buffers = mapped.get(vcpu) ?? [];
    if (line[0] === "buffer") {
      mapped.set(vcpu, [...buffers, line]);
      return buffers.length;
    }
    if (line[0] === "on") {
      const place = buffers.findLastIndex((buffer) => contains(buffer, line[7]));
      enabled.set(vcpu, Math.max(NONE, place));
    }
    return enabled.get(vcpu) ?? NONE;
  });
}

/** The buffers of each vCPU, in the order in which they were first enabled. */
export function buffersOf(
  lines: readonly ScheduleLine[],
  cpus: number,
): readonly (readonly ScheduledBuffer[])[] {
  const places = placesOf(lines);
  return Array.from({ length: cpus }, (_, vcpu) => {
    const ofVcpu = lines.flatMap((line, i) => (line[1] === vcpu ? [{ line, place: places[i]! }] : []));
    return ofVcpu.flatMap(({ line, place }): ScheduledBuffer[] => {
      if (line[0] !== "buffer") return [];
      const own = ofVcpu.filter((other) => other.place === place).map((other) => other.line);
      return [{ mapped: line, event: own.find((other) => other[0] === "event"), lines: own }];
    });
  });
}
