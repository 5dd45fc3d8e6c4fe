// SPDX-License-Identifier: GPL-2.0-only
import { BPF_B } from "../../asm/opcode.js";
import { ArgType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import type { HelperProto } from "../../kernel/helpers/index.js";
import { ProgType } from "../../kernel/uapi.js";
import { LOOP_FITS, LOOP_UNFIT, LOOP_UNSEEN, Unsupported, type VerifierEnv, verbose } from "../env.js";
import { BPF_WRITE, CallArgMeta } from "../kinds/access.js";
import { Func, funcText } from "../kinds/func.js";
import { bpfHelperChangesPktData, getHelperProto } from "../kinds/helper-proto.js";
import { baseType, registerIsNull } from "../kinds/reg-type.js";
import { BPF_LOG_LEVEL2 } from "../log.js";
import { checkMemAccess } from "../mem/access.js";
import { unmarkStackSlotsDynptr } from "../mem/dynptr-slots.js";
import { ult } from "../num/u64.js";
import { clearCallerSavedRegs, DEF_NOT_SUBREG, markRegScratched, markRegUnknown } from "../state/mark.js";
import { releaseReference } from "../state/refs.js";
import { R_SUBREG_DEF, R_UMAX_HI, R_UMAX_LO, regAt } from "../state/reg.js";
import { markChainPrecision } from "../track/backtrack.js";
import { pushStack } from "../track/worklist.js";
import { checkFuncArg } from "./args.js";
import {
  pushCallbackCall,
  setKernelObjectCallbackState,
  setLoopCallbackState,
  setMapElemCallbackState,
  setTimerCallbackState,
  setUserRingbufCallbackState,
} from "./callback.js";
import { checkDynptrFromMem, noteDynptrData, noteDynptrWrite } from "./dynptr.js";
import { prepareFuncExit } from "./func-exit.js";
import { checkMapFuncCompatibility } from "./map-func.js";
import { clearAllPktPointers } from "./packet-ptrs.js";
import { checkResourceLeak } from "./resource-leak.js";
import { doRefineRetvalRange, recordFuncKey, recordFuncMap, setReturnRefs, setReturnValue } from "./ret.js";
import { checkBpfSnprintfCall } from "./snprintf.js";

const meta = new CallArgMeta();

/** The helper's prototype when the program may call it here, or a negative errno. The first part of check_helper_call(). */
function findHelper(env: VerifierEnv, funcId: number): HelperProto | number {
  const fn = getHelperProto(env, funcId);
  if (fn === -Errno.ERANGE) {
    verbose(env, `invalid func ${funcText(funcId)}\n`);
    return -Errno.EINVAL;
  }
  if (typeof fn === "number") {
    verbose(env, `program of this type cannot use helper ${funcText(funcId)}\n`);
    return fn;
  }
  if (!env.gplCompatible && fn.gplOnly) {
    verbose(env, "cannot call GPL-restricted function from non-GPL compatible program\n");
    return -Errno.EINVAL;
  }
  if (fn.allowed !== null && !allowedAtTarget(env, funcId)) {
    verbose(env, "helper call is not allowed in probe\n");
    return -Errno.EINVAL;
  }
  return checkMaySleep(env, fn);
}

/**
 * Whether the function or hook that the program attaches to lets it call the helper: those that have none never do.
 * Mirrors `fn->allowed()`: bpf_d_path_allowed(), bpf_sk_storage_tracing_allowed().
 */
function allowedAtTarget(env: VerifierEnv, funcId: number): boolean {
  const { progType } = env.load;
  if (progType !== ProgType.TRACING && progType !== ProgType.LSM) return false;
  throw new Unsupported(env.insnIdx, `${funcText(funcId)}, allowed by attach target`);
}

/** A helper that sleeps needs a context that may. */
function checkMaySleep(env: VerifierEnv, fn: HelperProto): HelperProto | number {
  if (!fn.mightSleep) return fn;
  const state = env.cur();
  let text = "";
  if (!state.inSleepable) text = "helper call might sleep in a non-sleepable prog\n";
  else if (state.activeRcuLock !== 0) text = `sleepable helper ${funcText(fn.id)} in rcu_read_lock region\n`;
  else if (state.activePreemptLocks !== 0) text = `sleepable helper ${funcText(fn.id)} in non-preemptible region\n`;
  else if (state.activeIrqId !== 0) text = `sleepable helper ${funcText(fn.id)} in IRQ-disabled region\n`;
  if (text === "") return fn;
  verbose(env, text);
  return -Errno.EINVAL;
}

/** The helper fills memory: to the verifier as if bytes of unknown value were stored one by one. */
function writeRawMem(env: VerifierEnv, insnIdx: number): number {
  for (let i = 0; i < meta.accessSize; i++) {
    const err = checkMemAccess(env, insnIdx, meta.regno, i, BPF_B, BPF_WRITE, -1, false, false);
    if (err !== 0) return err;
  }
  return 0;
}

/** The reference that the helper releases must be held. */
function releaseArg(env: VerifierEnv, fn: HelperProto): number {
  if (meta.releaseRegno === 0) return 0;
  let err: number = -Errno.EINVAL;
  const { mem } = env.cur().cur();
  const o = regAt(meta.releaseRegno);
  if (baseType(fn.argTypes[meta.releaseRegno - 1]!) === ArgType.PTR_TO_DYNPTR)
    err = unmarkStackSlotsDynptr(env, mem, o);
  else if (meta.refObjId !== 0) err = releaseReference(env, meta.refObjId);
  else if (registerIsNull(mem, o)) err = 0;
  if (err !== 0) verbose(env, `func ${funcText(fn.id)} reference has not been acquired before\n`);
  return err;
}

/** Mirrors loop_flag_is_zero(). */
function loopFlagIsZero(env: VerifierEnv): boolean {
  const isNull = registerIsNull(env.cur().cur().mem, regAt(4));
  if (isNull) markChainPrecision(env, 4);
  return isNull;
}

/** Whether this bpf_loop() can become a loop of instructions. Mirrors update_loop_inline_state(). */
function updateLoopInlineState(env: VerifierEnv, insnIdx: number, subprogno: number): void {
  const { aux } = env;
  if (aux.loopInline[insnIdx] === LOOP_UNSEEN) {
    aux.loopInline[insnIdx] = loopFlagIsZero(env) ? LOOP_FITS : LOOP_UNFIT;
    aux.loopCallback[insnIdx] = subprogno;
  } else if (aux.loopInline[insnIdx] === LOOP_FITS) {
    const fits = loopFlagIsZero(env) && aux.loopCallback[insnIdx] === subprogno;
    aux.loopInline[insnIdx] = fits ? LOOP_FITS : LOOP_UNFIT;
  }
}

/** bpf_loop(): the callback is visited until its count is reached or its states repeat. */
function callLoop(env: VerifierEnv, insnIdx: number): number {
  updateLoopInlineState(env, insnIdx, meta.subprogno);
  const err = markChainPrecision(env, 1);
  if (err !== 0) return err;
  const frame = env.cur().cur();
  const o = regAt(1);
  if (ult(frame.callbackDepth, 0, frame.mem[o + R_UMAX_LO]!, frame.mem[o + R_UMAX_HI]!)) {
    return pushCallbackCall(env, insnIdx, meta.subprogno, setLoopCallbackState);
  }
  frame.callbackDepth = 0;
  if ((env.log.level & BPF_LOG_LEVEL2) !== 0) {
    verbose(env, `frame${env.cur().curframe} bpf_loop iteration limit reached\n`);
  }
  return 0;
}

/** What single helpers ask beyond their prototype: the switch over the helper in check_helper_call(). */
function checkSpecialHelper(env: VerifierEnv, insnIdx: number, fn: HelperProto): number {
  switch (meta.funcId) {
    case Func.tail_call:
      return checkResourceLeak(env, false, true, "tail_call");
    case Func.get_local_storage:
      if (registerIsNull(env.cur().cur().mem, regAt(2))) return 0;
      verbose(env, "get_local_storage() doesn't support non-zero flags\n");
      return -Errno.EINVAL;
    case Func.for_each_map_elem:
      return pushCallbackCall(env, insnIdx, meta.subprogno, setMapElemCallbackState);
    case Func.timer_set_callback:
      return pushCallbackCall(env, insnIdx, meta.subprogno, setTimerCallbackState);
    case Func.find_vma:
      return pushCallbackCall(env, insnIdx, meta.subprogno, setKernelObjectCallbackState);
    case Func.user_ringbuf_drain:
      return pushCallbackCall(env, insnIdx, meta.subprogno, setUserRingbufCallbackState);
    case Func.dynptr_from_mem:
      return checkDynptrFromMem(env);
    case Func.dynptr_data:
      return noteDynptrData(env, fn, meta);
    case Func.dynptr_write:
      return noteDynptrWrite(env, fn, meta);
    case Func.snprintf:
      return checkBpfSnprintfCall(env);
    case Func.loop:
      return callLoop(env, insnIdx);
    default:
      return 0;
  }
}

/** Mirrors check_get_func_ip(). */
function checkGetFuncIp(env: VerifierEnv): number {
  const { progType } = env.load;
  if (progType === ProgType.KPROBE) return 0;
  if (progType === ProgType.TRACING) throw new Unsupported(env.insnIdx, "bpf_get_func_ip of a tracing program");
  verbose(env, `func ${funcText(Func.get_func_ip)} not supported for program type ${progType}\n`);
  return -Errno.ENOTSUPP;
}

/** A tail call inside a subprogram: either it fails and goes on here, or the subprogram returns what the other program does. */
function branchTailCall(env: VerifierEnv): number {
  markRegScratched(env, 0);
  const branch = pushStack(env, env.insnIdx + 1, env.insnIdx, false);
  if (typeof branch === "number") return branch;
  clearAllPktPointers(env);
  markRegUnknown(env, env.cur().cur().mem, 0);
  const err = prepareFuncExit(env);
  if (err !== 0) return err;
  env.insnIdx--;
  return 0;
}

/** A call of a helper, at `env.insnIdx`. Mirrors check_helper_call(). */
export function checkHelperCall(env: VerifierEnv): number {
  const { insnIdx } = env;
  const funcId = env.insns.imm[insnIdx]!;
  const fn = findHelper(env, funcId);
  if (typeof fn === "number") return fn;

  meta.reset();
  meta.pktAccess = fn.pktAccess;
  meta.funcId = funcId;
  let err = 0;
  for (let i = 0; i < 5 && err === 0; i++) err = checkFuncArg(env, i, meta, fn);
  if (err === 0) err = recordFuncMap(env, meta, insnIdx);
  if (err === 0) err = recordFuncKey(env, meta);
  if (err === 0) err = writeRawMem(env, insnIdx);
  if (err === 0) err = releaseArg(env, fn);
  if (err === 0) err = checkSpecialHelper(env, insnIdx, fn);
  if (err !== 0) return err;

  const { mem } = env.cur().cur();
  clearCallerSavedRegs(env, mem);
  mem[regAt(0) + R_SUBREG_DEF] = DEF_NOT_SUBREG;
  err = setReturnValue(env, fn, meta);
  if (err !== 0) return err;
  setReturnRefs(env, meta, insnIdx);
  err = doRefineRetvalRange(env, fn.retType, meta);
  if (err !== 0) return err;
  err = checkMapFuncCompatibility(env, meta.mapPtr === 0 ? null : env.maps[meta.mapPtr - 1]!, funcId);
  if (err !== 0) return err;
  if (funcId === Func.get_func_ip) {
    err = checkGetFuncIp(env);
    if (err !== 0) return err;
  }
  if (funcId === Func.tail_call) return env.cur().curframe !== 0 ? finishTailCall(env) : 0;
  if (meta.changesPktData || bpfHelperChangesPktData(funcId)) clearAllPktPointers(env);
  return 0;
}

function finishTailCall(env: VerifierEnv): number {
  const err = branchTailCall(env);
  if (err === 0) clearAllPktPointers(env);
  return err;
}
