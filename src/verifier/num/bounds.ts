// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import {
  R_FRAMENO,
  R_ID,
  R_MASK_HI,
  R_MASK_LO,
  R_OFF,
  R_PRECISE,
  R_REF_OBJ_ID,
  R_S32_MAX,
  R_S32_MIN,
  R_SMAX_HI,
  R_SMAX_LO,
  R_SMIN_HI,
  R_SMIN_LO,
  R_TYPE,
  R_U0,
  R_U1,
  R_U2,
  R_U32_MAX,
  R_U32_MIN,
  R_UMAX_HI,
  R_UMAX_LO,
  R_UMIN_HI,
  R_UMIN_LO,
  R_VAL_HI,
  R_VAL_LO,
} from "../state/reg.js";
import { regBoundsSync } from "./sync.js";
import { tnumIsConst, tnumSetConst, tnumSetUnknown } from "./tnum.js";
import { S32_MAX, S32_MIN, slt, toU64, ult } from "./u64.js";

/*
 * The bounds of a register as a whole: known, unknown, unbounded, truncated, extended. How the five
 * domains inform each other stands in sync.ts. `lo`, `hi` are the words of a 64-bit value.
 */

/** Bounds and tnum become the value; everything else stays. Mirrors ___mark_reg_known(). */
export function markRegKnownValue(mem: Int32Array, o: number, lo: number, hi: number): void {
  tnumSetConst(mem, o, lo, hi);
  mem[o + R_SMIN_LO] = lo;
  mem[o + R_SMIN_HI] = hi;
  mem[o + R_SMAX_LO] = lo;
  mem[o + R_SMAX_HI] = hi;
  mem[o + R_UMIN_LO] = lo;
  mem[o + R_UMIN_HI] = hi;
  mem[o + R_UMAX_LO] = lo;
  mem[o + R_UMAX_HI] = hi;
  mem[o + R_S32_MIN] = lo;
  mem[o + R_S32_MAX] = lo;
  mem[o + R_U32_MIN] = lo;
  mem[o + R_U32_MAX] = lo;
}

/** The register is the value; fixed offset, union and ids go, type and precision stay. Mirrors __mark_reg_known(). */
export function markRegKnownRaw(mem: Int32Array, o: number, lo: number, hi: number): void {
  mem[o + R_OFF] = 0;
  mem[o + R_U0] = 0;
  mem[o + R_U1] = 0;
  mem[o + R_U2] = 0;
  mem[o + R_ID] = 0;
  mem[o + R_REF_OBJ_ID] = 0;
  markRegKnownValue(mem, o, lo, hi);
}

/** The lower half is the value; 64-bit bounds stay. Mirrors __mark_reg32_known(). */
export function markReg32KnownRaw(mem: Int32Array, o: number, imm: number): void {
  mem[o + R_VAL_LO] = imm;
  mem[o + R_MASK_LO] = 0;
  mem[o + R_S32_MIN] = imm;
  mem[o + R_S32_MAX] = imm;
  mem[o + R_U32_MIN] = imm;
  mem[o + R_U32_MAX] = imm;
}

/** Mirrors __mark_reg64_unbounded(). */
export function markReg64Unbounded(mem: Int32Array, o: number): void {
  mem[o + R_SMIN_LO] = 0;
  mem[o + R_SMIN_HI] = S32_MIN;
  mem[o + R_SMAX_LO] = -1;
  mem[o + R_SMAX_HI] = S32_MAX;
  mem[o + R_UMIN_LO] = 0;
  mem[o + R_UMIN_HI] = 0;
  mem[o + R_UMAX_LO] = -1;
  mem[o + R_UMAX_HI] = -1;
}

/** Mirrors __mark_reg32_unbounded(). */
export function markReg32Unbounded(mem: Int32Array, o: number): void {
  mem[o + R_S32_MIN] = S32_MIN;
  mem[o + R_S32_MAX] = S32_MAX;
  mem[o + R_U32_MIN] = 0;
  mem[o + R_U32_MAX] = -1;
}

/** Every bound is as wide as it can be; the tnum stays. Mirrors __mark_reg_unbounded(). */
export function markRegUnbounded(mem: Int32Array, o: number): void {
  markReg64Unbounded(mem, o);
  markReg32Unbounded(mem, o);
}

