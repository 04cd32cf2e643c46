/** Every scenario for a Linux guest. A new one is a file beside this one, and a name in this list. */
import type { LinuxScenario } from "../scenario.ts";
import { BUFFERS } from "./buffers.ts";
import { HOSTS } from "./hosts.ts";
import { THREAD } from "./thread.ts";
import { THREAD_LIKE } from "./thread-like.ts";
import { WAYS } from "./ways.ts";

export const LINUX_SCENARIOS: readonly LinuxScenario[] = [
  ...THREAD,
  ...THREAD_LIKE,
  ...BUFFERS,
  ...WAYS,
  ...HOSTS,
];
