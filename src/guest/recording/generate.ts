/**
 * Writes recordings of any size for benchmarks and tests: a perf.data as `perf record --switch-events -e dummy [-a]
 * -- cmd` would, of a command whose tasks take turns on the CPUs with other tasks and idle. The same options give the
 * same bytes. It streams: one round of records is in memory at a time.
 */
import { type RandomStream, randomStream } from "../../common/random.ts";
import { ATTR_FLAG, FEATURE_BITS, MISC, RECORD, SAMPLE } from "../../perf/format.ts";

export interface GenerateOptions {
  readonly seed: number;
  /** Switch records (IN and OUT) to write, at least; the last round is completed. */
  readonly switchEvents: number;
  /** true: as with -a, CPU-wide records with CPU numbers; false: those of the command's tasks, without. */
  readonly systemWide: boolean;
  readonly cpus?: number;
  /** Tasks of the recorded command, for each CPU. */
  readonly tasksPerCpu?: number;
  readonly littleEndian?: boolean;
}

/** Takes the bytes in order. The array is not used again. */
export type ByteSink = (bytes: Uint8Array) => void;

const ATTR_BYTES = 128;
const HEADER_BYTES = 72 + FEATURE_BITS / 8;
const DATA_OFFSET = HEADER_BYTES + ATTR_BYTES + 16;
/** Where the recording's clock starts: beyond 2^53 ns, as after 104 days of uptime. */
const START = { high: 0x200000, low: 0x1000 } as const;
/** Switch-ins of each CPU in a round of perf's. */
const SWITCHES_PER_ROUND = 256;
const COMMAND_PID = 1000;
const OTHER_PID = 500;
/** The switches that a CPU makes are at least this far apart. */
const SHORTEST_NS = 1_000;

interface Task {
  readonly pid: number;
  readonly tid: number;
}

const IDLE: Task = { pid: 0, tid: 0 };

/** Writes fields of either byte order behind each other. */
class Writer {
  #bytes = new Uint8Array(1 << 16);
  #view = new DataView(this.#bytes.buffer);
  at = 0;
  readonly littleEndian: boolean;

  constructor(littleEndian: boolean) {
    this.littleEndian = littleEndian;
  }

  u16(value: number): void {
    this.#room(2);
    this.#view.setUint16(this.at, value, this.littleEndian);
    this.at += 2;
  }

  u32(value: number): void {
    this.#room(4);
    this.#view.setUint32(this.at, value, this.littleEndian);
    this.at += 4;
  }

  u64(value: number): void {
    this.words(Math.floor(value / 0x1_0000_0000), value % 0x1_0000_0000);
  }

  /** A u64 from its two halves. */
  words(high: number, low: number): void {
    this.u32(this.littleEndian ? low : high);
    this.u32(this.littleEndian ? high : low);
  }

