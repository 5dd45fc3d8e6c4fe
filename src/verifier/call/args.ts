// SPDX-License-Identifier: GPL-2.0-only
import { ArgType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import type { HelperProto } from "../../kernel/helpers/index.js";
import { MapType } from "../../kernel/uapi.js";
import { Unsupported, type VerifierEnv, verbose } from "../env.js";
import { BPF_READ, BPF_WRITE, type CallArgMeta } from "../kinds/access.js";
import { Func } from "../kinds/func.js";
import {
  baseType,
  isPointerValue,
  registerIsNull,
  typeIsPktPointer,
  typeMayBeNull,
  varOffIsConst,
} from "../kinds/reg-type.js";
import { checkPtrAlignment } from "../mem/align.js";
import { checkHelperMemAccess, checkMemSizeReg } from "../mem/helper-mem.js";
import { checkFuncArgRegOff } from "../mem/ptr-off.js";
import { mayAccessDirectPktData } from "../progtype/packet-data.js";
import { checkRegArg, SRC_OP } from "../state/mark.js";
import { R_REF_OBJ_ID, R_TYPE, R_U0, R_U1, R_VAL_LO, regAt } from "../state/reg.js";
import { markChainPrecision } from "../track/backtrack.js";
import { canElideValueNullness, checkRegConstStr, getConstantMapKey } from "./const-arg.js";
import { checkDynptrRelease, processDynptrFunc } from "./dynptr.js";
import { processSpinLock, processTimerFunc } from "./locks.js";
import { checkRegType } from "./reg-types.js";

const { MEM_UNINIT, MEM_WRITE, MEM_FIXED_SIZE, MEM_ALIGNED, OBJ_RELEASE } = TypeFlag;

function mapOfMeta(env: VerifierEnv, meta: CallArgMeta) {
  return env.maps[meta.mapPtr - 1]!.load;
}

/** What ARG_PTR_TO_MAP_VALUE means for this map, or a negative errno. Mirrors resolve_map_arg_type(). */
function resolveMapArgType(env: VerifierEnv, meta: CallArgMeta, argType: number): number {
  switch (mapOfMeta(env, meta).type) {
    case MapType.SOCKMAP:
    case MapType.SOCKHASH:
      if (argType === ArgType.PTR_TO_MAP_VALUE) return ArgType.PTR_TO_BTF_ID_SOCK_COMMON;
      verbose(env, "invalid arg_type for sockmap/sockhash\n");
      return -Errno.EINVAL;
    case MapType.BLOOM_FILTER:
      return meta.funcId === Func.map_peek_elem ? ArgType.PTR_TO_MAP_VALUE : argType;
    default:
      return argType;
  }
}

/** An argument that the helper releases must carry a reference. */
function checkRelease(env: VerifierEnv, regno: number, argType: number, meta: CallArgMeta): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  if (baseType(argType) === ArgType.PTR_TO_DYNPTR) {
    const err = checkDynptrRelease(env, regno);
    if (err !== 0) return err;
  } else if (mem[o + R_REF_OBJ_ID] === 0 && !registerIsNull(mem, o)) {
    verbose(env, `R${regno} must be referenced when passed to release function\n`);
    return -Errno.EINVAL;
  }
  meta.releaseRegno = regno;
  return 0;
}

/** Only one argument may carry a reference. */
function noteRefObj(env: VerifierEnv, regno: number, argType: number, meta: CallArgMeta): number {
  const id = env.cur().cur().mem[regAt(regno) + R_REF_OBJ_ID]!;
  if (id === 0 || baseType(argType) === ArgType.KPTR_XCHG_DEST) return 0;
  if (meta.refObjId !== 0) {
    verbose(env, `more than one arg with ref_obj_id R${regno} ${id} ${meta.refObjId}`);
    return -Errno.EACCES;
  }
  meta.refObjId = id;
  return 0;
}

function checkMapPtr(env: VerifierEnv, regno: number, meta: CallArgMeta): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  const map = mem[o + R_U0]!;
  const uid = mem[o + R_U1]!;
  if (meta.mapPtr !== 0 && (meta.mapPtr !== map || meta.mapUid !== uid)) {
    verbose(env, `timer pointer in R1 map_uid=${meta.mapUid} doesn't match map pointer in R2 map_uid=${uid}\n`);
    return -Errno.EINVAL;
  }
  meta.mapPtr = map;
  meta.mapUid = uid;
  return 0;
}

function checkMapKey(env: VerifierEnv, regno: number, meta: CallArgMeta): number {
  const map = mapOfMeta(env, meta);
  const err = checkHelperMemAccess(env, regno, map.keySize, BPF_READ, false, null);
  if (err !== 0 || !canElideValueNullness(map.type)) return err;
  if (!env.rules.arrayKeysInBounds) {
    meta.constMapKey = -1;
    return 0;
  }
  const key = getConstantMapKey(env, regno, map.keySize);
  if (key < -1) return key + 1;
  meta.constMapKey = key;
  return 0;
}

