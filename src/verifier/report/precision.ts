// SPDX-License-Identifier: GPL-2.0-only
import { type VerifierEnv, verbose } from "../env.js";
import { BPF_LOG_LEVEL2 } from "../log.js";
import { printVerifierState, verboseInsn } from "../state/print.js";
import type { VerifierState } from "../state/vstate.js";
import { bpfFmtStackMask, fmtRegMask } from "../track/bt.js";

/* The walk back from a value that the verdict rests on, for log and listener. Guard calls with `env.details`. */

/** The registers and slots that are wanted in a frame. */
function wantedText(env: VerifierEnv, frame: number): string {
  const { bt } = env;
  return `regs=${fmtRegMask(bt.regMasks[frame]!)} stack=${bpfFmtStackMask(bt.stackLo[frame]!, bt.stackHi[frame]!)}`;
}

/** The walk goes through one state, backwards from `last` to `first`. */
export function reportTraceState(env: VerifierEnv, last: number, first: number, subseq: number): void {
  if ((env.log.level & BPF_LOG_LEVEL2) === 0) return;
  verbose(env, `mark_precise: frame${env.bt.frame}: last_idx ${last} first_idx ${first} subseq_idx ${subseq} \n`);
}

/** The walk goes over instruction `idx`. */
export function reportTraceStep(env: VerifierEnv, idx: number): void {
  if (env.tracer !== null) env.tracer.traceStep(idx);
  if ((env.log.level & BPF_LOG_LEVEL2) === 0) return;
  const { frame } = env.bt;
  verbose(env, `mark_precise: frame${frame}: ${wantedText(env, frame)} before ${idx}: `);
  verboseInsn(env, idx);
}

/** Frame `fr` of a kept state was marked. */
export function reportTraceMark(env: VerifierEnv, st: VerifierState, fr: number): void {
  if (env.tracer !== null) env.tracer.traceMark(st, fr);
  if ((env.log.level & BPF_LOG_LEVEL2) === 0) return;
  verbose(env, `mark_precise: frame${fr}: parent state ${wantedText(env, fr)}: `);
  printVerifierState(env, st, fr, true);
}

/** The trace is lost: everything becomes precise. */
export function reportTraceGiveUp(env: VerifierEnv, frame: number): void {
  if (env.tracer !== null) env.tracer.traceGiveUp();
  if ((env.log.level & BPF_LOG_LEVEL2) === 0) return;
  verbose(env, `mark_precise: frame${frame}: falling back to forcing all scalars precise\n`);
}

/** A register or slot became precise that way. */
export function reportForced(env: VerifierEnv, frame: number, what: string): void {
  if ((env.log.level & BPF_LOG_LEVEL2) === 0) return;
  verbose(env, `force_precise: frame${frame}: forcing ${what} to be precise\n`);
}
