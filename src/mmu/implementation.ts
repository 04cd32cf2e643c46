/** What this MMU implements, and what it does where the architecture leaves a choice. */

/** Features that ID_AA64MMFR0..2_EL1 announce and that change what a walk does. */
export interface MmuFeatures {
  /** ID_AA64MMFR0_EL1.PARange in bits, at most 48: FEAT_LPA, FEAT_LPA2 and FEAT_LVA are not modelled. */
  readonly paBits: 32 | 36 | 40 | 42 | 44 | 48;
  /** FEAT_TTST: TxSZ up to 48 (47 with 64 KiB granules) instead of 39. */
  readonly smallTables: boolean;
  /** FEAT_HAFDBS: none, the access flag, or the dirty state as well (ID_AA64MMFR1_EL1.HAFDBS). */
  readonly hardwareUpdates: "none" | "access-flag" | "dirty-state";
  /** FEAT_HPDS: TCR_EL1.HPDn turn hierarchical permissions off. */
  readonly hierarchicalPermissionDisables: boolean;
  /** FEAT_XNX: stage 2 XN has two bits. */
  readonly stage2ExecuteNeverByEl: boolean;
  /** FEAT_E0PD. */
  readonly e0pd: boolean;
  /** FEAT_PAN3: SCTLR_EL1.EPAN. */
  readonly epan: boolean;
}

/** All that this walker knows. A core may have less: cpu/implementation.ts. */
export const MMU_FEATURES: MmuFeatures = {
  paBits: 48,
  smallTables: true,
  hardwareUpdates: "dirty-state",
  hierarchicalPermissionDisables: true,
  stage2ExecuteNeverByEl: true,
  e0pd: true,
  epan: true,
};

/** CONSTRAINED UNPREDICTABLE and IMPLEMENTATION DEFINED points of the walk. Nobody else decides them. */
export const MMU_CHOICES = {
  /** "Fault on TxSZ value below minimum", "... above maximum": a level 0 translation fault, as QEMU has it. */
  txszOutOfRangeFaults: true,
  /** TG0 or TG1 with a reserved value selects 4 KiB, the granule that every implementation has. */
  reservedGranuleShift: 12,
  /** The contiguous bit never faults, even where the run would be larger than the input range. */
  contiguousBitFaults: false,
  /** Unpredictable_AFUPDATE: an access that ends in a permission fault leaves the access flag alone. */
  accessFlagOnPermissionFault: false,
  /** Unpredictable_INSTRDEVICE: fetching from Device memory is as from Normal Non-cacheable; no fault. */
  fetchFromDeviceFaults: false,
  /** Unpredictable_Shareability: the reserved SH value 0b01 is outer shareable. */
  reservedShareability: 2,
  /** Unpredictable_RESMAIR and _S2RESMEMATTR: reserved memory types are Normal Non-cacheable. */
  reservedMemoryType: 0x44,
  /** ID_AA64MMFR0_EL1.BigEnd = 0: SCTLR_ELx.EE is RES0 and tables are little-endian. */
  bigEndianTables: false,
} as const;
