// SPDX-License-Identifier: GPL-2.0-only
import { ArgType, RegType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { baseType, varOffIsZero } from "../kinds/reg-type.js";
import { regTypeStr, varOffStr } from "../state/print.js";
import { R_OFF, R_TYPE } from "../state/reg.js";

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

const { PTR_TO_STACK, PTR_TO_PACKET, PTR_TO_PACKET_META, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, PTR_TO_MEM } = RegType;
const { PTR_TO_BUF, PTR_TO_ARENA, SCALAR_VALUE, PTR_TO_BTF_ID } = RegType;
const { MEM_RDONLY, MEM_RINGBUF, MEM_ALLOC, PTR_TRUSTED, MEM_RCU, NON_OWN_REF, OBJ_RELEASE } = TypeFlag;

/** Which offsets a pointer may have as an argument of type `argType`. Mirrors check_func_arg_reg_off(). */
export function checkFuncArgRegOff(
  env: VerifierEnv,
  mem: Int32Array,
  o: number,
  regno: number,
  argType: number,
): number {
  const type = mem[o + R_TYPE]!;
  if ((argType & OBJ_RELEASE) !== 0) {
    if (baseType(argType) === ArgType.PTR_TO_DYNPTR && type === PTR_TO_STACK) return 0;
    if (mem[o + R_OFF] !== 0) {
      verbose(env, `R${regno} must have zero offset when passed to release func or trusted arg to kfunc\n`);
      return -Errno.EINVAL;
    }
    return checkPtrOffRegRaw(env, mem, o, regno, false);
  }
  switch (type) {
    case PTR_TO_STACK:
    case PTR_TO_PACKET:
    case PTR_TO_PACKET_META:
    case PTR_TO_MAP_KEY:
    case PTR_TO_MAP_VALUE:
    case PTR_TO_MEM:
    case PTR_TO_MEM | MEM_RDONLY:
    case PTR_TO_MEM | MEM_RINGBUF:
    case PTR_TO_BUF:
    case PTR_TO_BUF | MEM_RDONLY:
    case PTR_TO_ARENA:
    case SCALAR_VALUE:
      return 0;
    case PTR_TO_BTF_ID:
    case PTR_TO_BTF_ID | MEM_ALLOC:
    case PTR_TO_BTF_ID | PTR_TRUSTED:
    case PTR_TO_BTF_ID | MEM_RCU:
    case PTR_TO_BTF_ID | MEM_ALLOC | NON_OWN_REF:
    case PTR_TO_BTF_ID | MEM_ALLOC | NON_OWN_REF | MEM_RCU:
      return checkPtrOffRegRaw(env, mem, o, regno, true);
    default:
      return checkPtrOffRegRaw(env, mem, o, regno, false);
  }
}
