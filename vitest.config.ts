import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    // A worker loads the source once, and not for each file of tests: its modules have no state that one could leave behind.
    isolate: false,
    restoreMocks: true,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Oracle tests start processes of their own, and a guest takes some hundreds of MB. One more than there are cores: some wait
    // for what happens at a terminal, or for time to pass.
    maxWorkers: Math.min(5, availableParallelism() + 1),
  },
});
