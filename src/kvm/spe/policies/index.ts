/** The policies that come with spevisor, in the order in which tables list them. A new one is one line here. */
import type { PinPolicy } from "../policy.ts";
import { fault } from "./fault.ts";
import { pinOnEnable } from "./pin-on-enable.ts";
import { prefault } from "./prefault.ts";
import { untilChanged } from "./until-changed.ts";

export const POLICIES: readonly PinPolicy[] = [fault, pinOnEnable, prefault, untilChanged];
