// SPDX-License-Identifier: GPL-2.0-only
import type { VerifierEnv } from "../env.js";
import type { FuncState } from "../state/frame.js";
import { markRegNotInitRaw } from "../state/mark.js";
import { R_SLOT_HI, R_SLOT_LO, regAt, slotAt } from "../state/reg.js";
import type { VerifierState } from "../state/vstate.js";
import { exploredState, frameInsnIdx, sameCallsites } from "../track/explored.js";
import { bpfLiveStackQueryInit, bpfStackSlotAlive } from "../track/liveness.js";
import { incompleteReadMarks } from "../track/scc-visit.js";

/* Registers and slots that nobody reads any more are forgotten in saved states, so that more states are equal to them. */

/** Mirrors clean_func_state(). */
function cleanFuncState(env: VerifierEnv, st: FuncState, ip: number): void {
  const live = env.aux.liveRegsBefore[ip]!;
  for (let i = 0; i < 10; i++) if (((live >> i) & 1) === 0) markRegNotInitRaw(env, st.mem, regAt(i));
  for (let spi = 0; spi < st.allocatedStack >> 3; spi++) {
    if (bpfStackSlotAlive(env, st.frameno, spi)) continue;
    const o = slotAt(spi);
    markRegNotInitRaw(env, st.mem, o);
    st.mem[o + R_SLOT_LO] = 0;
    st.mem[o + R_SLOT_HI] = 0;
  }
}

/** Mirrors clean_verifier_state(). */
function cleanVerifierState(env: VerifierEnv, st: VerifierState): void {
  bpfLiveStackQueryInit(env, st);
  st.cleaned = true;
  for (let i = 0; i <= st.curframe; i++) cleanFuncState(env, st.frame[i]!, frameInsnIdx(st, i));
}

/** Cleans the states at `insn` whose paths were all explored. Mirrors clean_live_states(). */
export function cleanLiveStates(env: VerifierEnv, insn: number, cur: VerifierState): void {
  for (let st = env.exploredStates[exploredState(env, insn)] ?? null; st !== null; st = st.next) {
    if (st.branches !== 0 || st.insnIdx !== insn || !sameCallsites(st, cur)) continue;
    if (st.cleaned || incompleteReadMarks(env, st)) continue;
    cleanVerifierState(env, st);
  }
}
