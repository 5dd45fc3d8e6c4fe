// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { BPF_READ } from "../kinds/access.js";
import { isPointerValueRaw, isSpilledReg, varOffIsConst, varOffIsZero } from "../kinds/reg-type.js";
import type { FuncState } from "../state/frame.js";
import { markRegConstZero, markRegUnknown, markStackSlotScratched } from "../state/mark.js";
import { varOffStr, verboseLinfo } from "../state/print.js";
import {
  copyReg,
  R_ID,
  R_SMAX_LO,
  R_SMIN_LO,
  R_SUBREG_DEF,
  R_TYPE,
  R_VAL_LO,
  regAt,
  STACK_INVALID,
  STACK_MISC,
  STACK_SPILL,
  STACK_ZERO,
  slotAt,
  slotType,
} from "../state/reg.js";
import { insnStackAccessFlags, pushJmpHistory } from "../track/history.js";
import { bpfMarkStackRead } from "../track/liveness.js";
import { func } from "./stack-bounds.js";
import { checkStackRangeInitialized } from "./stack-range.js";
import { checkFastcallStackContract, getRegWidth } from "./stack-write.js";

const { SCALAR_VALUE } = RegType;
const BPF_REG_SIZE = 8;

/** The read bytes make a zero or an unknown scalar. Mirrors mark_reg_stack_read(). */
function markRegStackRead(env: VerifierEnv, ptrState: FuncState, minOff: number, maxOff: number, dst: number): void {
  const mem = env.cur().cur().mem;
  let zeros = 0;
  for (let i = minOff; i < maxOff; i++) {
    const slot = -i - 1;
    markStackSlotScratched(env, slot >> 3);
    if (slotType(ptrState.mem, slotAt(slot >> 3), slot & 7) !== STACK_ZERO) break;
    zeros++;
  }
  if (zeros === maxOff - minOff) markRegConstZero(env, mem, regAt(dst));
  else markRegUnknown(env, mem, dst);
}

/** Complains about byte `i` of a read unless it holds something. */
function checkReadByte(env: VerifierEnv, type: number, off: number, i: number, size: number): number {
  if (type === STACK_MISC || type === STACK_ZERO) return 0;
  if (type === STACK_INVALID && env.allowUninitStack) return 0;
  verbose(env, `invalid read from stack off ${off}+${i} size ${size}\n`);
  return -Errno.EACCES;
}

/** Bytes of a slot, from its top, that belong to the spilled register. */
function spillSizeOf(mem: Int32Array, at: number): number {
  let size = 1;
  for (let i = BPF_REG_SIZE - 1; i > 0 && slotType(mem, at, i - 1) === STACK_SPILL; i--) size++;
  return size;
}

/** A fill of the low bytes of a spilled scalar. subreg_def of the destination is the reading instruction's. */
function fillNarrow(env: VerifierEnv, mem: Int32Array, at: number, size: number, dst: number): void {
  const regs = env.cur().cur().mem;
  const d = regAt(dst);
  const subregDef = regs[d + R_SUBREG_DEF]!;
  copyReg(regs, d, mem, at);
  regs[d + R_SUBREG_DEF] = subregDef;
  if (getRegWidth(mem, at) > size * 8) regs[d + R_ID] = 0;
}

/** A read of a spilled scalar that is no fill: 1 when the register's state counts, 0 when not, or a negative errno. */
function readSpilledBytes(
  env: VerifierEnv,
  mem: Int32Array,
  at: number,
  off: number,
  size: number,
  dst: number,
): number {
  const slot = -off - 1;
  let spills = 0;
  let zeros = 0;
  for (let i = 0; i < size; i++) {
    const type = slotType(mem, at, (slot - i) & 7);
    if (type === STACK_SPILL) {
      spills++;
      continue;
    }
    const err = checkReadByte(env, type, off, i, size);
    if (err !== 0) return err;
    if (type === STACK_ZERO) zeros++;
  }
  const regs = env.cur().cur().mem;
  if (spills === size && varOffIsZero(mem, at)) {
    markRegConstZero(env, regs, regAt(dst));
    return 1;
  }
  if (zeros === size) markRegConstZero(env, regs, regAt(dst));
  else markRegUnknown(env, regs, dst);
  return 0;
}

