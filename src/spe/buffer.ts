/** What records do to the buffer: PMBPTR_EL1 moves, and PMBSR_EL1 tells why it cannot. */
import { PMBSR_BSC, PMBSR_EC } from "../arm/syndromes.ts";
import type { RecordFault } from "./outcomes.ts";
import { type Buffer, recomputeRemaining, type SpuState } from "./state.ts";

const PAGES_OF_VA = 2 ** 52;

/**
 * Records have been written at the pointer.
 * @returns whether the buffer is full now
 */
export function recordsWritten(state: SpuState, records: number, bytes: number): boolean {
  const { buffer, counters, facts } = state;
  counters.written += records;
  counters.writtenBytes += bytes;
  movePointer(buffer, bytes);
  if (buffer.remainingBytes >= facts.maxRecordBytes) return false;
  fill(state);
  return true;
}

/** SPEBufferFilled. S is 0 here: with S set nothing is written. */
export function fill({ status, counters }: SpuState): void {
  status.s = true;
  status.ec = PMBSR_EC.buffer;
  status.mss = PMBSR_BSC.filled;
  counters.filledBuffers++;
}

/** DebugWriteFault and DebugWriteExternalAbort. */
export function raiseFault({ status, buffer, facts }: SpuState, fault: RecordFault): void {
  const incomplete = fault.incompleteBytes ?? 0;
  status.s = true;
  status.mss = fault.dfsc;
  status.ec =
    fault.kind === "granule-protection"
      ? PMBSR_EC.granuleProtection
      : fault.kind === "implementation-defined"
        ? PMBSR_EC.implementationDefined
        : fault.stage === 2
          ? PMBSR_EC.stage2Abort
          : PMBSR_EC.stage1Abort;
  if (fault.kind === "external") status.ea = true;
  if (incomplete > 0) {
    status.dl = true;
    movePointer(buffer, incomplete - (incomplete % facts.alignBytes));
  }
}

function movePointer(buffer: Buffer, bytes: number): void {
  const offset = buffer.pointerOffset + bytes;
  if (offset < 4096) {
    buffer.pointerOffset = offset;
    buffer.remainingBytes -= bytes;
    return;
  }
  buffer.pointerOffset = offset % 4096;
  buffer.pointerPage = (buffer.pointerPage + Math.floor(offset / 4096)) % PAGES_OF_VA;
  recomputeRemaining(buffer);
}
