/** Options as QEMU's users type them: an error says what they are called here. */
import { UserError } from "../../common/errors.ts";

const OURS: Readonly<Record<string, string>> = {
  smp: "Say --cpus N",
  m: "Say --memory SIZE, such as --memory 1G",
  kernel: "Say --kernel FILE",
  initrd: "Say --initrd FILE",
  append: "Say --append TEXT, with --no-default-append where it is to be the whole command line",
  dtb: "Say --dtb FILE",
  drive: "Say --disk FILE, --disk FILE,readonly or --disk FILE,snapshot",
  hda: "Say --disk FILE",
  hdb: "Say --disk FILE once more",
  blockdev: "Say --disk FILE",
  cdrom: "Say --disk FILE,readonly",
  snapshot: "Say --disk FILE,snapshot",
  virtfs: "Say --share DIR",
  fsdev: "Say --share DIR",
  rtc: "Say --rtc DATE, or --rtc now",
  seed: "Say --seed N",
  nographic: "Leave it away: the console is always the terminal",
  display: "Leave it away: the console is always the terminal",
  serial: "Leave it away: the console is always the terminal",
  monitor: "Leave it away: Ctrl-A x ends the machine",
  M: "Leave it away: the machine is like QEMU's virt",
  machine: "Leave it away: the machine is like QEMU's virt",
  cpu: "Leave it away: there is one kind of CPU",
  accel: "Leave it away: there is one way to execute code",
  loadvm: "Say --snapshot FILE",
  "no-reboot": "Leave it away: a reboot ends the machine",
  device: "The machine's devices are fixed: --disk and --share add some",
  netdev: "There is no network",
  nic: "There is no network",
};

/** Options of ours that take the next word, whatever it looks like. */
const TAKES_ANY = new Set(["--append"]);

/**
 * Looks for QEMU's names among the options of `spevisor run`.
 * @param argv what stands behind "run"
 * @throws UserError that names ours
 */
export function refuseQemuNames(argv: readonly string[]): void {
  const end = argv.indexOf("--");
  const options = end < 0 ? argv : argv.slice(0, end);
  options.forEach((word, i) => {
    const ours = /^-[A-Za-z]/.test(word) ? OURS[word.slice(1)] : undefined;
    if (ours !== undefined && !TAKES_ANY.has(options[i - 1] ?? ""))
      throw new UserError(`${word} is an option of QEMU's, and not of spevisor run`, ours);
  });
}
