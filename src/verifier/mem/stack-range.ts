// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { BPF_INDIRECT, BPF_READ, type CallArgMeta } from "../kinds/access.js";
import { getSpi, isSpilledReg, scrubSpilledSlot, varOffIsConst } from "../kinds/reg-type.js";
import { markRegUnknownRaw } from "../num/bounds.js";
import type { FuncState } from "../state/frame.js";
import { varOffStr } from "../state/print.js";
import {
  R_FRAMENO,
  R_SMAX_LO,
  R_SMIN_LO,
  R_TYPE,
  R_VAL_LO,
  regAt,
  STACK_DYNPTR,
  STACK_INVALID,
  STACK_MISC,
  STACK_ZERO,
  setSlotType,
  slotAt,
  slotType,
} from "../state/reg.js";
import { bpfMarkStackRead } from "../track/liveness.js";
import { checkStackAccessWithinBounds, func } from "./stack-bounds.js";

/** Memory that the helper fills: nothing is read, and the size is left for the caller to write. */
function checkRawRange(env: VerifierEnv, state: FuncState, min: number, end: number): number {
  for (let i = min; i < end; i++) {
    const stackOff = -i - 1;
    if (state.allocatedStack <= stackOff) continue;
    if (slotType(state.mem, slotAt(getSpi(i)), stackOff & 7) === STACK_DYNPTR) {
      verbose(env, `potential write to dynptr at off=${i} disallowed\n`);
      return -Errno.EACCES;
    }
  }
  return 0;
}

/** Whether one byte may be read; when the helper also writes (`clobber`), the byte is no longer known afterwards. */
function touchByte(env: VerifierEnv, mem: Int32Array, slot: number, clobber: boolean): boolean {
  const at = slotAt(slot >> 3);
  const type = slotType(mem, at, slot & 7);
  if (type === STACK_MISC) return true;
  if (type === STACK_ZERO || (type === STACK_INVALID && env.allowUninitStack)) {
    if (clobber) setSlotType(mem, at, slot & 7, STACK_MISC);
    return true;
  }
  if (isSpilledReg(mem, at) && (mem[at + R_TYPE] === RegType.SCALAR_VALUE || env.allowPtrLeaks)) {
    if (clobber) {
      markRegUnknownRaw(env, mem, at);
      for (let i = 0; i < 8; i++) scrubSpilledSlot(mem, at, i);
    }
    return true;
  }
  return false;
}

/**
 * Whether a helper (or an access at a variable offset) may touch `accessSize` bytes of the stack. With
 * `meta.rawMode` and a fixed offset the memory need not be initialised. Mirrors check_stack_range_initialized().
 */
export function checkStackRangeInitialized(
  env: VerifierEnv,
  regno: number,
  off: number,
  accessSize: number,
  zeroSizeAllowed: boolean,
  type: number,
  meta: CallArgMeta | null,
): number {
  const o = regAt(regno);
  const state = func(env, env.cur().cur().mem, o);
  if (accessSize === 0 && !zeroSizeAllowed) {
    verbose(env, "invalid zero-sized read\n");
    return -Errno.EACCES;
  }
  const err = checkStackAccessWithinBounds(env, regno, off, accessSize, type);
  if (err !== 0) return err;

  const regs = env.cur().cur().mem;
  const isConst = varOffIsConst(regs, o);
  let raw = meta?.rawMode === true;
  let min: number;
  let max: number;
  if (isConst) {
    min = (regs[o + R_VAL_LO]! + off) | 0;
    max = min;
  } else {
    if (!env.bypassSpecV1) {
      const how = type === BPF_INDIRECT ? " indirect" : "";
      verbose(
        env,
        `R${regno}${how} variable offset stack access prohibited for !root, var_off=${varOffStr(regs, o)}\n`,
      );
      return -Errno.EACCES;
    }
    raw = false;
    min = (regs[o + R_SMIN_LO]! + off) | 0;
    max = (regs[o + R_SMAX_LO]! + off) | 0;
  }

  if (raw) {
    const bad = checkRawRange(env, state, min, max + accessSize);
    if (bad !== 0) return bad;
    meta!.accessSize = accessSize;
    meta!.regno = regno;
    return 0;
  }
  return touchRange(env, state, regno, min, max + accessSize, accessSize, type);
}

function touchRange(
  env: VerifierEnv,
  state: FuncState,
  regno: number,
  min: number,
  end: number,
  accessSize: number,
  type: number,
): number {
  const o = regAt(regno);
  const how = type === BPF_INDIRECT ? " indirect" : "";
  for (let i = min; i < end; i++) {
    const slot = -i - 1;
    if (state.allocatedStack <= slot) {
      verbose(env, "allocated_stack too small\n");
      return -Errno.EFAULT;
    }
    const regs = env.cur().cur().mem;
    if (!touchByte(env, state.mem, slot, type !== BPF_READ)) {
      if (varOffIsConst(regs, o)) {
        verbose(env, `invalid${how} read from stack R${regno} off ${min}+${i - min} size ${accessSize}\n`);
      } else {
        const off = varOffStr(regs, o);
        verbose(env, `invalid${how} read from stack R${regno} var_off ${off}+${i - min} size ${accessSize}\n`);
      }
      return -Errno.EACCES;
    }
    const err = bpfMarkStackRead(env, regs[o + R_FRAMENO]!, env.insnIdx, slot >> 3);
    if (err !== 0) return err;
  }
  return 0;
}
