// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { varOffIsZero } from "../kinds/reg-type.js";
import { tnumStrn } from "../num/tnum.js";
import { regTypeStr } from "../state/print.js";
import { R_MASK_HI, R_MASK_LO, R_OFF, R_TYPE, R_VAL_HI, R_VAL_LO } from "../state/reg.js";

/** The tnum of a register as the log prints it. */
export function varOffStr(mem: Int32Array, o: number): string {
  return tnumStrn(mem[o + R_VAL_LO]!, mem[o + R_VAL_HI]!, mem[o + R_MASK_LO]!, mem[o + R_MASK_HI]!);
}

/** Mirrors __check_ptr_off_reg(). */
export function checkPtrOffRegRaw(
  env: VerifierEnv,
  mem: Int32Array,
  o: number,
  regno: number,
  fixedOffOk: boolean,
): number {
  const off = mem[o + R_OFF]!;
  if (off < 0) {
    verbose(env, `negative offset ${regTypeStr(env, mem[o + R_TYPE]!)} ptr R${regno} off=${off} disallowed\n`);
    return -Errno.EACCES;
  }
  if (!fixedOffOk && off !== 0) {
    verbose(env, `dereference of modified ${regTypeStr(env, mem[o + R_TYPE]!)} ptr R${regno} off=${off} disallowed\n`);
    return -Errno.EACCES;
  }
  if (!varOffIsZero(mem, o)) {
    verbose(env, `variable ${regTypeStr(env, mem[o + R_TYPE]!)} access var_off=${varOffStr(mem, o)} disallowed\n`);
    return -Errno.EACCES;
  }
  return 0;
}

/** Mirrors check_ptr_off_reg(). */
export function checkPtrOffReg(env: VerifierEnv, mem: Int32Array, o: number, regno: number): number {
  return checkPtrOffRegRaw(env, mem, o, regno, false);
}
