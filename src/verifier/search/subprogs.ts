// SPDX-License-Identifier: GPL-2.0-only
import { R1 } from "../../asm/opcode.js";
import { ArgType, baseType, DynptrType, RegType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { btfPrepareFuncArgs, hasFuncInfo } from "../call/func-args.js";
import { Unsupported, type VerifierEnv, verbose } from "../env.js";
import { BPF_LOG_LEVEL, BPF_LOG_LEVEL2 } from "../log.js";
import { allocFrame, type FuncState } from "../state/frame.js";
import { initFuncState, markDynptrRegRaw, markRegKnownZero, markRegUnknown } from "../state/mark.js";
import { R_ID, R_TYPE, R_U0, regAt } from "../state/reg.js";
import { subprogIsGlobal, subprogName } from "../state/subprog.js";
import { allocState, freeState, type VerifierState } from "../state/vstate.js";
import { freeExplored, initExplored } from "../track/explored.js";
import { BPF_MAIN_FUNC } from "../track/worklist.js";
import { doCheck } from "./do-check.js";
import { freeBackedges } from "./propagate.js";

/* The main function, and every global function on its own. */

function freeList(head: VerifierState | null): void {
  for (let st = head; st !== null; ) {
    const next: VerifierState | null = st.next;
    freeState(st);
    st = next;
  }
}

/** Gives every state back, whatever came of the exploration. Mirrors free_states(). */
export function freeStates(env: VerifierEnv): void {
  if (env.curState !== null) freeState(env.curState);
  env.curState = null;
  for (let elem = env.stack.pop(); elem !== undefined; elem = env.stack.pop()) freeState(elem.st);
  freeList(env.freeList);
  env.freeList = null;
  if (env.sccInfo.length !== 0) {
    for (const visits of env.sccInfo) for (const visit of visits ?? []) freeBackedges(visit);
    env.sccInfo = [];
  }
  freeExplored(env, freeList);
}

/** Gives R1–R5 of a global function what its prototype says. */
function setupArgs(env: VerifierEnv, subprog: number, mem: Int32Array): number {
  const sub = env.subprogs[subprog]!;
  for (let i = R1; i <= sub.argCnt; i++) {
    const { argType, memSize } = sub.args[i - R1]!;
    const o = regAt(i);
    if (argType === ArgType.PTR_TO_CTX) {
      mem[o + R_TYPE] = RegType.PTR_TO_CTX;
      markRegKnownZero(env, mem, i);
    } else if (argType === ArgType.ANYTHING) {
      markRegUnknown(env, mem, i);
    } else if (argType === (ArgType.PTR_TO_DYNPTR | TypeFlag.MEM_RDONLY)) {
      markDynptrRegRaw(mem, o, DynptrType.LOCAL, true, ++env.idGen);
    } else if (baseType(argType) === ArgType.PTR_TO_MEM) {
      const flags = TypeFlag.PTR_MAYBE_NULL | TypeFlag.PTR_UNTRUSTED | TypeFlag.MEM_RDONLY;
      mem[o + R_TYPE] = RegType.PTR_TO_MEM | (argType & flags);
      markRegKnownZero(env, mem, i);
      mem[o + R_U0] = memSize;
      if ((argType & TypeFlag.PTR_MAYBE_NULL) !== 0) mem[o + R_ID] = ++env.idGen;
    } else {
      throw new Unsupported(sub.start, `argument ${i} of global function ${sub.name}`);
    }
  }
  return 0;
}

/** A handler of exceptions ends the program: it returns what the program may. */
function setupExceptionCallback(env: VerifierEnv, subprog: number, frame: FuncState): number {
  const { argCnt, args } = env.subprogs[subprog]!;
  frame.inExceptionCallbackFn = true;
  if (argCnt === 1 && args[0]!.argType === ArgType.ANYTHING) return 0;
  verbose(env, "exception cb only supports single integer argument\n");
  return -Errno.EINVAL;
}

/** The context in R1; where there is BTF it must say so too, or its word is not taken. */
function setupMain(env: VerifierEnv, mem: Int32Array): void {
  const sub = env.subprogs[0]!;
  if (hasFuncInfo(env)) {
    const err = btfPrepareFuncArgs(env, 0);
    if (err !== 0 || sub.argCnt !== 1 || sub.args[0]!.argType !== ArgType.PTR_TO_CTX) sub.unreliable = true;
  }
  mem[regAt(R1) + R_TYPE] = RegType.PTR_TO_CTX;
  markRegKnownZero(env, mem, R1);
}

/** Explores one function from its first instruction. Mirrors do_check_common(). */
function doCheckCommon(env: VerifierEnv, subprog: number): number {
  const popLog = (env.log.level & BPF_LOG_LEVEL2) === 0;
  env.prevLinfo = null;
  env.passCnt++;
  const state = allocState();
  const frame = allocFrame();
  state.branches = 1;
  state.inSleepable = env.sleepable;
  state.frame[0] = frame;
  env.curState = state;
  initExplored(env);
  initFuncState(env, frame, BPF_MAIN_FUNC, 0, subprog);
  state.firstInsnIdx = env.subprogs[subprog]!.start;
  state.lastInsnIdx = -1;

  let ret = 0;
  if (subprog !== 0) {
    if (env.log.level !== 0) verbose(env, `Validating ${subprogName(env, subprog)}() func#${subprog}...\n`);
    ret = btfPrepareFuncArgs(env, subprog);
    if (ret === 0 && env.subprogs[subprog]!.isExceptionCb) ret = setupExceptionCallback(env, subprog, frame);
    if (ret === 0) ret = setupArgs(env, subprog, frame.mem);
  } else {
    setupMain(env, frame.mem);
  }
  if (ret === 0) {
    if (env.tracer !== null) env.tracer.start(subprog);
    ret = doCheck(env);
  }
  if (ret === 0 && popLog) env.log.reset(0);
  freeStates(env);
  return ret;
}

/** Mirrors do_check_main(). */
export function doCheckMain(env: VerifierEnv): number {
  env.insnIdx = 0;
  return doCheckCommon(env, 0);
}

/** Explores every global function that something called, until none is left. Mirrors do_check_subprogs(). */
export function doCheckSubprogs(env: VerifierEnv): number {
  if (!hasFuncInfo(env)) return 0;
  if (env.exceptionCallbackSubprog !== 0) env.subprogs[env.exceptionCallbackSubprog]!.called = true;
  const verified = new Set<number>();
  for (let found = true; found; ) {
    found = false;
    for (let i = 1; i < env.subprogCnt; i++) {
      const sub = env.subprogs[i]!;
      if (!subprogIsGlobal(env, i) || !sub.called || verified.has(i)) continue;
      env.insnIdx = sub.start;
      const ret = doCheckCommon(env, i);
      if (ret !== 0) return ret;
      if ((env.log.level & BPF_LOG_LEVEL) !== 0) {
        verbose(env, `Func#${i} ('${sub.name}') is safe for any args that match its prototype\n`);
      }
      verified.add(i);
      found = true;
    }
  }
  return 0;
}
