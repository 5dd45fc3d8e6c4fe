// SPDX-License-Identifier: GPL-2.0-only
import { RegType, RetType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import type { HelperProto } from "../../kernel/helpers/index.js";
import { MapFlag, MapType } from "../../kernel/uapi.js";
import { Unsupported, type VerifierEnv, type VerifierMap, verbose } from "../env.js";
import type { CallArgMeta } from "../kinds/access.js";
import { Func, funcText, isAcquireFunction, isPtrCastFunction } from "../kinds/func.js";
import { baseType, isRegConst, typeFlags, typeMayBeNull } from "../kinds/reg-type.js";
import { regBoundsSanityCheck } from "../num/bounds.js";
import { regBoundsSync } from "../num/sync.js";
import { ult } from "../num/u64.js";
import { markRegKnownZero, markRegUnknown } from "../state/mark.js";
import { acquireReference } from "../state/refs.js";
import {
  R_ID,
  R_REF_OBJ_ID,
  R_S32_MAX,
  R_S32_MIN,
  R_SMAX_HI,
  R_SMAX_LO,
  R_SMIN_HI,
  R_SMIN_LO,
  R_TYPE,
  R_U0,
  R_U1,
  R_U32_MAX,
  R_U32_MIN,
  R_UMAX_HI,
  R_UMAX_LO,
  R_UMIN_HI,
  R_UMIN_LO,
  R_VAL_HI,
  R_VAL_LO,
  regAt,
} from "../state/reg.js";
import { markChainPrecision } from "../track/backtrack.js";
import { canElideValueNullness } from "./const-arg.js";

const R0 = regAt(0);

/** Helpers whose map the translated program needs to know. */
const mapUsers: ReadonlySet<number> = new Set([
  Func.tail_call,
  Func.map_lookup_elem,
  Func.map_update_elem,
  Func.map_delete_elem,
  Func.map_push_elem,
  Func.map_pop_elem,
  Func.map_peek_elem,
  Func.for_each_map_elem,
  Func.redirect_map,
  Func.map_lookup_percpu_elem,
]);

const mapWriters: ReadonlySet<number> = new Set([
  Func.map_delete_elem,
  Func.map_update_elem,
  Func.map_push_elem,
  Func.map_pop_elem,
]);

/** Remembers the call's map; programs must not change a map that is read-only to them. Mirrors record_func_map(). */
export function recordFuncMap(env: VerifierEnv, meta: CallArgMeta, insnIdx: number): number {
  if (!mapUsers.has(meta.funcId)) return 0;
  const map = env.maps[meta.mapPtr - 1]!.load;
  if ((map.flags & MapFlag.RDONLY_PROG) !== 0 && mapWriters.has(meta.funcId)) {
    verbose(env, "write into map forbidden\n");
    return -Errno.EACCES;
  }
  const seen = env.aux.callMap[insnIdx]!;
  if (seen !== 0 && seen !== meta.mapPtr) env.aux.callMapPoison[insnIdx] = 1;
  env.aux.callMap[insnIdx] = meta.mapPtr;
  return 0;
}

/** A tail call with a constant index relies on it. Mirrors record_func_key(). */
export function recordFuncKey(env: VerifierEnv, meta: CallArgMeta): number {
  if (meta.funcId !== Func.tail_call) return 0;
  const map = meta.mapPtr === 0 ? null : env.maps[meta.mapPtr - 1]!.load;
  if (map === null || map.type !== MapType.PROG_ARRAY) {
    verbose(env, "expected prog array map for tail call");
    return -Errno.EINVAL;
  }
  const mem = env.cur().cur().mem;
  const o = regAt(3);
  if (!isRegConst(mem, o, false) || !ult(mem[o + R_VAL_LO]!, mem[o + R_VAL_HI]!, map.maxEntries, 0)) return 0;
  return markChainPrecision(env, 3);
}

/** Whether values of the map hold a spin lock. */
function hasSpinLock(map: VerifierMap): boolean {
  return map.record?.fields.some((f) => f.kind === "spinLock" || f.kind === "resSpinLock") ?? false;
}

function setMapValue(env: VerifierEnv, mem: Int32Array, retFlags: number, meta: CallArgMeta): void {
  const map = env.maps[meta.mapPtr - 1]!;
  let flags = retFlags;
  if (
    meta.funcId === Func.map_lookup_elem &&
    canElideValueNullness(map.load.type) &&
    meta.constMapKey >= 0 &&
    meta.constMapKey < map.load.maxEntries
  ) {
    flags &= ~TypeFlag.PTR_MAYBE_NULL;
  }
  mem[R0 + R_U0] = meta.mapPtr;
  mem[R0 + R_U1] = meta.mapUid;
  mem[R0 + R_TYPE] = RegType.PTR_TO_MAP_VALUE | flags;
  if (!typeMayBeNull(flags) && hasSpinLock(map)) mem[R0 + R_ID] = ++env.idGen;
}

/** R0 becomes what the helper returns: the switch over the return type in check_helper_call(). */
export function setReturnValue(env: VerifierEnv, fn: HelperProto, meta: CallArgMeta): number {
  const mem = env.cur().cur().mem;
  const flags = typeFlags(fn.retType);
  const base = baseType(fn.retType);
  if (base === RetType.INTEGER) {
    markRegUnknown(env, mem, 0);
    return 0;
  }
  if (base === RetType.VOID) {
    mem[R0 + R_TYPE] = RegType.NOT_INIT;
    return 0;
  }
  markRegKnownZero(env, mem, 0);
  switch (base) {
    case RetType.PTR_TO_MAP_VALUE:
      setMapValue(env, mem, flags, meta);
      return 0;
    case RetType.PTR_TO_SOCKET:
      mem[R0 + R_TYPE] = RegType.PTR_TO_SOCKET | flags;
      return 0;
    case RetType.PTR_TO_SOCK_COMMON:
      mem[R0 + R_TYPE] = RegType.PTR_TO_SOCK_COMMON | flags;
      return 0;
    case RetType.PTR_TO_TCP_SOCK:
      mem[R0 + R_TYPE] = RegType.PTR_TO_TCP_SOCK | flags;
      return 0;
    case RetType.PTR_TO_MEM:
      mem[R0 + R_TYPE] = RegType.PTR_TO_MEM | flags;
      mem[R0 + R_U0] = meta.memSize;
      return 0;
    default:
      throw new Unsupported(env.insnIdx, `${funcText(fn.id)} returning a kernel object`);
  }
}

/** What R0 refers to: a new reference, or that of an argument. */
export function setReturnRefs(env: VerifierEnv, meta: CallArgMeta, insnIdx: number): void {
  const mem = env.cur().cur().mem;
  if (typeMayBeNull(mem[R0 + R_TYPE]!)) mem[R0 + R_ID] = ++env.idGen;
  const mapType = meta.mapPtr === 0 ? 0 : env.maps[meta.mapPtr - 1]!.load.type;
  if (meta.funcId === Func.dynptr_data) mem[R0 + R_U1] = meta.dynptrId;
  if (isPtrCastFunction(meta.funcId) || meta.funcId === Func.dynptr_data) {
    mem[R0 + R_REF_OBJ_ID] = meta.refObjId;
  } else if (isAcquireFunction(meta.funcId, mapType)) {
    const id = acquireReference(env, insnIdx);
    mem[R0 + R_ID] = id;
    mem[R0 + R_REF_OBJ_ID] = id;
  }
}

const MAX_ERRNO = 4095;

function refineToSize(mem: Int32Array, meta: CallArgMeta): void {
  mem[R0 + R_SMAX_LO] = meta.msizeMaxLo;
  mem[R0 + R_SMAX_HI] = meta.msizeMaxHi;
  mem[R0 + R_S32_MAX] = meta.msizeMaxLo;
  mem[R0 + R_SMIN_LO] = -MAX_ERRNO;
  mem[R0 + R_SMIN_HI] = -1;
  mem[R0 + R_S32_MIN] = -MAX_ERRNO;
  regBoundsSync(mem, R0);
}

function refineToCpu(mem: Int32Array, nrCpuIds: number): void {
  const max = nrCpuIds - 1;
  mem[R0 + R_UMAX_LO] = max;
  mem[R0 + R_UMAX_HI] = 0;
  mem[R0 + R_U32_MAX] = max;
  mem[R0 + R_SMAX_LO] = max;
  mem[R0 + R_SMAX_HI] = 0;
  mem[R0 + R_S32_MAX] = max;
  mem[R0 + R_UMIN_LO] = 0;
  mem[R0 + R_UMIN_HI] = 0;
  mem[R0 + R_U32_MIN] = 0;
  mem[R0 + R_SMIN_LO] = 0;
  mem[R0 + R_SMIN_HI] = 0;
  mem[R0 + R_S32_MIN] = 0;
  regBoundsSync(mem, R0);
}

/** Some helpers promise more of their result than its type says. Mirrors do_refine_retval_range(). */
export function doRefineRetvalRange(env: VerifierEnv, retType: number, meta: CallArgMeta): number {
  if (retType !== RetType.INTEGER) return 0;
  const mem = env.cur().cur().mem;
  switch (meta.funcId) {
    case Func.get_stack:
    case Func.get_task_stack:
    case Func.probe_read_str:
    case Func.probe_read_kernel_str:
    case Func.probe_read_user_str:
      refineToSize(mem, meta);
      break;
    case Func.get_smp_processor_id:
      refineToCpu(mem, env.nrCpuIds);
      break;
  }
  return regBoundsSanityCheck(env, mem, R0, "retval");
}
