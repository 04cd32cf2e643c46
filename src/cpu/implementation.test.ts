import { beforeAll, describe, expect, it } from "vitest";
import type { Feature } from "../a64/encoding.ts";
import { ROWS } from "../a64/encodings/index.ts";
import {
  ENCODINGS,
  type Encoding,
  ID_AA64DFR0_EL1,
  ID_AA64ISAR0_EL1,
  ID_AA64ISAR1_EL1,
  ID_AA64MMFR0_EL1,
  ID_AA64MMFR1_EL1,
  ID_AA64MMFR2_EL1,
  SCTLR_EL1,
  type SysregName,
  TCR_EL1,
} from "../arm/registers.ts";
import { EC } from "../arm/syndromes.ts";
import type { MmuFeatures } from "../mmu/implementation.ts";
import { DEFAULT_IMPLEMENTATION } from "../spe/implementation.ts";
import { type Bare, bareCore, DATA } from "./core.testing.ts";
import { checkImplementation, IMPLEMENTATION, type Implementation } from "./implementation.ts";

/** MRS X0, by encoding. */
const mrs = ([op0, op1, crn, crm, op2]: Encoding): number =>
  (ROWS.MRS.value | ((op0 - 2) << 19) | (op1 << 16) | (crn << 12) | (crm << 8) | (op2 << 5)) >>> 0;

function read({ core, execute }: Bare, name: SysregName): bigint {
  expect(execute([mrs(ENCODINGS[name])])).toBe(undefined);
  return core.state.x(0);
}

/** The core without some of its features, and without what needs them. */
function without(...dropped: Feature[]): Implementation {
  const needed: Partial<Record<Feature, Feature>> = { AES: "PMULL", SHA1: "SHA256", PAN: "PAN2" };
  const all = dropped.flatMap((feature) => [feature, needed[feature] ?? feature]);
  const features = new Set([...IMPLEMENTATION.features].filter((feature) => !all.includes(feature)));
  return { ...IMPLEMENTATION, features };
}

/** The core as it is; each takes a while to make. */
let whole: Bare;

beforeAll(() => {
  whole = bareCore();
});

describe("what the core says of itself", () => {
  it.each([
    ["MIDR_EL1", 0x414f_d0c1n],
    ["ID_AA64PFR0_EL1", 0x1100_0000_0100_0111n],
    ["ID_AA64DFR0_EL1", 0x1030_5406n],
    ["ID_AA64ISAR0_EL1", 0x1021_1120n],
    ["ID_AA64ISAR1_EL1", 1n],
    ["ID_AA64MMFR0_EL1", 0x10_0025n],
    ["ID_AA64MMFR1_EL1", 0x21_1002n],
    ["ID_AA64MMFR2_EL1", 0x1000_0000_0000_0011n],
    ["CTR_EL0", 0x8444_c004n],
    ["DCZID_EL0", 4n],
    ["CLIDR_EL1", 0xa20_0023n],
    ["CCSIDR_EL1", 0x1f_e01an],
  ] as const)("%s is %s", (name, value) => {
    expect(read(whole, name)).toBe(value);
  });
});

