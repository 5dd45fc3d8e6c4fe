// SPDX-License-Identifier: GPL-2.0-only
import { R_MASK_HI, R_MASK_LO, R_VAL_HI, R_VAL_LO } from "../state/reg.js";
import { toU64 } from "./u64.js";

/*
 * Tristate numbers: of every bit it is known that it is 0, that it is 1, or nothing. A tnum lives in
 * a register state as value and mask (bits unknown; value has 0 there). Functions on two operands
 * work in place: the first operand becomes the result. The operands may be the same register.
 */

/** Every bit unknown. Mirrors assigning tnum_unknown. */
export function tnumSetUnknown(mem: Int32Array, o: number): void {
  mem[o + R_VAL_LO] = 0;
  mem[o + R_VAL_HI] = 0;
  mem[o + R_MASK_LO] = -1;
  mem[o + R_MASK_HI] = -1;
}

/** Mirrors assigning tnum_const(). */
export function tnumSetConst(mem: Int32Array, o: number, lo: number, hi: number): void {
  mem[o + R_VAL_LO] = lo;
  mem[o + R_VAL_HI] = hi;
  mem[o + R_MASK_LO] = 0;
  mem[o + R_MASK_HI] = 0;
}

/** Mirrors tnum_is_const(). */
export function tnumIsConst(mem: Int32Array, o: number): boolean {
  return (mem[o + R_MASK_LO]! | mem[o + R_MASK_HI]!) === 0;
}

/** Mirrors tnum_subreg_is_const(). */
export function tnumSubregIsConst(mem: Int32Array, o: number): boolean {
  return mem[o + R_MASK_LO] === 0;
}

/** Mirrors tnum_is_unknown(). */
export function tnumIsUnknown(mem: Int32Array, o: number): boolean {
  return (mem[o + R_MASK_LO]! & mem[o + R_MASK_HI]!) === -1;
}

/** The upper half becomes 0. Mirrors tnum_subreg(). */
export function tnumSubreg(mem: Int32Array, o: number): void {
  mem[o + R_VAL_HI] = 0;
  mem[o + R_MASK_HI] = 0;
}

/** Mirrors tnum_add(). */
export function tnumAdd(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  const avl = mem[d + R_VAL_LO]!;
  const aml = mem[d + R_MASK_LO]!;
  const amh = mem[d + R_MASK_HI]!;
  const bml = src[s + R_MASK_LO]!;
  const bmh = src[s + R_MASK_HI]!;
  const svl = (avl + src[s + R_VAL_LO]!) | 0;
  const svh = (mem[d + R_VAL_HI]! + src[s + R_VAL_HI]! + (svl >>> 0 < avl >>> 0 ? 1 : 0)) | 0;
  const sml = (aml + bml) | 0;
  const smh = (amh + bmh + (sml >>> 0 < aml >>> 0 ? 1 : 0)) | 0;
  const sgl = (sml + svl) | 0;
  const sgh = (smh + svh + (sgl >>> 0 < sml >>> 0 ? 1 : 0)) | 0;
  const mul = (sgl ^ svl) | aml | bml;
  const muh = (sgh ^ svh) | amh | bmh;
  mem[d + R_VAL_LO] = svl & ~mul;
  mem[d + R_VAL_HI] = svh & ~muh;
  mem[d + R_MASK_LO] = mul;
  mem[d + R_MASK_HI] = muh;
}

/** Mirrors tnum_sub(). */
export function tnumSub(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  const avl = mem[d + R_VAL_LO]!;
  const bvl = src[s + R_VAL_LO]!;
  const aml = mem[d + R_MASK_LO]!;
  const amh = mem[d + R_MASK_HI]!;
  const bml = src[s + R_MASK_LO]!;
  const bmh = src[s + R_MASK_HI]!;
  const dvl = (avl - bvl) | 0;
  const dvh = (mem[d + R_VAL_HI]! - src[s + R_VAL_HI]! - (avl >>> 0 < bvl >>> 0 ? 1 : 0)) | 0;
  const alphaLo = (dvl + aml) | 0;
  const alphaHi = (dvh + amh + (alphaLo >>> 0 < dvl >>> 0 ? 1 : 0)) | 0;
  const betaLo = (dvl - bml) | 0;
  const betaHi = (dvh - bmh - (dvl >>> 0 < bml >>> 0 ? 1 : 0)) | 0;
  const mul = (alphaLo ^ betaLo) | aml | bml;
  const muh = (alphaHi ^ betaHi) | amh | bmh;
  mem[d + R_VAL_LO] = dvl & ~mul;
  mem[d + R_VAL_HI] = dvh & ~muh;
  mem[d + R_MASK_LO] = mul;
  mem[d + R_MASK_HI] = muh;
}

