// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import { type VerifierEnv, verbose } from "../env.js";
import { allocFrame } from "../state/frame.js";
import { initFuncState } from "../state/mark.js";
import { allocState, allocStateForCopy, freeState, type VerifierState } from "../state/vstate.js";

/** `callsite` of the first frame. */
export const BPF_MAIN_FUNC = -1;

/**
 * Puts a copy of the current state aside, to be explored from `insnIdx` later. The copy, or a
 * negative errno. Mirrors push_stack().
 */
export function pushStack(
  env: VerifierEnv,
  insnIdx: number,
  prevInsnIdx: number,
  speculative: boolean,
): VerifierState | number {
  const st = allocStateForCopy();
  st.copyFrom(env.cur());
  env.stack.push({ st, insnIdx, prevInsnIdx, logPos: env.log.endPos });
  if (speculative) st.speculative = true;
  if (env.stack.length > Limit.BPF_COMPLEXITY_LIMIT_JMP_SEQ) {
    verbose(env, `The sequence of ${env.stack.length} jumps is too complex.\n`);
    return env.rules.overflowTooBig ? -Errno.E2BIG : -Errno.EFAULT;
  }
  if (st.parent !== null) st.parent.branches++;
  if (env.tracer !== null) env.tracer.push(st, insnIdx, speculative);
  return st;
}

/** Like {@link pushStack} for a callback that runs some time later, on a stack of its own. Mirrors push_async_cb(). */
export function pushAsyncCb(
  env: VerifierEnv,
  insnIdx: number,
  prevInsnIdx: number,
  subprog: number,
  isSleepable: boolean,
): VerifierState | number {
  const st = allocState();
  env.stack.push({ st, insnIdx, prevInsnIdx, logPos: env.log.endPos });
  if (env.stack.length > Limit.BPF_COMPLEXITY_LIMIT_JMP_SEQ) {
    verbose(env, `The sequence of ${env.stack.length} jumps is too complex for async cb.\n`);
    return env.rules.overflowTooBig ? -Errno.E2BIG : -Errno.EFAULT;
  }
  st.branches = 1;
  st.inSleepable = isSleepable;
  const frame = allocFrame();
  initFuncState(env, frame, BPF_MAIN_FUNC, 0, subprog);
  st.frame[0] = frame;
  if (env.tracer !== null) env.tracer.push(st, insnIdx, false);
  return st;
}

/**
 * Takes up the state that was put aside last: the current state becomes a copy of it, and the log is
 * cut back when `popLog`. False when there is none. Mirrors pop_stack(); the indices go to the environment.
 */
export function popStack(env: VerifierEnv, popLog: boolean): boolean {
  const elem = env.stack.pop();
  if (elem === undefined) return false;
  if (env.curState !== null) {
    // Trade places instead of copying: the state put aside is not needed any more.
    const old = env.curState;
    elem.st.insnIdx = old.insnIdx;
    env.curState = elem.st;
    freeState(old);
  } else {
    freeState(elem.st);
  }
  if (popLog) env.log.reset(elem.logPos);
  env.insnIdx = elem.insnIdx;
  env.prevInsnIdx = elem.prevInsnIdx;
  if (env.tracer !== null) env.tracer.pop(elem.st);
  return true;
}
