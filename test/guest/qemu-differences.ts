/**
 * How Debian's kernel finds this machine unlike QEMU's "virt" with a Neoverse N1. Each line that differs must be here, and
 * each pattern must match a line: the list is neither too short nor too long.
 */

export interface Difference {
  readonly why: string;
  /** Patterns of lines "SECTION: LINE" that are found here only. */
  readonly here: readonly RegExp[];
  /** And on QEMU only. */
  readonly qemu: readonly RegExp[];
  /** Some versions of QEMU's are as this machine is: no pattern need match. */
  readonly varies?: true;
}

export const DIFFERENCES: readonly Difference[] = [
  {
    why: "The CPUs have a profiling unit, and QEMU's have none",
    here: [
      /^interrupts: GICv3 21 Level arm_spe_pmu$/,
      /^pmu: arm_spe_0$/,
      /^platform: spe-pmu$/,
      /^tree: \/proc\/device-tree\/spe-pmu\/(interrupts|compatible|name)$/,
      /^dmesg: arm_spe_pmu spe-pmu: probed for CPUs 0-1 /,
    ],
    qemu: [],
  },
  {
    why: "Optional instructions that the core does not have: half precision, LDAPR, dot product",
    here: [/^cpuinfo: Features\t: [^\n]*\batomics cpuid asimdrdm dcpop$/],
    qemu: [
      /^cpuinfo: Features\t: [^\n]*\bfphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp$/,
      /^dmesg: CPU features: detected: RCpc load-acquire \(LDAPR\)$/,
    ],
  },
  {
    why: "No AArch32: ID_AA64PFR0_EL1.EL0 is 1, and there is no SETEND to emulate",
    here: [/^dmesg: setend instruction emulation is not supported on this system$/],
    qemu: [
      /^dmesg: CPU features: detected: 32-bit EL0 Support$/,
      /^dmesg: Registered setend emulation handler$/,
    ],
  },
  {
    why: "No RAS extension (ID_AA64PFR0_EL1.RAS is 0)",
    here: [],
    qemu: [/^dmesg: CPU features: detected: RAS Extension Support$/],
  },
  {
    why: "No SSBS, and firmware has no workaround for Spectre-v4: the kernel calls speculation, which there is none of, vulnerable",
    here: [/^vulnerabilities: .*spec_store_bypass:Vulnerable$/],
    qemu: [
      /^vulnerabilities: .*spec_store_bypass:Mitigation: /,
      /^dmesg: CPU features: detected: Speculative Store Bypassing Safe \(SSBS\)$/,
    ],
  },
  {
    why: "CTR_EL0.IDC is 0 here: decoded instructions are kept, and cleaning a line by address is what throws them away",
    here: [],
    qemu: [/^dmesg: CPU features: detected: Data cache clean to the PoU not required for I\/D coherence$/],
  },
  {
    why: "FEAT_E0PD (of Armv8.5) keeps Linux from isolating its page tables, which its SPE driver insists on; a Neoverse N1 has none",
    here: [/^dmesg: CPU features: detected: E0PD$/],
    qemu: [],
  },
  {
    why: "The PMU counts what this core can count exactly: exceptions and speculative instructions",
    here: [/^pmu: .*\/events\/(exc_return:event=0x000a|exc_taken:event=0x0009|inst_spec:event=0x001b)$/],
    qemu: [],
  },
  {
    why: "It counts what the models of caches, TLB and branches say, and what the profiling unit samples",
    here: [
      /^pmu: .*\/events\/(br_mis_pred:event=0x0010|br_pred:event=0x0012|dtlb_walk:event=0x0034)$/,
      /^pmu: .*\/events\/l1d_(cache:event=0x0004|cache_refill:event=0x0003|tlb:event=0x0025|tlb_refill:event=0x0005)$/,
      /^pmu: .*\/events\/sample_(pop:event=0x4000|feed:event=0x4001|filtrate:event=0x4002|collision:event=0x4003)$/,
    ],
    qemu: [],
  },
  {
    why: "PSCI comes from the hypervisor as KVM has it, with SMCCC 1.1; its functions have the numbers of PSCI 0.2, which need no properties",
    here: [/^dmesg: psci: SMC Calling Convention v1\.1$/],
    qemu: [
      /^dmesg: psci: SMC Calling Convention v1\.0$/,
      /^tree: \/proc\/device-tree\/psci\/(cpu_on|cpu_off|cpu_suspend|migrate)$/,
    ],
  },
  {
    why: "The GIC has 256 SPIs, where QEMU's board wires 224",
    here: [/^dmesg: GICv3: 256 SPIs implemented$/],
    qemu: [/^dmesg: GICv3: 224 SPIs implemented$/],
  },
  {
    why: "GICR_CTLR has IR and CES, as KVM's vgic has since its implementation revision 3 (vgic-mmio-v3.c)",
    here: [/^dmesg: GICv3: GICv3 features: 16 PPIs, DirectLPI$/],
    qemu: [/^dmesg: GICv3: GICv3 features: 16 PPIs$/],
  },
  {
    why: "The PL011 is r1p5, whose FIFOs have 32 characters; QEMU's names revision 1, of which Linux fills 16",
    here: [/^dmesg: ….pl011: .* is a PL011 rev3$/],
    qemu: [/^dmesg: ….pl011: .* is a PL011 rev1$/],
  },
  {
    why: "The GIC has no ITS and no LPIs: there is no PCI bus whose messages it would take",
    here: [],
    qemu: [
      /^tree: \/proc\/device-tree\/intc@…\/its@…\//,
      /^dmesg: ITS [@[]/,
      /^dmesg: ITS@0x…: allocated 8192 /,
      /^dmesg: GICv3: (CPU\d: )?using (allocated )?LPI p(roperty|ending) table @0x…$/,
      /^dmesg: Platform MSI: its@… domain created$/,
      /^dmesg: PCI\/MSI: \/intc@…\/its@… domain created$/,
    ],
  },
  {
    why: "No PCI: virtio devices are behind virtio-mmio",
    here: [],
    qemu: [
      /^iomem: (pcie@…|PCI ECAM)$/,
      /^platform: ….pcie$/,
      /^tree: \/proc\/device-tree\/pcie@…\//,
      /^dmesg: pci-host-generic /,
      /^dmesg: pci(_bus)? 0000:00/,
    ],
  },
  {
    why: "A virtio-mmio transport with a device behind it is claimed by its driver; QEMU was given no device",
    here: [/^iomem: ….virtio_mmio virtio_mmio@…$/],
    qemu: [],
  },
  {
    why: "No flash, no fw_cfg, no bus for devices that are plugged in dynamically: nothing boots from them here",
    here: [],
    qemu: [
      /^platform: (0\.flash|….fw-cfg|platform-bus@…)$/,
      /^tree: \/proc\/device-tree\/(flash|fw-cfg|platform-bus)@…\//,
    ],
  },
  {
    why: "No GPIO controller, and so no power button",
    here: [],
    qemu: [
      /^iomem: (….pl061 )?pl061@…$/,
      /^platform: (….pl061|gpio-keys)$/,
      /^tree: \/proc\/device-tree\/(pl061@…|gpio-keys)\//,
      /^dmesg: pl061_gpio /,
    ],
  },
  {
    why: "No topology of sockets and clusters in the device tree: Linux then takes one cluster, as QEMU's tree says",
    here: [],
    qemu: [/^tree: \/proc\/device-tree\/cpus\/(cpu-map\/|cpu@…\/phandle$)/],
  },
  {
    why: "All of this machine's devices are coherent, which its tree says once at the root, as newer versions of QEMU's do",
    here: [/^tree: \/proc\/device-tree\/dma-coherent$/],
    qemu: [],
    varies: true,
  },
];
