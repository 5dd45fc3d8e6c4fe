// SPDX-License-Identifier: GPL-2.0-only
import { BPF_ADD, BPF_ALU64, BPF_AND, BPF_OR, BPF_SUB, BPF_XOR } from "../../asm/opcode.js";
import { ALU_OPS } from "../../asm/ops.js";
import { baseType, RegType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import { type VerifierEnv, verbose } from "../env.js";
import { regIsPktPointer } from "../kinds/reg-type.js";
import { markReg32Unbounded, markRegUnknownRaw } from "../num/bounds.js";
import { regBoundsSync } from "../num/sync.js";
import { tnumAdd, tnumIsConst, tnumSub } from "../num/tnum.js";
import { S32_MAX, S32_MIN, slt, toS64, ult } from "../num/u64.js";
import { regTypeStr } from "../state/print.js";
import {
  R_ID,
  R_OFF,
  R_SMAX_HI,
  R_SMAX_LO,
  R_SMIN_HI,
  R_SMIN_LO,
  R_TYPE,
  R_U0,
  R_U1,
  R_U2,
  R_UMAX_HI,
  R_UMAX_LO,
  R_UMIN_HI,
  R_UMIN_LO,
  R_VAL_HI,
  R_VAL_LO,
  regAt,
} from "../state/reg.js";
import { SanitizeInfo, sanitizeCheckBounds, sanitizeErr, sanitizeNeeded, sanitizePtrAlu } from "./spec.js";

const { BPF_MAX_VAR_OFF } = Limit;

/** Whether a 64-bit value lies strictly between -BPF_MAX_VAR_OFF and BPF_MAX_VAR_OFF. */
function isSaneOffset(lo: number, hi: number): boolean {
  return hi === lo >> 31 && lo < BPF_MAX_VAR_OFF && lo > -BPF_MAX_VAR_OFF;
}

/** Whether an offset (constant, fixed part, least value) is small enough to reckon with. Mirrors check_reg_sane_offset(). */
export function checkRegSaneOffset(env: VerifierEnv, mem: Int32Array, o: number, type: number): boolean {
  if (tnumIsConst(mem, o) && !isSaneOffset(mem[o + R_VAL_LO]!, mem[o + R_VAL_HI]!)) {
    const value = toS64(mem[o + R_VAL_LO]!, mem[o + R_VAL_HI]!);
    verbose(env, `math between ${regTypeStr(env, type)} pointer and ${value} is not allowed\n`);
    return false;
  }
  const off = mem[o + R_OFF]!;
  if (off >= BPF_MAX_VAR_OFF || off <= -BPF_MAX_VAR_OFF) {
    verbose(env, `${regTypeStr(env, type)} pointer offset ${off} is not allowed\n`);
    return false;
  }
  const sminLo = mem[o + R_SMIN_LO]!;
  const sminHi = mem[o + R_SMIN_HI]!;
  if (sminLo === 0 && sminHi === S32_MIN) {
    verbose(
      env,
      `math between ${regTypeStr(env, type)} pointer and register with unbounded min value is not allowed\n`,
    );
    return false;
  }
  if (!isSaneOffset(sminLo, sminHi)) {
    verbose(env, `value ${toS64(sminLo, sminHi)} makes ${regTypeStr(env, type)} pointer be out of bounds\n`);
    return false;
  }
  return true;
}

/** Sign of a two-operand operation, e.g. `+=`. Mirrors bpf_alu_string. */
export function aluString(opcode: number): string {
  for (const row of Object.values(ALU_OPS)) if (row.op === opcode) return row.symbol;
  return "";
}

/** Whether the bounds of an offset contradict each other, as on a path that cannot be. */
function boundsAreInvalid(mem: Int32Array, o: number): boolean {
  const sminLo = mem[o + R_SMIN_LO]!;
  const sminHi = mem[o + R_SMIN_HI]!;
  const smaxLo = mem[o + R_SMAX_LO]!;
  const smaxHi = mem[o + R_SMAX_HI]!;
  const uminLo = mem[o + R_UMIN_LO]!;
  const uminHi = mem[o + R_UMIN_HI]!;
  const umaxLo = mem[o + R_UMAX_LO]!;
  const umaxHi = mem[o + R_UMAX_HI]!;
  if (slt(smaxLo, smaxHi, sminLo, sminHi) || ult(umaxLo, umaxHi, uminLo, uminHi)) return true;
  const differ = (sminLo ^ smaxLo) | (sminHi ^ smaxHi) | (uminLo ^ umaxLo) | (uminHi ^ umaxHi);
  return differ !== 0 && tnumIsConst(mem, o);
}

/** Whether pointers of the type take offsets at all; says so when not. */
function checkArithmeticAllowed(env: VerifierEnv, i: number, type: number, offMem: Int32Array, off: number): number {
  const dst = env.insns.dst[i]!;
  const opcode = env.insns.code[i]! & 0xf0;
  const known = tnumIsConst(offMem, off);
  const zero = known && (offMem[off + R_SMIN_LO]! | offMem[off + R_SMIN_HI]!) === 0;
  switch (baseType(type)) {
    case RegType.PTR_TO_CTX:
    case RegType.PTR_TO_MAP_VALUE:
    case RegType.PTR_TO_MAP_KEY:
    case RegType.PTR_TO_STACK:
    case RegType.PTR_TO_PACKET_META:
    case RegType.PTR_TO_PACKET:
    case RegType.PTR_TO_TP_BUFFER:
    case RegType.PTR_TO_BTF_ID:
    case RegType.PTR_TO_MEM:
    case RegType.PTR_TO_BUF:
    case RegType.PTR_TO_FUNC:
    case RegType.CONST_PTR_TO_DYNPTR:
      return 0;
    case RegType.PTR_TO_FLOW_KEYS:
      if (known) return 0;
      break;
    case RegType.CONST_PTR_TO_MAP:
      if (zero && opcode === BPF_ADD) return 0;
      break;
    default:
      break;
  }
  verbose(env, `R${dst} pointer arithmetic on ${regTypeStr(env, type)} prohibited\n`);
  return -Errno.EACCES;
}

/** The packet pointer has a base of its own from now on; `moved` towards the end, what was checked no longer counts. */
function newPacketBase(env: VerifierEnv, mem: Int32Array, d: number, moved: boolean): void {
  mem[d + R_ID] = ++env.idGen;
  if (!moved) return;
  mem[d + R_U0] = 0;
  mem[d + R_U1] = 0;
  mem[d + R_U2] = 0;
}

function setSigned(
  mem: Int32Array,
  d: number,
  ok: boolean,
  minLo: number,
  minHi: number,
  maxLo: number,
  maxHi: number,
): void {
  mem[d + R_SMIN_LO] = ok ? minLo : 0;
  mem[d + R_SMIN_HI] = ok ? minHi : S32_MIN;
  mem[d + R_SMAX_LO] = ok ? maxLo : -1;
  mem[d + R_SMAX_HI] = ok ? maxHi : S32_MAX;
}

function setUnsigned(
  mem: Int32Array,
  d: number,
  ok: boolean,
  minLo: number,
  minHi: number,
  maxLo: number,
  maxHi: number,
): void {
  mem[d + R_UMIN_LO] = ok ? minLo : 0;
  mem[d + R_UMIN_HI] = ok ? minHi : 0;
  mem[d + R_UMAX_LO] = ok ? maxLo : -1;
  mem[d + R_UMAX_HI] = ok ? maxHi : -1;
}

/** The pointer at `d` plus a variable offset. */
function addVariable(env: VerifierEnv, mem: Int32Array, d: number, offMem: Int32Array, off: number): void {
  let aLo = mem[d + R_SMIN_LO]!;
  let aHi = mem[d + R_SMIN_HI]!;
  let bHi = offMem[off + R_SMIN_HI]!;
  let minLo = (aLo + offMem[off + R_SMIN_LO]!) | 0;
  let minHi = (aHi + bHi + (minLo >>> 0 < aLo >>> 0 ? 1 : 0)) | 0;
  let over = (aHi ^ minHi) & (bHi ^ minHi);
  aLo = mem[d + R_SMAX_LO]!;
  aHi = mem[d + R_SMAX_HI]!;
  bHi = offMem[off + R_SMAX_HI]!;
  let maxLo = (aLo + offMem[off + R_SMAX_LO]!) | 0;
  let maxHi = (aHi + bHi + (maxLo >>> 0 < aLo >>> 0 ? 1 : 0)) | 0;
  over |= (aHi ^ maxHi) & (bHi ^ maxHi);
  setSigned(mem, d, over >= 0, minLo, minHi, maxLo, maxHi);
  aLo = mem[d + R_UMIN_LO]!;
  aHi = mem[d + R_UMIN_HI]!;
  minLo = (aLo + offMem[off + R_UMIN_LO]!) | 0;
  minHi = (aHi + offMem[off + R_UMIN_HI]! + (minLo >>> 0 < aLo >>> 0 ? 1 : 0)) | 0;
  const minWraps = ult(minLo, minHi, aLo, aHi);
  aLo = mem[d + R_UMAX_LO]!;
  aHi = mem[d + R_UMAX_HI]!;
  maxLo = (aLo + offMem[off + R_UMAX_LO]!) | 0;
  maxHi = (aHi + offMem[off + R_UMAX_HI]! + (maxLo >>> 0 < aLo >>> 0 ? 1 : 0)) | 0;
  setUnsigned(mem, d, !minWraps && !ult(maxLo, maxHi, aLo, aHi), minLo, minHi, maxLo, maxHi);
  tnumAdd(mem, d, offMem, off);
  if (regIsPktPointer(mem, d)) newPacketBase(env, mem, d, true);
}

/** The pointer at `d` less a variable offset. */
function subVariable(env: VerifierEnv, mem: Int32Array, d: number, offMem: Int32Array, off: number): void {
  let aLo = mem[d + R_SMIN_LO]!;
  let aHi = mem[d + R_SMIN_HI]!;
  let bLo = offMem[off + R_SMAX_LO]!;
  let bHi = offMem[off + R_SMAX_HI]!;
  const minLo = (aLo - bLo) | 0;
  const minHi = (aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0;
  let over = (aHi ^ bHi) & (aHi ^ minHi);
  aLo = mem[d + R_SMAX_LO]!;
  aHi = mem[d + R_SMAX_HI]!;
  bLo = offMem[off + R_SMIN_LO]!;
  bHi = offMem[off + R_SMIN_HI]!;
  const towardsEnd = bHi < 0;
  const maxLo = (aLo - bLo) | 0;
  const maxHi = (aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0;
  over |= (aHi ^ bHi) & (aHi ^ maxHi);
  setSigned(mem, d, over >= 0, minLo, minHi, maxLo, maxHi);
  aLo = mem[d + R_UMIN_LO]!;
  aHi = mem[d + R_UMIN_HI]!;
  bLo = offMem[off + R_UMAX_LO]!;
  bHi = offMem[off + R_UMAX_HI]!;
  const cLo = mem[d + R_UMAX_LO]!;
  const cHi = mem[d + R_UMAX_HI]!;
  const eLo = offMem[off + R_UMIN_LO]!;
  const eHi = offMem[off + R_UMIN_HI]!;
  setUnsigned(
    mem,
    d,
    !ult(aLo, aHi, bLo, bHi),
    (aLo - bLo) | 0,
    (aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0,
    (cLo - eLo) | 0,
    (cHi - eHi - (cLo >>> 0 < eLo >>> 0 ? 1 : 0)) | 0,
  );
  tnumSub(mem, d, offMem, off);
  if (regIsPktPointer(mem, d)) newPacketBase(env, mem, d, towardsEnd);
}

/** Does the operation on the pointer at `d`; `ptrIsDst`: it stood there from the start. */
function movePointer(
  env: VerifierEnv,
  i: number,
  mem: Int32Array,
  d: number,
  ptrIsDst: boolean,
  offMem: Int32Array,
  off: number,
): number {
  const dst = env.insns.dst[i]!;
  const opcode = env.insns.code[i]! & 0xf0;
  const known = tnumIsConst(offMem, off);
  switch (opcode) {
    case BPF_ADD:
      // Sane offsets are below 2^29, so that the sum of two fits.
      if (known) mem[d + R_OFF] = mem[d + R_OFF]! + offMem[off + R_SMIN_LO]!;
      else addVariable(env, mem, d, offMem, off);
      return 0;
    case BPF_SUB:
      if (!ptrIsDst) {
        verbose(env, `R${dst} tried to subtract pointer from scalar\n`);
        return -Errno.EACCES;
      }
      if (mem[d + R_TYPE] === RegType.PTR_TO_STACK) {
        verbose(env, `R${dst} subtraction from stack pointer prohibited\n`);
        return -Errno.EACCES;
      }
      if (known) mem[d + R_OFF] = mem[d + R_OFF]! - offMem[off + R_SMIN_LO]!;
      else subVariable(env, mem, d, offMem, off);
      return 0;
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR:
      verbose(env, `R${dst} bitwise operator ${aluString(opcode)} on pointer prohibited\n`);
      return -Errno.EACCES;
    default:
      verbose(env, `R${dst} pointer arithmetic with ${aluString(opcode)} operator prohibited\n`);
      return -Errno.EACCES;
  }
}

/**
 * scalar += pointer: type, id, offset and union come from the pointer. Frame, reference, precision and
 * subregister stay the scalar's, so that a pointer to another frame's stack is taken for one to
 * frame 0's: 6.18 does so.
 */
function becomePointer(mem: Int32Array, d: number, p: number): void {
  mem[d + R_TYPE] = mem[p + R_TYPE]!;
  mem[d + R_ID] = mem[p + R_ID]!;
  mem[d + R_OFF] = mem[p + R_OFF]!;
  for (let k = R_VAL_LO; k <= R_UMAX_HI; k++) mem[d + k] = mem[p + k]!;
  for (let k = R_U0; k <= R_U2; k++) mem[d + k] = mem[p + k]!;
}

/** What refuses or ends the matter before any offset is looked at: a negative errno, 0 when all is done, 1 to go on. */
function checkPtrOperands(
  env: VerifierEnv,
  i: number,
  mem: Int32Array,
  p: number,
  offMem: Int32Array,
  off: number,
): number {
  const dst = env.insns.dst[i]!;
  const type = mem[p + R_TYPE]!;
  if (boundsAreInvalid(offMem, off)) {
    markRegUnknownRaw(env, mem, regAt(dst));
    return 0;
  }
  if ((env.insns.code[i]! & 0x07) !== BPF_ALU64) {
    if ((env.insns.code[i]! & 0xf0) === BPF_SUB && env.allowPtrLeaks) {
      markRegUnknownRaw(env, mem, regAt(dst));
      return 0;
    }
    verbose(env, `R${dst} 32-bit pointer arithmetic prohibited\n`);
    return -Errno.EACCES;
  }
  if ((type & TypeFlag.PTR_MAYBE_NULL) !== 0) {
    verbose(env, `R${dst} pointer arithmetic on ${regTypeStr(env, type)} prohibited, null-check it first\n`);
    return -Errno.EACCES;
  }
  // Untrusted memory is read by probing: where in it does not matter.
  if (baseType(type) === RegType.PTR_TO_MEM && (type & TypeFlag.PTR_UNTRUSTED) !== 0) return 0;
  const err = checkArithmeticAllowed(env, i, type, offMem, off);
  return err < 0 ? err : 1;
}

/**
 * Instruction `i` adds the scalar at (offMem, off) to the pointer at `p` of `mem` or subtracts it; the
 * result goes to its destination register in `mem`. (offMem, off) must not be that register.
 * Mirrors adjust_ptr_min_max_vals().
 */
export function adjustPtrMinMaxVals(
  env: VerifierEnv,
  i: number,
  mem: Int32Array,
  p: number,
  offMem: Int32Array,
  off: number,
): number {
  const d = regAt(env.insns.dst[i]!);
  const type = mem[p + R_TYPE]!;
  const opcode = env.insns.code[i]! & 0xf0;
  const go = checkPtrOperands(env, i, mem, p, offMem, off);
  if (go <= 0) return go;
  if (!checkRegSaneOffset(env, offMem, off, type) || !checkRegSaneOffset(env, mem, p, type)) return -Errno.EINVAL;
  if (d !== p) becomePointer(mem, d, p);
  // Pointers have no 32-bit bounds.
  markReg32Unbounded(mem, d);

  const sanitize = sanitizeNeeded(opcode) && !env.bypassSpecV1;
  const info = sanitize ? new SanitizeInfo() : null;
  if (info !== null) {
    const reason = sanitizePtrAlu(env, i, mem, p, offMem, off, d, info, false);
    if (reason < 0) return sanitizeErr(env, i, reason, d !== p);
  }
  const err = movePointer(env, i, mem, d, d === p, offMem, off);
  if (err < 0) return err;
  if (!checkRegSaneOffset(env, mem, d, type)) return -Errno.EINVAL;
  regBoundsSync(mem, d);
  if (sanitizeCheckBounds(env, i, mem, d) === -Errno.EACCES) return -Errno.EACCES;
  if (info !== null) {
    const reason = sanitizePtrAlu(env, i, mem, d, offMem, off, d, info, true);
    if (reason < 0) return sanitizeErr(env, i, reason, p !== d);
  }
  return 0;
}
