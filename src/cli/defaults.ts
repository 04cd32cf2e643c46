/** What holds where nobody says otherwise, for the command line and for whoever imports the package. */

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

/** What a recording cannot tell; printed with every result. */
export const PREDICTION = {
  bufferBytes: 256 * MIB,
  backing: "thp",
  profile: "thread-normal",
  periodInstructions: 4096,
  frequencyGHz: 2.5,
  instructionsPerCycle: 1,
  memoryBytes: 2 * GIB,
  seed: 1,
} as const;
