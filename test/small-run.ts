/** A program of eight instructions on the machine: no files, no clock, no guest of Debian's. */
import { costTable } from "../src/host/costs.ts";
import { PROFILES } from "../src/host/profiles.ts";
import { adaptive } from "../src/kvm/spe/policies/adaptive.ts";
import { type RunGuest, Session } from "../src/vmm/guest-session.ts";
import { readImage } from "../src/vmm/image.ts";
import { DEFAULT_HOST, type HostConfig } from "../src/vmm/machine-config.ts";

/** Writes "A" to the serial console and a word to memory, and powers off. */
const PROGRAM = [
  0xd2a12000, // mov x0, #0x0900_0000
  0x52800821, // mov w1, #0x41
  0xb9000001, // str w1, [x0]
  0xd2aa0002, // mov x2, #0x5000_0000
  0xf9000041, // str x1, [x2]
  0x52b08000, // mov w0, #0x8400_0000
  0x72800100, // movk w0, #8: PSCI SYSTEM_OFF
  0xd4000002, // hvc #0
];

/** Runs a machine without input, its turns one after the other: what a session needs at least. */
export const runTurns: RunGuest = async (vm, errand) => {
  for (;;) {
    const state = vm.run(64);
    if (errand.isDone()) return "done";
    if (state === "shutdown") return "off";
    if (state !== "running") return state;
    errand.onInputEnd?.();
  }
};

/**
 * The program's machine before it has run, and what it says.
 * @param host how its hypervisor and host are otherwise
 * @param boots false: one that a saved machine is restored into
 */
export function smallRun(
  host: Partial<HostConfig> = {},
  boots = true,
): { readonly session: Session; readonly said: () => string } {
  let said = "";
  const profile = PROFILES.find(({ name }) => name === "thread-normal");
  if (profile === undefined) throw new Error("no such profile");
  const session = new Session({
    config: {
      cpus: 1,
      memoryBytes: 512 * 1024 ** 2,
      policy: adaptive.name,
      profile: profile.name,
      seed: 1,
      startSeconds: 1_767_225_600,
      shares: [],
      disks: [],
      spe: { version: "1.2", intervalOps: 1024, models: "sampled" },
      clockGHz: 2,
      host: { ...DEFAULT_HOST, ...host },
      agent: false,
    },
    policy: adaptive,
    costs: costTable(profile),
    disks: [],
    shares: [],
    boot: boots
      ? {
          kernel: readImage(new Uint8Array(Uint32Array.from(PROGRAM).buffer), "program"),
          initrd: undefined,
          append: "",
          deviceTree: undefined,
        }
      : undefined,
    onConsole: (byte) => {
      said += String.fromCharCode(byte);
    },
    onStdout: () => undefined,
    onStderr: () => undefined,
    onError: () => undefined,
  });
  return { session, said: () => said };
}
