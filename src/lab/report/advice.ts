/**
 * Which policy on which kind of host, and why: one choice for each, by what the host has. README.md has the same lines. What they
 * rest on is computed by the questions that they name.
 */
export interface Advice {
  readonly host: string;
  readonly policy: string;
  readonly why: string;
  /** Of `spevisor ask`. */
  readonly question: number;
}

export const ADVICE: readonly Advice[] = [
  {
    host: "The VM's memory is pinned or given away for good anyway (VFIO, hugetlb, guest_memfd without overcommit, confidential guests)",
    policy: "prefault",
    why: "holding it costs nothing new, no register has to trap, and nothing can be late",
    question: 23,
  },
  {
    host: "Guest memory is in movable zones or CMA, where a long-term pin has to migrate each page first, and the CPUs have FEAT_FGT (Armv8.6)",
    policy: "bounce-ahead",
    why: "it pins nothing of the guest's: nothing has to move, and nothing is kept from moving",
    question: 27,
  },
  {
    host: "No CPU to spare, with FEAT_FGT",
    policy: "bounce-ahead",
    why: "it has no worker, and copying a page of records costs the vCPU less than pinning it (at periods of tens of thousands they are alike)",
    question: 22,
  },
  {
    host: "No CPU to spare, without FEAT_FGT",
    policy: "adaptive",
    why: "there a guest sees that a bounce buffer is not its own (PMBIDR_EL1.P) and gives up; the worker takes the vCPUs' time, the less the longer the period",
    question: 22,
  },
  {
    host: "Workers are late, up to 10 ms (a busy host, isolated CPUs)",
    policy: "adaptive",
    why: "the vCPU maps and does not wait for the pin: only a page that the host takes before it is pinned costs a blackout",
    question: 21,
  },
  {
    host: "Any other: memory that is overcommitted, merged, balanced or reclaimed, and CPUs to spare",
    policy: "adaptive",
    why: "a switch costs its traps and little else, megabytes are held instead of the buffer, and pinning takes no vCPU's time",
    question: 24,
  },
];