/** A read from a slot that holds a spilled register: 1 to remember the access, 0 not to, or a negative errno. */
function readSpilledSlot(
  env: VerifierEnv,
  state: FuncState,
  at: number,
  off: number,
  size: number,
  dst: number,
): number {
  const mem = state.mem;
  const spillSize = spillSizeOf(mem, at);
  if (size !== BPF_REG_SIZE || spillSize !== BPF_REG_SIZE) {
    if (mem[at + R_TYPE] !== SCALAR_VALUE) {
      verboseLinfo(env, env.insnIdx, "; ");
      verbose(env, "invalid size of register fill\n");
      return -Errno.EACCES;
    }
    if (dst < 0) return 0;
    if (size <= spillSize && (off & 7) === 0) {
      fillNarrow(env, mem, at, size, dst);
      return 1;
    }
    return readSpilledBytes(env, mem, at, off, size, dst);
  }
  if (dst >= 0) {
    copyReg(env.cur().cur().mem, regAt(dst), mem, at);
    return 1;
  }
  if (isPointerValueRaw(env.allowPtrLeaks, mem, at)) {
    verbose(env, `leaking pointer from stack off ${off}\n`);
    return -Errno.EACCES;
  }
  return 1;
}

/** Mirrors check_stack_read_fixed_off(). `dst` is -1 when no register takes the value. */
export function checkStackReadFixedOff(
  env: VerifierEnv,
  ptrState: FuncState,
  off: number,
  size: number,
  dst: number,
): number {
  const state = env.cur().cur();
  const slot = -off - 1;
  const spi = slot >> 3;
  const at = slotAt(spi);

  markStackSlotScratched(env, spi);
  checkFastcallStackContract(env, state, env.insnIdx, off);
  const err = bpfMarkStackRead(env, ptrState.frameno, env.insnIdx, spi);
  if (err !== 0) return err;

  if (isSpilledReg(ptrState.mem, at)) {
    const got = readSpilledSlot(env, ptrState, at, off, size, dst);
    if (got <= 0) return got;
    return pushJmpHistory(env, env.cur(), insnStackAccessFlags(ptrState.frameno, spi), 0, 0);
  }
  for (let i = 0; i < size; i++) {
    const bad = checkReadByte(env, slotType(ptrState.mem, at, (slot - i) & 7), off, i, size);
    if (bad !== 0) return bad;
  }
  if (dst >= 0) markRegStackRead(env, ptrState, off, off + size, dst);
  return 0;
}

/** Mirrors check_stack_read_var_off(). */
function checkStackReadVarOff(env: VerifierEnv, ptrRegno: number, off: number, size: number, dst: number): number {
  const o = regAt(ptrRegno);
  const ptrState = func(env, env.cur().cur().mem, o);
  const err = checkStackRangeInitialized(env, ptrRegno, off, size, false, BPF_READ, null);
  if (err !== 0) return err;
  const mem = env.cur().cur().mem;
  const minOff = (mem[o + R_SMIN_LO]! + off) | 0;
  const maxOff = (mem[o + R_SMAX_LO]! + off) | 0;
  markRegStackRead(env, ptrState, minOff, maxOff + size, dst);
  checkFastcallStackContract(env, ptrState, env.insnIdx, minOff);
  return 0;
}

/** Mirrors check_stack_read(). */
export function checkStackRead(env: VerifierEnv, ptrRegno: number, off: number, size: number, dst: number): number {
  const mem = env.cur().cur().mem;
  const o = regAt(ptrRegno);
  if (varOffIsConst(mem, o)) {
    return checkStackReadFixedOff(env, func(env, mem, o), (off + mem[o + R_VAL_LO]!) | 0, size, dst);
  }
  if (dst < 0) {
    verbose(
      env,
      `variable offset stack pointer cannot be passed into helper function; var_off=${varOffStr(mem, o)} off=${off} size=${size}\n`,
    );
    return -Errno.EACCES;
  }
  return checkStackReadVarOff(env, ptrRegno, off, size, dst);
}
