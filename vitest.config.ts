import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What takes minutes by itself: it begins first, or all else waits for it in the end. */
const LONG =
  /\/test\/(guest-perf-tests|guest-thread|guest-snapshots|guest-disks|extents|adaptive)\.test\.ts$/;

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification): boolean => LONG.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    // A worker loads the source once, and not for each file of tests: its modules have no state that one could leave behind.
    isolate: false,
    restoreMocks: true,
    sequence: { sequencer: LongFirst },
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Oracle tests start processes of their own, and a guest takes some hundreds of MB. One more than there are cores: some wait
    // for what happens at a terminal, or for time to pass.
    maxWorkers: Math.min(5, availableParallelism() + 1),
  },
});
