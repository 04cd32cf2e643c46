/**
 * Tests here compute for seconds without waiting for anything, and between two such tests Vitest's worker only runs
 * microtasks: its messages to the main process then time out after a minute ("Timeout calling onTaskUpdate"). A turn
 * of the event loop after each test lets them through.
 */
import { afterEach } from "vitest";

afterEach(() => new Promise<void>((resolve) => setImmediate(resolve)));
