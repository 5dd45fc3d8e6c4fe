// SPDX-License-Identifier: GPL-2.0-only
import type { FuncState } from "./frame.js";
import { MAX_BPF_REG, REG_WORDS, STACK_SPILL, slotAt, slotType } from "./reg.js";
import type { VerifierState } from "./vstate.js";

/**
 * Calls `fn` for every register of every frame and for every stack slot whose last byte has one of
 * the slot types of `mask` (1 << STACK_x). `fn` must not grow a stack. Mirrors bpf_for_each_reg_in_vstate_mask().
 */
export function forEachRegInVstateMask(
  vstate: VerifierState,
  mask: number,
  fn: (mem: Int32Array, o: number, frame: FuncState) => void,
): void {
  for (let f = 0; f <= vstate.curframe; f++) {
    const frame = vstate.frame[f]!;
    const mem = frame.mem;
    for (let r = 0; r < MAX_BPF_REG; r++) fn(mem, r * REG_WORDS, frame);
    const slots = frame.allocatedStack >> 3;
    for (let spi = 0; spi < slots; spi++) {
      const o = slotAt(spi);
      if (((1 << slotType(mem, o, 7)) & mask) !== 0) fn(mem, o, frame);
    }
  }
}

/** Every register and every spilled register. Mirrors bpf_for_each_reg_in_vstate(). */
export function forEachRegInVstate(
  vstate: VerifierState,
  fn: (mem: Int32Array, o: number, frame: FuncState) => void,
): void {
  forEachRegInVstateMask(vstate, 1 << STACK_SPILL, fn);
}
