// SPDX-License-Identifier: GPL-2.0-only

/*
 * A register state is 28 consecutive int32 words of an Int32Array; functions take the array and the
 * offset of the first word. 64-bit quantities are two words, low half first. Unsigned words are
 * stored as int32: read them with `>>> 0`. A stack slot has the same layout: the state of the
 * register spilled there, followed by the slot's eight type bytes (which registers leave at 0).
 */

/** Words per register or stack slot. */
export const REG_WORDS = 28;

/** bpf_reg_type: base type and flags. */
export const R_TYPE = 0;
/** Fixed part of a pointer's offset, or the delta between linked scalars (s32). */
export const R_OFF = 1;
/** tnum value. */
export const R_VAL_LO = 2;
export const R_VAL_HI = 3;
/** tnum mask. */
export const R_MASK_LO = 4;
export const R_MASK_HI = 5;
export const R_SMIN_LO = 6;
export const R_SMIN_HI = 7;
export const R_SMAX_LO = 8;
export const R_SMAX_HI = 9;
export const R_UMIN_LO = 10;
export const R_UMIN_HI = 11;
export const R_UMAX_LO = 12;
export const R_UMAX_HI = 13;
export const R_S32_MIN = 14;
export const R_S32_MAX = 15;
export const R_U32_MIN = 16;
export const R_U32_MAX = 17;
export const R_ID = 18;
export const R_REF_OBJ_ID = 19;
/**
 * First word of the kernel's union: range of a packet pointer; 1-based index into `env.maps`;
 * 1-based index into `env.btfs`; memory size; dynptr type; irq class; subprogram number.
 */
export const R_U0 = 20;
/** Second word of the union: map_uid; BTF type id; dynptr id; dynptr first_slot. */
export const R_U1 = 21;
/** Third word of the union: iterator state and depth (depth << 2 | state). */
export const R_U2 = 22;
export const R_FRAMENO = 23;
/** Insn index + 1 of the writing instruction, or 0 (DEF_NOT_SUBREG). */
export const R_SUBREG_DEF = 24;
/** 0 or 1. */
export const R_PRECISE = 25;
/** Types of slot bytes 0–3 and 4–7, one byte each, byte 0 lowest. Stack slots only. */
export const R_SLOT_LO = 26;
export const R_SLOT_HI = 27;

/** Words of a register that carry state (the slot bytes are not part of it). */
export const REG_STATE_WORDS = 26;

/** The bit of `R_ID` that marks a scalar linked by a constant delta that 64-bit arithmetic made. */
export const BPF_ADD_CONST64 = 1 << 31;
/** The same for 32-bit arithmetic. */
export const BPF_ADD_CONST32 = 1 << 30;
/** Both: `id & ~BPF_ADD_CONST` is the id that linked scalars share. */
export const BPF_ADD_CONST = BPF_ADD_CONST64 | BPF_ADD_CONST32;

/** R0–R10. */
export const MAX_BPF_REG = 11;

/** enum bpf_stack_slot_type. */
export const STACK_INVALID = 0;
export const STACK_SPILL = 1;
export const STACK_MISC = 2;
export const STACK_ZERO = 3;
export const STACK_DYNPTR = 4;
export const STACK_ITER = 5;
export const STACK_IRQ_FLAG = 6;

/** Offset of register `r` in a frame's memory. */
export function regAt(r: number): number {
  return r * REG_WORDS;
}

/** Offset of stack slot `spi` (0 is fp-8) in a frame's memory. */
export function slotAt(spi: number): number {
  return (MAX_BPF_REG + spi) * REG_WORDS;
}

/** Copies a register's state; slot type bytes of the destination stay as they are. */
export function copyReg(dst: Int32Array, d: number, src: Int32Array, s: number): void {
  for (let i = 0; i < REG_STATE_WORDS; i++) dst[d + i] = src[s + i]!;
}

/** Zeroes a register's state, keeping slot type bytes. */
export function zeroReg(mem: Int32Array, o: number): void {
  mem.fill(0, o, o + REG_STATE_WORDS);
}

/** Type of byte `i` (0–7) of the stack slot at `o`. */
export function slotType(mem: Int32Array, o: number, i: number): number {
  return (mem[o + R_SLOT_LO + (i >> 2)]! >> ((i & 3) << 3)) & 0xff;
}

export function setSlotType(mem: Int32Array, o: number, i: number, type: number): void {
  const at = o + R_SLOT_LO + (i >> 2);
  const shift = (i & 3) << 3;
  mem[at] = (mem[at]! & ~(0xff << shift)) | (type << shift);
}
