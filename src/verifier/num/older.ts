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
  REG_WORDS,
} from "../state/reg.js";
import { scalar32MinMaxAdd, scalar32MinMaxSub } from "./alu32.js";
import { scalarMinMaxAdd, scalarMinMaxSub } from "./alu64.js";
import { markReg32Unbounded, markReg64Unbounded } from "./bounds.js";
import { tnumAdd } from "./tnum.js";
import { product, S32_MAX, S32_MIN, ult, umul64 } from "./u64.js";

/*
 * Arithmetic as older kernels knew it; which kernels is said in kernel/rules.ts. Conventions as in alu32.ts.
 */

function unboundUnsigned(mem: Int32Array, d: number): void {
  mem[d + R_UMIN_LO] = 0;
  mem[d + R_UMIN_HI] = 0;
  mem[d + R_UMAX_LO] = -1;
  mem[d + R_UMAX_HI] = -1;
}

function unboundUnsigned32(mem: Int32Array, d: number): void {
  mem[d + R_U32_MIN] = 0;
  mem[d + R_U32_MAX] = -1;
}

/** scalar_min_max_add() and scalar32_min_max_add() where a wrapping unsigned range is lost. */
export function addUnwrapped(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  const lo = mem[d + R_UMIN_LO]!;
  const hi = mem[d + R_UMIN_HI]!;
  const word = mem[d + R_U32_MIN]!;
  scalar32MinMaxAdd(mem, d, src, s);
  scalarMinMaxAdd(mem, d, src, s);
  // A sum below its summand has wrapped.
  if (mem[d + R_U32_MIN]! >>> 0 < word >>> 0) unboundUnsigned32(mem, d);
  if (ult(mem[d + R_UMIN_LO]!, mem[d + R_UMIN_HI]!, lo, hi)) unboundUnsigned(mem, d);
}

/** scalar_min_max_sub() and scalar32_min_max_sub() where a wrapping unsigned range is lost. */
export function subUnwrapped(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  const lo = mem[d + R_UMIN_LO]!;
  const hi = mem[d + R_UMIN_HI]!;
  const word = mem[d + R_U32_MIN]!;
  scalar32MinMaxSub(mem, d, src, s);
  scalarMinMaxSub(mem, d, src, s);
  if (mem[d + R_U32_MIN]! >>> 0 > word >>> 0) unboundUnsigned32(mem, d);
  if (ult(lo, hi, mem[d + R_UMIN_LO]!, mem[d + R_UMIN_HI]!)) unboundUnsigned(mem, d);
}

/** scalar32_min_max_mul() for factors that are not negative and of 16 bits. */
function mulNarrow32(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  const dmax = mem[d + R_U32_MAX]! >>> 0;
  const smax = src[s + R_U32_MAX]! >>> 0;
  if (src[s + R_S32_MIN]! < 0 || mem[d + R_S32_MIN]! < 0 || smax > 0xffff || dmax > 0xffff) {
    markReg32Unbounded(mem, d);
    return;
  }
  const min = Math.imul(mem[d + R_U32_MIN]!, src[s + R_U32_MIN]!);
  const max = Math.imul(dmax, smax);
  mem[d + R_U32_MIN] = min;
  mem[d + R_U32_MAX] = max;
  mem[d + R_S32_MIN] = max < 0 ? S32_MIN : min;
  mem[d + R_S32_MAX] = max < 0 ? S32_MAX : max;
}

/** scalar_min_max_mul() for factors that are not negative and of 32 bits. */
function mulNarrow64(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  const negative = src[s + R_SMIN_HI]! < 0 || mem[d + R_SMIN_HI]! < 0;
  if (negative || src[s + R_UMAX_HI] !== 0 || mem[d + R_UMAX_HI] !== 0) {
    markReg64Unbounded(mem, d);
    return;
  }
  umul64(mem[d + R_UMIN_LO]!, 0, src[s + R_UMIN_LO]!, 0);
  const minLo = product[0]!;
  const minHi = product[1]!;
  umul64(mem[d + R_UMAX_LO]!, 0, src[s + R_UMAX_LO]!, 0);
  const maxLo = product[0]!;
  const maxHi = product[1]!;
  mem[d + R_UMIN_LO] = minLo;
  mem[d + R_UMIN_HI] = minHi;
  mem[d + R_UMAX_LO] = maxLo;
  mem[d + R_UMAX_HI] = maxHi;
  const crosses = maxHi < 0;
  mem[d + R_SMIN_LO] = crosses ? 0 : minLo;
  mem[d + R_SMIN_HI] = crosses ? S32_MIN : minHi;
  mem[d + R_SMAX_LO] = crosses ? -1 : maxLo;
  mem[d + R_SMAX_HI] = crosses ? S32_MAX : maxHi;
}

/** Ranges of a product of small factors that are not negative; unbounded for others. */
export function mulNarrow(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  mulNarrow32(mem, d, src, s);
  mulNarrow64(mem, d, src, s);
}

const sum = new Int32Array(REG_WORDS);
const term = new Int32Array(REG_WORDS);

/** tnum_mul() as a sum: of the known values' product and of a mask for each unknown bit of either factor. */
export function tnumMulBySum(mem: Int32Array, d: number, src: Int32Array, s: number): void {
  let avl = mem[d + R_VAL_LO]!;
  let avh = mem[d + R_VAL_HI]!;
  let aml = mem[d + R_MASK_LO]!;
  let amh = mem[d + R_MASK_HI]!;
  let bvl = src[s + R_VAL_LO]!;
  let bvh = src[s + R_VAL_HI]!;
  let bml = src[s + R_MASK_LO]!;
  let bmh = src[s + R_MASK_HI]!;
  sum.fill(0);
  term.fill(0);
  umul64(avl, avh, bvl, bvh);
  const knownLo = product[0]!;
  const knownHi = product[1]!;
  while ((avl | avh | aml | amh) !== 0) {
    if (((avl | aml) & 1) !== 0) {
      const known = (avl & 1) !== 0;
      term[R_MASK_LO] = known ? bml : bvl | bml;
      term[R_MASK_HI] = known ? bmh : bvh | bmh;
      tnumAdd(sum, 0, term, 0);
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
  term[R_VAL_LO] = knownLo;
  term[R_VAL_HI] = knownHi;
  term[R_MASK_LO] = 0;
  term[R_MASK_HI] = 0;
  tnumAdd(term, 0, sum, 0);
  for (const word of [R_VAL_LO, R_VAL_HI, R_MASK_LO, R_MASK_HI]) mem[d + word] = term[word]!;
}