/** An unknown scalar whose value nobody asked for. Mirrors __mark_reg_unknown_imprecise(). */
export function markRegUnknownImprecise(mem: Int32Array, o: number): void {
  mem[o + R_TYPE] = RegType.SCALAR_VALUE;
  mem[o + R_OFF] = 0;
  mem[o + R_U0] = 0;
  mem[o + R_U1] = 0;
  mem[o + R_U2] = 0;
  mem[o + R_ID] = 0;
  mem[o + R_REF_OBJ_ID] = 0;
  mem[o + R_FRAMENO] = 0;
  mem[o + R_PRECISE] = 0;
  tnumSetUnknown(mem, o);
  markRegUnbounded(mem, o);
}

/** An unknown scalar. Mirrors __mark_reg_unknown(). */
export function markRegUnknownRaw(env: VerifierEnv, mem: Int32Array, o: number): void {
  markRegUnknownImprecise(mem, o);
  if (!env.bpfCapable) mem[o + R_PRECISE] = 1;
}

/** 64-bit bounds of a zero-extended lower half. Mirrors __reg_assign_32_into_64(). */
export function regAssign32Into64(mem: Int32Array, o: number): void {
  mem[o + R_UMIN_LO] = mem[o + R_U32_MIN]!;
  mem[o + R_UMIN_HI] = 0;
  mem[o + R_UMAX_LO] = mem[o + R_U32_MAX]!;
  mem[o + R_UMAX_HI] = 0;
  const min = mem[o + R_S32_MIN]!;
  const max = mem[o + R_S32_MAX]!;
  const signed = min >= 0 && max >= 0;
  mem[o + R_SMIN_LO] = signed ? min : 0;
  mem[o + R_SMIN_HI] = 0;
  mem[o + R_SMAX_LO] = signed ? max : -1;
  mem[o + R_SMAX_HI] = 0;
}

/** The upper half becomes 0. Mirrors zext_32_to_64(). */
export function zext32To64(mem: Int32Array, o: number): void {
  mem[o + R_VAL_HI] = 0;
  mem[o + R_MASK_HI] = 0;
  regAssign32Into64(mem, o);
}

/** Truncates to `size` bytes (1, 2 or 4) without sign. Mirrors coerce_reg_to_size(). */
export function coerceRegToSize(mem: Int32Array, o: number, size: number): void {
  const mask = size === 4 ? -1 : (1 << (size * 8)) - 1;
  mem[o + R_VAL_LO] = mem[o + R_VAL_LO]! & mask;
  mem[o + R_VAL_HI] = 0;
  mem[o + R_MASK_LO] = mem[o + R_MASK_LO]! & mask;
  mem[o + R_MASK_HI] = 0;
  const minLo = mem[o + R_UMIN_LO]!;
  const maxLo = mem[o + R_UMAX_LO]!;
  const same = mem[o + R_UMIN_HI] === mem[o + R_UMAX_HI] && (minLo & ~mask) === (maxLo & ~mask);
  const min = same ? minLo & mask : 0;
  const max = same ? maxLo & mask : mask;
  mem[o + R_UMIN_LO] = min;
  mem[o + R_UMIN_HI] = 0;
  mem[o + R_UMAX_LO] = max;
  mem[o + R_UMAX_HI] = 0;
  mem[o + R_SMIN_LO] = min;
  mem[o + R_SMIN_HI] = 0;
  mem[o + R_SMAX_LO] = max;
  mem[o + R_SMAX_HI] = 0;
  if (size < 4) markReg32Unbounded(mem, o);
  regBoundsSync(mem, o);
}

/** Sign-extends the low `size` bytes (1, 2 or 4) of a word to 32 bits. */
function signExtend(lo: number, size: number): number {
  const shift = 32 - size * 8;
  return (lo << shift) >> shift;
}

/** What is known of any value sign-extended from `size` bytes to 64 bits. Mirrors set_sext64_default_val(). */
function setSext64DefaultVal(mem: Int32Array, o: number, size: number): void {
  const max = S32_MAX >> (32 - size * 8);
  const min = ~max;
  markReg64Unbounded(mem, o);
  mem[o + R_SMIN_LO] = min;
  mem[o + R_SMIN_HI] = -1;
  mem[o + R_SMAX_LO] = max;
  mem[o + R_SMAX_HI] = 0;
  mem[o + R_S32_MIN] = min;
  mem[o + R_S32_MAX] = max;
  mem[o + R_U32_MIN] = 0;
  mem[o + R_U32_MAX] = -1;
  tnumSetUnknown(mem, o);
}

