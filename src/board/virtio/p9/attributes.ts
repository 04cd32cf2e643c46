/** Attributes of files on the wire: qids, Rgetattr, Tsetattr. */
import { type Attributes, type Changes, MODE } from "./file-system.ts";
import { type MessageReader, MessageWriter, type Qid } from "./messages.ts";

const QID_TYPE = { DIRECTORY: 0x80, SYMLINK: 0x02 } as const;
/** P9_STATS_BASIC: all but birth time, generation and data version. */
const STATS_BASIC = 0x7ffn;
/** Bits of Tsetattr (P9_ATTR_*). */
const ATTR = {
  MODE: 1,
  UID: 2,
  GID: 4,
  SIZE: 8,
  ATIME: 0x10,
  MTIME: 0x20,
  ATIME_SET: 0x80,
  MTIME_SET: 0x100,
} as const;
const NS = 1_000_000_000n;

export function qidOf({ inode, mode, mtimeNs, sizeBytes }: Attributes): Qid {
  const kind = mode & MODE.TYPE;
  return {
    type: kind === MODE.DIRECTORY ? QID_TYPE.DIRECTORY : kind === MODE.SYMLINK ? QID_TYPE.SYMLINK : 0,
    // Another one after each change: caching mounts look at it.
    version: Number(BigInt.asUintN(32, (mtimeNs / 1000n) ^ (sizeBytes << 8n))),
    path: BigInt.asUintN(64, inode),
  };
}

/** The body of Rgetattr. */
export function attributesReply(found: Attributes): MessageWriter {
  const writer = new MessageWriter()
    .u64(STATS_BASIC)
    .qid(qidOf(found))
    .u32(found.mode)
    .u32(found.uid)
    .u32(found.gid)
    .u64(found.links)
    .u64(found.device)
    .u64(found.sizeBytes)
    .u64(found.blockBytes)
    .u64(found.blocks);
  for (const time of [found.atimeNs, found.mtimeNs, found.ctimeNs]) {
    const sub = ((time % NS) + NS) % NS;
    writer.u64(BigInt.asUintN(64, (time - sub) / NS)).u64(sub);
  }
  // Birth time, generation and data version are not among what is valid.
  return writer.u64(0n).u64(0n).u64(0n).u64(0n);
}

/** The fields of Tsetattr after its fid. */
export function readChanges(r: MessageReader): Changes {
  const [valid, mode, uid, gid, sizeBytes] = [r.u32(), r.u32(), r.u32(), r.u32(), r.u64()];
  const time = (): bigint => BigInt.asIntN(64, r.u64()) * NS + r.u64();
  const [atimeNs, mtimeNs] = [time(), time()];
  const has = (bit: number): boolean => (valid & bit) !== 0;
  return {
    ...(has(ATTR.MODE) ? { mode: mode & 0o7777 } : {}),
    ...(has(ATTR.UID) ? { uid } : {}),
    ...(has(ATTR.GID) ? { gid } : {}),
    ...(has(ATTR.SIZE) ? { sizeBytes } : {}),
    ...(has(ATTR.ATIME) ? { atime: has(ATTR.ATIME_SET) ? atimeNs : "now" } : {}),
    ...(has(ATTR.MTIME) ? { mtime: has(ATTR.MTIME_SET) ? mtimeNs : "now" } : {}),
  };
}
