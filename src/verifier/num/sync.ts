// SPDX-License-Identifier: GPL-2.0-only
import {
  R_MASK_HI,
  R_MASK_LO,
  R_S32_MAX,
  R_S32_MIN,
  R_SMAX_HI,
  R_SMAX_LO,
  R_SMIN_HI,
  R_SMIN_LO,
  R_U32_MAX,
  R_U32_MIN,
  R_UMAX_HI,
  R_UMAX_LO,
  R_UMIN_HI,
  R_UMIN_LO,
  R_VAL_HI,
  R_VAL_LO,
} from "../state/reg.js";
import { step, tnumIntersectRange, tnumSetConst, tnumStep } from "./tnum.js";
import { S32_MAX, S32_MIN, slt, ult } from "./u64.js";

/*
 * What a register's tnum and its four ranges (u64, s64, u32, s32) tell each other. The order of the
 * steps decides how much is learnt, and the log shows it: it is the kernel's.
 */

/** Mirrors __update_reg32_bounds(). */
export function updateReg32Bounds(mem: Int32Array, o: number): void {
  const value = mem[o + R_VAL_LO]!;
  const mask = mem[o + R_MASK_LO]!;
  const smin = value | (mask & S32_MIN);
  const smax = value | (mask & S32_MAX);
  const umax = value | mask;
  if (mem[o + R_S32_MIN]! < smin) mem[o + R_S32_MIN] = smin;
  if (mem[o + R_S32_MAX]! > smax) mem[o + R_S32_MAX] = smax;
  if (mem[o + R_U32_MIN]! >>> 0 < value >>> 0) mem[o + R_U32_MIN] = value;
  if (mem[o + R_U32_MAX]! >>> 0 > umax >>> 0) mem[o + R_U32_MAX] = umax;
}

let singleCommonValue = true;

/** Whether {@link updateReg64Bounds} looks for a single common value: a rule of the kernel's release. */
export function setSingleCommonValue(on: boolean): void {
  singleCommonValue = on;
}

/** Mirrors __update_reg64_bounds(). */
export function updateReg64Bounds(mem: Int32Array, o: number): void {
  const vl = mem[o + R_VAL_LO]!;
  const vh = mem[o + R_VAL_HI]!;
  const ml = mem[o + R_MASK_LO]!;
  const mh = mem[o + R_MASK_HI]!;
  const sminHi = vh | (mh & S32_MIN);
  if (slt(mem[o + R_SMIN_LO]!, mem[o + R_SMIN_HI]!, vl, sminHi)) {
    mem[o + R_SMIN_LO] = vl;
    mem[o + R_SMIN_HI] = sminHi;
  }
  const tl = vl | ml;
  const th = vh | mh;
  const smaxHi = vh | (mh & S32_MAX);
  if (slt(tl, smaxHi, mem[o + R_SMAX_LO]!, mem[o + R_SMAX_HI]!)) {
    mem[o + R_SMAX_LO] = tl;
    mem[o + R_SMAX_HI] = smaxHi;
  }
  if (ult(mem[o + R_UMIN_LO]!, mem[o + R_UMIN_HI]!, vl, vh)) {
    mem[o + R_UMIN_LO] = vl;
    mem[o + R_UMIN_HI] = vh;
  }
  if (ult(tl, th, mem[o + R_UMAX_LO]!, mem[o + R_UMAX_HI]!)) {
    mem[o + R_UMAX_LO] = tl;
    mem[o + R_UMAX_HI] = th;
  }
  if (singleCommonValue) findSingleMember(mem, o, tl, th);
}

/** When the u64 range and the tnum have one value in common, that is the register's. `tl`, `th`: the tnum's maximum. */
function findSingleMember(mem: Int32Array, o: number, tl: number, th: number): void {
  const vl = mem[o + R_VAL_LO]!;
  const vh = mem[o + R_VAL_HI]!;
  const knownLo = ~mem[o + R_MASK_LO]!;
  const knownHi = ~mem[o + R_MASK_HI]!;
  const uminLo = mem[o + R_UMIN_LO]!;
  const uminHi = mem[o + R_UMIN_HI]!;
  const umaxLo = mem[o + R_UMAX_LO]!;
  const umaxHi = mem[o + R_UMAX_HI]!;
  const member = (((uminLo ^ vl) & knownLo) | ((uminHi ^ vh) & knownHi)) === 0;
  // The usual case: both ends are members.
  if (member && (((umaxLo ^ vl) & knownLo) | ((umaxHi ^ vh) & knownHi)) === 0) {
    if (ult(uminLo, uminHi, umaxLo, umaxHi)) return;
  }
  tnumStep(mem, o, uminLo, uminHi);
  const nextLo = step[0]!;
  const nextHi = step[1]!;
  const beyond = ult(umaxLo, umaxHi, nextLo, nextHi);
  if (member) {
    if (beyond) setKnown(mem, o, uminLo, uminHi);
    return;
  }
  if (nextLo === tl && nextHi === th) {
    setKnown(mem, o, tl, th);
  } else if (!beyond) {
    tnumStep(mem, o, nextLo, nextHi);
    if (ult(umaxLo, umaxHi, step[0]!, step[1]!)) setKnown(mem, o, nextLo, nextHi);
  }
}

