/**
 * A guest that does what a script says: register writes at any moment, edits of its own stage 1 with or without the
 * TLB invalidation that the architecture demands, CPU accesses, sleep. What Linux would never do is the point: the
 * property tests of the invariants run on it.
 *
 * It cannot be saved: its machines live for a millisecond under a host that takes memory away all the time, and a machine
 * has no snapshot while that is under way. What a snapshot must have of KVM and a policy is tested on the replay's cores.
 */
import type { LeafBits } from "../arm/descriptors.ts";
import { ENCODINGS, PMBLIMITR_EL1, type SpeRegisterName } from "../arm/registers.ts";
import type { Ipn, Vpn } from "../common/address.ts";
import { ipn, vpn } from "../common/address.ts";
import type { CoreCounters, CoreHardware, CoreRegisters, Exit, GuestCore } from "../kvm/guest-core.ts";
import type { Access } from "../mmu/access.ts";
import type { Stage1Regime } from "../mmu/config.ts";
import { isFault } from "../mmu/fault.ts";
import type { TableMemory } from "../mmu/table-memory.ts";
import { throughStage2 } from "../mmu/translate.ts";
import type { Spu } from "../spe/spu.ts";
import type { ModelPe, Workload } from "./pe.ts";
import type { EditOutcome, ScriptedTables } from "./scripted-memory.ts";

/** One thing that the guest does. */
export type GuestAction =
  | { readonly kind: "write"; readonly register: SpeRegisterName; readonly value: bigint }
  | { readonly kind: "read"; readonly register: SpeRegisterName }
  /** Executes its workload for this long. */
  | { readonly kind: "run"; readonly ns: number }
  /** WFI, with a timer that far away. */
  | { readonly kind: "sleep"; readonly ns: number }
  /** Exception return to EL0, or an exception to EL1. */
  | { readonly kind: "el"; readonly el: 0 | 1 }
  | { readonly kind: "touch"; readonly page: Ipn; readonly write: boolean }
  /** Stores a word into a page: into a table, say. */
  | { readonly kind: "store"; readonly page: Ipn; readonly word: number; readonly value: number }
  /**
   * Maps `entries` consecutive granules (level 3) or blocks to consecutive outputs, or (output undefined) unmaps them,
   * in the tables of one of the guest's address spaces.
   */
  | {
      readonly kind: "edit";
      readonly space: number;
      readonly first: Vpn;
      readonly entries: number;
      readonly level: 1 | 2 | 3;
      readonly output: Ipn | undefined;
      readonly leaf: LeafBits;
    }
  /** TLBI VMALLE1IS; DSB ISH. */
  | { readonly kind: "tlbi" }
  /** Selects another of its address spaces: TTBR and ASID. */
  | { readonly kind: "space"; readonly space: number }
  | { readonly kind: "psb" }
  | { readonly kind: "hvc" };

export interface Script {
  readonly actions: readonly GuestAction[];
  /** What it does at PMBIRQ. */
  readonly handler: readonly GuestAction[];
  /** After this many interrupts it masks the line, as Linux does where nobody cared. */
  readonly mostInterrupts: number;
}

export interface ScriptedCoreOptions {
  readonly pe: ModelPe;
  readonly script: Script;
  readonly spaces: readonly ScriptedTables[];
  /** Every core of the guest, this one included: a broadcast TLBI reaches all. */
  readonly peers: readonly ScriptedCore[];
  readonly workload: Workload;
  /** Whether a CPU access to the page has memory behind it. */
  readonly isRam: (page: Ipn) => boolean;
  /** INTID of PMBIRQ. */
  readonly pmbirq: number;
}

const RT = 0;
const CPU_LOAD: Access = { by: "load", el: 1, write: false };
const CPU_STORE: Access = { by: "store", el: 1, write: true };

export class ScriptedCore implements GuestCore {
  readonly spu: Spu;
  readonly pe: ModelPe;
  /** What the guest last wrote to its registers, once each write was through. */
  readonly written = new Map<SpeRegisterName, bigint>();
  /** Told of each of those writes. */
  onWritten: ((register: SpeRegisterName, value: bigint) => void) | undefined;
  /** Edits of a table while this vCPU's own PMBLIMITR_EL1.E was 1. */
  editsWhileEnabled = 0;
  interrupts = 0;
  readonly #options: ScriptedCoreOptions;
  readonly #hardware: CoreHardware;
  readonly #memory: TableMemory<Ipn>;
  #cursor = 0;
  /** Actions of the handler still to do; empty: the script goes on. */
  #handling: readonly GuestAction[] = [];
  #ranNs = 0;
  #opsDone = 0;
  #entriesDone = 0;
  #position = 0;
  #x0 = 0n;

  constructor(options: ScriptedCoreOptions) {
    this.#options = options;
    this.pe = options.pe;
    this.spu = options.pe.spu;
    this.#hardware = options.pe.hardware;
    this.#memory = throughStage2(this.#hardware.stage2, this.#hardware.physical);
  }

  readonly regs: CoreRegisters = {
    read: () => this.#x0,
    write: (_rt, value) => {
      this.#x0 = value;
    },
    skipInstruction: () => {
      const action = this.#action;
      if (action?.kind === "write") this.#wrote(action.register, action.value);
      this.#next();
    },
  };

  /** PMBLIMITR_EL1.E as the guest left it. */
  get enabled(): boolean {
    return PMBLIMITR_EL1.is(this.written.get("PMBLIMITR_EL1") ?? 0n, "E");
  }

  stage1(): Stage1Regime {
    return this.pe.regime;
  }

  invalidateTlb(first: Ipn, pages: number): void {
    this.pe.invalidateByIpa(first, pages);
  }