describe("a core without an instruction's feature", () => {
  const isar0 = ["ID_AA64ISAR0_EL1", ID_AA64ISAR0_EL1] as const;
  const isar1 = ["ID_AA64ISAR1_EL1", ID_AA64ISAR1_EL1] as const;
  const mmfr1 = ["ID_AA64MMFR1_EL1", ID_AA64MMFR1_EL1] as const;
  const mmfr2 = ["ID_AA64MMFR2_EL1", ID_AA64MMFR2_EL1] as const;
  const rows = [
    ["CRC32", "CRC32B W0, W0, W0", ROWS.CRC32.value, ...isar0, "CRC32", [1n, 0n]],
    ["LSE", "LDADDB W0, W0, [X0]", ROWS.LDADD.value, ...isar0, "Atomic", [2n, 0n]],
    ["RDM", "SQRDMLAH V0.4H, V0.4H, V0.4H", ROWS.SQRDMLAH.value | (1 << 22), ...isar0, "RDM", [1n, 0n]],
    ["AES", "AESE V0.16B, V0.16B", ROWS.AESE.value, ...isar0, "AES", [2n, 0n]],
    ["PMULL", "PMULL V0.1Q, V0.1D, V0.1D", ROWS.PMULL_1Q.value, ...isar0, "AES", [2n, 1n]],
    ["SHA1", "SHA1C Q0, S0, V0.4S", ROWS.SHA1C.value, ...isar0, "SHA1", [1n, 0n]],
    ["SHA256", "SHA256H Q0, Q0, V0.4S", ROWS.SHA256H.value, ...isar0, "SHA2", [1n, 0n]],
    ["LOR", "LDLARB W0, [X0]", ROWS.LDLAR.value, ...mmfr1, "LO", [1n, 0n]],
    ["DPB", "DC CVAP, X0", 0xd50b_7c20, ...isar1, "DPB", [1n, 0n]],
    ["PAN", "MSR PAN, #0", 0xd500_409f, ...mmfr1, "PAN", [2n, 0n]],
    ["PAN", "MRS X0, PAN", mrs(ENCODINGS.PAN), ...mmfr1, "PAN", [2n, 0n]],
    ["PAN2", "AT S1E1RP, X0", 0xd508_7900, ...mmfr1, "PAN", [2n, 1n]],
    ["UAO", "MSR UAO, #0", 0xd500_407f, ...mmfr2, "UAO", [1n, 0n]],
    ["UAO", "MRS X0, UAO", mrs(ENCODINGS.UAO), ...mmfr2, "UAO", [1n, 0n]],
  ] as const;

  it.each(rows)(
    "without %s does not know %s, and says so",
    (feature, _text, word, name, register, field, said) => {
      const outcomes = [whole, bareCore(without(feature))].map((bare) => {
        bare.core.state.setX(0, DATA);
        const syndrome = bare.execute([word >>> 0]);
        return [syndrome, register.get(read(bare, name), field as never)];
      });
      expect(outcomes).toEqual([
        [undefined, said[0]],
        [(BigInt(EC.unknown) << 26n) | (1n << 25n), said[1]],
      ]);
    },
  );

  it("is tried for each feature that there is", () => {
    expect(new Set(rows.map(([feature]) => feature))).toEqual(IMPLEMENTATION.features);
  });
});

