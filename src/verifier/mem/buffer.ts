// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { typeIsRdonlyMem, varOffIsZero } from "../kinds/reg-type.js";
import { varOffStr } from "../state/print.js";
import { R_TYPE } from "../state/reg.js";

/** Mirrors __check_buffer_access(). */
function checkBufferAccessRaw(
  env: VerifierEnv,
  bufInfo: string,
  mem: Int32Array,
  o: number,
  regno: number,
  off: number,
  size: number,
): number {
  if (off < 0) {
    verbose(env, `R${regno} invalid ${bufInfo} buffer access: off=${off}, size=${size}\n`);
    return -Errno.EACCES;
  }
  if (!varOffIsZero(mem, o)) {
    verbose(env, `R${regno} invalid variable buffer offset: off=${off}, var_off=${varOffStr(mem, o)}\n`);
    return -Errno.EACCES;
  }
  return 0;
}

/** Mirrors check_tp_buffer_access(). */
export function checkTpBufferAccess(
  env: VerifierEnv,
  mem: Int32Array,
  o: number,
  regno: number,
  off: number,
  size: number,
): number {
  return checkBufferAccessRaw(env, "tracepoint", mem, o, regno, off, size);
}

/** Mirrors check_buffer_access(). */
export function checkBufferAccess(
  env: VerifierEnv,
  mem: Int32Array,
  o: number,
  regno: number,
  off: number,
  size: number,
): number {
  return checkBufferAccessRaw(env, typeIsRdonlyMem(mem[o + R_TYPE]!) ? "rdonly" : "rdwr", mem, o, regno, off, size);
}