/** Mirrors tnum_and(). */
export function tnumAnd(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  for (let i = 0; i < 2; i++) {
    const av = mem[d + R_VAL_LO + i]!;
    const bv = src[s + R_VAL_LO + i]!;
    const v = av & bv;
    mem[d + R_MASK_LO + i] = (av | mem[d + R_MASK_LO + i]!) & (bv | src[s + R_MASK_LO + i]!) & ~v;
    mem[d + R_VAL_LO + i] = v;
  }
}

/** Mirrors tnum_or(). */
export function tnumOr(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  for (let i = 0; i < 2; i++) {
    const v = mem[d + R_VAL_LO + i]! | src[s + R_VAL_LO + i]!;
    mem[d + R_MASK_LO + i] = (mem[d + R_MASK_LO + i]! | src[s + R_MASK_LO + i]!) & ~v;
    mem[d + R_VAL_LO + i] = v;
  }
}

/** Mirrors tnum_xor(). */
export function tnumXor(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  for (let i = 0; i < 2; i++) {
    const mu = mem[d + R_MASK_LO + i]! | src[s + R_MASK_LO + i]!;
    mem[d + R_VAL_LO + i] = (mem[d + R_VAL_LO + i]! ^ src[s + R_VAL_LO + i]!) & ~mu;
    mem[d + R_MASK_LO + i] = mu;
  }
}

/*
 * Long multiplication: acc is what the bits of `a` seen so far make of the product. A bit known to
 * be 1 adds the shifted b, an unknown one makes the union of the two cases.
 */

/** Mirrors tnum_mul(). */
export function tnumMul(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  let avl = mem[d + R_VAL_LO]!;
  let avh = mem[d + R_VAL_HI]!;
  let aml = mem[d + R_MASK_LO]!;
  let amh = mem[d + R_MASK_HI]!;
  let bvl = src[s + R_VAL_LO]!;
  let bvh = src[s + R_VAL_HI]!;
  let bml = src[s + R_MASK_LO]!;
  let bmh = src[s + R_MASK_HI]!;
  let vl = 0;
  let vh = 0;
  let ml = 0;
  let mh = 0;
  while ((avl | avh | aml | amh) !== 0) {
    if (((avl | aml) & 1) !== 0) {
      // sum = acc + b
      let svl = (vl + bvl) | 0;
      let svh = (vh + bvh + (svl >>> 0 < vl >>> 0 ? 1 : 0)) | 0;
      const sml = (ml + bml) | 0;
      const smh = (mh + bmh + (sml >>> 0 < ml >>> 0 ? 1 : 0)) | 0;
      const sgl = (sml + svl) | 0;
      const sgh = (smh + svh + (sgl >>> 0 < sml >>> 0 ? 1 : 0)) | 0;
      let mul = (sgl ^ svl) | ml | bml;
      let muh = (sgh ^ svh) | mh | bmh;
      svl &= ~mul;
      svh &= ~muh;
      if ((avl & 1) === 0) {
        // union of acc and sum; the sum's mask holds all of acc's
        mul |= vl ^ svl;
        muh |= vh ^ svh;
        svl = vl & svl & ~mul;
        svh = vh & svh & ~muh;
      }
      vl = svl;
      vh = svh;
      ml = mul;
      mh = muh;
    }
    avl = (avl >>> 1) | (avh << 31);
    avh >>>= 1;
    aml = (aml >>> 1) | (amh << 31);
    amh >>>= 1;
    bvh = (bvh << 1) | (bvl >>> 31);
    bvl <<= 1;
    bmh = (bmh << 1) | (bml >>> 31);
    bml <<= 1;
  }
  mem[d + R_VAL_LO] = vl;
  mem[d + R_VAL_HI] = vh;
  mem[d + R_MASK_LO] = ml;
  mem[d + R_MASK_HI] = mh;
}

