/** `npm run test:fast`: what stands beside the source, without other programs, guests and long properties. */
import { defineConfig } from "vitest/config";
import config from "./vitest.config.ts";

export default defineConfig({
  test: {
    ...config.test,
    include: ["src/**/*.test.ts", "test/{encodings,layers}.test.ts"],
    // Each takes five seconds and more.
    exclude: [
      "src/a64/decoder.test.ts",
      "src/board/virtio/{hostile,mmio}.test.ts",
      "src/cpu/interpreter.test.ts",
      "src/guest/node/fetch-guest.test.ts",
      "src/kvm/spe/buffer-walk.test.ts",
      "src/lab/questions/q*.test.ts",
      "src/lab/bar.test.ts",
      "src/mmu/build.test.ts",
      "src/spe/spu.test.ts",
    ],
  },
});
