// SPDX-License-Identifier: GPL-2.0-only
import type { VerifierEnv } from "../env.js";
import { regIsDynptrSlicePkt, regIsPktPointerAny } from "../kinds/reg-type.js";
import { forEachRegInVstate } from "../state/each.js";
import { markRegInvalid } from "../state/mark.js";

/** The packet may have moved: every pointer into it is stale. Mirrors clear_all_pkt_pointers(). */
export function clearAllPktPointers(env: VerifierEnv): void {
  forEachRegInVstate(env.cur(), (mem, o) => {
    if (regIsPktPointerAny(mem, o) || regIsDynptrSlicePkt(mem, o)) markRegInvalid(env, mem, o);
  });
}