  text(value: string, fieldBytes: number): void {
    this.#room(fieldBytes);
    for (let i = 0; i < fieldBytes; i++)
      this.#bytes[this.at + i] = i < value.length ? value.charCodeAt(i) : 0;
    this.at += fieldBytes;
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.at++] = value;
  }

  /** What was written since the last call. */
  take(): Uint8Array {
    const out = this.#bytes.slice(0, this.at);
    this.at = 0;
    return out;
  }

  #room(bytes: number): void {
    if (this.at + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(this.#bytes.length * 2);
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/** Writes records, each with its sample id. */
class Records {
  readonly out: Writer;
  readonly #systemWide: boolean;
  switches = 0;

  constructor(out: Writer, systemWide: boolean) {
    this.out = out;
    this.#systemWide = systemWide;
  }

  switchIn(atNs: number, cpu: number, task: Task, previous: Task): void {
    this.#switch(atNs, cpu, task, previous, 0);
  }

  switchOut(atNs: number, cpu: number, task: Task, next: Task, preempted: boolean): void {
    this.#switch(atNs, cpu, task, next, MISC.switchOut | (preempted ? MISC.switchOutPreempt : 0));
  }

  comm(atNs: number | undefined, task: Task, comm: string, exec: boolean): void {
    this.#header(RECORD.comm, exec ? MISC.commExec : 0, 24);
    this.out.u32(task.pid);
    this.out.u32(task.tid);
    this.out.text(comm, 16);
    this.#sampleId(atNs, 0, task);
  }

  fork(atNs: number, cpu: number, task: Task, parent: Task): void {
    this.#header(RECORD.fork, 0, 24);
    for (const value of [task.pid, parent.pid, task.tid, parent.tid]) this.out.u32(value);
    this.#time(atNs);
    this.#sampleId(atNs, cpu, parent);
  }

  finishedRound(): void {
    this.out.u32(RECORD.finishedRound);
    this.out.u16(0);
    this.out.u16(8);
  }

  #switch(atNs: number, cpu: number, task: Task, other: Task, misc: number): void {
    // A per-task event has no record of idle or of other tasks, and does not tell who came before or comes next.
    if (!this.#systemWide && task.pid !== COMMAND_PID) return;
    this.switches++;
    this.#header(this.#systemWide ? RECORD.switchCpuWide : RECORD.switch, misc, this.#systemWide ? 8 : 0);
    if (this.#systemWide) {
      this.out.u32(other.pid);
      this.out.u32(other.tid);
    }
    this.#sampleId(atNs, cpu, task);
  }

  #header(type: number, misc: number, bodyBytes: number): void {
    this.out.u32(type);
    this.out.u16(misc);
    this.out.u16(8 + bodyBytes + (this.#systemWide ? 24 : 16));
  }

  #time(atNs: number | undefined): void {
    if (atNs === undefined) this.out.words(0, 0);
    else {
      const low = START.low + atNs;
      this.out.words(START.high + Math.floor(low / 0x1_0000_0000), low % 0x1_0000_0000);
    }
  }

  /** TID and TIME, and with -a CPU. */
  #sampleId(atNs: number | undefined, cpu: number, task: Task): void {
    this.out.u32(task.pid);
    this.out.u32(task.tid);
    this.#time(atNs);
    if (!this.#systemWide) return;
    this.out.u32(cpu);
    this.out.u32(0);
  }
}

/** One CPU: what runs, until when, and who takes turns on it. */
interface Cpu {
  readonly number: number;
  nowNs: number;
  running: Task;
  readonly command: Task[];
  readonly others: readonly Task[];
}

function pickNext(cpu: Cpu, random: RandomStream): Task {
  const draw = random.fraction();
  const from = draw < 0.2 ? [IDLE] : draw < 0.35 ? cpu.others : cpu.command;
  const next = from[random.integer(0, from.length - 1)] as Task;
  // Nobody follows himself: with one task, idle is in between.
  return next === cpu.running ? (next === IDLE ? (cpu.command[0] as Task) : IDLE) : next;
}

function step(cpu: Cpu, random: RandomStream, records: Records): void {
  // Mostly short runs, as of tasks that talk to each other, and now and then a long one.
  const longNs = random.fraction() < 0.02 ? 2_000_000 : 20_000;
  cpu.nowNs += SHORTEST_NS + random.integer(0, longNs);
  const { running } = cpu;
  const next = pickNext(cpu, random);
  const preempted = running === IDLE || random.fraction() < 0.3;
  records.switchOut(cpu.nowNs, cpu.number, running, next, preempted);
  records.switchIn(cpu.nowNs + 400, cpu.number, next, running);
  cpu.nowNs += 400;
  cpu.running = next;
}

/** perf's child and its execve, and the forks of the command's other tasks. */
function begin(cpus: readonly Cpu[], systemWide: boolean, records: Records): void {
  const [first] = cpus;
  const [command] = first?.command ?? [];
  if (first === undefined || command === undefined) return;
  records.comm(undefined, command, "perf-exec", false);
  for (const cpu of cpus)
    for (const other of cpu.others)
      if (systemWide) records.comm(undefined, other, `other-${other.tid}`, false);
  // Per task, the event is enabled at the execve (enable_on_exec): there is no switch-in before it.
  if (systemWide) records.switchIn(0, first.number, command, IDLE);
  records.comm(500, command, "command", true);
  let atNs = 600;
  for (const cpu of cpus)
    for (const task of cpu.command) if (task !== command) records.fork(atNs++, first.number, task, command);
  first.running = command;
  for (const cpu of cpus) cpu.nowNs = atNs;
}

function write(options: GenerateOptions, out: Writer, sink: ByteSink): void {
  const random = randomStream(options.seed);
  const records = new Records(out, options.systemWide);
  const tasksPerCpu = options.tasksPerCpu ?? 4;
  const cpus = Array.from({ length: options.cpus ?? 4 }, (_, number): Cpu => {
    const tids = Array.from({ length: tasksPerCpu }, (_, i) => COMMAND_PID + number * tasksPerCpu + i);
    return {
      number,
      nowNs: 0,
      running: IDLE,
      command: tids.map((tid) => ({ pid: COMMAND_PID, tid })),
      others: [{ pid: OTHER_PID + number, tid: OTHER_PID + number }],
    };
  });
  begin(cpus, options.systemWide, records);
  while (records.switches < options.switchEvents) {
    for (const cpu of cpus) for (let i = 0; i < SWITCHES_PER_ROUND; i++) step(cpu, random, records);
    // A round of perf's ends: all its buffers are empty now, so nothing older than their common past can come.
    const slowestNs = Math.max(...cpus.map((cpu) => cpu.nowNs));
    for (const cpu of cpus) cpu.nowNs = Math.max(cpu.nowNs, slowestNs);
    migrate(cpus, random);
    records.finishedRound();
    sink(out.take());
  }
}

/** Now and then a task of the command that is not running moves to the next CPU. */
function migrate(cpus: readonly Cpu[], random: RandomStream): void {
  const from = cpus[random.integer(0, cpus.length - 1)] as Cpu;
  const to = cpus[random.integer(0, cpus.length - 1)] as Cpu;
  const moving = from.command.findIndex((task) => task !== from.running);
  if (from === to || from.command.length < 2 || moving === -1) return;
  to.command.push(...from.command.splice(moving, 1));
}

function writeHeader(out: Writer, options: GenerateOptions, dataBytes: number): void {
  const start = out.at;
  out.text(out.littleEndian ? "PERFILE2" : "2ELIFREP", 8);
  out.u64(HEADER_BYTES);
  out.u64(ATTR_BYTES + 16);
  for (const [offset, bytes] of [
    [HEADER_BYTES, ATTR_BYTES + 16],
    [DATA_OFFSET, dataBytes],
    [0, 0],
  ] as const) {
    out.u64(offset);
    out.u64(bytes);
  }
  out.text("", FEATURE_BITS / 8);
  writeAttr(out, options.systemWide);
  out.u64(0);
  out.u64(0);
  if (out.at - start !== DATA_OFFSET) throw new RangeError("header and DATA_OFFSET disagree");
}

/** perf_event_attr of the dummy event: software event 9. */
function writeAttr(out: Writer, systemWide: boolean): void {
  out.u32(1);
  out.u32(ATTR_BYTES);
  out.u64(9);
  out.u64(4000);
  out.u64(SAMPLE.tid | SAMPLE.time | (systemWide ? SAMPLE.cpu : 0));
  out.u64(0);
  const set: readonly number[] = [
    ATTR_FLAG.inherit,
    ATTR_FLAG.comm,
    ATTR_FLAG.task,
    ATTR_FLAG.sampleIdAll,
    ATTR_FLAG.commExec,
    ATTR_FLAG.contextSwitch,
    ...(systemWide ? [] : [ATTR_FLAG.disabled, ATTR_FLAG.enableOnExec]),
  ];
  for (let byte = 0; byte < 8; byte++) {
    const bits = set.filter((bit) => bit >> 3 === byte).map((bit) => bit & 7);
    out.byte(bits.reduce((sum, bit) => sum | (1 << (out.littleEndian ? bit : 7 - bit)), 0));
  }
  out.text("", ATTR_BYTES - 48);
}

/**
 * Writes the recording to `sink`.
 *
 * The records are made twice: the header, which comes first, says how many bytes of them follow.
 */
export function generateRecording(options: GenerateOptions, sink: ByteSink): void {
  const littleEndian = options.littleEndian ?? true;
  let dataBytes = 0;
  write(options, new Writer(littleEndian), (bytes) => {
    dataBytes += bytes.length;
  });
  const header = new Writer(littleEndian);
  writeHeader(header, options, dataBytes);
  sink(header.take());
  write(options, new Writer(littleEndian), sink);
}

/** The whole recording in memory: for tests. */
export function generatedBytes(options: GenerateOptions): Uint8Array {
  const chunks: Uint8Array[] = [];
  generateRecording(options, (bytes) => chunks.push(bytes));
  const out = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}
