// SPDX-License-Identifier: GPL-2.0-only
import { BPF_CALL, BPF_EXIT, BPF_JA, BPF_JMP, BPF_JMP32, BPF_PSEUDO_CALL } from "../../asm/opcode.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { bpfHelperChangesPktData, getHelperProto } from "../kinds/helper-proto.js";
import {
  bpfHelperCall,
  bpfIsLdimm64,
  bpfJmpOffset,
  bpfPseudoFunc,
  isAsyncCallbackCallingInsn,
  isMayGotoInsn,
  isSyncCallbackCallingInsn,
} from "../kinds/insn.js";
import { verboseLinfo } from "../state/print.js";
import { bpfFindContainingSubprog } from "../state/subprog.js";
import { ScratchBytes, ScratchInts } from "./scratch.js";

/*
 * A depth-first walk over the whole program: every instruction can be reached, and the places where
 * states are compared are marked on the way.
 */

const DISCOVERED = 0x10;
const EXPLORED = 0x20;
const FALLTHROUGH = 1;
const BRANCH = 2;

const DONE_EXPLORING = 0;
const KEEP_EXPLORING = 1;

const insnState = new ScratchBytes();
const insnStack = new ScratchInts();
let curStack = 0;

function markPrunePoint(env: VerifierEnv, i: number): void {
  if (i < env.insns.len) env.aux.prunePoint[i] = 1;
}

function markJmpPoint(env: VerifierEnv, i: number): void {
  if (i < env.insns.len) env.aux.jmpPoint[i] = 1;
}

/** Follows edge `e` from `t` to `w`. Mirrors push_insn(). */
function pushInsn(env: VerifierEnv, t: number, w: number, e: number): number {
  const state = insnState.bytes;
  if (e === FALLTHROUGH && state[t]! >= (DISCOVERED | FALLTHROUGH)) return DONE_EXPLORING;
  if (e === BRANCH && state[t]! >= (DISCOVERED | BRANCH)) return DONE_EXPLORING;
  if (w < 0 || w >= env.insns.len) {
    verboseLinfo(env, t, `${t}: `);
    verbose(env, `jump out of range from insn ${t} to ${w}\n`);
    return -Errno.EINVAL;
  }
  if (e === BRANCH) {
    markPrunePoint(env, w);
    markJmpPoint(env, w);
  }
  if (state[w] === 0) {
    state[t] = DISCOVERED | e;
    state[w] = DISCOVERED;
    if (curStack >= env.insns.len) return -Errno.E2BIG;
    insnStack.ints[curStack++] = w;
    return KEEP_EXPLORING;
  }
  if ((state[w]! & 0xf0) === DISCOVERED) {
    if (env.bpfCapable) return DONE_EXPLORING;
    verboseLinfo(env, t, `${t}: `);
    verboseLinfo(env, w, `${w}: `);
    verbose(env, `back-edge from insn ${t} to ${w}\n`);
    return -Errno.EINVAL;
  }
  state[t] = DISCOVERED | e;
  return DONE_EXPLORING;
}

/** What the callee does to packets, and that it may sleep, holds for the caller too. Mirrors merge_callee_effects(). */
function mergeCalleeEffects(env: VerifierEnv, t: number, w: number): void {
  const caller = env.subprogs[bpfFindContainingSubprog(env, t)]!;
  const callee = env.subprogs[bpfFindContainingSubprog(env, w)]!;
  if (callee.changesPktData) caller.changesPktData = true;
  if (callee.mightSleep) caller.mightSleep = true;
}

/** Mirrors visit_func_call_insn(). */
function visitFuncCallInsn(env: VerifierEnv, t: number, visitCallee: boolean): number {
  const next = t + (bpfIsLdimm64(env.insns, t) ? 2 : 1);
  const ret = pushInsn(env, t, next, FALLTHROUGH);
  if (ret !== 0) return ret;
  markPrunePoint(env, next);
  markJmpPoint(env, next);
  if (!visitCallee) return ret;
  const w = t + env.insns.imm[t]! + 1;
  markPrunePoint(env, t);
  mergeCalleeEffects(env, t, w);
  return pushInsn(env, t, w, BRANCH);
}

