// SPDX-License-Identifier: GPL-2.0-only

import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { Unsupported, type VerifierEnv, type VerifierMap, verbose } from "../env.js";
import type { CallArgMeta } from "../kinds/access.js";
import { type BtfFieldKind, btfFieldTypeName } from "../kinds/btf-record.js";
import { typeIsNonOwningRef, varOffIsConst } from "../kinds/reg-type.js";
import { mapOf } from "../mem/map-value.js";
import { toS64 } from "../num/u64.js";
import { forEachRegInVstate } from "../state/each.js";
import { markRegInvalid } from "../state/mark.js";
import { acquireLockState, findLockState, releaseLockState } from "../state/refs.js";
import { R_ID, R_OFF, R_TYPE, R_U1, R_VAL_HI, R_VAL_LO, regAt } from "../state/reg.js";
import { REF_TYPE_LOCK } from "../state/vstate.js";

/** Offset of the map value's field of this kind, the last where nested structs hold several; -1 when it has none. */
function fieldOffset(map: VerifierMap, kind: BtfFieldKind): number {
  return map.record?.fields.findLast((field) => field.kind === kind)?.offset ?? -1;
}

/** `val + reg->off` of a register whose variable offset is known. */
function fullOffset(mem: Int32Array, o: number): bigint {
  return toS64(mem[o + R_VAL_LO]!, mem[o + R_VAL_HI]!) + BigInt(mem[o + R_OFF]!);
}

/** Borrowed references end with the lock that protected them. Mirrors invalidate_non_owning_refs(). */
function invalidateNonOwningRefs(env: VerifierEnv): void {
  forEachRegInVstate(env.cur(), (mem, o) => {
    if (typeIsNonOwningRef(mem[o + R_TYPE]!)) markRegInvalid(env, mem, o);
  });
}

/** Whether the register points at the lock of a map value. The first half of process_spin_lock(). */
function checkLockPointer(env: VerifierEnv, regno: number): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  if (!varOffIsConst(mem, o)) {
    verbose(env, `R${regno} doesn't have constant offset. bpf_spin_lock has to be at the constant offset\n`);
    return -Errno.EINVAL;
  }
  if (mem[o + R_TYPE] !== RegType.PTR_TO_MAP_VALUE)
    throw new Unsupported(env.insnIdx, "spin lock of an allocated object");
  const map = mapOf(env, mem, o);
  if (map.load.btf === null) {
    verbose(env, `map '${map.load.name}' has to have BTF in order to use bpf_spin_lock\n`);
    return -Errno.EINVAL;
  }
  const lockOff = fieldOffset(map, "spinLock");
  if (lockOff < 0) {
    verbose(env, `map '${map.load.name}' has no valid bpf_spin_lock\n`);
    return -Errno.EINVAL;
  }
  const off = fullOffset(mem, o);
  if (off !== BigInt(lockOff)) {
    verbose(env, `off ${off} doesn't point to 'struct bpf_spin_lock' that is at ${lockOff}\n`);
    return -Errno.EINVAL;
  }
  return 0;
}

/** bpf_spin_lock() and bpf_spin_unlock(). Mirrors process_spin_lock(). */
export function processSpinLock(env: VerifierEnv, regno: number, isLock: boolean): number {
  const bad = checkLockPointer(env, regno);
  if (bad !== 0) return bad;
  const state = env.cur();
  const mem = state.cur().mem;
  const o = regAt(regno);
  const id = mem[o + R_ID]!;
  const ptr = mapOf(env, mem, o).index;

  if (isLock) {
    if (state.activeLocks !== 0 && findLockState(state, REF_TYPE_LOCK, 0, 0) !== null) {
      verbose(env, "Locking two bpf_spin_locks are not allowed\n");
      return -Errno.EINVAL;
    }
    return acquireLockState(env, env.insnIdx, REF_TYPE_LOCK, id, ptr);
  }
  if (state.activeLocks === 0) {
    verbose(env, "bpf_spin_unlock without taking a lock\n");
    return -Errno.EINVAL;
  }
  if (findLockState(state, REF_TYPE_LOCK, id, ptr) === null) {
    verbose(env, "bpf_spin_unlock of different lock\n");
    return -Errno.EINVAL;
  }
  if (id !== state.activeLockId || ptr !== state.activeLockPtr) {
    verbose(env, "bpf_spin_unlock cannot be out of order\n");
    return -Errno.EINVAL;
  }
  if (releaseLockState(state, REF_TYPE_LOCK, id, ptr) !== 0) {
    verbose(env, "bpf_spin_unlock of different lock\n");
    return -Errno.EINVAL;
  }
  invalidateNonOwningRefs(env);
  return 0;
}

/** Whether the register points at a timer of a map value; remembers the map. Mirrors process_timer_func(). */
export function processTimerFunc(env: VerifierEnv, regno: number, meta: CallArgMeta): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  const map = mapOf(env, mem, o);
  const what = btfFieldTypeName("timer");
  if (!varOffIsConst(mem, o)) {
    verbose(env, `R${regno} doesn't have constant offset. ${what} has to be at the constant offset\n`);
    return -Errno.EINVAL;
  }
  if (map.load.btf === null) {
    verbose(env, `map '${map.load.name}' has to have BTF in order to use ${what}\n`);
    return -Errno.EINVAL;
  }
  const fieldOff = fieldOffset(map, "timer");
  if (fieldOff < 0) {
    verbose(env, `map '${map.load.name}' has no valid ${what}\n`);
    return -Errno.EINVAL;
  }
  const off = fullOffset(mem, o);
  if (off !== BigInt(fieldOff)) {
    verbose(env, `off ${off} doesn't point to 'struct ${what}' that is at ${fieldOff}\n`);
    return -Errno.EINVAL;
  }
  meta.mapUid = mem[o + R_U1]!;
  meta.mapPtr = map.index;
  return 0;
}
