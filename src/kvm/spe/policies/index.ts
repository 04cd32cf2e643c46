/** The policies that come with spevisor, in the order in which tables list them. A new one is one line here. */
import type { PinPolicy } from "../policy.ts";
import { adaptive } from "./adaptive.ts";
import { bounce } from "./bounce.ts";
import { bounceAhead } from "./bounce-ahead.ts";
import { fault } from "./fault.ts";
import { firstFault } from "./first-fault.ts";
import { grace } from "./grace.ts";
import { pinOnEnable } from "./pin-on-enable.ts";
import { prefault } from "./prefault.ts";
import { trapOnly } from "./trap-only.ts";
import { unpinOnNext } from "./unpin-on-next.ts";
import { untilChanged } from "./until-changed.ts";
import { wholeGuest } from "./whole-guest.ts";
import { window } from "./window.ts";
import { windowAhead } from "./window-ahead.ts";

export const POLICIES: readonly PinPolicy[] = [
  adaptive,
  bounce,
  bounceAhead,
  fault,
  firstFault,
  grace,
  pinOnEnable,
  prefault,
  unpinOnNext,
  untilChanged,
  wholeGuest,
  window,
  windowAhead,
  trapOnly,
];
