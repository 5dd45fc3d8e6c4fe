// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import { type VerifierEnv, verbose } from "../env.js";
import { BPF_INDIRECT, BPF_READ } from "../kinds/access.js";
import { varOffIsConst } from "../kinds/reg-type.js";
import { type FuncState, mustFrame } from "../state/frame.js";
import { growStackState } from "../state/mark.js";
import { varOffStr } from "../state/print.js";
import { R_FRAMENO, R_SMAX_HI, R_SMAX_LO, R_VAL_HI, R_VAL_LO, regAt } from "../state/reg.js";
import { sminPlus } from "./region.js";

const MAX_BPF_STACK = Limit.MAX_BPF_STACK;
const BPF_MAX_VAR_OFF = Limit.BPF_MAX_VAR_OFF;

/** The frame whose stack a register of the current frame points to. Mirrors func(). */
export function func(env: VerifierEnv, mem: Int32Array, o: number): FuncState {
  return mustFrame(env.cur().frame[mem[o + R_FRAMENO]!]);
}

/** An s64 given as words, as a number; exact below 2^53. */
function s64(lo: number, hi: number): number {
  return hi * 0x1_0000_0000 + (lo >>> 0);
}

/** Mirrors check_stack_slot_within_bounds(). */
function checkStackSlotWithinBounds(env: VerifierEnv, off: number, state: FuncState, type: number): number {
  const min = type !== BPF_READ || env.allowUninitStack ? -MAX_BPF_STACK : -state.allocatedStack;
  return off < min || off > -1 ? -Errno.EACCES : 0;
}

/**
 * Whether the access stays within the stack; grows the frame's state to what it reaches.
 * Mirrors check_stack_access_within_bounds().
 */
export function checkStackAccessWithinBounds(
  env: VerifierEnv,
  regno: number,
  off: number,
  accessSize: number,
  type: number,
): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  const state = func(env, mem, o);
  const isConst = varOffIsConst(mem, o);
  let minOff: number;
  let maxOff: number;

  if (isConst) {
    minOff = s64(mem[o + R_VAL_LO]!, mem[o + R_VAL_HI]!) + off;
    maxOff = minOff + accessSize;
  } else {
    const smax = s64(mem[o + R_SMAX_LO]!, mem[o + R_SMAX_HI]!);
    if (smax >= BPF_MAX_VAR_OFF || sminPlus(mem, o, 0) <= -BPF_MAX_VAR_OFF) {
      verbose(env, `invalid unbounded variable-offset${accessWord(type)} stack R${regno}\n`);
      return -Errno.EACCES;
    }
    minOff = sminPlus(mem, o, off);
    maxOff = smax + off + accessSize;
  }

  let err = checkStackSlotWithinBounds(env, minOff, state, type);
  if (err === 0 && maxOff > 0) err = -Errno.EINVAL;
  if (err === 0 && accessSize < 0) err = -Errno.EFAULT;
  if (err !== 0) {
    if (isConst) {
      verbose(env, `invalid${accessWord(type)} stack R${regno} off=${off} size=${accessSize}\n`);
    } else {
      verbose(
        env,
        `invalid variable-offset${accessWord(type)} stack R${regno} var_off=${varOffStr(mem, o)} off=${off} size=${accessSize}\n`,
      );
    }
    return err;
  }
  return growStackState(env, state, -minOff);
}

function accessWord(type: number): string {
  if (type === BPF_INDIRECT) return " indirect access to";
  return type === BPF_READ ? " read from" : " write to";
}
