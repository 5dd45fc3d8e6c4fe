// SPDX-License-Identifier: GPL-2.0-only
import { DYNPTR_TYPE_FLAG_MASK, DynptrType, RegType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import { BugError } from "../../util/errors.js";
import { type VerifierEnv, verbose } from "../env.js";
import { getSpi, varOffIsConst } from "../kinds/reg-type.js";
import { forEachRegInVstate } from "../state/each.js";
import type { FuncState } from "../state/frame.js";
import { markDynptrRegRaw, markRegInvalid, markRegNotInitRaw, markStackSlotScratched } from "../state/mark.js";
import { acquireReference, releaseReference } from "../state/refs.js";
import {
  R_ID,
  R_OFF,
  R_REF_OBJ_ID,
  R_SLOT_HI,
  R_SLOT_LO,
  R_TYPE,
  R_U0,
  R_U1,
  R_VAL_LO,
  STACK_DYNPTR,
  STACK_INVALID,
  slotAt,
  slotType,
} from "../state/reg.js";
import { bpfMarkStackRead, bpfMarkStackWrite } from "../track/liveness.js";
import { func } from "./stack-bounds.js";

/*
 * Dynptrs on the stack. One takes two slots: slot `spi` is its first, at the lower address, and slot
 * `spi - 1` its second. Both have the dynptr's id; slices made from it carry that id too. A dynptr to a
 * ring buffer's record holds a reference besides.
 */

const { CONST_PTR_TO_DYNPTR, PTR_TO_MEM } = RegType;
const NR_SLOTS = Limit.BPF_DYNPTR_NR_SLOTS;

/** The kind of dynptr that an argument type names, INVALID when it names none. Mirrors arg_to_dynptr_type(). */
export function argToDynptrType(argType: number): number {
  switch (argType & DYNPTR_TYPE_FLAG_MASK) {
    case TypeFlag.DYNPTR_TYPE_LOCAL:
      return DynptrType.LOCAL;
    case TypeFlag.DYNPTR_TYPE_RINGBUF:
      return DynptrType.RINGBUF;
    case TypeFlag.DYNPTR_TYPE_SKB:
      return DynptrType.SKB;
    case TypeFlag.DYNPTR_TYPE_XDP:
      return DynptrType.XDP;
    case TypeFlag.DYNPTR_TYPE_SKB_META:
      return DynptrType.SKB_META;
    default:
      return DynptrType.INVALID;
  }
}

/** Mirrors dynptr_type_refcounted(). */
function dynptrTypeRefcounted(type: number): boolean {
  return type === DynptrType.RINGBUF;
}

/**
 * First slot of an object of `slots` slots that the stack pointer at `o` points to; -ERANGE when the
 * frame has no state there yet, else -EINVAL. Mirrors stack_slot_obj_get_spi().
 */
export function stackSlotObjGetSpi(env: VerifierEnv, mem: Int32Array, o: number, kind: string, slots: number): number {
  if (!varOffIsConst(mem, o)) {
    verbose(env, `${kind} has to be at a constant offset\n`);
    return -Errno.EINVAL;
  }
  const off = (mem[o + R_OFF]! + mem[o + R_VAL_LO]!) | 0;
  const spi = getSpi(off);
  if ((off & 7) !== 0 || spi + 1 < slots) {
    verbose(env, `cannot pass in ${kind} at an offset=${off}\n`);
    return -Errno.EINVAL;
  }
  return spi < func(env, mem, o).allocatedStack >> 3 ? spi : -Errno.ERANGE;
}

/** Mirrors dynptr_get_spi(). */
export function dynptrGetSpi(env: VerifierEnv, mem: Int32Array, o: number): number {
  return stackSlotObjGetSpi(env, mem, o, "dynptr", NR_SLOTS);
}

/** Both slots of a dynptr get the same type in all their bytes. */
function setSlotTypes(mem: Int32Array, spi: number, type: number): void {
  const word = type * 0x01010101;
  for (let i = 0; i < NR_SLOTS; i++) {
    const at = slotAt(spi - i);
    mem[at + R_SLOT_LO] = word;
    mem[at + R_SLOT_HI] = word;
  }
}

/** The dynptr is gone, and so is what the slots held. */
function clearSlots(env: VerifierEnv, state: FuncState, spi: number): void {
  setSlotTypes(state.mem, spi, STACK_INVALID);
  for (let i = 0; i < NR_SLOTS; i++) {
    markRegNotInitRaw(env, state.mem, slotAt(spi - i));
    bpfMarkStackWrite(env, state.frameno, spi - i);
  }
}

/**
 * The stack pointer at `o` points to memory that just became a dynptr of the argument's kind; a kind that
 * is released acquires a reference, unless it shares `cloneRefObjId`. Mirrors mark_stack_slots_dynptr().
 */
export function markStackSlotsDynptr(
  env: VerifierEnv,
  mem: Int32Array,
  o: number,
  argType: number,
  insnIdx: number,
  cloneRefObjId: number,
): number {
  const state = func(env, mem, o);
  const spi = dynptrGetSpi(env, mem, o);
  if (spi < 0) return spi;
  // The two slots may be halves of two dynptrs.
  let err = destroyIfDynptrStackSlot(env, state, spi);
  if (err === 0) err = destroyIfDynptrStackSlot(env, state, spi - 1);
  if (err !== 0) return err;

  const type = argToDynptrType(argType);
  if (type === DynptrType.INVALID) return -Errno.EINVAL;
  setSlotTypes(state.mem, spi, STACK_DYNPTR);
  const id = ++env.idGen;
  const refId = dynptrTypeRefcounted(type) ? cloneRefObjId || acquireReference(env, insnIdx) : 0;
  for (let i = 0; i < NR_SLOTS; i++) {
    const at = slotAt(spi - i);
    markDynptrRegRaw(state.mem, at, type, i === 0, id);
    state.mem[at + R_REF_OBJ_ID] = refId;
    bpfMarkStackWrite(env, state.frameno, spi - i);
  }
  return 0;
}

/**
 * The dynptr that the stack pointer at `o` points to is released: its reference, its slices and its clones
 * go. Mirrors unmark_stack_slots_dynptr().
 */
export function unmarkStackSlotsDynptr(env: VerifierEnv, mem: Int32Array, o: number): number {
  const state = func(env, mem, o);
  const spi = dynptrGetSpi(env, mem, o);
  if (spi < 0) return spi;
  const at = slotAt(spi);
  if (!dynptrTypeRefcounted(state.mem[at + R_U0]!)) {
    clearSlots(env, state, spi);
    return 0;
  }
  const refId = state.mem[at + R_REF_OBJ_ID]!;
  if (releaseReference(env, refId) !== 0) throw new BugError(`dynptr without its reference ${refId}`);
  for (let i = 1; i < state.allocatedStack >> 3; i++) {
    const slot = slotAt(i);
    if (state.mem[slot + R_REF_OBJ_ID] !== refId) continue;
    // What is left of a spilled slice, of which a byte was overwritten: the kernel takes it for a mistake of its own.
    if (slotType(state.mem, slot, 0) !== STACK_DYNPTR) {
      verbose(env, "verifier bug: misconfigured ref_obj_id\n");
      return -Errno.EFAULT;
    }
    if (state.mem[slot + R_U1] !== 0) clearSlots(env, state, i);
  }
  return 0;
}

/** Writing to either slot of a dynptr destroys it; one that holds a reference must be released instead. Mirrors destroy_if_dynptr_stack_slot(). */
export function destroyIfDynptrStackSlot(env: VerifierEnv, state: FuncState, spi: number): number {
  if ((state.mem[slotAt(spi) + R_SLOT_LO]! & 0xff) !== STACK_DYNPTR) return 0;
  const first = state.mem[slotAt(spi) + R_U1] !== 0 ? spi : spi + 1;
  const at = slotAt(first);
  if (dynptrTypeRefcounted(state.mem[at + R_U0]!)) {
    verbose(env, "cannot overwrite referenced dynptr\n");
    return -Errno.EINVAL;
  }
  markStackSlotScratched(env, first);
  markStackSlotScratched(env, first - 1);
  const id = state.mem[at + R_ID]!;
  forEachRegInVstate(env.cur(), (mem, o) => {
    const type = mem[o + R_TYPE]!;
    if (type !== PTR_TO_MEM && type !== (PTR_TO_MEM | TypeFlag.PTR_MAYBE_NULL)) return;
    if (mem[o + R_U1] === id) markRegInvalid(env, mem, o);
  });
  clearSlots(env, state, first);
  return 0;
}

/** Whether a dynptr can be made at the pointer. Mirrors is_dynptr_reg_valid_uninit(). */
export function isDynptrRegValidUninit(env: VerifierEnv, mem: Int32Array, o: number): boolean {
  if (mem[o + R_TYPE] === CONST_PTR_TO_DYNPTR) return false;
  const spi = dynptrGetSpi(env, mem, o);
  return spi >= 0 || spi === -Errno.ERANGE;
}

/** Whether the pointer points to the beginning of a dynptr. Mirrors is_dynptr_reg_valid_init(). */
export function isDynptrRegValidInit(env: VerifierEnv, mem: Int32Array, o: number): boolean {
  if (mem[o + R_TYPE] === CONST_PTR_TO_DYNPTR) return true;
  const spi = dynptrGetSpi(env, mem, o);
  if (spi < 0) return false;
  const stack = func(env, mem, o).mem;
  if (stack[slotAt(spi) + R_U1] === 0) return false;
  for (let i = 0; i < NR_SLOTS; i++) {
    for (let byte = 0; byte < 8; byte++) if (slotType(stack, slotAt(spi - i), byte) !== STACK_DYNPTR) return false;
  }
  return true;
}

/** A word of the register that stands for the dynptr at pointer `o`, or a negative errno. */
function dynptrWord(env: VerifierEnv, mem: Int32Array, o: number, word: number): number {
  if (mem[o + R_TYPE] === CONST_PTR_TO_DYNPTR) return mem[o + word]!;
  const spi = dynptrGetSpi(env, mem, o);
  return spi < 0 ? spi : func(env, mem, o).mem[slotAt(spi) + word]!;
}

/** Mirrors dynptr_id(). */
export function dynptrId(env: VerifierEnv, mem: Int32Array, o: number): number {
  return dynptrWord(env, mem, o, R_ID);
}

/** Mirrors dynptr_ref_obj_id(). */
export function dynptrRefObjId(env: VerifierEnv, mem: Int32Array, o: number): number {
  return dynptrWord(env, mem, o, R_REF_OBJ_ID);
}

/** Mirrors dynptr_get_type(). */
export function dynptrGetType(env: VerifierEnv, mem: Int32Array, o: number): number {
  return dynptrWord(env, mem, o, R_U0);
}

/** Whether the dynptr is of the kind that the argument wants. Mirrors is_dynptr_type_expected(). */
export function isDynptrTypeExpected(env: VerifierEnv, mem: Int32Array, o: number, argType: number): boolean {
  const type = argToDynptrType(argType);
  return type === DynptrType.INVALID || dynptrGetType(env, mem, o) === type;
}

/** A call reads the dynptr. Mirrors mark_dynptr_read(). */
export function markDynptrRead(env: VerifierEnv, mem: Int32Array, o: number): number {
  if (mem[o + R_TYPE] === CONST_PTR_TO_DYNPTR) return 0;
  const spi = dynptrGetSpi(env, mem, o);
  if (spi < 0) return spi;
  const { frameno } = func(env, mem, o);
  for (let i = 0; i < NR_SLOTS; i++) {
    const err = bpfMarkStackRead(env, frameno, env.insnIdx, spi - i);
    if (err !== 0) return err;
    markStackSlotScratched(env, spi - i);
  }
  return 0;
}
