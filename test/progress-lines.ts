/** What a command without a terminal says every ten seconds while it works (src/cli/progress.ts). */
const LINE =
  /^spevisor: (.* \(\d+ of \d+, \d+ %\)|booting the guest|reading the kernel's symbols|asking \S+|starting|comparing)\n/gm;

/** Standard error but for that: how long something takes is no matter of a test's. */
export const withoutProgress = (err: string): string => err.replace(LINE, "");
