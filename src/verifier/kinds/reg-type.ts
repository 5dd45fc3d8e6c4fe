// SPDX-License-Identifier: GPL-2.0-only

/*
 * What the type of a register says, and what a register known by number is in the current frame.
 * Predicates over a register take (mem, o); those over a number take the type.
 */

import { baseType, RegType, TypeFlag, typeFlags, typeMayBeNull } from "../../kernel/bpf-types.js";
import { Limit } from "../../kernel/limits.js";
import type { VerifierEnv } from "../env.js";
import {
  R_ID,
  R_MASK_HI,
  R_MASK_LO,
  R_OFF,
  R_REF_OBJ_ID,
  R_SMAX_HI,
  R_SMAX_LO,
  R_SMIN_HI,
  R_SMIN_LO,
  R_TYPE,
  R_VAL_HI,
  R_VAL_LO,
  regAt,
  STACK_DYNPTR,
  STACK_INVALID,
  STACK_IRQ_FLAG,
  STACK_ITER,
  STACK_MISC,
  STACK_SPILL,
  STACK_ZERO,
  setSlotType,
  slotType,
} from "../state/reg.js";

export { baseType, typeFlags, typeMayBeNull } from "../../kernel/bpf-types.js";

const { SCALAR_VALUE, PTR_TO_CTX, PTR_TO_MAP_VALUE, PTR_TO_MAP_KEY, PTR_TO_STACK, CONST_PTR_TO_MAP } = RegType;
const { PTR_TO_PACKET, PTR_TO_PACKET_META, PTR_TO_PACKET_END, PTR_TO_FLOW_KEYS, PTR_TO_SOCKET } = RegType;
const { PTR_TO_SOCK_COMMON, PTR_TO_TCP_SOCK, PTR_TO_XDP_SOCK, PTR_TO_BTF_ID, PTR_TO_MEM, PTR_TO_BUF } = RegType;
const { PTR_TO_FUNC, PTR_TO_ARENA } = RegType;

/** Flags that make a pointer trusted: BPF_REG_TRUSTED_MODIFIERS. */
export const BPF_REG_TRUSTED_MODIFIERS = TypeFlag.MEM_ALLOC | TypeFlag.PTR_TRUSTED | TypeFlag.NON_OWN_REF;

/** Mirrors bpf_type_has_unsafe_modifiers(). */
export function bpfTypeHasUnsafeModifiers(type: number): boolean {
  return (typeFlags(type) & ~BPF_REG_TRUSTED_MODIFIERS) !== 0;
}

/** Mirrors type_is_ptr_alloc_obj(). */
export function typeIsPtrAllocObj(type: number): boolean {
  return baseType(type) === PTR_TO_BTF_ID && (type & TypeFlag.MEM_ALLOC) !== 0;
}

/** Mirrors type_is_non_owning_ref(). */
export function typeIsNonOwningRef(type: number): boolean {
  return typeIsPtrAllocObj(type) && (type & TypeFlag.NON_OWN_REF) !== 0;
}

/** Mirrors type_is_pkt_pointer(). */
export function typeIsPktPointer(type: number): boolean {
  const base = baseType(type);
  return base === PTR_TO_PACKET || base === PTR_TO_PACKET_META;
}

/** Mirrors type_is_sk_pointer(). */
export function typeIsSkPointer(type: number): boolean {
  return type === PTR_TO_SOCKET || type === PTR_TO_SOCK_COMMON || type === PTR_TO_TCP_SOCK || type === PTR_TO_XDP_SOCK;
}

/** Mirrors type_is_rdonly_mem(). */
export function typeIsRdonlyMem(type: number): boolean {
  return (type & TypeFlag.MEM_RDONLY) !== 0;
}

/** Mirrors is_spillable_regtype(). */
export function isSpillableRegtype(type: number): boolean {
  switch (baseType(type)) {
    case PTR_TO_MAP_VALUE:
    case PTR_TO_STACK:
    case PTR_TO_CTX:
    case PTR_TO_PACKET:
    case PTR_TO_PACKET_META:
    case PTR_TO_PACKET_END:
    case PTR_TO_FLOW_KEYS:
    case CONST_PTR_TO_MAP:
    case PTR_TO_SOCKET:
    case PTR_TO_SOCK_COMMON:
    case PTR_TO_TCP_SOCK:
    case PTR_TO_XDP_SOCK:
    case PTR_TO_BTF_ID:
    case PTR_TO_BUF:
    case PTR_TO_MEM:
    case PTR_TO_FUNC:
    case PTR_TO_MAP_KEY:
    case PTR_TO_ARENA:
      return true;
    default:
      return false;
  }
}

