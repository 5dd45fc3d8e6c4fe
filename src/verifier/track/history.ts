// SPDX-License-Identifier: GPL-2.0-only
import type { VerifierEnv } from "../env.js";
import { HIST_WORDS, type VerifierState } from "../state/vstate.js";

/* Bits of the flags of a history entry: which stack slot the instruction touches, and through which register. */

const INSN_F_FRAMENO_MASK = 0x7;
const INSN_F_SPI_MASK = 0x3f;
const INSN_F_SPI_SHIFT = 3;
export const INSN_F_STACK_ACCESS = 1 << 9;
/** The destination register of a conditional jump points to the stack. */
export const INSN_F_DST_REG_STACK = 1 << 10;
/** The source register of a conditional jump points to the stack. */
export const INSN_F_SRC_REG_STACK = 1 << 11;

/* Words of a history entry. */

export const HIST_IDX = 0;
export const HIST_PREV_IDX = 1;
export const HIST_FLAGS = 2;
export const HIST_LINKED_LO = 3;
export const HIST_LINKED_HI = 4;

/** Flags of an access to slot `spi` of frame `frameno`. Mirrors insn_stack_access_flags(). */
export function insnStackAccessFlags(frameno: number, spi: number): number {
  return INSN_F_STACK_ACCESS | (spi << INSN_F_SPI_SHIFT) | frameno;
}

/** Mirrors insn_stack_access_spi(). */
export function insnStackAccessSpi(insnFlags: number): number {
  return (insnFlags >> INSN_F_SPI_SHIFT) & INSN_F_SPI_MASK;
}

/** Mirrors insn_stack_access_frameno(). */
export function insnStackAccessFrameno(insnFlags: number): number {
  return insnFlags & INSN_F_FRAMENO_MASK;
}

/** Mirrors mark_jmp_point(). */
export function markJmpPoint(env: VerifierEnv, idx: number): void {
  env.aux.jmpPoint[idx] = 1;
}

/** Mirrors is_jmp_point(). */
export function isJmpPoint(env: VerifierEnv, insnIdx: number): boolean {
  return env.aux.jmpPoint[insnIdx] !== 0;
}

/**
 * Records the current instruction in the history of `cur`, or adds to the entry made for it already.
 * `linkedLo`, `linkedHi`: the packed linked registers. Mirrors push_jmp_history().
 */
export function pushJmpHistory(
  env: VerifierEnv,
  cur: VerifierState,
  insnFlags: number,
  linkedLo: number,
  linkedHi: number,
): number {
  let at = env.curHistEnt * HIST_WORDS;
  if (at >= 0) {
    cur.hist[at + HIST_FLAGS] = cur.hist[at + HIST_FLAGS]! | insnFlags;
    cur.hist[at + HIST_LINKED_LO] = linkedLo;
    cur.hist[at + HIST_LINKED_HI] = linkedHi;
    return 0;
  }
  const cnt = cur.histCnt;
  at = cnt * HIST_WORDS;
  if (at + HIST_WORDS > cur.hist.length) {
    const grown = new Int32Array(Math.max(8 * HIST_WORDS, cur.hist.length * 2));
    grown.set(cur.hist);
    cur.hist = grown;
  }
  cur.hist[at + HIST_IDX] = env.insnIdx;
  cur.hist[at + HIST_PREV_IDX] = env.prevInsnIdx;
  cur.hist[at + HIST_FLAGS] = insnFlags;
  cur.hist[at + HIST_LINKED_LO] = linkedLo;
  cur.hist[at + HIST_LINKED_HI] = linkedHi;
  cur.histCnt = cnt + 1;
  env.curHistEnt = cnt;
  return 0;
}

/** Offset in `st.hist` of the entry for `insnIdx` when it stands right before `histEnd`, else -1. Mirrors get_jmp_hist_entry(). */
export function getJmpHistEntry(st: VerifierState, histEnd: number, insnIdx: number): number {
  const at = (histEnd - 1) * HIST_WORDS;
  return histEnd > 0 && st.hist[at + HIST_IDX] === insnIdx ? at : -1;
}
