// SPDX-License-Identifier: GPL-2.0-only
import { BPF_MEM, BPF_ST, bpfClass, bpfMode } from "../../asm/opcode.js";
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import {
  getSpi,
  isSpillableRegtype,
  isSpilledReg,
  isSpilledScalarReg,
  isStackSlotSpecial,
  markStackSlotMisc,
  registerIsNull,
  scrubSpilledSlot,
  varOffIsConst,
  varOffIsZero,
} from "../kinds/reg-type.js";
import { markRegKnownRaw } from "../num/bounds.js";
import type { FuncState } from "../state/frame.js";
import { markStackSlotScratched } from "../state/mark.js";
import { verboseLinfo } from "../state/print.js";
import {
  copyReg,
  R_ID,
  R_SMAX_LO,
  R_SMIN_LO,
  R_TYPE,
  R_UMAX_HI,
  R_UMAX_LO,
  R_VAL_LO,
  regAt,
  STACK_INVALID,
  STACK_MISC,
  STACK_SPILL,
  STACK_ZERO,
  setSlotType,
  slotAt,
  slotType,
  zeroReg,
} from "../state/reg.js";
import { markChainPrecision } from "../track/backtrack.js";
import { insnStackAccessFlags, pushJmpHistory } from "../track/history.js";
import { assignScalarIdBeforeMov } from "../track/linked.js";
import { bpfMarkStackWrite } from "../track/liveness.js";
import { destroyIfDynptrStackSlot } from "./dynptr-slots.js";
import { func } from "./stack-bounds.js";

const { NOT_INIT, SCALAR_VALUE, PTR_TO_STACK } = RegType;
const BPF_REG_SIZE = 8;
/** Smaller than any stack offset: says that a subprogram's fastcall patterns are off. */
const FASTCALL_OFF = -32768;

/** Copies a register into a slot whose upper `size` bytes become STACK_SPILL. Mirrors save_register_state(). */
function saveRegisterState(to: Int32Array, slot: number, from: Int32Array, reg: number, size: number): void {
  copyReg(to, slot, from, reg);
  let i = BPF_REG_SIZE;
  for (; i > BPF_REG_SIZE - size; i--) setSlotType(to, slot, i - 1, STACK_SPILL);
  for (; i > 0; i--) markStackSlotMisc(to, slot, i - 1);
}

/** Whether instruction `idx` stores an immediate. Mirrors is_bpf_st_mem(). */
function isBpfStMem(env: VerifierEnv, idx: number): boolean {
  const code = env.insns.code[idx]!;
  return bpfClass(code) === BPF_ST && bpfMode(code) === BPF_MEM;
}

/** Bits of the largest unsigned value the register may hold. Mirrors get_reg_width(). */
export function getRegWidth(mem: Int32Array, o: number): number {
  const hi = mem[o + R_UMAX_HI]!;
  return hi !== 0 ? 64 - Math.clz32(hi) : 32 - Math.clz32(mem[o + R_UMAX_LO]!);
}

/**
 * An access to the stack region that fastcall spills use, from outside of such a pattern, turns the
 * patterns of the whole subprogram off. Mirrors check_fastcall_stack_contract().
 */
export function checkFastcallStackContract(env: VerifierEnv, state: FuncState, insnIdx: number, off: number): void {
  const subprog = env.subprogs[state.subprogno]!;
  const aux = env.aux;
  if (subprog.fastcallStackOff <= off || aux.fastcallPattern[insnIdx] !== 0) return;
  subprog.fastcallStackOff = FASTCALL_OFF;
  const end = env.subprogs[state.subprogno + 1]?.start ?? env.insns.len;
  aux.fastcallSpillsNum.fill(0, subprog.start, end);
  aux.fastcallPattern.fill(0, subprog.start, end);
}

/** A plain write makes a special slot plain. Mirrors scrub_special_slot(). */
function scrubSpecialSlot(mem: Int32Array, slot: number): void {
  mem[slot + R_TYPE] = NOT_INIT;
  if (!isStackSlotSpecial(mem, slot)) return;
  for (let i = 0; i < BPF_REG_SIZE; i++) scrubSpilledSlot(mem, slot, i);
}

