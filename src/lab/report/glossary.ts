/** The words that a reader needs, as perf, KVM and the architecture use them. README.md has the same lines. */
export const GLOSSARY: readonly (readonly [term: string, meaning: string])[] = [
  [
    "SPE",
    "Arm's Statistical Profiling Extension: the CPU picks an operation every so many, the period, and writes a record of it to memory",
  ],
  [
    "AUX buffer",
    "the guest's memory that records go to; `perf record -m,256M` sets its size, 4 MiB is the default for root and 128 KiB for users",
  ],
  [
    "enable, disable",
    "the guest's driver sets and clears PMBLIMITR_EL1.E: at each switch to and from the profiled task, or once for each CPU with `-a`",
  ],
  [
    "write pointer, LIMIT",
    "PMBPTR_EL1, where the next record goes, and the buffer's end that PMBLIMITR_EL1 names",
  ],
  [
    "PMBIRQ",
    "the unit's interrupt: it has stopped, as the buffer is full up to LIMIT or an address does not translate",
  ],
  [
    "stage 2",
    "KVM's tables, which lead from the guest's physical addresses to the host's; a page that they miss stops the unit",
  ],
  [
    "blackout",
    "the guest believes that it is profiled and is not, until somebody has noticed: samples are lost",
  ],
  [
    "pin",
    "to keep a page from being moved or reclaimed (GUP, FOLL_LONGTERM); a memlock limit, RLIMIT_MEMLOCK, bounds how much",
  ],
  [
    "window",
    "the few pages ahead of the write pointer that are mapped and pinned, instead of all up to LIMIT",
  ],
  [
    "worker",
    "a kernel thread of the host, on whatever CPU is free; what it does stops no vCPU that has a CPU of its own",
  ],
  [
    "exit, trap",
    "the CPU leaves the guest for KVM, here since the guest touched a register that KVM emulates",
  ],
  ["bare metal", "the same command without a hypervisor: what every slowdown is against"],
];
