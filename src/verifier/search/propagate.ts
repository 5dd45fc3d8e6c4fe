// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import { type VerifierEnv, verbose } from "../env.js";
import { BPF_LOG_LEVEL2 } from "../log.js";
import { R_PRECISE, R_TYPE, regAt, STACK_SPILL, slotAt, slotType } from "../state/reg.js";
import type { SccVisit } from "../state/tables.js";
import { freeState, type VerifierState } from "../state/vstate.js";
import { markAllScalarsPrecise, markChainPrecisionRaw } from "../track/backtrack.js";
import { btSetFrameReg, btSetFrameSlot } from "../track/bt.js";

const MAX_BACKEDGE_ITERS = 64;

function isPrecise(mem: Int32Array, o: number): boolean {
  return mem[o + R_TYPE] === RegType.SCALAR_VALUE && mem[o + R_PRECISE] !== 0;
}

/** What is precise in `old` is wanted in `cur`, which was found equal to it. Mirrors propagate_precision(). */
export function propagatePrecision(
  env: VerifierEnv,
  old: VerifierState,
  cur: VerifierState,
  changed: { value: boolean },
): number {
  const print = (env.log.level & BPF_LOG_LEVEL2) !== 0;
  for (let fr = old.curframe; fr >= 0; fr--) {
    const { mem, allocatedStack } = old.frame[fr]!;
    let text = "";
    let some = false;
    for (let i = 0; i < 10; i++) {
      if (!isPrecise(mem, regAt(i))) continue;
      some = true;
      if (print) text += text === "" ? `frame ${fr}: propagating r${i}` : `,r${i}`;
      btSetFrameReg(env.bt, fr, i);
    }
    for (let spi = 0; spi < allocatedStack >> 3; spi++) {
      const o = slotAt(spi);
      if (slotType(mem, o, 7) !== STACK_SPILL || !isPrecise(mem, o)) continue;
      some = true;
      const fp = (-spi - 1) * 8;
      if (print) text += text === "" ? `frame ${fr}: propagating fp${fp}` : `,fp${fp}`;
      btSetFrameSlot(env.bt, fr, spi);
    }
    // At level 1 the kernel ends the line that it has not begun.
    if (some) verbose(env, `${text}\n`);
  }
  return markChainPrecisionRaw(env, cur, -1, changed);
}

/** Mirrors free_backedges(). */
export function freeBackedges(visit: SccVisit): void {
  for (const backedge of visit.backedges) freeState(backedge);
  visit.backedges = [];
}

/** Carries precision along the backedges of a loop until nothing is new. Mirrors propagate_backedges(). */
export function propagateBackedges(env: VerifierEnv, visit: SccVisit): number {
  const { backedges } = visit;
  const changed = { value: false };
  let i = 0;
  do {
    if (i++ > MAX_BACKEDGE_ITERS) {
      if ((env.log.level & BPF_LOG_LEVEL2) !== 0) verbose(env, "propagate_backedges: too many iterations\n");
      for (let k = backedges.length - 1; k >= 0; k--) markAllScalarsPrecise(env, backedges[k]!);
      break;
    }
    changed.value = false;
    for (let k = backedges.length - 1; k >= 0; k--) {
      const st = backedges[k]!;
      if (env.tracer !== null) env.tracer.propagate();
      const err = propagatePrecision(env, st.equalState!, st, changed);
      if (err < 0) return err;
    }
  } while (changed.value);
  freeBackedges(visit);
  return 0;
}