/** Whether speculation past this store could see what it overwrites (Spectre v4). */
function needsSpecV4Barrier(mem: Int32Array, off: number, size: number, spillable: boolean): boolean {
  if (spillable) return true;
  const slot = -off - 1;
  for (let i = 0; i < size; i++) {
    const type = slotType(mem, slotAt(slot >> 3), (slot - i) & 7);
    if (type !== STACK_MISC && type !== STACK_ZERO) return true;
  }
  return false;
}

/** Bytes that are no spill: data, or zeroes when that is what is written. */
function writeStackData(
  env: VerifierEnv,
  state: FuncState,
  off: number,
  size: number,
  valueRegno: number,
  insnIdx: number,
): number {
  const slot = -off - 1;
  const at = slotAt(slot >> 3);
  const cur = env.cur().cur();
  let type = STACK_MISC;

  scrubSpecialSlot(state.mem, at);
  const zero =
    valueRegno >= 0
      ? registerIsNull(cur.mem, regAt(valueRegno))
      : isBpfStMem(env, insnIdx) && env.insns.imm[insnIdx] === 0;
  if (zero) {
    const err = markChainPrecision(env, valueRegno);
    if (err !== 0) return err;
    type = STACK_ZERO;
  }
  for (let i = 0; i < size; i++) setSlotType(state.mem, at, (slot - i) & 7, type);
  return 0;
}

/** Spills a scalar register, keeping it linked to the slot when all of it fits. */
function spillScalar(env: VerifierEnv, state: FuncState, at: number, valueRegno: number, size: number): void {
  const cur = env.cur().cur();
  const reg = regAt(valueRegno);
  const fits = getRegWidth(cur.mem, reg) <= 8 * size;
  if (fits) assignScalarIdBeforeMov(env, cur.mem, reg);
  saveRegisterState(state.mem, at, cur.mem, reg, size);
  if (!fits) state.mem[at + R_ID] = 0;
}

/** Spills an immediate as the scalar it is. */
function spillImm(env: VerifierEnv, state: FuncState, at: number, insnIdx: number, size: number): void {
  const imm = env.insns.imm[insnIdx]!;
  zeroReg(env.fake, 0);
  markRegKnownRaw(env.fake, 0, imm, imm >> 31);
  env.fake[R_TYPE] = SCALAR_VALUE;
  saveRegisterState(state.mem, at, env.fake, 0, size);
}

/** Mirrors check_stack_write_fixed_off(). `valueRegno` is -1 for a value that is in no register. */
export function checkStackWriteFixedOff(
  env: VerifierEnv,
  state: FuncState,
  off: number,
  size: number,
  valueRegno: number,
  insnIdx: number,
): number {
  const spi = (-off - 1) >> 3;
  const at = slotAt(spi);
  const cur = env.cur().cur();
  const hasReg = valueRegno >= 0;
  const regType = hasReg ? cur.mem[regAt(valueRegno) + R_TYPE]! : NOT_INIT;
  const aligned = (off & 7) === 0;

  if (
    !env.allowPtrLeaks &&
    isSpilledReg(state.mem, at) &&
    !isSpilledScalarReg(state.mem, at) &&
    size !== BPF_REG_SIZE
  ) {
    verbose(env, "attempt to corrupt spilled pointer on stack\n");
    return -Errno.EACCES;
  }
  if (!env.bypassSpecV4 && needsSpecV4Barrier(state.mem, off, size, hasReg && isSpillableRegtype(regType))) {
    env.aux.nospecResult[insnIdx] = 1;
  }
  const err = destroyIfDynptrStackSlot(env, state, spi);
  if (err !== 0) return err;
  if (aligned && size === BPF_REG_SIZE) bpfMarkStackWrite(env, state.frameno, spi);
  checkFastcallStackContract(env, state, insnIdx, off);
  markStackSlotScratched(env, spi);

  if (hasReg && aligned && regType === SCALAR_VALUE && env.bpfCapable) {
    spillScalar(env, state, at, valueRegno, size);
  } else if (!hasReg && aligned && isBpfStMem(env, insnIdx) && env.bpfCapable) {
    spillImm(env, state, at, insnIdx, size);
  } else if (hasReg && isSpillableRegtype(regType)) {
    if (size !== BPF_REG_SIZE) {
      verboseLinfo(env, insnIdx, "; ");
      verbose(env, "invalid size of register spill\n");
      return -Errno.EACCES;
    }
    if (state !== cur && regType === PTR_TO_STACK) {
      verbose(env, "cannot spill pointers to stack into stack frame of the caller\n");
      return -Errno.EINVAL;
    }
    saveRegisterState(state.mem, at, cur.mem, regAt(valueRegno), size);
  } else {
    return writeStackData(env, state, off, size, valueRegno, insnIdx);
  }
  return pushJmpHistory(env, env.cur(), insnStackAccessFlags(state.frameno, spi), 0, 0);
}

