/** `--host-profile`: where the host's time went, by the guest's code and by what of the machine spent it. */
import { HostProfile } from "../../cpu/host-profile.ts";
import type { SymbolTable } from "../../lab/exact/symbols.ts";
import { type SpeedscopeFile, speedscopeFile, type WeightedStack } from "../../lab/speedscope.ts";
import type { Session } from "../../vmm/guest-session.ts";
import { beginFile, type PendingFile } from "../files.ts";
import { VERSION } from "../version.ts";

const NS_PER_MS = 1e6;

export class HostProfileFile {
  readonly #file: PendingFile;
  readonly #profile = new HostProfile(() => performance.now() * NS_PER_MS);
  #kernel: SymbolTable | undefined;

  /** @throws UserError for a place that cannot be written to */
  constructor(path: string) {
    this.#file = beginFile(path);
  }

  /** The guest is there. @param kernel its symbols; undefined: it tells none */
  open(kernel: SymbolTable | undefined): void {
    this.#kernel = kernel;
  }

  /** From now on time counts. */
  begin({ vm }: Session): void {
    for (const { core } of vm.cores) core.hostProfile = this.#profile;
    this.#profile.begin();
  }

  end({ vm }: Session): void {
    for (const { core } of vm.cores) core.hostProfile = undefined;
    const [first] = vm.cores;
    if (first !== undefined) this.#profile.end(first.core.state.pcHigh, first.core.state.pcLow);
  }

  commit(name: string): void {
    this.#file.write(`${JSON.stringify(hostProfileFile(name, this.#profile, this.#kernel))}\n`);
    this.#file.commit();
  }

  discard(): void {
    this.#file.discard();
  }
}

/** Two views of the same time: what of the machine spent it for each symbol, and for which symbols each part of it did. */
function hostProfileFile(
  name: string,
  profile: HostProfile,
  kernel: SymbolTable | undefined,
): SpeedscopeFile {
  const bySymbol: WeightedStack[] = [];
  const byPart: WeightedStack[] = [];
  for (const { pc, part, ns } of profile.times()) {
    const isKernel = pc >> 63n === 1n;
    const space = isKernel ? "kernel" : "programs";
    const symbol = isKernel ? (kernel?.at(pc) ?? pageOf(pc)) : pageOf(pc);
    bySymbol.push({ frames: [space, symbol, part], ns });
    byPart.push({ frames: [part, space, symbol], ns });
  }
  return speedscopeFile(
    name,
    { "by the guest's code": bySymbol, "by part of the machine": byPart },
    `spevisor@${VERSION}`,
  );
}

/** Code that has no name is told by its page. */
const pageOf = (pc: bigint): string => `page 0x${(pc & ~0xfffn).toString(16)}`;