/** Mirrors reg_type_mismatch_ok(). */
function regTypeMismatchOk(type: number): boolean {
  switch (baseType(type)) {
    case PTR_TO_CTX:
    case PTR_TO_SOCKET:
    case PTR_TO_SOCK_COMMON:
    case PTR_TO_TCP_SOCK:
    case PTR_TO_XDP_SOCK:
    case PTR_TO_BTF_ID:
    case PTR_TO_ARENA:
      return false;
    default:
      return true;
  }
}

/** Whether one instruction must not see both types. Mirrors reg_type_mismatch(). */
export function regTypeMismatch(src: number, prev: number): boolean {
  return src !== prev && (!regTypeMismatchOk(src) || !regTypeMismatchOk(prev));
}

/** Types whose values have a BTF type in the kernel: the rows of reg2btf_ids. */
export function typeHasReg2btfId(base: number): boolean {
  return base === PTR_TO_SOCKET || base === PTR_TO_SOCK_COMMON || base === PTR_TO_TCP_SOCK || base === CONST_PTR_TO_MAP;
}

/** Mirrors is_trusted_reg(). */
export function isTrustedReg(mem: Int32Array, o: number): boolean {
  if (mem[o + R_REF_OBJ_ID] !== 0) return true;
  const type = mem[o + R_TYPE]!;
  if (bpfTypeHasUnsafeModifiers(type)) return false;
  return typeHasReg2btfId(baseType(type)) || (type & BPF_REG_TRUSTED_MODIFIERS) !== 0;
}

/** Mirrors is_rcu_reg(). */
export function isRcuReg(mem: Int32Array, o: number): boolean {
  return (mem[o + R_TYPE]! & TypeFlag.MEM_RCU) !== 0;
}

/** Whether the variable offset is too small to lead around to NULL. */
function offsetIsBounded(mem: Int32Array, o: number): boolean {
  const min = mem[o + R_SMIN_HI]! * 0x1_0000_0000 + (mem[o + R_SMIN_LO]! >>> 0);
  const max = mem[o + R_SMAX_HI]! * 0x1_0000_0000 + (mem[o + R_SMAX_LO]! >>> 0);
  return min > -Limit.BPF_MAX_VAR_OFF && max < Limit.BPF_MAX_VAR_OFF;
}

/** What is not NULL either when offsets are looked at. */
const bounded: readonly number[] = [PTR_TO_XDP_SOCK, PTR_TO_BUF, PTR_TO_MEM];

/** Mirrors reg_not_null(). */
export function regNotNull(env: VerifierEnv, mem: Int32Array, o: number): boolean {
  const type = mem[o + R_TYPE]!;
  if (typeMayBeNull(type)) return false;
  if (env.rules.boundedNotNull) {
    if (!offsetIsBounded(mem, o)) return false;
    if (bounded.includes(baseType(type))) return true;
  }
  switch (baseType(type)) {
    case PTR_TO_SOCKET:
    case PTR_TO_TCP_SOCK:
    case PTR_TO_MAP_VALUE:
    case PTR_TO_MAP_KEY:
    case PTR_TO_SOCK_COMMON:
    case CONST_PTR_TO_MAP:
      return true;
    case PTR_TO_BTF_ID:
      return isTrustedReg(mem, o);
    case PTR_TO_MEM:
      return (type & TypeFlag.PTR_UNTRUSTED) === 0;
    default:
      return false;
  }
}

/** Mirrors reg_is_pkt_pointer(). */
export function regIsPktPointer(mem: Int32Array, o: number): boolean {
  return typeIsPktPointer(mem[o + R_TYPE]!);
}

/** Mirrors reg_is_pkt_pointer_any(). */
export function regIsPktPointerAny(mem: Int32Array, o: number): boolean {
  const type = mem[o + R_TYPE]!;
  return typeIsPktPointer(type) || type === PTR_TO_PACKET_END;
}

const DYNPTR_SLICE_FLAGS = TypeFlag.DYNPTR_TYPE_SKB | TypeFlag.DYNPTR_TYPE_XDP | TypeFlag.DYNPTR_TYPE_SKB_META;

/** Mirrors reg_is_dynptr_slice_pkt(). */
export function regIsDynptrSlicePkt(mem: Int32Array, o: number): boolean {
  const type = mem[o + R_TYPE]!;
  return baseType(type) === PTR_TO_MEM && (type & DYNPTR_SLICE_FLAGS) !== 0;
}

/** Whether the tnum is the constant 0. */
export function varOffIsZero(mem: Int32Array, o: number): boolean {
  return (mem[o + R_VAL_LO]! | mem[o + R_VAL_HI]! | mem[o + R_MASK_LO]! | mem[o + R_MASK_HI]!) === 0;
}