function checkMapValue(env: VerifierEnv, regno: number, argType: number, meta: CallArgMeta): number {
  if (typeMayBeNull(argType) && registerIsNull(env.cur().cur().mem, regAt(regno))) return 0;
  meta.rawMode = (argType & MEM_UNINIT) !== 0;
  const access = (argType & MEM_WRITE) !== 0 ? BPF_WRITE : BPF_READ;
  return checkHelperMemAccess(env, regno, mapOfMeta(env, meta).valueSize, access, false, meta);
}

function checkMem(env: VerifierEnv, regno: number, argType: number, size: number, meta: CallArgMeta): number {
  meta.rawMode = (argType & MEM_UNINIT) !== 0;
  if ((argType & MEM_FIXED_SIZE) === 0) return 0;
  const access = (argType & MEM_WRITE) !== 0 ? BPF_WRITE : BPF_READ;
  const err = checkHelperMemAccess(env, regno, size, access, false, meta);
  if (err !== 0 || (argType & MEM_ALIGNED) === 0) return err;
  return checkPtrAlignment(env, env.cur().cur().mem, regAt(regno), 0, size, true);
}

function checkAllocSize(env: VerifierEnv, regno: number, meta: CallArgMeta): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  if (!varOffIsConst(mem, o)) {
    verbose(env, `R${regno} is not a known constant'\n`);
    return -Errno.EACCES;
  }
  meta.memSize = mem[o + R_VAL_LO]!;
  return markChainPrecision(env, regno);
}

/** What the argument's kind asks beyond the register's type: the second half of check_func_arg(). */
function checkArgKind(env: VerifierEnv, regno: number, argType: number, fn: HelperProto, meta: CallArgMeta): number {
  const o = regAt(regno);
  switch (baseType(argType)) {
    case ArgType.CONST_MAP_PTR:
      return checkMapPtr(env, regno, meta);
    case ArgType.PTR_TO_MAP_KEY:
      return checkMapKey(env, regno, meta);
    case ArgType.PTR_TO_MAP_VALUE:
      return checkMapValue(env, regno, argType, meta);
    case ArgType.PTR_TO_SPIN_LOCK:
      return processSpinLock(env, regno, meta.funcId === Func.spin_lock);
    case ArgType.PTR_TO_TIMER:
      return processTimerFunc(env, regno, meta);
    case ArgType.PTR_TO_FUNC:
      meta.subprogno = env.cur().cur().mem[o + R_U0]!;
      return 0;
    case ArgType.PTR_TO_MEM:
      return checkMem(env, regno, argType, fn.argSizes[regno - 1]!, meta);
    case ArgType.CONST_SIZE:
    case ArgType.CONST_SIZE_OR_ZERO: {
      const access = (fn.argTypes[regno - 2]! & MEM_WRITE) !== 0 ? BPF_WRITE : BPF_READ;
      return checkMemSizeReg(env, regno, access, baseType(argType) === ArgType.CONST_SIZE_OR_ZERO, meta);
    }
    case ArgType.CONST_ALLOC_SIZE_OR_ZERO:
      return checkAllocSize(env, regno, meta);
    case ArgType.PTR_TO_CONST_STR:
      return checkRegConstStr(env, regno);
    case ArgType.PTR_TO_DYNPTR:
      return processDynptrFunc(env, regno, env.insnIdx, argType, 0);
    case ArgType.KPTR_XCHG_DEST:
      throw new Unsupported(env.insnIdx, "bpf_kptr_xchg");
    case ArgType.PTR_TO_PERCPU_BTF_ID:
      throw new Unsupported(env.insnIdx, "per-CPU kernel object");
    default:
      return 0;
  }
}

/** Checks argument `arg` (0–4) of a helper call. Mirrors check_func_arg(). */
export function checkFuncArg(env: VerifierEnv, arg: number, meta: CallArgMeta, fn: HelperProto): number {
  const regno = arg + 1;
  let argType = fn.argTypes[arg]!;
  if (argType === ArgType.DONTCARE) return 0;
  let err = checkRegArg(env, regno, SRC_OP);
  if (err !== 0) return err;
  if (argType === ArgType.ANYTHING) {
    if (!isPointerValue(env, regno)) return 0;
    verbose(env, `R${regno} leaks addr into helper function\n`);
    return -Errno.EACCES;
  }

  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  if (typeIsPktPointer(mem[o + R_TYPE]!) && !mayAccessDirectPktData(env, meta, BPF_READ)) {
    verbose(env, "helper access to the packet is not allowed\n");
    return -Errno.EACCES;
  }
  if (baseType(argType) === ArgType.PTR_TO_MAP_VALUE) {
    argType = resolveMapArgType(env, meta, argType);
    if (argType < 0) return argType;
  }
  if (!(registerIsNull(mem, o) && typeMayBeNull(argType))) {
    err = checkRegType(env, regno, argType, meta);
    if (err !== 0) return err;
    err = checkFuncArgRegOff(env, mem, o, regno, argType);
    if (err !== 0) return err;
  }
  if ((argType & OBJ_RELEASE) !== 0) {
    err = checkRelease(env, regno, argType, meta);
    if (err !== 0) return err;
  }
  err = noteRefObj(env, regno, argType, meta);
  return err !== 0 ? err : checkArgKind(env, regno, argType, fn, meta);
}