describe("a core whose MMU lacks something", () => {
  /** The lower half's tables as the core has them with everything asked for. */
  const lower = ({ core }: Bare) => {
    const { state, space } = core;
    const all = { T0SZ: 48, IPS: 5, HA: 1, HD: 1, HPD0: 1, E0PD0: 1 };
    state.set64("TCR_EL1", TCR_EL1.with(0n, all));
    state.set64("SCTLR_EL1", SCTLR_EL1.with(0n, { M: 1, EPAN: 1 }));
    space.registersChanged();
    const { lower } = space.regime;
    state.set64("SCTLR_EL1", 0n);
    space.registersChanged();
    return lower;
  };
  const cases: readonly (readonly [
    what: string,
    less: Partial<MmuFeatures>,
    field: (bare: Bare) => bigint,
    said: readonly [bigint, bigint],
    of: (bare: Bare) => unknown,
    does: readonly [unknown, unknown],
  ])[] = [
    [
      "48-bit addresses",
      { paBits: 40 },
      (bare) => ID_AA64MMFR0_EL1.get(read(bare, "ID_AA64MMFR0_EL1"), "PARange"),
      [5n, 2n],
      (bare) => lower(bare).implementedPages,
      [2 ** 36, 2 ** 28],
    ],
    [
      "updates of the dirty state",
      { hardwareUpdates: "access-flag" },
      (bare) => ID_AA64MMFR1_EL1.get(read(bare, "ID_AA64MMFR1_EL1"), "HAFDBS"),
      [2n, 1n],
      (bare) => [lower(bare).hardwareAccessFlag, lower(bare).hardwareDirtyState],
      [
        [true, true],
        [true, false],
      ],
    ],
    [
      "updates of descriptors",
      { hardwareUpdates: "none" },
      (bare) => ID_AA64MMFR1_EL1.get(read(bare, "ID_AA64MMFR1_EL1"), "HAFDBS"),
      [2n, 0n],
      (bare) => lower(bare).hardwareAccessFlag,
      [true, false],
    ],
    [
      "hierarchical permission disables",
      { hierarchicalPermissionDisables: false },
      (bare) => ID_AA64MMFR1_EL1.get(read(bare, "ID_AA64MMFR1_EL1"), "HPDS"),
      [1n, 0n],
      (bare) => lower(bare).hierarchicalPermissions,
      [false, true],
    ],
    [
      "E0PD",
      { e0pd: false },
      (bare) => ID_AA64MMFR2_EL1.get(read(bare, "ID_AA64MMFR2_EL1"), "E0PD"),
      [1n, 0n],
      (bare) => lower(bare).el0Prevented,
      [true, false],
    ],
  ];

  it.each(cases)("without %s walks without, and says so", (_what, less, field, said, of, does) => {
    const lesser = { ...IMPLEMENTATION, mmu: { ...IMPLEMENTATION.mmu, ...less } };
    const outcomes = [whole, bareCore(lesser)].map((bare) => [field(bare), of(bare)]);
    expect(outcomes).toEqual([
      [said[0], does[0]],
      [said[1], does[1]],
    ]);
  });

  it("has no small tables and no EPAN, of which it says nothing", () => {
    const bare = whole;
    expect(lower(bare)).toMatchObject({ enhancedPan: false, refuses: true });
    expect(ID_AA64MMFR2_EL1.get(read(bare, "ID_AA64MMFR2_EL1"), "ST")).toBe(0n);
    expect(ID_AA64MMFR1_EL1.get(read(bare, "ID_AA64MMFR1_EL1"), "PAN")).toBe(2n);
    const more = { ...IMPLEMENTATION, mmu: { ...IMPLEMENTATION.mmu, epan: true, smallTables: true } };
    const other = bareCore(more);
    expect(lower(other)).toMatchObject({ enhancedPan: true, refuses: false });
    expect(ID_AA64MMFR2_EL1.get(read(other, "ID_AA64MMFR2_EL1"), "ST")).toBe(1n);
    expect(ID_AA64MMFR1_EL1.get(read(other, "ID_AA64MMFR1_EL1"), "PAN")).toBe(3n);
  });
});

describe("an implementation", () => {
  it("says which SPE it has: none, or that of its unit", () => {
    const pmsVer = (implementation: Implementation) =>
      ID_AA64DFR0_EL1.num(read(bareCore(implementation), "ID_AA64DFR0_EL1"), "PMSVer");
    expect(pmsVer(IMPLEMENTATION)).toBe(0);
    expect(pmsVer({ ...IMPLEMENTATION, spe: DEFAULT_IMPLEMENTATION })).toBe(DEFAULT_IMPLEMENTATION.pmsVer);
  });

  it.each([
    ["FEAT_PAN2 needs FEAT_PAN", { features: new Set<Feature>(["PAN2"]) }],
    ["FEAT_PMULL needs FEAT_AES", { features: new Set<Feature>(["PMULL"]) }],
    ["FEAT_SHA256 needs FEAT_SHA1", { features: new Set<Feature>(["SHA256"]) }],
    ["FEAT_PAN3 needs FEAT_PAN2", { ...without("PAN2"), mmu: { ...IMPLEMENTATION.mmu, epan: true } }],
    ["neither FEAT_SVE nor FEAT_ECV", { spe: { ...DEFAULT_IMPLEMENTATION, sve: true } }],
  ])("is refused where %s", (message, less) => {
    expect(() => checkImplementation({ ...IMPLEMENTATION, ...less })).toThrow(message);
  });
});
