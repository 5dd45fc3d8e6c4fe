// SPDX-License-Identifier: GPL-2.0-only
import { DynptrType, RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { MapType } from "../../kernel/uapi.js";
import { Unsupported, type VerifierEnv, verbose } from "../env.js";
import { isAsyncCallbackCallingInsn } from "../kinds/insn.js";
import { type FuncState, mustFrame } from "../state/frame.js";
import { markDynptrRegRaw, markRegKnownZeroRaw, markRegNotInitRaw } from "../state/mark.js";
import { copyReg, R_TYPE, R_U0, R_U1, regAt } from "../state/reg.js";
import { pushAsyncCb, pushStack } from "../track/worklist.js";
import { btfCheckSubprogCall, type SetCalleeState, setupFuncEntry } from "./subprog.js";

/** Register `regno` becomes a pointer of `type` to (or into) the map that register `from` of `src` names. */
function setMapReg(mem: Int32Array, regno: number, type: number, src: Int32Array, from: number): void {
  const o = regAt(regno);
  mem[o + R_TYPE] = type;
  markRegKnownZeroRaw(mem, o);
  mem[o + R_U0] = src[regAt(from) + R_U0]!;
  mem[o + R_U1] = src[regAt(from) + R_U1]!;
}

function dropRegs(env: VerifierEnv, callee: FuncState, from: number): void {
  for (let i = from; i <= 5; i++) markRegNotInitRaw(env, callee.mem, regAt(i));
}

/** Maps that bpf_for_each_map_elem() can walk. */
const walkable: readonly number[] = [
  MapType.HASH,
  MapType.ARRAY,
  MapType.PERCPU_HASH,
  MapType.PERCPU_ARRAY,
  MapType.LRU_HASH,
  MapType.LRU_PERCPU_HASH,
];

/** callback(map, key, value, ctx). Mirrors set_map_elem_callback_state(). */
export const setMapElemCallbackState: SetCalleeState = (env, caller, callee, insnIdx) => {
  const map = env.maps[env.aux.callMap[insnIdx]! - 1]!.load;
  if (!walkable.includes(map.type)) {
    verbose(env, "callback function not allowed for map\n");
    return -Errno.ENOTSUPP;
  }
  copyReg(callee.mem, regAt(1), caller.mem, regAt(1));
  setMapReg(callee.mem, 2, RegType.PTR_TO_MAP_KEY, caller.mem, 1);
  setMapReg(callee.mem, 3, RegType.PTR_TO_MAP_VALUE, caller.mem, 1);
  copyReg(callee.mem, regAt(4), caller.mem, regAt(3));
  dropRegs(env, callee, 5);
  callee.inCallbackFn = true;
  callee.callbackRetMin = 0;
  callee.callbackRetMax = 1;
  return 0;
};

/** callback(index, ctx). Mirrors set_loop_callback_state(). */
export const setLoopCallbackState: SetCalleeState = (env, caller, callee) => {
  callee.mem[regAt(1) + R_TYPE] = RegType.SCALAR_VALUE;
  copyReg(callee.mem, regAt(2), caller.mem, regAt(3));
  dropRegs(env, callee, 3);
  callee.inCallbackFn = true;
  callee.callbackRetMin = 0;
  callee.callbackRetMax = 1;
  return 0;
};

/** callback(map, key, value), later. Mirrors set_timer_callback_state(). */
export const setTimerCallbackState: SetCalleeState = (env, caller, callee) => {
  setMapReg(callee.mem, 1, RegType.CONST_PTR_TO_MAP, caller.mem, 1);
  setMapReg(callee.mem, 2, RegType.PTR_TO_MAP_KEY, caller.mem, 1);
  setMapReg(callee.mem, 3, RegType.PTR_TO_MAP_VALUE, caller.mem, 1);
  dropRegs(env, callee, 4);
  callee.inAsyncCallbackFn = true;
  callee.callbackRetMin = 0;
  callee.callbackRetMax = 0;
  return 0;
};

/** callback(dynptr, ctx). Mirrors set_user_ringbuf_callback_state(). */
export const setUserRingbufCallbackState: SetCalleeState = (env, caller, callee) => {
  markRegNotInitRaw(env, callee.mem, regAt(0));
  markDynptrRegRaw(callee.mem, regAt(1), DynptrType.LOCAL, true, ++env.idGen);
  copyReg(callee.mem, regAt(2), caller.mem, regAt(3));
  dropRegs(env, callee, 3);
  callee.inCallbackFn = true;
  callee.callbackRetMin = 0;
  callee.callbackRetMax = 1;
  return 0;
};

/** A callback with a kernel object among its arguments. */
export const setKernelObjectCallbackState: SetCalleeState = (_env, _caller, _callee, insnIdx) => {
  throw new Unsupported(insnIdx, "callback with kernel objects");
};

/**
 * Puts the callback's visit on the work list; the current path goes on as if the helper were done with
 * calling back. Mirrors push_callback_call().
 */
export function pushCallbackCall(env: VerifierEnv, insnIdx: number, subprog: number, setState: SetCalleeState): number {
  const caller = env.cur().cur();
  const err = btfCheckSubprogCall(env, subprog);
  if (err === -Errno.EFAULT) return err;
  const sub = env.subprogs[subprog]!;
  sub.isCb = true;

  if (isAsyncCallbackCallingInsn(env.insns, insnIdx)) {
    sub.isAsyncCb = true;
    // Timers never sleep.
    const async = pushAsyncCb(env, sub.start, insnIdx, subprog, false);
    if (typeof async === "number") return async;
    const callee = mustFrame(async.frame[0]);
    callee.asyncEntryCnt = caller.asyncEntryCnt + 1;
    if (env.tracer !== null) env.tracer.callback(subprog, async, true);
    return setState(env, caller, callee, insnIdx);
  }
  const state = pushStack(env, sub.start, insnIdx, false);
  if (typeof state === "number") return env.rules.overflowTooBig ? state : -Errno.ENOMEM;
  const bad = setupFuncEntry(env, subprog, insnIdx, setState, state);
  if (bad !== 0) return bad;
  if (env.tracer !== null) env.tracer.callback(subprog, state, false);
  state.callbackUnrollDepth++;
  mustFrame(state.frame[state.curframe - 1]).callbackDepth++;
  caller.callbackDepth = 0;
  return 0;
}