/** Bounds and tnum of a value between two sign-extended words of the same sign, smaller first. */
function setSextRange(mem: Int32Array, o: number, min: number, max: number): void {
  const hi = min >> 31;
  mem[o + R_SMIN_LO] = min;
  mem[o + R_SMIN_HI] = hi;
  mem[o + R_SMAX_LO] = max;
  mem[o + R_SMAX_HI] = hi;
  mem[o + R_UMIN_LO] = min;
  mem[o + R_UMIN_HI] = hi;
  mem[o + R_UMAX_LO] = max;
  mem[o + R_UMAX_HI] = hi;
  setSextRange32(mem, o, min, max);
  mem[o + R_VAL_HI] = hi;
}

/** 32-bit bounds likewise, and the tnum of the range with the upper half 0. */
function setSextRange32(mem: Int32Array, o: number, min: number, max: number): void {
  mem[o + R_S32_MIN] = min;
  mem[o + R_S32_MAX] = max;
  mem[o + R_U32_MIN] = min;
  mem[o + R_U32_MAX] = max;
  const chi = min ^ max;
  const delta = chi === 0 ? 0 : -1 >>> Math.clz32(chi);
  mem[o + R_VAL_LO] = min & ~delta;
  mem[o + R_VAL_HI] = 0;
  mem[o + R_MASK_LO] = delta;
  mem[o + R_MASK_HI] = 0;
}

/** Sign-extends the low `size` bytes (1, 2 or 4) to 64 bits. Mirrors coerce_reg_to_size_sx(). */
export function coerceRegToSizeSx(mem: Int32Array, o: number, size: number): void {
  if (tnumIsConst(mem, o)) {
    const value = signExtend(mem[o + R_VAL_LO]!, size);
    markRegKnownValue(mem, o, value, value >> 31);
    return;
  }
  const low = size === 4 ? -1 : (1 << (size * 8)) - 1;
  const smin = mem[o + R_SMIN_LO]!;
  const smax = mem[o + R_SMAX_LO]!;
  if (mem[o + R_SMIN_HI] === mem[o + R_SMAX_HI] && (smin & ~low) === (smax & ~low)) {
    const a = signExtend(smin, size);
    const b = signExtend(smax, size);
    if (a < 0 === b < 0) {
      setSextRange(mem, o, Math.min(a, b), Math.max(a, b));
      return;
    }
  }
  setSext64DefaultVal(mem, o, size);
}

/** Sign-extends the low `size` bytes (1 or 2) to 32 bits. Mirrors coerce_subreg_to_size_sx(). */
export function coerceSubregToSizeSx(mem: Int32Array, o: number, size: number): void {
  if (tnumIsConst(mem, o)) {
    const value = signExtend(mem[o + R_VAL_LO]!, size);
    tnumSetConst(mem, o, value, value >> 31);
    mem[o + R_S32_MIN] = value;
    mem[o + R_S32_MAX] = value;
    mem[o + R_U32_MIN] = value;
    mem[o + R_U32_MAX] = value;
    return;
  }
  const low = (1 << (size * 8)) - 1;
  const smin = mem[o + R_S32_MIN]!;
  const smax = mem[o + R_S32_MAX]!;
  if ((smin & ~low) === (smax & ~low)) {
    const a = signExtend(smin, size);
    const b = signExtend(smax, size);
    if (a < 0 === b < 0) {
      setSextRange32(mem, o, Math.min(a, b), Math.max(a, b));
      return;
    }
  }
  const max = S32_MAX >> (32 - size * 8);
  mem[o + R_S32_MIN] = ~max;
  mem[o + R_S32_MAX] = max;
  mem[o + R_U32_MIN] = 0;
  mem[o + R_U32_MAX] = -1;
  mem[o + R_VAL_LO] = 0;
  mem[o + R_VAL_HI] = 0;
  mem[o + R_MASK_LO] = -1;
  mem[o + R_MASK_HI] = 0;
}

