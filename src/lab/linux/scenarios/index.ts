/** Every scenario for a Linux guest. A new one is a file beside this one, and a name in this list. */
import type { LinuxScenario } from "../scenario.ts";
import { THREAD } from "./thread.ts";

export const LINUX_SCENARIOS: readonly LinuxScenario[] = [...THREAD];
