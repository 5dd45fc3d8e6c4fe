// SPDX-License-Identifier: GPL-2.0-only
import type { BacktrackState } from "../state/tables.js";

/* The set of registers and stack slots that backtracking is after, as bit masks by frame. */

/** Mirrors bt_empty(). */
export function btEmpty(bt: BacktrackState): boolean {
  let mask = 0;
  for (let i = 0; i <= bt.frame; i++) mask |= bt.regMasks[i]! | bt.stackLo[i]! | bt.stackHi[i]!;
  return mask === 0;
}

/** Mirrors bt_set_frame_reg(). */
export function btSetFrameReg(bt: BacktrackState, frame: number, reg: number): void {
  bt.regMasks[frame] = bt.regMasks[frame]! | (1 << reg);
}

/** Mirrors bt_clear_frame_reg(). */
export function btClearFrameReg(bt: BacktrackState, frame: number, reg: number): void {
  bt.regMasks[frame] = bt.regMasks[frame]! & ~(1 << reg);
}

/** Mirrors bt_set_reg(). */
export function btSetReg(bt: BacktrackState, reg: number): void {
  btSetFrameReg(bt, bt.frame, reg);
}

/** Mirrors bt_clear_reg(). */
export function btClearReg(bt: BacktrackState, reg: number): void {
  btClearFrameReg(bt, bt.frame, reg);
}

/** Mirrors bt_set_frame_slot(). */
export function btSetFrameSlot(bt: BacktrackState, frame: number, slot: number): void {
  if (slot < 32) bt.stackLo[frame] = bt.stackLo[frame]! | (1 << slot);
  else bt.stackHi[frame] = bt.stackHi[frame]! | (1 << (slot - 32));
}

/** Mirrors bt_clear_frame_slot(). */
export function btClearFrameSlot(bt: BacktrackState, frame: number, slot: number): void {
  if (slot < 32) bt.stackLo[frame] = bt.stackLo[frame]! & ~(1 << slot);
  else bt.stackHi[frame] = bt.stackHi[frame]! & ~(1 << (slot - 32));
}

/** Mirrors bt_reg_mask(). */
export function btRegMask(bt: BacktrackState): number {
  return bt.regMasks[bt.frame]!;
}

/** Whether any slot of the current frame is wanted: bt_stack_mask() != 0. */
export function btStackAny(bt: BacktrackState): boolean {
  return (bt.stackLo[bt.frame]! | bt.stackHi[bt.frame]!) !== 0;
}

/** Mirrors bt_is_reg_set(). */
export function btIsRegSet(bt: BacktrackState, reg: number): boolean {
  return ((bt.regMasks[bt.frame]! >> reg) & 1) !== 0;
}

/** Mirrors bt_is_frame_reg_set(). */
export function btIsFrameRegSet(bt: BacktrackState, frame: number, reg: number): boolean {
  return ((bt.regMasks[frame]! >> reg) & 1) !== 0;
}

/** Mirrors bt_is_frame_slot_set(). */
export function btIsFrameSlotSet(bt: BacktrackState, frame: number, slot: number): boolean {
  const word = slot < 32 ? bt.stackLo[frame]! : bt.stackHi[frame]!;
  return ((word >> (slot & 31)) & 1) !== 0;
}

/** `r0,r2,r4` for 0x15. Mirrors fmt_reg_mask(). */
export function fmtRegMask(mask: number): string {
  let text = "";
  for (let i = 0; i < 32; i++) {
    if (((mask >>> i) & 1) !== 0) text += text === "" ? `r${i}` : `,r${i}`;
  }
  return text;
}

/** `-8,-24,-40` for 0x15. Mirrors bpf_fmt_stack_mask(). */
export function bpfFmtStackMask(lo: number, hi: number): string {
  let text = "";
  for (let i = 0; i < 64; i++) {
    const bit = i < 32 ? lo >>> i : hi >>> (i - 32);
    if ((bit & 1) !== 0) text += text === "" ? `${-(i + 1) * 8}` : `,${-(i + 1) * 8}`;
  }
  return text;
}