function setKnown(mem: Int32Array, o: number, lo: number, hi: number): void {
  tnumSetConst(mem, o, lo, hi);
  for (let i = o + R_SMIN_LO; i <= o + R_UMAX_HI; i += 2) {
    mem[i] = lo;
    mem[i + 1] = hi;
  }
  for (let i = o + R_S32_MIN; i <= o + R_U32_MAX; i++) mem[i] = lo;
}

/** The tnum informs the ranges. Mirrors __update_reg_bounds(). */
export function updateRegBounds(mem: Int32Array, o: number): void {
  updateReg32Bounds(mem, o);
  updateReg64Bounds(mem, o);
}

/** The ranges inform the 32-bit ranges. Nonzero when something changed. Mirrors __reg32_deduce_bounds(). */
export function reg32DeduceBounds(mem: Int32Array, o: number): number {
  const sminLo = mem[o + R_SMIN_LO]!;
  const sminHi = mem[o + R_SMIN_HI]!;
  const smaxLo = mem[o + R_SMAX_LO]!;
  const smaxHi = mem[o + R_SMAX_HI]!;
  const uminLo = mem[o + R_UMIN_LO]!;
  const uminHi = mem[o + R_UMIN_HI]!;
  const umaxLo = mem[o + R_UMAX_LO]!;
  const umaxHi = mem[o + R_UMAX_HI]!;
  const s32Min = mem[o + R_S32_MIN]!;
  const s32Max = mem[o + R_S32_MAX]!;
  const u32Min = mem[o + R_U32_MIN]!;
  const u32Max = mem[o + R_U32_MAX]!;
  let smin = s32Min;
  let smax = s32Max;
  let umin = u32Min;
  let umax = u32Max;
  // One upper half throughout the range: the lower halves are a range, too.
  if (uminHi === umaxHi) {
    if (umin >>> 0 < uminLo >>> 0) umin = uminLo;
    if (umax >>> 0 > umaxLo >>> 0) umax = umaxLo;
  }
  if (sminHi === smaxHi && sminLo >>> 0 <= smaxLo >>> 0) {
    if (umin >>> 0 < sminLo >>> 0) umin = sminLo;
    if (umax >>> 0 > smaxLo >>> 0) umax = smaxLo;
  }
  // As signed words: with one upper half, or with two successive ones from negative to non-negative.
  if (uminLo <= umaxLo && (uminHi === umaxHi || (((uminHi + 1) | 0) === umaxHi && uminLo < 0 && umaxLo >= 0))) {
    if (smin < uminLo) smin = uminLo;
    if (smax > umaxLo) smax = umaxLo;
  }
  if (sminLo <= smaxLo && (sminHi === smaxHi || (((sminHi + 1) | 0) === smaxHi && sminLo < 0 && smaxLo >= 0))) {
    if (smin < sminLo) smin = sminLo;
    if (smax > smaxLo) smax = smaxLo;
  }
  if (umin <= umax) {
    if (smin < umin) smin = umin;
    if (smax > umax) smax = umax;
  }
  if (smin >>> 0 <= smax >>> 0) {
    if (umin >>> 0 < smin >>> 0) umin = smin;
    if (umax >>> 0 > smax >>> 0) umax = smax;
  } else if (umax >>> 0 < smin >>> 0) {
    // The signed range crosses the sign; the unsigned one meets its non-negative part only.
    smin = umin;
    if (umax >>> 0 > smax >>> 0) umax = smax;
  } else if (smax >>> 0 < umin >>> 0) {
    smax = umax;
    if (umin >>> 0 < smin >>> 0) umin = smin;
  }
  const changed = (smin ^ s32Min) | (smax ^ s32Max) | (umin ^ u32Min) | (umax ^ u32Max);
  if (changed !== 0) {
    mem[o + R_S32_MIN] = smin;
    mem[o + R_S32_MAX] = smax;
    mem[o + R_U32_MIN] = umin;
    mem[o + R_U32_MAX] = umax;
  }
  return changed;
}

