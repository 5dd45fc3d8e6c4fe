// SPDX-License-Identifier: GPL-2.0-only
import { BPF_B } from "../../asm/opcode.js";
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { Unsupported, type VerifierEnv, verbose } from "../env.js";
import { ACCESS_HELPER, BPF_INDIRECT, BPF_READ, BPF_WRITE, type CallArgMeta } from "../kinds/access.js";
import { baseType, registerIsNull, typeIsRdonlyMem, typeMayBeNull, varOffIsConst } from "../kinds/reg-type.js";
import { toS64 } from "../num/u64.js";
import { convertsCtxAccess } from "../progtype/ctx-access.js";
import { markPtrNotNullReg } from "../state/mark.js";
import { regTypeStr } from "../state/print.js";
import {
  copyReg,
  R_OFF,
  R_SMIN_HI,
  R_TYPE,
  R_U0,
  R_UMAX_HI,
  R_UMAX_LO,
  R_UMIN_HI,
  R_UMIN_LO,
  REG_WORDS,
  regAt,
} from "../state/reg.js";
import { markChainPrecision } from "../track/backtrack.js";
import { checkMemAccess } from "./access.js";
import { checkBufferAccess } from "./buffer.js";
import { checkMapAccess, checkMapAccessType, mapOf } from "./map-value.js";
import { checkPacketAccess } from "./packet.js";
import { checkMemRegionAccess, umaxIsUnbounded } from "./region.js";
import { checkStackRangeInitialized } from "./stack-range.js";

const { PTR_TO_PACKET, PTR_TO_PACKET_META, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, PTR_TO_MEM, PTR_TO_BUF } = RegType;
const { PTR_TO_STACK, PTR_TO_BTF_ID, PTR_TO_CTX } = RegType;
const EACCES = Errno.EACCES;

function cannotWrite(env: VerifierEnv, regno: number, type: number): number {
  verbose(env, `R${regno} cannot write into ${regTypeStr(env, type)}\n`);
  return -EACCES;
}

/** What is no memory at all: fine only for zero bytes at NULL. */
function notMemory(env: VerifierEnv, regno: number, accessSize: number, zeroSizeAllowed: boolean): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  if (zeroSizeAllowed && accessSize === 0 && registerIsNull(mem, o)) return 0;
  verbose(env, `R${regno} type=${regTypeStr(env, mem[o + R_TYPE]!)} `);
  verbose(env, `expected=${regTypeStr(env, PTR_TO_STACK)}\n`);
  return -EACCES;
}

/** A context whose size is unknown to the verifier is measured by the access itself. */
function accessCtx(env: VerifierEnv, regno: number, size: number, type: number, zeroSizeAllowed: boolean): number {
  if (convertsCtxAccess(env.load.progType)) return notMemory(env, regno, size, zeroSizeAllowed);
  if (size === 0) return zeroSizeAllowed ? 0 : -EACCES;
  return checkMemAccess(env, env.insnIdx, regno, size - 1, BPF_B, type, -1, false, false);
}

/**
 * Whether a helper may access `accessSize` bytes at the register. Mirrors check_helper_mem_access().
 */
export function checkHelperMemAccess(
  env: VerifierEnv,
  regno: number,
  accessSize: number,
  accessType: number,
  zeroSizeAllowed: boolean,
  meta: CallArgMeta | null,
): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  const type = mem[o + R_TYPE]!;
  const off = mem[o + R_OFF]!;
  switch (baseType(type)) {
    case PTR_TO_PACKET:
    case PTR_TO_PACKET_META:
      return checkPacketAccess(env, regno, off, accessSize, zeroSizeAllowed);
    case PTR_TO_MAP_KEY:
      if (accessType === BPF_WRITE) return cannotWrite(env, regno, type);
      return checkMemRegionAccess(env, regno, off, accessSize, mapOf(env, mem, o).load.keySize, false);
    case PTR_TO_MAP_VALUE:
      if (checkMapAccessType(env, regno, off, accessSize, accessType) !== 0) return -EACCES;
      return checkMapAccess(env, regno, off, accessSize, zeroSizeAllowed, ACCESS_HELPER);
    case PTR_TO_MEM:
      if (typeIsRdonlyMem(type) && accessType === BPF_WRITE) return cannotWrite(env, regno, type);
      return checkMemRegionAccess(env, regno, off, accessSize, mem[o + R_U0]!, zeroSizeAllowed);
    case PTR_TO_BUF:
      if (typeIsRdonlyMem(type) && accessType === BPF_WRITE) return cannotWrite(env, regno, type);
      return checkBufferAccess(env, mem, o, regno, off, accessSize);
    case PTR_TO_STACK: {
      const stackType = env.rules.readsKeepStack ? accessType : BPF_INDIRECT;
      return checkStackRangeInitialized(env, regno, off, accessSize, zeroSizeAllowed, stackType, meta);
    }
    case PTR_TO_BTF_ID:
      throw new Unsupported(env.insnIdx, "kernel object as memory of a helper");
    case PTR_TO_CTX:
      return accessCtx(env, regno, accessSize, accessType, zeroSizeAllowed);
    default:
      return notMemory(env, regno, accessSize, zeroSizeAllowed);
  }
}

/**
 * A size in register `regno` for the memory in the register before it. Mirrors check_mem_size_reg().
 */
export function checkMemSizeReg(
  env: VerifierEnv,
  regno: number,
  accessType: number,
  zeroSizeAllowed: boolean,
  meta: CallArgMeta,
): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  meta.msizeMaxLo = mem[o + R_UMAX_LO]!;
  meta.msizeMaxHi = mem[o + R_UMAX_HI]!;
  // Of memory whose size is unknown, the helper may leave parts unwritten.
  const raw = varOffIsConst(mem, o) ? meta : null;

  if (mem[o + R_SMIN_HI]! < 0) {
    verbose(env, `R${regno} min value is negative, either use unsigned or 'var &= const'\n`);
    return -EACCES;
  }
  if ((mem[o + R_UMIN_LO]! | mem[o + R_UMIN_HI]!) === 0 && !zeroSizeAllowed) {
    const max = toS64(mem[o + R_UMAX_LO]!, mem[o + R_UMAX_HI]!);
    verbose(env, `R${regno} invalid zero-sized read: u64=[0,${max}]\n`);
    return -EACCES;
  }
  if (umaxIsUnbounded(mem, o)) {
    verbose(env, `R${regno} unbounded memory access, use 'var &= const' or 'if (var < const)'\n`);
    return -EACCES;
  }
  const err = checkHelperMemAccess(env, regno - 1, mem[o + R_UMAX_LO]!, accessType, zeroSizeAllowed, raw);
  return err !== 0 ? err : markChainPrecision(env, regno);
}

const saved = new Int32Array(REG_WORDS);

/** Memory of `memSize` bytes that a global function or kfunc reads and writes. Mirrors check_mem_reg(). */
export function checkMemReg(env: VerifierEnv, regno: number, memSize: number): number {
  const o = regAt(regno);
  const before = env.cur().cur().mem;
  if (registerIsNull(before, o)) return 0;
  const mayBeNull = typeMayBeNull(before[o + R_TYPE]!);
  if (mayBeNull) {
    copyReg(saved, 0, before, o);
    markPtrNotNullReg(env, before, o);
  }
  let err = checkHelperMemAccess(env, regno, memSize, BPF_READ, true, null);
  if (err === 0) err = checkHelperMemAccess(env, regno, memSize, BPF_WRITE, true, null);
  if (mayBeNull) copyReg(env.cur().cur().mem, o, saved, 0);
  return err;
}
