// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { BPF_READ, BPF_WRITE } from "../kinds/access.js";
import { isPointerValue, typeMayBeNull } from "../kinds/reg-type.js";
import { InsnAccessAux } from "../progtype/access-aux.js";
import { isValidAccess } from "../progtype/ctx-access.js";
import { DEF_NOT_SUBREG, markRegKnownZero, markRegUnknown } from "../state/mark.js";
import { verboseLinfo } from "../state/print.js";
import { R_ID, R_SUBREG_DEF, R_TYPE, regAt } from "../state/reg.js";
import { checkPtrOffReg } from "./ptr-off.js";

const info = new InsnAccessAux();

/** Mirrors check_ctx_access(). */
function checkCtxAccess(env: VerifierEnv, insnIdx: number, off: number, size: number, type: number): number {
  if (isValidAccess(env, off, size, type, info)) {
    env.aux.ctxFieldSize[insnIdx] = info.ctxFieldSize;
    if (env.maxCtxOffset < off + size) env.maxCtxOffset = off + size;
    return 0;
  }
  verbose(env, `invalid bpf_context access off=${off} size=${size}\n`);
  return -Errno.EACCES;
}

/** An access through PTR_TO_CTX. Part of check_mem_access(). */
export function checkCtxMemAccess(
  env: VerifierEnv,
  insnIdx: number,
  regno: number,
  off: number,
  size: number,
  type: number,
  valueRegno: number,
  isLdsx: boolean,
): number {
  const mem = env.cur().cur().mem;
  if (type === BPF_WRITE && valueRegno >= 0 && isPointerValue(env, valueRegno)) {
    verbose(env, `R${valueRegno} leaks addr into ctx\n`);
    return -Errno.EACCES;
  }
  let err = checkPtrOffReg(env, mem, regAt(regno), regno);
  if (err < 0) return err;

  info.reset(isLdsx);
  err = checkCtxAccess(env, insnIdx, off, size, type);
  if (err !== 0) verboseLinfo(env, insnIdx, "; ");
  if (err === 0 && type === BPF_READ && valueRegno >= 0) {
    if (info.regType === RegType.SCALAR_VALUE) {
      markRegUnknown(env, mem, valueRegno);
    } else {
      const o = regAt(valueRegno);
      markRegKnownZero(env, mem, valueRegno);
      if (typeMayBeNull(info.regType)) mem[o + R_ID] = ++env.idGen;
      mem[o + R_SUBREG_DEF] = DEF_NOT_SUBREG;
    }
    mem[regAt(valueRegno) + R_TYPE] = info.regType;
  }
  return err;
}