/** Whether the tnum is a constant. Mirrors tnum_is_const() of reg->var_off. */
export function varOffIsConst(mem: Int32Array, o: number): boolean {
  return (mem[o + R_MASK_LO]! | mem[o + R_MASK_HI]!) === 0;
}

/** Mirrors reg_is_init_pkt_pointer(). */
export function regIsInitPktPointer(mem: Int32Array, o: number, which: number): boolean {
  return mem[o + R_TYPE] === which && mem[o + R_ID] === 0 && mem[o + R_OFF] === 0 && varOffIsZero(mem, o);
}

/** Whether the register is the scalar constant 0. Mirrors register_is_null(). */
export function registerIsNull(mem: Int32Array, o: number): boolean {
  return mem[o + R_TYPE] === SCALAR_VALUE && varOffIsZero(mem, o);
}

/** Mirrors is_reg_const(); `subreg32` looks at the lower half only. */
export function isRegConst(mem: Int32Array, o: number, subreg32: boolean): boolean {
  if (mem[o + R_TYPE] !== SCALAR_VALUE) return false;
  return subreg32 ? mem[o + R_MASK_LO] === 0 : varOffIsConst(mem, o);
}

/** Mirrors __is_pointer_value(). */
export function isPointerValueRaw(allowPtrLeaks: boolean, mem: Int32Array, o: number): boolean {
  return !allowPtrLeaks && mem[o + R_TYPE] !== SCALAR_VALUE;
}

/** Mirrors is_pointer_value(). */
export function isPointerValue(env: VerifierEnv, regno: number): boolean {
  return isPointerValueRaw(env.allowPtrLeaks, env.cur().cur().mem, regAt(regno));
}

/** Type of a register of the current frame. */
export function regType(env: VerifierEnv, regno: number): number {
  return env.cur().cur().mem[regAt(regno) + R_TYPE]!;
}

/** Mirrors is_ctx_reg(). */
export function isCtxReg(env: VerifierEnv, regno: number): boolean {
  return regType(env, regno) === PTR_TO_CTX;
}

/** Mirrors is_sk_reg(). */
export function isSkReg(env: VerifierEnv, regno: number): boolean {
  return typeIsSkPointer(regType(env, regno));
}

/** Mirrors is_pkt_reg(). */
export function isPktReg(env: VerifierEnv, regno: number): boolean {
  return typeIsPktPointer(regType(env, regno));
}

/** Mirrors is_flow_key_reg(). */
export function isFlowKeyReg(env: VerifierEnv, regno: number): boolean {
  return regType(env, regno) === PTR_TO_FLOW_KEYS;
}

/** Mirrors is_arena_reg(). */
export function isArenaReg(env: VerifierEnv, regno: number): boolean {
  return regType(env, regno) === PTR_TO_ARENA;
}

/** Slot index of a stack offset (negative, from the frame pointer). Mirrors __get_spi(). */
export function getSpi(off: number): number {
  return ((-off - 1) / 8) | 0;
}

/** Mirrors is_stack_slot_special(). */
export function isStackSlotSpecial(mem: Int32Array, o: number): boolean {
  switch (slotType(mem, o, 7)) {
    case STACK_SPILL:
    case STACK_DYNPTR:
    case STACK_ITER:
    case STACK_IRQ_FLAG:
      return true;
    default:
      return false;
  }
}

/** Mirrors is_spilled_reg(). */
export function isSpilledReg(mem: Int32Array, o: number): boolean {
  return slotType(mem, o, 7) === STACK_SPILL;
}

/** Mirrors is_spilled_scalar_reg(). */
export function isSpilledScalarReg(mem: Int32Array, o: number): boolean {
  return slotType(mem, o, 7) === STACK_SPILL && mem[o + R_TYPE] === SCALAR_VALUE;
}

/** Mirrors is_spilled_scalar_reg64(). */
export function isSpilledScalarReg64(mem: Int32Array, o: number): boolean {
  return slotType(mem, o, 0) === STACK_SPILL && mem[o + R_TYPE] === SCALAR_VALUE;
}

/** Byte `i` of the slot becomes STACK_MISC unless it is zero or invalid. Mirrors mark_stack_slot_misc(). */
export function markStackSlotMisc(mem: Int32Array, o: number, i: number): void {
  const type = slotType(mem, o, i);
  if (type !== STACK_ZERO && type !== STACK_INVALID) setSlotType(mem, o, i, STACK_MISC);
}

/** Byte `i` of the slot becomes STACK_MISC unless it is invalid. Mirrors scrub_spilled_slot(). */
export function scrubSpilledSlot(mem: Int32Array, o: number, i: number): void {
  if (slotType(mem, o, i) !== STACK_INVALID) setSlotType(mem, o, i, STACK_MISC);
}
