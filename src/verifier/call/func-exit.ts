// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { reportReturn } from "../report/steps.js";
import { type FuncState, freeFrame, mustFrame } from "../state/frame.js";
import { copyReg, R_TYPE, regAt } from "../state/reg.js";
import { markChainPrecision } from "../track/backtrack.js";
import { bpfUpdateLiveStack } from "../track/liveness.js";
import { findPrevEntry, widenImpreciseScalars } from "../track/widen.js";
import { retvalRangeWithin, verboseInvalidScalar } from "./retval-range.js";

/** What a callback returns must be in the range that its helper wants. */
function checkCallbackReturn(env: VerifierEnv, callee: FuncState): number {
  const r0 = regAt(0);
  if (callee.mem[r0 + R_TYPE] !== RegType.SCALAR_VALUE) {
    verbose(env, "R0 not a scalar value\n");
    return -Errno.EACCES;
  }
  const err = markChainPrecision(env, 0);
  if (err !== 0) return err;
  const { callbackRetMin, callbackRetMax } = callee;
  if (retvalRangeWithin(callbackRetMin, callbackRetMax, callee.mem, r0, false)) return 0;
  verboseInvalidScalar(env, callee.mem, r0, callbackRetMin, callbackRetMax, "At callback return", "R0");
  return -Errno.EINVAL;
}

/**
 * Returns from the current frame to its caller; `env.insnIdx` becomes the instruction to go on with.
 * Mirrors prepare_func_exit().
 */
export function prepareFuncExit(env: VerifierEnv): number {
  const state = env.cur();
  let err = bpfUpdateLiveStack(env);
  if (err !== 0) return err;

  const callee = state.cur();
  const caller = mustFrame(state.frame[state.curframe - 1]);
  const isCallback = callee.inCallbackFn;
  if (callee.mem[regAt(0) + R_TYPE] === RegType.PTR_TO_STACK) {
    verbose(env, "cannot return stack pointer to the caller\n");
    return -Errno.EINVAL;
  }
  if (isCallback) {
    err = checkCallbackReturn(env, callee);
    if (err !== 0) return err;
  } else {
    copyReg(caller.mem, regAt(0), callee.mem, regAt(0));
  }

  // A callback's helper is visited again, as it may call back again.
  env.insnIdx = isCallback ? callee.callsite : callee.callsite + 1;
  if (env.reports) reportReturn(env, state, callee, caller);
  freeFrame(callee);
  state.frame[state.curframe--] = null;

  const prev = isCallback ? findPrevEntry(env, state, env.insnIdx) : null;
  return prev === null ? 0 : widenImpreciseScalars(env, prev, state);
}