/** s64 and u64 inform each other. Nonzero when something may have changed. Mirrors __reg64_deduce_bounds(). */
export function reg64DeduceBounds(mem: Int32Array, o: number): number {
  let sminLo = mem[o + R_SMIN_LO]!;
  let sminHi = mem[o + R_SMIN_HI]!;
  let smaxLo = mem[o + R_SMAX_LO]!;
  let smaxHi = mem[o + R_SMAX_HI]!;
  let uminLo = mem[o + R_UMIN_LO]!;
  let uminHi = mem[o + R_UMIN_HI]!;
  let umaxLo = mem[o + R_UMAX_LO]!;
  let umaxHi = mem[o + R_UMAX_HI]!;
  // Of one sign and equal already: each would learn nothing from the other.
  const apart = (sminLo ^ uminLo) | (sminHi ^ uminHi) | (smaxLo ^ umaxLo) | (smaxHi ^ umaxHi);
  if (apart === 0 && sminHi >= 0 === smaxHi >= 0) return 0;
  if (!slt(umaxLo, umaxHi, uminLo, uminHi)) {
    if (slt(sminLo, sminHi, uminLo, uminHi)) {
      sminLo = uminLo;
      sminHi = uminHi;
    }
    if (slt(umaxLo, umaxHi, smaxLo, smaxHi)) {
      smaxLo = umaxLo;
      smaxHi = umaxHi;
    }
  }
  const fromSmin = ult(uminLo, uminHi, sminLo, sminHi);
  const fromSmax = ult(smaxLo, smaxHi, umaxLo, umaxHi);
  if (!ult(smaxLo, smaxHi, sminLo, sminHi)) {
    if (fromSmin) {
      uminLo = sminLo;
      uminHi = sminHi;
    }
    if (fromSmax) {
      umaxLo = smaxLo;
      umaxHi = smaxHi;
    }
  } else if (ult(umaxLo, umaxHi, sminLo, sminHi)) {
    // The signed range crosses the sign; the unsigned one meets its non-negative part only.
    sminLo = uminLo;
    sminHi = uminHi;
    if (fromSmax) {
      umaxLo = smaxLo;
      umaxHi = smaxHi;
    }
  } else if (ult(smaxLo, smaxHi, uminLo, uminHi)) {
    smaxLo = umaxLo;
    smaxHi = umaxHi;
    if (fromSmin) {
      uminLo = sminLo;
      uminHi = sminHi;
    }
  }
  const changed =
    (mem[o + R_SMIN_LO]! ^ sminLo) |
    (mem[o + R_SMIN_HI]! ^ sminHi) |
    (mem[o + R_SMAX_LO]! ^ smaxLo) |
    (mem[o + R_SMAX_HI]! ^ smaxHi) |
    (mem[o + R_UMIN_LO]! ^ uminLo) |
    (mem[o + R_UMIN_HI]! ^ uminHi) |
    (mem[o + R_UMAX_LO]! ^ umaxLo) |
    (mem[o + R_UMAX_HI]! ^ umaxHi);
  if (changed === 0) return 0;
  mem[o + R_SMIN_LO] = sminLo;
  mem[o + R_SMIN_HI] = sminHi;
  mem[o + R_SMAX_LO] = smaxLo;
  mem[o + R_SMAX_HI] = smaxHi;
  mem[o + R_UMIN_LO] = uminLo;
  mem[o + R_UMIN_HI] = uminHi;
  mem[o + R_UMAX_LO] = umaxLo;
  mem[o + R_UMAX_HI] = umaxHi;
  return changed;
}

/** The 32-bit ranges inform the 64-bit ones. Nonzero when something changed. Mirrors __reg_deduce_mixed_bounds(). */
export function regDeduceMixedBounds(mem: Int32Array, o: number): number {
  const u32Min = mem[o + R_U32_MIN]!;
  const u32Max = mem[o + R_U32_MAX]!;
  const uminLo = mem[o + R_UMIN_LO]!;
  const umaxLo = mem[o + R_UMAX_LO]!;
  const sminLo = mem[o + R_SMIN_LO]!;
  const smaxLo = mem[o + R_SMAX_LO]!;
  // With the upper half as it is, a bound moves when only its lower half is out of the 32-bit range.
  const umin = uminLo >>> 0 < u32Min >>> 0 ? u32Min : uminLo;
  const umax = umaxLo >>> 0 > u32Max >>> 0 ? u32Max : umaxLo;
  const smin = sminLo >>> 0 < u32Min >>> 0 ? u32Min : sminLo;
  const smax = smaxLo >>> 0 > u32Max >>> 0 ? u32Max : smaxLo;
  const changed = (umin ^ uminLo) | (umax ^ umaxLo) | (smin ^ sminLo) | (smax ^ smaxLo);
  if (changed !== 0) {
    mem[o + R_UMIN_LO] = umin;
    mem[o + R_UMAX_LO] = umax;
    mem[o + R_SMIN_LO] = smin;
    mem[o + R_SMAX_LO] = smax;
  }
  return mem[o + R_S32_MIN]! < 0 ? changed : changed | setSignExtended(mem, o, smin, smax);
}

