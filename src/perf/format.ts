/**
 * The numbers of the perf.data format: include/uapi/linux/perf_event.h for what the kernel writes,
 * tools/lib/perf/include/perf/event.h and tools/perf/util/header.h for what the perf tool adds.
 */

/** perf_event_header.type. Below 64: the kernel's; from 64: the perf tool's own. */
export const RECORD = {
  mmap: 1,
  lost: 2,
  comm: 3,
  exit: 4,
  fork: 7,
  sample: 9,
  mmap2: 10,
  lostSamples: 13,
  switch: 14,
  switchCpuWide: 15,
  headerAttr: 64,
  headerTracingData: 66,
  finishedRound: 68,
  auxtrace: 71,
  headerFeature: 80,
  compressed: 81,
  compressed2: 83,
} as const;

/** The first type number that the perf tool writes itself: such records carry no sample id. */
export const FIRST_TOOL_RECORD = 64;

const RECORD_NAMES: Readonly<Record<number, string>> = {
  1: "MMAP",
  2: "LOST",
  3: "COMM",
  4: "EXIT",
  5: "THROTTLE",
  6: "UNTHROTTLE",
  7: "FORK",
  8: "READ",
  9: "SAMPLE",
  10: "MMAP2",
  11: "AUX",
  12: "ITRACE_START",
  13: "LOST_SAMPLES",
  14: "SWITCH",
  15: "SWITCH_CPU_WIDE",
  16: "NAMESPACES",
  17: "KSYMBOL",
  18: "BPF_EVENT",
  19: "CGROUP",
  20: "TEXT_POKE",
  21: "AUX_OUTPUT_HW_ID",
  22: "CALLCHAIN_DEFERRED",
  64: "HEADER_ATTR",
  65: "HEADER_EVENT_TYPE",
  66: "HEADER_TRACING_DATA",
  67: "HEADER_BUILD_ID",
  68: "FINISHED_ROUND",
  69: "ID_INDEX",
  70: "AUXTRACE_INFO",
  71: "AUXTRACE",
  72: "AUXTRACE_ERROR",
  73: "THREAD_MAP",
  74: "CPU_MAP",
  75: "STAT_CONFIG",
  76: "STAT",
  77: "STAT_ROUND",
  78: "EVENT_UPDATE",
  79: "TIME_CONV",
  80: "HEADER_FEATURE",
  81: "COMPRESSED",
  82: "FINISHED_INIT",
  83: "COMPRESSED2",
  84: "BPF_METADATA",
  85: "SCHEDSTAT_CPU",
  86: "SCHEDSTAT_DOMAIN",
};

/** "SWITCH" for 14; undefined for a type that neither the kernel nor perf had when this was written. */
export const recordName = (type: number): string | undefined => RECORD_NAMES[type];

/** perf_event_header.misc, by record type. */
export const MISC = {
  /** PERF_RECORD_MISC_COMM_EXEC: the name comes from execve. */
  commExec: 1 << 13,
  /** PERF_RECORD_MISC_MMAP_DATA: a mapping that is not executable. */
  mmapData: 1 << 13,
  /** PERF_RECORD_MISC_SWITCH_OUT. */
  switchOut: 1 << 13,
  /** PERF_RECORD_MISC_SWITCH_OUT_PREEMPT, since Linux 4.17: switched out while runnable. */
  switchOutPreempt: 1 << 14,
  /** PERF_RECORD_MISC_LOST_SAMPLES_BPF: samples that a filter dropped on purpose. */
  lostSamplesBpf: 1 << 15,
} as const;

/** perf_event_attr.sample_type: the bits that shape the sample id at the end of a record. */
export const SAMPLE = {
  tid: 1 << 1,
  time: 1 << 2,
  id: 1 << 6,
  cpu: 1 << 7,
  streamId: 1 << 9,
  identifier: 1 << 16,
} as const;

/** perf_event_attr's one-bit flags, numbered as on a little-endian machine. */
export const ATTR_FLAG = {
  disabled: 0,
  inherit: 1,
  mmap: 8,
  comm: 9,
  enableOnExec: 12,
  task: 13,
  sampleIdAll: 18,
  mmap2: 23,
  commExec: 24,
  contextSwitch: 26,
} as const;

/** Feature bits of the header: those that are read, and DIR_FORMAT, which is refused. */
export const FEATURE = {
  hostname: 3,
  osRelease: 4,
  version: 5,
  arch: 6,
  nrCpus: 7,
  cmdline: 11,
  eventDesc: 12,
  sampleTime: 21,
  dirFormat: 24,
  compressed: 27,
} as const;

/** HEADER_FEAT_BITS. */
export const FEATURE_BITS = 256;

/** sizeof(struct perf_event_header). */
export const RECORD_HEADER_BYTES = 8;
/** The largest record: perf_event_header.size is a u16. */
export const MAX_RECORD_BYTES = 0xffff;
