// SPDX-License-Identifier: GPL-2.0-only
import { BPF_DW } from "../../asm/opcode.js";
import { ArgType, DynptrType, RegType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import type { HelperProto } from "../../kernel/helpers/index.js";
import { Limit } from "../../kernel/limits.js";
import { type VerifierEnv, verbose } from "../env.js";
import { BPF_WRITE, type CallArgMeta } from "../kinds/access.js";
import { baseType } from "../kinds/reg-type.js";
import { checkMemAccess } from "../mem/access.js";
import {
  argToDynptrType,
  dynptrGetSpi,
  dynptrGetType,
  dynptrId,
  dynptrRefObjId,
  isDynptrRegValidInit,
  isDynptrRegValidUninit,
  isDynptrTypeExpected,
  markDynptrRead,
  markStackSlotsDynptr,
} from "../mem/dynptr-slots.js";
import { func } from "../mem/stack-bounds.js";
import { dynptrTypeStr, regTypeStr } from "../state/print.js";
import { R_REF_OBJ_ID, R_TYPE, regAt, slotAt } from "../state/reg.js";

/* Dynptrs as arguments: of helpers, and of global functions. */

const { PTR_TO_STACK, CONST_PTR_TO_DYNPTR, PTR_TO_MAP_VALUE } = RegType;
const { MEM_UNINIT, MEM_RDONLY } = TypeFlag;

/** The call makes a dynptr at the pointer in register `regno`. */
function makeDynptr(env: VerifierEnv, regno: number, insnIdx: number, argType: number, cloneRefObjId: number): number {
  const o = regAt(regno);
  if (!isDynptrRegValidUninit(env, env.cur().cur().mem, o)) {
    verbose(env, "Dynptr has to be an uninitialized dynptr\n");
    return -Errno.EINVAL;
  }
  for (let i = 0; i < Limit.BPF_DYNPTR_SIZE; i += 8) {
    const err = checkMemAccess(env, insnIdx, regno, i, BPF_DW, BPF_WRITE, -1, false, false);
    if (err !== 0) return err;
  }
  return markStackSlotsDynptr(env, env.cur().cur().mem, o, argType, insnIdx, cloneRefObjId);
}

/**
 * Register `regno` as the dynptr argument of a call: MEM_UNINIT makes one, MEM_RDONLY leaves it as it is,
 * neither may change or release it. Mirrors process_dynptr_func().
 */
export function processDynptrFunc(
  env: VerifierEnv,
  regno: number,
  insnIdx: number,
  argType: number,
  cloneRefObjId: number,
): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  const type = mem[o + R_TYPE];
  if (type !== PTR_TO_STACK && type !== CONST_PTR_TO_DYNPTR) {
    verbose(env, `arg#${regno - 1} expected pointer to stack or const struct bpf_dynptr\n`);
    return -Errno.EINVAL;
  }
  if ((argType & MEM_UNINIT) !== 0) return makeDynptr(env, regno, insnIdx, argType, cloneRefObjId);

  if (type === CONST_PTR_TO_DYNPTR && (argType & MEM_RDONLY) === 0) {
    verbose(env, "cannot pass pointer to const bpf_dynptr, the helper mutates it\n");
    return -Errno.EINVAL;
  }
  if (!isDynptrRegValidInit(env, mem, o)) {
    verbose(env, `Expected an initialized dynptr as arg #${regno - 1}\n`);
    return -Errno.EINVAL;
  }
  if (!isDynptrTypeExpected(env, mem, o, argType)) {
    verbose(env, `Expected a dynptr of type ${dynptrTypeStr(argToDynptrType(argType))} as arg #${regno - 1}\n`);
    return -Errno.EINVAL;
  }
  return markDynptrRead(env, mem, o);
}

/** Only a dynptr on the stack that holds a reference can be released. The dynptr's part of check_func_arg(). */
export function checkDynptrRelease(env: VerifierEnv, regno: number): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  if (mem[o + R_TYPE] !== PTR_TO_STACK) {
    verbose(env, "cannot release unowned const bpf_dynptr\n");
    return -Errno.EINVAL;
  }
  const spi = dynptrGetSpi(env, mem, o);
  if (spi >= 0 && func(env, mem, o).mem[slotAt(spi) + R_REF_OBJ_ID] !== 0) return 0;
  verbose(env, `arg ${regno} is an unacquired reference\n`);
  return -Errno.EINVAL;
}

/** The register of the helper's dynptr argument. Mirrors get_dynptr_arg_reg(). */
function getDynptrArgReg(fn: HelperProto): number {
  return regAt(1 + fn.argTypes.findIndex((t) => baseType(t) === ArgType.PTR_TO_DYNPTR));
}

/** bpf_dynptr_from_mem() takes values of maps only. */
export function checkDynptrFromMem(env: VerifierEnv): number {
  const type = env.cur().cur().mem[regAt(1) + R_TYPE]!;
  if (type === PTR_TO_MAP_VALUE) return 0;
  verbose(env, `Unsupported reg type ${regTypeStr(env, type)} for bpf_dynptr_from_mem data\n`);
  return -Errno.EACCES;
}

/** The slice that bpf_dynptr_data() returns lives as long as its dynptr. */
export function noteDynptrData(env: VerifierEnv, fn: HelperProto, meta: CallArgMeta): number {
  const { mem } = env.cur().cur();
  const o = getDynptrArgReg(fn);
  meta.dynptrId = dynptrId(env, mem, o);
  meta.refObjId = dynptrRefObjId(env, mem, o);
  return 0;
}

/** Writing to a packet's dynptr may move the packet. */
export function noteDynptrWrite(env: VerifierEnv, fn: HelperProto, meta: CallArgMeta): number {
  const type = dynptrGetType(env, env.cur().cur().mem, getDynptrArgReg(fn));
  if (type === DynptrType.INVALID) return -Errno.EFAULT;
  meta.changesPktData = type === DynptrType.SKB || type === DynptrType.SKB_META;
  return 0;
}