/** Whether the tnum at `b` (in `bm`) is a subset of the one at `a`. Mirrors tnum_in(). */
export function tnumIn(am: Int32Array, a: number, bm: Int32Array, b: number): boolean {
  const aml = am[a + R_MASK_LO]!;
  const amh = am[a + R_MASK_HI]!;
  if (((bm[b + R_MASK_LO]! & ~aml) | (bm[b + R_MASK_HI]! & ~amh)) !== 0) return false;
  return am[a + R_VAL_LO] === (bm[b + R_VAL_LO]! & ~aml) && am[a + R_VAL_HI] === (bm[b + R_VAL_HI]! & ~amh);
}

/** The range [min, max] becomes known of the tnum. Nonzero when it changed. Mirrors tnum_intersect() with tnum_range(). */
export function tnumIntersectRange(
  mem: Int32Array,
  o: number,
  minLo: number,
  minHi: number,
  maxLo: number,
  maxHi: number,
): number {
  const chiLo = minLo ^ maxLo;
  const chiHi = minHi ^ maxHi;
  let deltaLo = -1;
  let deltaHi = 0;
  if (chiHi !== 0) deltaHi = -1 >>> Math.clz32(chiHi);
  else deltaLo = chiLo === 0 ? 0 : -1 >>> Math.clz32(chiLo);
  const oldVl = mem[o + R_VAL_LO]!;
  const oldVh = mem[o + R_VAL_HI]!;
  const oldMl = mem[o + R_MASK_LO]!;
  const oldMh = mem[o + R_MASK_HI]!;
  const ml = oldMl & deltaLo;
  const mh = oldMh & deltaHi;
  const vl = (oldVl | (minLo & ~deltaLo)) & ~ml;
  const vh = (oldVh | (minHi & ~deltaHi)) & ~mh;
  mem[o + R_VAL_LO] = vl;
  mem[o + R_VAL_HI] = vh;
  mem[o + R_MASK_LO] = ml;
  mem[o + R_MASK_HI] = mh;
  return (vl ^ oldVl) | (vh ^ oldVh) | (ml ^ oldMl) | (mh ^ oldMh);
}

/** What {@link tnumStep} found, low word first. */
export const step = new Int32Array(2);

/**
 * The smallest member of the tnum that is greater than z, into {@link step}; its greatest member when
 * there is none. Mirrors tnum_step().
 */
export function tnumStep(mem: Int32Array, o: number, zLo: number, zHi: number): void {
  const vl = mem[o + R_VAL_LO]!;
  const vh = mem[o + R_VAL_HI]!;
  const ml = mem[o + R_MASK_LO]!;
  const mh = mem[o + R_MASK_HI]!;
  const tl = vl | ml;
  const th = vh | mh;
  if (zHi === th ? zLo >>> 0 >= tl >>> 0 : zHi >>> 0 > th >>> 0) {
    step[0] = tl;
    step[1] = th;
    return;
  }
  if (zHi === vh ? zLo >>> 0 < vl >>> 0 : zHi >>> 0 < vh >>> 0) {
    step[0] = vl;
    step[1] = vh;
    return;
  }
  // low = the bits from the highest known one in which z is no member, downwards; 0 when z is one.
  const dh = (zHi ^ vh) & ~mh;
  const dl = (zLo ^ vl) & ~ml;
  let lowHi = 0;
  let lowLo = 0;
  if (dh !== 0) {
    lowHi = -1 >>> Math.clz32(dh);
    lowLo = -1;
  } else if (dl !== 0) {
    lowLo = -1 >>> Math.clz32(dl);
  }
  const top = dh !== 0 ? dh & ~(lowHi >>> 1) & vh : dl & ~(lowLo >>> 1) & vl;
  if (top !== 0) {
    // The tnum has 1 where z has 0: greater already, so everything below is smallest.
    step[0] = (zLo & ml & ~lowLo) | vl;
    step[1] = (zHi & mh & ~lowHi) | vh;
    return;
  }
  // Count up in the unknown bits above: known bits are set to 1 to let the carry through.
  const fl = zLo | ~ml | lowLo;
  const fh = zHi | ~mh | lowHi;
  const nl = (fl + 1) | 0;
  step[0] = (nl & ml) | vl;
  step[1] = ((nl === 0 ? fh + 1 : fh) & mh) | vh;
}

/** Value and mask in hex, as the log prints a tnum. Mirrors tnum_strn(). */
export function tnumStrn(valLo: number, valHi: number, maskLo: number, maskHi: number): string {
  return `(0x${toU64(valLo, valHi).toString(16)}; 0x${toU64(maskLo, maskHi).toString(16)})`;
}
