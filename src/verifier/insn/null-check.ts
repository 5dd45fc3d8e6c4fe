// SPDX-License-Identifier: GPL-2.0-only
import { baseType, RegType, typeMayBeNull } from "../../kernel/bpf-types.js";
import type { VerifierEnv } from "../env.js";
import { isRcuReg, typeIsNonOwningRef, typeIsPtrAllocObj, varOffIsZero } from "../kinds/reg-type.js";
import { forEachRegInVstate } from "../state/each.js";
import { markPtrNotNullReg } from "../state/mark.js";
import { releaseReferenceNomark } from "../state/refs.js";
import {
  R_ID,
  R_OFF,
  R_REF_OBJ_ID,
  R_SMAX_HI,
  R_SMAX_LO,
  R_SMIN_HI,
  R_SMIN_LO,
  R_TYPE,
  R_U0,
  regAt,
} from "../state/reg.js";
import type { VerifierState } from "../state/vstate.js";

/** Whether the register may point to a lock: its id says which. Mirrors reg_may_point_to_spin_lock(). */
export function regMayPointToSpinLock(env: VerifierEnv, mem: Int32Array, o: number): boolean {
  if (baseType(mem[o + R_TYPE]!) !== RegType.PTR_TO_MAP_VALUE) return false;
  const record = env.maps[mem[o + R_U0]! - 1]?.record ?? null;
  return record?.fields.some((f) => f.kind === "spinLock" || f.kind === "resSpinLock") ?? false;
}

/** Mirrors mark_ptr_or_null_reg(). */
function markPtrOrNullReg(env: VerifierEnv, mem: Int32Array, o: number, id: number, isNull: boolean): void {
  const type = mem[o + R_TYPE]!;
  if (!typeMayBeNull(type) || mem[o + R_ID] !== id || !(isRcuReg(mem, o) || id !== 0)) return;
  // No arithmetic is allowed before the check, so there is no offset.
  const bounds = mem[o + R_SMIN_LO]! | mem[o + R_SMIN_HI]! | mem[o + R_SMAX_LO]! | mem[o + R_SMAX_HI]!;
  if (bounds !== 0 || !varOffIsZero(mem, o)) return;
  if (mem[o + R_OFF] !== 0 && !typeIsPtrAllocObj(type) && !typeIsNonOwningRef(type)) return;
  if (isNull) {
    mem[o + R_TYPE] = RegType.SCALAR_VALUE;
    mem[o + R_ID] = 0;
    mem[o + R_REF_OBJ_ID] = 0;
    return;
  }
  markPtrNotNullReg(env, mem, o);
  if (!regMayPointToSpinLock(env, mem, o)) mem[o + R_ID] = 0;
}

/**
 * Register `regno` of the current frame and all that share its id are NULL in `vstate`, or are not.
 * Mirrors mark_ptr_or_null_regs().
 */
export function markPtrOrNullRegs(env: VerifierEnv, vstate: VerifierState, regno: number, isNull: boolean): void {
  const cur = vstate.cur().mem;
  const o = regAt(regno);
  const refObjId = cur[o + R_REF_OBJ_ID]!;
  const id = cur[o + R_ID]!;
  // There is nothing to release where the acquisition failed.
  if (refObjId !== 0 && refObjId === id && isNull) releaseReferenceNomark(vstate, id);
  forEachRegInVstate(vstate, (mem, r) => markPtrOrNullReg(env, mem, r, id, isNull));
}
