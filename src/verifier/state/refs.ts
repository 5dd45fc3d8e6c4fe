// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import type { VerifierEnv } from "../env.js";
import { forEachRegInVstate } from "./each.js";
import { markRegInvalid } from "./mark.js";
import { R_REF_OBJ_ID } from "./reg.js";
import { REF_TYPE_IRQ, REF_TYPE_LOCK_MASK, REF_TYPE_PTR, type RefState, type VerifierState } from "./vstate.js";

/* References and locks that the current path holds, in order of acquisition. */

/** Holds a new pointer reference; its id (> 0). Mirrors acquire_reference(). */
export function acquireReference(env: VerifierEnv, insnIdx: number): number {
  const id = ++env.idGen;
  const frame = env.cur().cur();
  const callbackRef = frame.inCallbackFn ? frame.frameno : 0;
  env.cur().refs.push({ type: REF_TYPE_PTR, id, insnIdx, ptr: 0, callbackRef });
  return id;
}

/** Holds a lock. Mirrors acquire_lock_state(). */
export function acquireLockState(env: VerifierEnv, insnIdx: number, type: number, id: number, ptr: number): number {
  const state = env.cur();
  state.refs.push({ type, id, insnIdx, ptr, callbackRef: 0 });
  state.activeLocks++;
  state.activeLockId = id;
  state.activeLockPtr = ptr;
  return 0;
}

/** Holds interrupts disabled; the id of the flag. Mirrors acquire_irq_state(). */
export function acquireIrqState(env: VerifierEnv, insnIdx: number): number {
  const state = env.cur();
  const id = ++env.idGen;
  state.refs.push({ type: REF_TYPE_IRQ, id, insnIdx, ptr: 0, callbackRef: 0 });
  state.activeIrqId = id;
  return id;
}

/** Drops the reference at `idx`; the others keep their order. Mirrors release_reference_state(). */
export function releaseReferenceState(state: VerifierState, idx: number): void {
  state.refs.splice(idx, 1);
}

/** Mirrors find_reference_state(). */
export function findReferenceState(state: VerifierState, ptrId: number): boolean {
  for (const ref of state.refs) if (ref.id === ptrId) return true;
  return false;
}

/** Drops a pointer reference; -EINVAL when it is not held. Mirrors release_reference_nomark(). */
export function releaseReferenceNomark(state: VerifierState, refObjId: number): number {
  for (let i = 0; i < state.refs.length; i++) {
    const ref = state.refs[i]!;
    if (ref.type !== REF_TYPE_PTR) continue;
    if (ref.id === refObjId) {
      releaseReferenceState(state, i);
      return 0;
    }
  }
  return -Errno.EINVAL;
}

/** Whether the current frame is a callback's and did not acquire the reference itself. */
function isForeign(state: VerifierState, refObjId: number): boolean {
  const { inCallbackFn, frameno } = state.cur();
  return inCallbackFn && state.refs.some((ref) => ref.id === refObjId && ref.callbackRef !== frameno);
}

/** Drops a pointer reference and forgets every register that stands on it. Mirrors release_reference(). */
export function releaseReference(env: VerifierEnv, refObjId: number): number {
  if (!env.rules.sharedReferences && isForeign(env.cur(), refObjId)) return -Errno.EINVAL;
  const err = releaseReferenceNomark(env.cur(), refObjId);
  if (err !== 0) return err;
  forEachRegInVstate(env.cur(), (mem, o) => {
    if (mem[o + R_REF_OBJ_ID] === refObjId) markRegInvalid(env, mem, o);
  });
  return 0;
}

/** Unlocks; the lock taken before becomes the active one. Mirrors release_lock_state(). */
export function releaseLockState(state: VerifierState, type: number, id: number, ptr: number): number {
  let prevId = 0;
  let prevPtr = 0;
  for (let i = 0; i < state.refs.length; i++) {
    const ref = state.refs[i]!;
    if (ref.type === type && ref.id === id && ref.ptr === ptr) {
      releaseReferenceState(state, i);
      state.activeLocks--;
      state.activeLockId = prevId;
      state.activeLockPtr = prevPtr;
      return 0;
    }
    if ((ref.type & REF_TYPE_LOCK_MASK) !== 0) {
      prevId = ref.id;
      prevPtr = ref.ptr;
    }
  }
  return -Errno.EINVAL;
}

/** Mirrors release_irq_state(). */
export function releaseIrqState(state: VerifierState, id: number): number {
  if (id !== state.activeIrqId) return -Errno.EACCES;
  let prevId = 0;
  for (let i = 0; i < state.refs.length; i++) {
    const ref = state.refs[i]!;
    if (ref.type !== REF_TYPE_IRQ) continue;
    if (ref.id === id) {
      releaseReferenceState(state, i);
      state.activeIrqId = prevId;
      return 0;
    }
    prevId = ref.id;
  }
  return -Errno.EINVAL;
}

/** The lock of one of the types in the mask `type`, null when it is not held. Mirrors find_lock_state(). */
export function findLockState(state: VerifierState, type: number, id: number, ptr: number): RefState | null {
  for (const ref of state.refs) {
    if ((ref.type & type) !== 0 && ref.id === id && ref.ptr === ptr) return ref;
  }
  return null;
}
