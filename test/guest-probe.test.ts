/** What Debian's SPE driver finds when it probes the CPUs, and says: its device, its limits, on VMs and on bare metal. */
import { describe, expect, it } from "vitest";
import { runInGuest, SHORT_SYMBOLS } from "./guest/cli.ts";
import { guestFor } from "./guest/guests.ts";

const MINUTES = 60_000;
const guests = {
  bookworm: await guestFor("guest, the SPE driver"),
  trixie: await guestFor("guest, the SPE driver on trixie", "trixie"),
};

const SCRIPT = `dmesg | sed -n 's/.*\\(arm_spe_pmu\\)/\\1/p'
cd /sys/bus/event_source/devices/arm_spe_0 && grep -r . caps cpumask format | sort`;

/** Records, and says how many samples perf makes of it. */
const RECORD = `
${SHORT_SYMBOLS}
perf record -q -B -N --no-bpf-event -o /tmp/perf.data -e arm_spe// -- true 2>/dev/null
echo samples:$(perf script -i /tmp/perf.data --itrace=i1i -F ip 2>/dev/null | wc -l)
perf record -q -B -N --no-bpf-event -o /tmp/perf.data -e arm_spe/event_filter=0x800/ -- true 2>/dev/null || echo refused`;

const CAPS = (intervalOps: number): readonly string[] => [
  "caps/arch_inst:1",
  "caps/count_size:12",
  "caps/ernd:0",
  `caps/min_interval:${intervalOps}`,
];

describe.each(["bookworm", "trixie"] as const)("%s's driver", (suite) => {
  const probed = async (options: readonly string[], more = ""): Promise<readonly string[]> => {
    const { code, out, err } = await runInGuest(["sh", "-c", SCRIPT + more], ["--suite", suite, ...options]);
    expect(code, err).toBe(0);
    return out.trim().split("\n");
  };
  const words = suite === "bookworm" ? "probed for CPUs" : "probed SPEv1.2 for CPUs";

  it.skipIf(guests[suite] === undefined).each([
    [1, "0"],
    [4, "0-3"],
  ])("finds the unit of every vCPU: %d", { timeout: 10 * MINUTES }, async (cpus, mask) => {
    const found = await probed(["--cpus", `${cpus}`]);
    expect(found[0]).toMatch(
      new RegExp(
        `^arm_spe_pmu spe-pmu: ${words} ${mask} \\[max_record_sz 128, align 128, features 0x[15]f\\]$`,
      ),
    );
    expect(found.filter((line) => line.startsWith("caps/"))).toEqual(CAPS(1024));
    expect(found).toContain(`cpumask:${mask}`);
    expect(found).toContain("format/event_filter:config1:0-63");
    // A format that needs FEAT_SPEv1p2, and a driver that knows it.
    expect(found.includes("format/inv_event_filter:config3:0-63")).toBe(suite === "trixie");
    // The same from the same snapshot without a hypervisor.
    expect(await probed(["--cpus", `${cpus}`, "--bare-metal"])).toEqual(found);
  });

  it.skipIf(guests[suite] === undefined)(
    "reads the version and the interval that were asked for, and records with it",
    { timeout: 10 * MINUTES },
    async () => {
      const found = await probed(["--spe-version", "1.0", "--spe-interval", "4096"], RECORD);
      expect(Number(/^samples:(\d+)$/m.exec(found.join("\n"))?.[1])).toBeGreaterThan(50);
      // The event is FEAT_SPEv1p1's.
      expect(found).toContain("refused");
      expect(found.filter((line) => line.startsWith("caps/"))).toEqual(CAPS(4096));
      expect(found).not.toContain("format/inv_event_filter:config3:0-63");
      if (suite === "trixie") expect(found[0]).toContain("probed SPEv1.0");
    },
  );
});
