// SPDX-License-Identifier: GPL-2.0-only
import { ArgType, RegType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import { BugError } from "../../util/errors.js";
import { Unsupported, type VerifierEnv, verbose } from "../env.js";
import { baseType } from "../kinds/reg-type.js";
import { checkMemReg } from "../mem/helper-mem.js";
import { checkFuncArgRegOff } from "../mem/ptr-off.js";
import { reportCall } from "../report/steps.js";
import { allocFrame, type FuncState, freeFrame } from "../state/frame.js";
import { clearCallerSavedRegs, DEF_NOT_SUBREG, initFuncState, markRegUnknown } from "../state/mark.js";
import { copyReg, R_SUBREG_DEF, R_TYPE, regAt } from "../state/reg.js";
import { findSubprog, subprogIsGlobal, subprogName } from "../state/subprog.js";
import type { VerifierState } from "../state/vstate.js";
import { bpfResetLiveStackCallchain } from "../track/liveness.js";
import { processDynptrFunc } from "./dynptr.js";
import { btfPrepareFuncArgs, hasFuncInfo } from "./func-args.js";
import { clearAllPktPointers } from "./packet-ptrs.js";

/** Sets up a callee's registers from its caller's; 0 or a negative errno. */
export type SetCalleeState = (env: VerifierEnv, caller: FuncState, callee: FuncState, insnIdx: number) => number;

/** R1–R5 go to the callee as they are. Mirrors set_callee_state(). */
export function setCalleeState(_env: VerifierEnv, caller: FuncState, callee: FuncState): number {
  for (let i = 1; i <= 5; i++) copyReg(callee.mem, regAt(i), caller.mem, regAt(i));
  return 0;
}

/** Adds a frame for `subprog` to `state`. Mirrors setup_func_entry(). */
export function setupFuncEntry(
  env: VerifierEnv,
  subprog: number,
  callsite: number,
  setState: SetCalleeState,
  state: VerifierState,
): number {
  if (state.curframe + 1 >= Limit.MAX_CALL_FRAMES) {
    verbose(env, `the call stack of ${state.curframe + 2} frames is too deep\n`);
    return -Errno.E2BIG;
  }
  if (state.frame[state.curframe + 1] != null) throw new BugError(`frame ${state.curframe + 1} already allocated`);
  const caller = state.cur();
  const callee = allocFrame();
  state.frame[state.curframe + 1] = callee;
  initFuncState(env, callee, callsite, state.curframe + 1, subprog);
  const err = setState(env, caller, callee, callsite);
  if (err !== 0) {
    freeFrame(callee);
    state.frame[state.curframe + 1] = null;
    return err;
  }
  state.curframe++;
  return 0;
}

/** Whether register `regno` of the caller suits argument `i` of the function. One turn of btf_check_func_arg_match(). */
function checkArgMatch(env: VerifierEnv, i: number, argType: number, memSize: number): number {
  const regno = i + 1;
  const o = regAt(regno);
  const mem = env.cur().cur().mem;
  const type = mem[o + R_TYPE]!;
  if (argType === ArgType.ANYTHING) {
    if (type === RegType.SCALAR_VALUE) return 0;
    verbose(env, `R${regno} is not a scalar\n`);
    return -Errno.EINVAL;
  }
  if ((argType & TypeFlag.PTR_UNTRUSTED) !== 0) return 0;
  if (argType === ArgType.PTR_TO_CTX) {
    const err = checkFuncArgRegOff(env, mem, o, regno, ArgType.DONTCARE);
    if (err < 0) return err;
    if (type === RegType.PTR_TO_CTX) return 0;
    verbose(env, `arg#${i} expects pointer to ctx\n`);
    return -Errno.EINVAL;
  }
  if (baseType(argType) === ArgType.PTR_TO_MEM) {
    const err = checkFuncArgRegOff(env, mem, o, regno, ArgType.DONTCARE);
    if (err < 0) return err;
    if (checkMemReg(env, regno, memSize) !== 0) return -Errno.EINVAL;
    if ((argType & TypeFlag.PTR_MAYBE_NULL) === 0 && (type & TypeFlag.PTR_MAYBE_NULL) !== 0) {
      verbose(env, `arg#${i} is expected to be non-NULL\n`);
      return -Errno.EINVAL;
    }
    return 0;
  }
  if (baseType(argType) === ArgType.PTR_TO_ARENA) {
    if (type === RegType.PTR_TO_ARENA || type === RegType.SCALAR_VALUE) return 0;
    verbose(env, `R${regno} is not a pointer to arena or scalar.\n`);
    return -Errno.EINVAL;
  }
  if (argType === (ArgType.PTR_TO_DYNPTR | TypeFlag.MEM_RDONLY)) {
    const err = checkFuncArgRegOff(env, mem, o, regno, ArgType.PTR_TO_DYNPTR);
    return err !== 0 ? err : processDynptrFunc(env, regno, -1, argType, 0);
  }
  throw new Unsupported(env.insnIdx, "kernel object as argument of a function");
}

/** Mirrors btf_check_func_arg_match(). */
function btfCheckFuncArgMatch(env: VerifierEnv, subprog: number): number {
  const err = btfPrepareFuncArgs(env, subprog);
  if (err !== 0) return err;
  const sub = env.subprogs[subprog]!;
  for (let i = 0; i < sub.argCnt; i++) {
    const { argType, memSize } = sub.args[i]!;
    const bad = checkArgMatch(env, i, argType, memSize);
    if (bad !== 0) return bad;
  }
  return 0;
}

/** Whether R1–R5 suit what BTF says of the function. Mirrors btf_check_subprog_call(). */
export function btfCheckSubprogCall(env: VerifierEnv, subprog: number): number {
  if (!hasFuncInfo(env)) return -Errno.EINVAL;
  const sub = env.subprogs[subprog]!;
  if (sub.unreliable) return -Errno.EINVAL;
  const err = btfCheckFuncArgMatch(env, subprog);
  if (err !== 0) sub.unreliable = true;
  return err;
}

/** A global function is checked on its own: here only its arguments are. The second half of check_func_call(). */
function checkGlobalCall(env: VerifierEnv, subprog: number, err: number): number {
  const state = env.cur();
  const sub = env.subprogs[subprog]!;
  if (state.activeLocks !== 0) {
    verbose(env, "global function calls are not allowed while holding a lock,\nuse static function instead\n");
    return -Errno.EINVAL;
  }
  const atomic = state.activeRcuLock !== 0 || state.activePreemptLocks !== 0 || state.activeIrqId !== 0;
  if (!env.rules.sleepingGlobals) {
    if (state.activePreemptLocks !== 0) {
      verbose(env, "global function calls are not allowed with preemption disabled,\nuse static function instead\n");
      return -Errno.EINVAL;
    }
  } else if (sub.mightSleep && (atomic || !state.inSleepable)) {
    verbose(
      env,
      "global functions that may sleep are not allowed in non-sleepable context,\n" +
        "i.e., in a RCU/IRQ/preempt-disabled section, or in\n" +
        "a non-sleepable BPF program context\n",
    );
    return -Errno.EINVAL;
  }
  const name = subprogName(env, subprog);
  if (err !== 0) {
    verbose(env, `Caller passes invalid args into func#${subprog} ('${name}')\n`);
    return err;
  }
  if (env.log.level !== 0) verbose(env, `Func#${subprog} ('${name}') is global and assumed valid.\n`);
  if (sub.changesPktData) clearAllPktPointers(env);
  sub.called = true;
  if (env.tracer !== null) env.tracer.call(subprog, true);
  const mem = state.cur().mem;
  clearCallerSavedRegs(env, mem);
  markRegUnknown(env, mem, 0);
  mem[regAt(0) + R_SUBREG_DEF] = DEF_NOT_SUBREG;
  return 0;
}

/**
 * A call of a subprogram: enters it, with `env.insnIdx` before its first instruction, or steps over it
 * when it is global. Mirrors check_func_call().
 */
export function checkFuncCall(env: VerifierEnv): number {
  const state = env.cur();
  const subprog = findSubprog(env, env.insnIdx + env.insns.imm[env.insnIdx]! + 1);
  if (subprog < 0) throw new BugError(`target of call at ${env.insnIdx} is no function`);
  const bad = btfCheckSubprogCall(env, subprog);
  if (bad === -Errno.EFAULT) return bad;
  if (subprogIsGlobal(env, subprog)) return checkGlobalCall(env, subprog, bad);

  const caller = state.cur();
  const err = setupFuncEntry(env, subprog, env.insnIdx, setCalleeState, state);
  if (err !== 0) return err;
  clearCallerSavedRegs(env, caller.mem);
  env.insnIdx = env.subprogs[subprog]!.start - 1;
  bpfResetLiveStackCallchain(env);
  if (env.reports) reportCall(env, state, caller);
  return 0;
}