/** What one byte of a write at an unknown offset does: 0, 1 when a zero was relied on, or a negative errno. */
function writeVarOffByte(env: VerifierEnv, state: FuncState, i: number, writingZero: boolean, insnIdx: number): number {
  const slot = -i - 1;
  const at = slotAt(slot >> 3);
  const byte = slot & 7;
  const mem = state.mem;
  const type = slotType(mem, at, byte);
  markStackSlotScratched(env, slot >> 3);

  if (!env.allowPtrLeaks && type !== STACK_MISC && type !== STACK_ZERO) {
    verbose(env, `spilled ptr in range of var-offset stack write; insn ${insnIdx}, ptr off: ${i}`);
    return -Errno.EINVAL;
  }
  if (writingZero && type === STACK_SPILL && isSpilledScalarReg(mem, at) && varOffIsZero(mem, at)) return 1;

  scrubSpecialSlot(mem, at);
  const now = slotType(mem, at, byte);
  const keepsZero = writingZero && now === STACK_ZERO;
  if (now === STACK_INVALID && !env.allowUninitStack) {
    verbose(env, `uninit stack in range of var-offset write prohibited for !root; insn ${insnIdx}, off: ${i}`);
    return -Errno.EINVAL;
  }
  setSlotType(mem, at, byte, keepsZero ? STACK_ZERO : STACK_MISC);
  return keepsZero ? 1 : 0;
}

/** Mirrors check_stack_write_var_off(). */
function checkStackWriteVarOff(
  env: VerifierEnv,
  state: FuncState,
  ptrRegno: number,
  off: number,
  size: number,
  valueRegno: number,
  insnIdx: number,
): number {
  const mem = env.cur().cur().mem;
  const ptr = regAt(ptrRegno);
  const minOff = (mem[ptr + R_SMIN_LO]! + off) | 0;
  const maxOff = (mem[ptr + R_SMAX_LO]! + off + size) | 0;
  const writingZero =
    valueRegno >= 0 ? registerIsNull(mem, regAt(valueRegno)) : isBpfStMem(env, insnIdx) && env.insns.imm[insnIdx] === 0;

  for (let i = minOff; i < maxOff; i++) {
    const err = destroyIfDynptrStackSlot(env, state, getSpi(i));
    if (err !== 0) return err;
  }
  checkFastcallStackContract(env, state, insnIdx, minOff);
  let zeroUsed = false;
  for (let i = minOff; i < maxOff; i++) {
    const got = writeVarOffByte(env, state, i, writingZero, insnIdx);
    if (got < 0) return got;
    if (got === 1) zeroUsed = true;
  }
  return zeroUsed ? markChainPrecision(env, valueRegno) : 0;
}

/** Mirrors check_stack_write(). */
export function checkStackWrite(
  env: VerifierEnv,
  ptrRegno: number,
  off: number,
  size: number,
  valueRegno: number,
  insnIdx: number,
): number {
  const mem = env.cur().cur().mem;
  const ptr = regAt(ptrRegno);
  const state = func(env, mem, ptr);
  if (varOffIsConst(mem, ptr)) {
    return checkStackWriteFixedOff(env, state, (off + mem[ptr + R_VAL_LO]!) | 0, size, valueRegno, insnIdx);
  }
  return checkStackWriteVarOff(env, state, ptrRegno, off, size, valueRegno, insnIdx);
}