  counters(): CoreCounters {
    const { instructions, guestNs } = this.pe;
    return { instructions, cycles: guestNs, taskCycles: guestNs, taskNs: guestNs, contextSwitches: 0 };
  }

  run(untilNs: number): Exit {
    const { timeline, bareMetal, turn } = this.#hardware;
    const { pe } = this;
    for (;;) {
      pe.raiseIfAsserted();
      if (pe.pmbirqAtNs <= timeline.nowNs) {
        pe.takePmbirq();
        if (!bareMetal) return { kind: "pmbirq" };
        this.#interrupt();
      }
      // Where the guest owns PMBSR_EL1 the virtual line is resampled from the hardware.
      if (
        this.#hardware.wires.level(this.#options.pmbirq) &&
        (pe.traps("PMBSR_EL1", false) || this.spu.pmbirq)
      )
        this.#interrupt();
      const action = this.#action;
      if (action === undefined) return { kind: "shutdown" };
      const endNs = Math.min(untilNs, turn.untilNs);
      if (timeline.nowNs >= endNs) return { kind: "deadline" };
      const exit = this.#do(action, endNs);
      if (exit !== undefined) return exit;
    }
  }

  get #action(): GuestAction | undefined {
    return this.#handling[0] ?? this.#options.script.actions[this.#cursor];
  }

  #next(): void {
    if (this.#handling.length > 0) this.#handling = this.#handling.slice(1);
    else this.#cursor += 1;
    this.#ranNs = 0;
    this.#opsDone = 0;
    this.#entriesDone = 0;
  }

  /** An action of the script is not left half done: the handler comes between two actions, or ends a run early. */
  #interrupt(): void {
    const { handler, mostInterrupts } = this.#options.script;
    if (this.#handling.length > 0 || this.interrupts >= mostInterrupts) return;
    this.interrupts += 1;
    if (this.#action?.kind === "run" && this.#ranNs > 0) this.#next();
    this.#handling = handler;
  }

  #do(action: GuestAction, untilNs: number): Exit | undefined {
    const { pe } = this;
    switch (action.kind) {
      case "write":
        if (pe.traps(action.register, true)) {
          this.#x0 = action.value;
          return { kind: "sysreg", encoding: ENCODINGS[action.register], isRead: false, rt: RT };
        }
        pe.write(action.register, action.value);
        this.#wrote(action.register, action.value);
        break;
      case "read":
        if (pe.traps(action.register, false))
          return { kind: "sysreg", encoding: ENCODINGS[action.register], isRead: true, rt: RT };
        pe.read(action.register);
        break;
      case "run":
        return this.#run(action.ns, untilNs);
      case "sleep": {
        this.#next();
        return { kind: "wfi", untilNs: Math.min(this.#hardware.timeline.nowNs + action.ns, pe.pmbirqAtNs) };
      }
      case "el":
        this.spu.pe.el = action.el;
        break;
      case "touch":
      case "store": {
        const exit = this.#access(action);
        if (exit !== undefined) return exit;
        break;
      }
      case "edit":
        return this.#edit(action);
      case "tlbi":
        for (const peer of this.#options.peers) peer.pe.invalidateAll();
        break;
      case "space": {
        const space = this.#options.spaces[action.space];
        if (space !== undefined) pe.regime = space.regime;
        // Another ASID: none of its entries is in this small TLB.
        pe.invalidateAll();
        break;
      }
      case "psb":
        pe.drain();
        break;
      case "hvc":
        return { kind: "hvc", imm: 0 };
    }
    this.#next();
    return undefined;
  }

  #wrote(register: SpeRegisterName, value: bigint): void {
    this.written.set(register, value);
    this.onWritten?.(register, value);
  }

  #run(ns: number, untilNs: number): undefined {
    const { timeline } = this.#hardware;
    const { workload } = this.#options;
    const sliceNs = Math.ceil(Math.min(ns - this.#ranNs, untilNs - timeline.nowNs));
    const ops = Math.floor((this.#ranNs + sliceNs) * workload.opsPerNs) - this.#opsDone;
    const beforeNs = timeline.nowNs;
    const done = this.pe.execute(workload, ops, sliceNs, this.#position);
    this.#ranNs += timeline.nowNs - beforeNs;
    this.#opsDone += done.ops;
    this.#position += done.ops;
    if (this.#ranNs >= ns) this.#next();
    return undefined;
  }

  #access(action: GuestAction & { kind: "touch" | "store" }): Exit | undefined {
    const { page } = action;
    if (!this.#options.isRam(page)) return undefined;
    const write = action.kind === "store" || action.write;
    const words = this.#memory.page(page, write ? CPU_STORE : CPU_LOAD);
    if (words === undefined || isFault(words)) return { kind: "stage2-fault", ipn: page, write };
    if (action.kind === "touch") return undefined;
    words[action.word & 1023] = action.value >>> 0;
    this.#memory.wrote(page);
    if (this.enabled && this.#options.spaces.some((space) => space.isTablePage(page)))
      this.editsWhileEnabled += 1;
    return undefined;
  }

  #edit(action: GuestAction & { kind: "edit" }): Exit | undefined {
    const { spaces, isRam } = this.#options;
    const space = spaces[action.space];
    for (; space !== undefined && this.#entriesDone < action.entries; this.#entriesDone += 1) {
      const step = this.#entriesDone * (space.config.entryPages[action.level] as number);
      const { output } = action;
      const outcome: EditOutcome = space.edit(
        this.#memory,
        isRam,
        vpn(action.first + step),
        action.level,
        output === undefined ? undefined : { ...action.leaf, output: ipn(output + step) },
      );
      if (outcome.kind === "stage2-fault") return outcome;
      if (outcome.kind === "refused") break;
      if (this.enabled) this.editsWhileEnabled += 1;
    }
    this.#next();
    return undefined;
  }
}
