import { configDefaults, mergeConfig } from "vitest/config";
import everything from "./vitest.config.ts";

/** Tests of the source that take longer than the inner loop may: sweeps of runs, long properties, every opcode. */
const LONG = [
  "src/lab/questions/**",
  "src/lab/bar.test.ts",
  "src/lab/bar/cell.test.ts",
  "src/lab/compare.test.ts",
  "src/lab/listener.test.ts",
  "src/cli/bar/**",
  "src/cli/lab.test.ts",
  "src/api/api.test.ts",
  "src/board/virtio/{hostile,mmio}.test.ts",
  "src/cli/compare.test.ts",
  "src/cpu/implementation.test.ts",
  "src/cpu/execute/**",
  "src/cpu/spe/{statistics,pmu-events,bias}.test.ts",
  "src/kvm/spe/buffer-walk.test.ts",
  "src/spe/spu.test.ts",
  "src/common/zstd.test.ts",
  "src/host/pins.test.ts",
  "src/kvm/guest-pages.test.ts",
  "src/spe/interval.test.ts",
  "src/mmu/build.test.ts",
  "src/wasm/instructions.test.ts",
  "src/a64/decoder.test.ts",
  "src/guest/recording/generate.test.ts",
];

/** `npm run test:fast`: beside the source, without guests and without what compares with other programs (test/). */
export default mergeConfig(everything, {
  test: { exclude: [...configDefaults.exclude, "test/**", ...LONG] },
});