function visitCall(env: VerifierEnv, t: number): number {
  const { insns, aux } = env;
  if (isAsyncCallbackCallingInsn(insns, t)) markPrunePoint(env, t);
  if (isSyncCallbackCallingInsn(insns, t)) {
    aux.callsCallback[t] = 1;
    aux.forceCheckpoint[t] = 1;
    markPrunePoint(env, t);
    markJmpPoint(env, t);
  }
  if (bpfHelperCall(insns, t)) {
    const subprog = env.subprogs[bpfFindContainingSubprog(env, t)]!;
    const proto = getHelperProto(env, insns.imm[t]!);
    if (typeof proto !== "number" && proto.mightSleep) subprog.mightSleep = true;
    if (bpfHelperChangesPktData(insns.imm[t]!)) subprog.changesPktData = true;
  }
  return visitFuncCallInsn(env, t, insns.src[t] === BPF_PSEUDO_CALL);
}

/** Takes one step from the instruction on top of the stack. Mirrors visit_insn(). */
function visitInsn(env: VerifierEnv, t: number): number {
  const { insns } = env;
  const code = insns.code[t]!;
  const cls = code & 7;
  if (bpfPseudoFunc(insns, t)) return visitFuncCallInsn(env, t, true);
  if (cls !== BPF_JMP && cls !== BPF_JMP32) {
    return pushInsn(env, t, t + (bpfIsLdimm64(insns, t) ? 2 : 1), FALLTHROUGH);
  }
  switch (code & 0xf0) {
    case BPF_EXIT:
      return DONE_EXPLORING;
    case BPF_CALL:
      return visitCall(env, t);
    case BPF_JA: {
      const w = t + (cls === BPF_JMP ? insns.off[t]! : insns.imm[t]!) + 1;
      const ret = pushInsn(env, t, w, FALLTHROUGH);
      if (ret !== 0) return ret;
      markPrunePoint(env, w);
      markJmpPoint(env, w);
      return ret;
    }
    default: {
      markPrunePoint(env, t);
      if (isMayGotoInsn(insns, t)) env.aux.forceCheckpoint[t] = 1;
      const ret = pushInsn(env, t, t + 1, FALLTHROUGH);
      return ret !== 0 ? ret : pushInsn(env, t, t + bpfJmpOffset(insns, t) + 1, BRANCH);
    }
  }
}

function checkAllExplored(env: VerifierEnv): number {
  const state = insnState.bytes;
  for (let i = 0; i < env.insns.len; i++) {
    if (state[i] !== EXPLORED) {
      verbose(env, `unreachable insn ${i}\n`);
      return -Errno.EINVAL;
    }
    if (bpfIsLdimm64(env.insns, i)) {
      if (state[i + 1] !== 0) {
        verbose(env, `jump into the middle of ldimm64 insn ${i}\n`);
        return -Errno.EINVAL;
      }
      i++;
    }
  }
  return 0;
}

/** Explores all that an instruction leads to. */
function walkFrom(env: VerifierEnv, start: number): number {
  insnState.bytes[start] = DISCOVERED;
  insnStack.ints[0] = start;
  curStack = 1;
  while (curStack > 0) {
    const t = insnStack.ints[curStack - 1]!;
    const ret = visitInsn(env, t);
    if (ret < 0) return ret;
    if (ret === DONE_EXPLORING) {
      insnState.bytes[t] = EXPLORED;
      curStack--;
    }
  }
  return 0;
}

/** Mirrors check_cfg(). */
export function checkCfg(env: VerifierEnv): number {
  insnState.reset(env.insns.len);
  insnStack.reset(env.insns.len);
  let err = walkFrom(env, 0);
  if (err !== 0) return err;
  // Nothing leads to the handler of exceptions but exceptions.
  const handler = env.exceptionCallbackSubprog === 0 ? 0 : env.subprogs[env.exceptionCallbackSubprog]!.start;
  if (handler !== 0 && insnState.bytes[handler] !== EXPLORED) err = walkFrom(env, handler);
  return err !== 0 ? err : checkAllExplored(env);
}
