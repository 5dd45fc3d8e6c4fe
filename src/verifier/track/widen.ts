// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import type { VerifierEnv } from "../env.js";
import { markRegUnknownRaw } from "../num/bounds.js";
import { resetIdmapScratch } from "../state/ids.js";
import { R_PRECISE, R_TYPE, regAt, STACK_SPILL, slotAt, slotType } from "../state/reg.js";
import { regsExact } from "../state/same.js";
import type { VerifierState } from "../state/vstate.js";
import { exploredState, sameCallsites } from "./explored.js";

/* Callbacks are called any number of times: what changes from one turn to the next must not keep the turns apart. */

/** The state with which the turn before began, null in the first one. Mirrors find_prev_entry(). */
export function findPrevEntry(env: VerifierEnv, cur: VerifierState, insnIdx: number): VerifierState | null {
  for (let st = env.exploredStates[exploredState(env, insnIdx)] ?? null; st !== null; st = st.next) {
    if (st.insnIdx === insnIdx && st.branches !== 0 && sameCallsites(st, cur) && st.dfsDepth < cur.dfsDepth) return st;
  }
  return null;
}

/** Mirrors maybe_widen_reg(). */
function maybeWidenReg(env: VerifierEnv, om: Int32Array, cm: Int32Array, o: number): void {
  if (om[o + R_TYPE] !== RegType.SCALAR_VALUE || cm[o + R_TYPE] !== RegType.SCALAR_VALUE) return;
  if (om[o + R_PRECISE] !== 0 || cm[o + R_PRECISE] !== 0 || regsExact(om, o, cm, o)) return;
  markRegUnknownRaw(env, cm, o);
}

/** Scalars that differ from those of the turn before, and whose values decided nothing yet, become unknown. Mirrors widen_imprecise_scalars(). */
export function widenImpreciseScalars(env: VerifierEnv, old: VerifierState, cur: VerifierState): number {
  resetIdmapScratch(env);
  for (let fr = old.curframe; fr >= 0; fr--) {
    const fold = old.frame[fr]!;
    const fcur = cur.frame[fr]!;
    for (let r = 0; r < 11; r++) maybeWidenReg(env, fold.mem, fcur.mem, regAt(r));
    const slots = Math.min(fold.allocatedStack, fcur.allocatedStack) >> 3;
    for (let spi = 0; spi < slots; spi++) {
      const o = slotAt(spi);
      if (slotType(fold.mem, o, 7) !== STACK_SPILL || slotType(fcur.mem, o, 7) !== STACK_SPILL) continue;
      maybeWidenReg(env, fold.mem, fcur.mem, o);
    }
  }
  return 0;
}
