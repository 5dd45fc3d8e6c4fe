// SPDX-License-Identifier: GPL-2.0-only
import { type VerifierEnv, verbose } from "../env.js";
import { toS64 } from "../num/u64.js";
import { R_S32_MAX, R_S32_MIN, R_SMAX_HI, R_SMAX_LO, R_SMIN_HI, R_SMIN_LO } from "../state/reg.js";

/** Whether [min, max] (s32) holds every value of the register. Mirrors retval_range_within(). */
export function retvalRangeWithin(min: number, max: number, mem: Int32Array, o: number, return32bit: boolean): boolean {
  if (return32bit) return min <= mem[o + R_S32_MIN]! && mem[o + R_S32_MAX]! <= max;
  // Approximate beyond 2^53, far away from every range.
  const smin = mem[o + R_SMIN_HI]! * 0x1_0000_0000 + (mem[o + R_SMIN_LO]! >>> 0);
  const smax = mem[o + R_SMAX_HI]! * 0x1_0000_0000 + (mem[o + R_SMAX_LO]! >>> 0);
  return min <= smin && smax <= max;
}

/** Says what is wrong with a returned value. Mirrors verbose_invalid_scalar(). */
export function verboseInvalidScalar(
  env: VerifierEnv,
  mem: Int32Array,
  o: number,
  min: number,
  max: number,
  ctx: string,
  regName: string,
): void {
  const smin = toS64(mem[o + R_SMIN_LO]!, mem[o + R_SMIN_HI]!);
  const smax = toS64(mem[o + R_SMAX_LO]!, mem[o + R_SMAX_HI]!);
  let unknown = true;
  verbose(env, `${ctx} the register ${regName} has`);
  if (smin > -(2n ** 63n)) {
    verbose(env, ` smin=${smin}`);
    unknown = false;
  }
  if (smax < 2n ** 63n - 1n) {
    verbose(env, ` smax=${smax}`);
    unknown = false;
  }
  if (unknown) verbose(env, " unknown scalar value");
  verbose(env, ` should have been in [${min}, ${max}]\n`);
}