/** Narrows to a range of signed 32-bit numbers. Mirrors __mark_reg_s32_range(). */
export function markRegS32Range(env: VerifierEnv, mem: Int32Array, o: number, min: number, max: number): number {
  if (mem[o + R_S32_MIN]! < min) mem[o + R_S32_MIN] = min;
  if (mem[o + R_S32_MAX]! > max) mem[o + R_S32_MAX] = max;
  if (slt(mem[o + R_SMIN_LO]!, mem[o + R_SMIN_HI]!, min, min >> 31)) {
    mem[o + R_SMIN_LO] = min;
    mem[o + R_SMIN_HI] = min >> 31;
  }
  if (slt(max, max >> 31, mem[o + R_SMAX_LO]!, mem[o + R_SMAX_HI]!)) {
    mem[o + R_SMAX_LO] = max;
    mem[o + R_SMAX_HI] = max >> 31;
  }
  regBoundsSync(mem, o);
  return regBoundsSanityCheck(env, mem, o, "s32_range");
}

/** What contradicts itself in the bounds, or "". */
function boundsViolation(mem: Int32Array, o: number): string {
  const uminLo = mem[o + R_UMIN_LO]!;
  const uminHi = mem[o + R_UMIN_HI]!;
  const umaxLo = mem[o + R_UMAX_LO]!;
  const umaxHi = mem[o + R_UMAX_HI]!;
  const sminLo = mem[o + R_SMIN_LO]!;
  const sminHi = mem[o + R_SMIN_HI]!;
  const smaxLo = mem[o + R_SMAX_LO]!;
  const smaxHi = mem[o + R_SMAX_HI]!;
  const s32Min = mem[o + R_S32_MIN]!;
  const s32Max = mem[o + R_S32_MAX]!;
  const u32Min = mem[o + R_U32_MIN]!;
  const u32Max = mem[o + R_U32_MAX]!;
  if (
    ult(umaxLo, umaxHi, uminLo, uminHi) ||
    slt(smaxLo, smaxHi, sminLo, sminHi) ||
    u32Min >>> 0 > u32Max >>> 0 ||
    s32Min > s32Max
  ) {
    return "range bounds violation";
  }
  if (mem[o + R_MASK_LO] !== 0) return "";
  const lo = mem[o + R_VAL_LO]!;
  if (mem[o + R_MASK_HI] === 0) {
    const hi = mem[o + R_VAL_HI]!;
    const off =
      (uminLo ^ lo) | (uminHi ^ hi) | (umaxLo ^ lo) | (umaxHi ^ hi) | (sminLo ^ lo) | (sminHi ^ hi) | (smaxLo ^ lo);
    if ((off | (smaxHi ^ hi)) !== 0) return "const tnum out of sync with range bounds";
  }
  if (((u32Min ^ lo) | (u32Max ^ lo) | (s32Min ^ lo) | (s32Max ^ lo)) !== 0) {
    return "const subreg tnum out of sync with range bounds";
  }
  return "";
}

const hex64 = (mem: Int32Array, at: number): string => `0x${toU64(mem[at]!, mem[at + 1]!).toString(16)}`;
const hex32 = (word: number): string => `0x${(word >>> 0).toString(16)}`;

/**
 * Bounds that contradict themselves (on a path that cannot be) are given up. `ctx` says in the log
 * where it was noticed. Mirrors reg_bounds_sanity_check().
 */
export function regBoundsSanityCheck(env: VerifierEnv, mem: Int32Array, o: number, ctx: string): number {
  const msg = boundsViolation(mem, o);
  if (msg === "") return 0;
  verbose(
    env,
    `verifier bug: REG INVARIANTS VIOLATION (${ctx}): ${msg} u64=[${hex64(mem, o + R_UMIN_LO)}, ${hex64(mem, o + R_UMAX_LO)}] ` +
      `s64=[${hex64(mem, o + R_SMIN_LO)}, ${hex64(mem, o + R_SMAX_LO)}] u32=[${hex32(mem[o + R_U32_MIN]!)}, ${hex32(mem[o + R_U32_MAX]!)}] ` +
      `s32=[${hex32(mem[o + R_S32_MIN]!)}, ${hex32(mem[o + R_S32_MAX]!)}] ` +
      `var_off=(${hex64(mem, o + R_VAL_LO)}, ${hex64(mem, o + R_MASK_LO)})\n`,
  );
  if (env.testRegInvariants) return -Errno.EFAULT;
  markRegUnbounded(mem, o);
  return 0;
}
