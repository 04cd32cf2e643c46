/**
 * Tests here compute for seconds without waiting for anything, and between two such tests Vitest's worker only runs
 * microtasks: its messages to the main process then time out after a minute ("Timeout calling onTaskUpdate"). Two turns
 * of the event loop after each test let them through: the first one may end without asking for what has arrived.
 */
import { afterEach } from "vitest";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

afterEach(async () => {
  await turn();
  await turn();
});