/**
 * A sign-extended word (smin >= S32_MIN and smax <= S32_MAX) that is not negative as a word: its
 * 32-bit range is the 64-bit one. `sminLo`, `smaxLo`: lower halves of the signed range.
 */
function setSignExtended(mem: Int32Array, o: number, sminLo: number, smaxLo: number): number {
  const sminHi = mem[o + R_SMIN_HI]!;
  const smaxHi = mem[o + R_SMAX_HI]!;
  if (sminHi < -1 || (sminHi === -1 && sminLo >= 0)) return 0;
  if (smaxHi > 0 || (smaxHi === 0 && smaxLo < 0)) return 0;
  const min = mem[o + R_S32_MIN]!;
  const max = mem[o + R_S32_MAX]!;
  const maxHi = max >> 31;
  const changed =
    (sminLo ^ min) |
    sminHi |
    (smaxLo ^ max) |
    (smaxHi ^ maxHi) |
    (mem[o + R_UMIN_LO]! ^ min) |
    mem[o + R_UMIN_HI]! |
    (mem[o + R_UMAX_LO]! ^ max) |
    (mem[o + R_UMAX_HI]! ^ maxHi);
  if (changed !== 0) {
    mem[o + R_SMIN_LO] = min;
    mem[o + R_SMIN_HI] = 0;
    mem[o + R_SMAX_LO] = max;
    mem[o + R_SMAX_HI] = maxHi;
    mem[o + R_UMIN_LO] = min;
    mem[o + R_UMIN_HI] = 0;
    mem[o + R_UMAX_LO] = max;
    mem[o + R_UMAX_HI] = maxHi;
  }
  return changed | tnumIntersectRange(mem, o, min, 0, max, maxHi);
}

/** Nonzero when something changed. Mirrors __reg_deduce_bounds(). */
export function regDeduceBounds(mem: Int32Array, o: number): number {
  return reg32DeduceBounds(mem, o) | reg64DeduceBounds(mem, o) | regDeduceMixedBounds(mem, o);
}

/** The unsigned ranges inform the tnum. Nonzero when it changed. Mirrors __reg_bound_offset(). */
export function regBoundOffset(mem: Int32Array, o: number): number {
  const wide = tnumIntersectRange(
    mem,
    o,
    mem[o + R_UMIN_LO]!,
    mem[o + R_UMIN_HI]!,
    mem[o + R_UMAX_LO]!,
    mem[o + R_UMAX_HI]!,
  );
  const min = mem[o + R_U32_MIN]!;
  const chi = min ^ mem[o + R_U32_MAX]!;
  const delta = chi === 0 ? 0 : -1 >>> Math.clz32(chi);
  const oldValue = mem[o + R_VAL_LO]!;
  const oldMask = mem[o + R_MASK_LO]!;
  const mask = oldMask & delta;
  const value = (oldValue | (min & ~delta)) & ~mask;
  mem[o + R_VAL_LO] = value;
  mem[o + R_MASK_LO] = mask;
  return wide | (value ^ oldValue) | (mask ^ oldMask);
}

/** Whether all domains hold one and the same value already. */
function allKnown(mem: Int32Array, o: number): boolean {
  if ((mem[o + R_MASK_LO]! | mem[o + R_MASK_HI]!) !== 0) return false;
  const lo = mem[o + R_VAL_LO]!;
  const hi = mem[o + R_VAL_HI]!;
  const off64 =
    (mem[o + R_SMIN_LO]! ^ lo) |
    (mem[o + R_SMIN_HI]! ^ hi) |
    (mem[o + R_SMAX_LO]! ^ lo) |
    (mem[o + R_SMAX_HI]! ^ hi) |
    (mem[o + R_UMIN_LO]! ^ lo) |
    (mem[o + R_UMIN_HI]! ^ hi) |
    (mem[o + R_UMAX_LO]! ^ lo) |
    (mem[o + R_UMAX_HI]! ^ hi);
  const off32 =
    (mem[o + R_S32_MIN]! ^ lo) | (mem[o + R_S32_MAX]! ^ lo) | (mem[o + R_U32_MIN]! ^ lo) | (mem[o + R_U32_MAX]! ^ lo);
  return (off64 | off32) === 0;
}

/** Everything that is known in one domain is made known in the others. Mirrors reg_bounds_sync(). */
export function regBoundsSync(mem: Int32Array, o: number): void {
  if (allKnown(mem, o)) return;
  updateRegBounds(mem, o);
  // The kernel goes three rounds; one without news is the last that can bring any.
  const news = regDeduceBounds(mem, o);
  if (news !== 0 && regDeduceBounds(mem, o) !== 0) regDeduceBounds(mem, o);
  if ((regBoundOffset(mem, o) | news) !== 0) updateRegBounds(mem, o);
}
