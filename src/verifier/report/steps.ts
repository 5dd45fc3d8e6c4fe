// SPDX-License-Identifier: GPL-2.0-only
import { type VerifierEnv, verbose } from "../env.js";
import { BPF_LOG_LEVEL, BPF_LOG_LEVEL2 } from "../log.js";
import type { FuncState } from "../state/frame.js";
import { verifierStateScratched } from "../state/mark.js";
import { printInsnState, printVerifierState, verboseInsn, verboseLinfo } from "../state/print.js";
import type { VerifierState } from "../state/vstate.js";

/*
 * The parts of the log that follow the walk: steps, the ends of known paths, calls and returns. The listener hears of
 * them at the same places.
 */

function speculativeText(env: VerifierEnv): string {
  return env.cur().speculative ? " (speculative execution)" : "";
}

/** An instruction was counted: to whom it may concern. */
export function reportEnter(env: VerifierEnv, i: number): void {
  if (env.visits !== null) env.visits[i] = env.visits[i]! + 1;
  if (env.tracer !== null) env.tracer.enter();
}

/** The log's word for a path whose rest is known. */
export function reportSafe(env: VerifierEnv): void {
  if ((env.log.level & BPF_LOG_LEVEL) === 0) return;
  if (env.doPrintState) verbose(env, `\nfrom ${env.prevInsnIdx} to ${env.insnIdx}${speculativeText(env)}: safe\n`);
  else verbose(env, `${env.insnIdx}: safe\n`);
}

/** The state where it changed, the source line, the instruction. */
export function reportStep(env: VerifierEnv): void {
  const state = env.cur();
  if ((env.log.level & BPF_LOG_LEVEL2) !== 0 && env.doPrintState) {
    verbose(env, `\nfrom ${env.prevInsnIdx} to ${env.insnIdx}${speculativeText(env)}:`);
    printVerifierState(env, state, state.curframe, true);
    env.doPrintState = false;
  }
  if ((env.log.level & BPF_LOG_LEVEL) === 0) return;
  if (verifierStateScratched(env)) printInsnState(env, state, state.curframe);
  verboseLinfo(env, env.insnIdx, "; ");
  const start = env.log.endPos;
  verbose(env, `${env.insnIdx}: `);
  verboseInsn(env, env.insnIdx);
  env.prevInsnPrintPos = env.log.endPos - start;
  env.prevLogPos = env.log.endPos;
}

/** A frame was added for a static function. */
export function reportCall(env: VerifierEnv, state: VerifierState, caller: FuncState): void {
  if (env.tracer !== null) env.tracer.call(state.cur().subprogno, false);
  if ((env.log.level & BPF_LOG_LEVEL) === 0) return;
  verbose(env, "caller:\n");
  printVerifierState(env, state, caller.frameno, true);
  verbose(env, "callee:\n");
  printVerifierState(env, state, state.curframe, true);
}

/** The current frame is about to go; `env.insnIdx` is where its caller goes on. */
export function reportReturn(env: VerifierEnv, state: VerifierState, callee: FuncState, caller: FuncState): void {
  if (env.tracer !== null) env.tracer.return(env.insnIdx, callee.inCallbackFn);
  if ((env.log.level & BPF_LOG_LEVEL) === 0) return;
  verbose(env, "returning from callee:\n");
  printVerifierState(env, state, callee.frameno, true);
  verbose(env, `to caller at ${env.insnIdx}:\n`);
  printVerifierState(env, state, caller.frameno, true);
}
