// SPDX-License-Identifier: GPL-2.0-only
import {
  BPF_ABS,
  BPF_ALU,
  BPF_ALU64,
  BPF_CALL,
  BPF_END,
  BPF_EXIT,
  BPF_IND,
  BPF_JMP,
  BPF_JMP32,
  BPF_LD,
  BPF_LDX,
  BPF_MOV,
  BPF_NEG,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_ST,
  BPF_STX,
  BPF_X,
  R0,
  R1,
  R5,
  R10,
} from "../../asm/opcode.js";
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { helperByName } from "../../kernel/helpers/index.js";
import { Limit } from "../../kernel/limits.js";
import { type VerifierEnv, verbose } from "../env.js";
import { bpfHelperCall, bpfPseudoCall, isAtomicLoadInsn, isSyncCallbackCallingInsn } from "../kinds/insn.js";
import {
  reportForced,
  reportTraceGiveUp,
  reportTraceMark,
  reportTraceState,
  reportTraceStep,
} from "../report/precision.js";
import type { FuncState } from "../state/frame.js";
import { R_PRECISE, R_TYPE, regAt, STACK_SPILL, slotAt, slotType } from "../state/reg.js";
import { findSubprog, subprogIsGlobal } from "../state/subprog.js";
import type { BacktrackState } from "../state/tables.js";
import { HIST_WORDS, type VerifierState } from "../state/vstate.js";
import {
  btClearFrameReg,
  btClearFrameSlot,
  btClearReg,
  btEmpty,
  btIsFrameRegSet,
  btIsFrameSlotSet,
  btIsRegSet,
  btRegMask,
  btSetFrameReg,
  btSetFrameSlot,
  btSetReg,
  btStackAny,
} from "./bt.js";
import {
  getJmpHistEntry,
  HIST_FLAGS,
  HIST_IDX,
  HIST_LINKED_HI,
  HIST_LINKED_LO,
  HIST_PREV_IDX,
  INSN_F_DST_REG_STACK,
  INSN_F_SRC_REG_STACK,
  INSN_F_STACK_ACCESS,
  insnStackAccessFrameno,
  insnStackAccessSpi,
} from "./history.js";
import { BPF_MAIN_FUNC } from "./worklist.js";

/*
 * Precision: which scalars' values the verdict rests on. When a path relies on a value, the
 * instructions that led to it are walked backwards, and in every saved state on the way the
 * registers and slots that went into the value are marked precise.
 */

const FUNC_TAIL_CALL = helperByName("tail_call")!;
/** R1–R5. */
const REGMASK_ARGS = 0x3e;

function verifierBug(env: VerifierEnv, text: string): number {
  verbose(env, `verifier bug: ${text}\n`);
  return -Errno.EFAULT;
}

/** Entry `i` of packed linked registers: ten bits, behind a count of four. */
function linkedEntry(lo: number, hi: number, i: number): number {
  const pos = 4 + i * 10;
  if (pos >= 32) return (hi >>> (pos - 32)) & 0x3ff;
  if (pos <= 22) return (lo >>> pos) & 0x3ff;
  return ((lo >>> pos) | (hi << (32 - pos))) & 0x3ff;
}

/** If one of the registers linked at this instruction is wanted, all of them are. Mirrors bt_sync_linked_regs(). */
function btSyncLinkedRegs(bt: BacktrackState, st: VerifierState, hist: number): void {
  if (hist < 0) return;
  const lo = st.hist[hist + HIST_LINKED_LO]!;
  const hi = st.hist[hist + HIST_LINKED_HI]!;
  if ((lo | hi) === 0) return;
  const cnt = lo & 0xf;
  let some = false;
  for (let i = 0; i < cnt && !some; i++) {
    const e = linkedEntry(lo, hi, i);
    some =
      (e & 0x200) !== 0 ? btIsFrameRegSet(bt, e & 7, (e >> 3) & 0x3f) : btIsFrameSlotSet(bt, e & 7, (e >> 3) & 0x3f);
  }
  if (!some) return;
  for (let i = 0; i < cnt; i++) {
    const e = linkedEntry(lo, hi, i);
    if ((e & 0x200) !== 0) btSetFrameReg(bt, e & 7, (e >> 3) & 0x3f);
    else btSetFrameSlot(bt, e & 7, (e >> 3) & 0x3f);
  }
}

function backtrackAlu(env: VerifierEnv, idx: number, bt: BacktrackState): number {
  const code = env.insns.code[idx]!;
  const op = code & 0xf0;
  const dreg = env.insns.dst[idx]!;
  const sreg = env.insns.src[idx]!;
  if (!btIsRegSet(bt, dreg) || op === BPF_END || op === BPF_NEG) return 0;
  if (op === BPF_MOV) btClearReg(bt, dreg);
  if ((code & 0x08) === BPF_X && sreg !== R10) btSetReg(bt, sreg);
  return 0;
}

function backtrackLoad(env: VerifierEnv, idx: number, flags: number, bt: BacktrackState): number {
  const dreg = env.insns.dst[idx]!;
  if (!btIsRegSet(bt, dreg)) return 0;
  btClearReg(bt, dreg);
  // A value that comes from anywhere but the stack is where the trace ends.
  if ((flags & INSN_F_STACK_ACCESS) !== 0) {
    btSetFrameSlot(bt, insnStackAccessFrameno(flags), insnStackAccessSpi(flags));
  }
  return 0;
}

function backtrackStore(env: VerifierEnv, idx: number, flags: number, bt: BacktrackState): number {
  // Storing through a wanted scalar: it came out of a subtraction of pointers.
  if (btIsRegSet(bt, env.insns.dst[idx]!)) return -Errno.ENOTSUPP;
  if ((flags & INSN_F_STACK_ACCESS) === 0) return 0;
  const spi = insnStackAccessSpi(flags);
  const fr = insnStackAccessFrameno(flags);
  if (!btIsFrameSlotSet(bt, fr, spi)) return 0;
  btClearFrameSlot(bt, fr, spi);
  if ((env.insns.code[idx]! & 7) === BPF_STX) btSetReg(bt, env.insns.src[idx]!);
  return 0;
}

/** From a subprogram's first instruction back to its call. */
function backtrackSubprogCall(env: VerifierEnv, idx: number, subseqIdx: number, bt: BacktrackState): number {
  const subprog = findSubprog(env, idx + env.insns.imm[idx]! + 1);
  if (subprog < 0) return -Errno.EFAULT;
  if (subprogIsGlobal(env, subprog)) {
    if (idx + 1 !== subseqIdx) verifierBug(env, "extra insn from subprog (idx + 1 != subseq_idx)");
    if ((btRegMask(bt) & REGMASK_ARGS) !== 0) {
      return verifierBug(env, `global subprog unexpected regs ${btRegMask(bt).toString(16)}`);
    }
    btClearReg(bt, R0);
    return 0;
  }
  if ((btRegMask(bt) & ~REGMASK_ARGS) !== 0) {
    return verifierBug(env, `static subprog unexpected regs ${btRegMask(bt).toString(16)}`);
  }
  if (btStackAny(bt)) return verifierBug(env, "static subprog leftover stack slots");
  for (let i = R1; i <= R5; i++) {
    if (!btIsRegSet(bt, i)) continue;
    btClearReg(bt, i);
    btSetFrameReg(bt, bt.frame - 1, i);
  }
  return btSubprogExit(env, bt);
}

/** From a callback's first instruction back to the helper that calls it. */
function backtrackCallbackCall(env: VerifierEnv, bt: BacktrackState): number {
  if ((btRegMask(bt) & ~REGMASK_ARGS) !== 0) {
    return verifierBug(env, `callback unexpected regs ${btRegMask(bt).toString(16)}`);
  }
  if (btStackAny(bt)) return verifierBug(env, "callback leftover stack slots");
  for (let i = R1; i <= R5; i++) btClearReg(bt, i);
  return btSubprogExit(env, bt);
}

function btSubprogExit(env: VerifierEnv, bt: BacktrackState): number {
  if (bt.frame === 0) return verifierBug(env, "subprog exit from frame 0");
  bt.frame--;
  return 0;
}

function btSubprogEnter(env: VerifierEnv, bt: BacktrackState): number {
  if (bt.frame === Limit.MAX_CALL_FRAMES - 1) return verifierBug(env, `subprog enter from frame ${bt.frame}`);
  bt.frame++;
  return 0;
}

function backtrackHelperCall(env: VerifierEnv, idx: number, subseqIdx: number, bt: BacktrackState): number {
  if (env.insns.src[idx] === BPF_PSEUDO_KFUNC_CALL && env.insns.imm[idx] === 0) return -Errno.ENOTSUPP;
  btClearReg(bt, R0);
  if ((btRegMask(bt) & REGMASK_ARGS) !== 0) {
    return verifierBug(env, `backtracking call unexpected regs ${btRegMask(bt).toString(16)}`);
  }
  if (bpfHelperCall(env.insns, idx) && env.insns.imm[idx] === FUNC_TAIL_CALL && subseqIdx - idx !== 1) {
    return btSubprogEnter(env, bt);
  }
  return 0;
}

/** From the caller back into the subprogram or callback that has just returned. */
function backtrackExit(env: VerifierEnv, subseqIdx: number, bt: BacktrackState): number {
  if (subseqIdx >= 0 && env.aux.callsCallback[subseqIdx] !== 0) {
    for (let i = R1; i <= R5; i++) btClearReg(bt, i);
  }
  if ((btRegMask(bt) & REGMASK_ARGS) !== 0) {
    return verifierBug(env, `backtracking exit unexpected regs ${btRegMask(bt).toString(16)}`);
  }
  const r0Precise = subseqIdx - 1 >= 0 && bpfPseudoCall(env.insns, subseqIdx - 1) && btIsRegSet(bt, R0);
  btClearReg(bt, R0);
  const err = btSubprogEnter(env, bt);
  if (err !== 0) return err;
  if (r0Precise) btSetReg(bt, R0);
  return 0;
}

/** Whether {@link backtrackInsn} goes on to the linked registers afterwards, or what went wrong. */
function backtrackJmp(env: VerifierEnv, idx: number, subseqIdx: number, flags: number, bt: BacktrackState): number {
  const code = env.insns.code[idx]!;
  const op = code & 0xf0;
  if (bpfPseudoCall(env.insns, idx)) return backtrackSubprogCall(env, idx, subseqIdx, bt);
  if (isSyncCallbackCallingInsn(env.insns, idx) && idx !== subseqIdx - 1) return backtrackCallbackCall(env, bt);
  if (op === BPF_CALL) return backtrackHelperCall(env, idx, subseqIdx, bt);
  if (op === BPF_EXIT) return backtrackExit(env, subseqIdx, bt);
  if ((code & 0x08) === BPF_X) {
    const dreg = env.insns.dst[idx]!;
    const sreg = env.insns.src[idx]!;
    if (!btIsRegSet(bt, dreg) && !btIsRegSet(bt, sreg)) return 0;
    if ((flags & INSN_F_SRC_REG_STACK) === 0) btSetReg(bt, sreg);
    if ((flags & INSN_F_DST_REG_STACK) === 0) btSetReg(bt, dreg);
  }
  return 0;
}

/**
 * One step backwards over instruction `idx`, whose successor on this path was `subseqIdx`: what is
 * wanted behind the instruction becomes what is wanted before it. Mirrors backtrack_insn().
 */
function backtrackInsn(env: VerifierEnv, st: VerifierState, idx: number, subseqIdx: number, hist: number): number {
  const bt = env.bt;
  const code = env.insns.code[idx]!;
  const dreg = env.insns.dst[idx]!;
  if (code === 0) return 0;
  if (env.details) reportTraceStep(env, idx);
  btSyncLinkedRegs(bt, st, hist);
  const flags = hist < 0 ? 0 : st.hist[hist + HIST_FLAGS]!;
  let err = 0;
  switch (code & 7) {
    case BPF_ALU:
    case BPF_ALU64:
      err = backtrackAlu(env, idx, bt);
      break;
    case BPF_LDX:
      err = backtrackLoad(env, idx, flags, bt);
      break;
    case BPF_ST:
    case BPF_STX:
      err = isAtomicLoadInsn(env.insns, idx) ? backtrackLoad(env, idx, flags, bt) : backtrackStore(env, idx, flags, bt);
      break;
    case BPF_JMP:
    case BPF_JMP32:
      err = backtrackJmp(env, idx, subseqIdx, flags, bt);
      break;
    case BPF_LD: {
      const mode = code & 0xe0;
      if (!btIsRegSet(bt, dreg)) break;
      btClearReg(bt, dreg);
      if (mode === BPF_IND || mode === BPF_ABS) return -Errno.ENOTSUPP;
      break;
    }
  }
  if (err !== 0) return err;
  btSyncLinkedRegs(bt, st, hist);
  return 0;
}

function forcePrecise(env: VerifierEnv, mem: Int32Array, o: number, frame: number, what: string): void {
  if (mem[o + R_TYPE] !== RegType.SCALAR_VALUE || mem[o + R_PRECISE] !== 0) return;
  mem[o + R_PRECISE] = 1;
  if (env.details) reportForced(env, frame, what);
}

/** Gives up tracing: every scalar of every state on the way becomes precise. Mirrors mark_all_scalars_precise(). */
export function markAllScalarsPrecise(env: VerifierEnv, from: VerifierState): void {
  if (env.details) reportTraceGiveUp(env, from.curframe);
  for (let st = from.parent; st !== null; st = st.parent) {
    for (let f = 0; f <= st.curframe; f++) {
      const func = st.frame[f]!;
      for (let r = 0; r < R10; r++) forcePrecise(env, func.mem, regAt(r), f, `r${r}`);
      for (let spi = 0; spi < func.allocatedStack >> 3; spi++) {
        const o = slotAt(spi);
        if (slotType(func.mem, o, 7) !== STACK_SPILL) continue;
        forcePrecise(env, func.mem, o, f, `fp${-(spi + 1) * 8}`);
      }
    }
  }
}

/** A state about to be saved starts without precise scalars; they are added when needed. Mirrors mark_all_scalars_imprecise(). */
export function markAllScalarsImprecise(st: VerifierState): void {
  for (let f = 0; f <= st.curframe; f++) {
    const func = st.frame[f]!;
    const mem = func.mem;
    for (let r = 0; r < R10; r++) {
      const o = regAt(r);
      if (mem[o + R_TYPE] === RegType.SCALAR_VALUE) mem[o + R_PRECISE] = 0;
    }
    for (let spi = 0; spi < func.allocatedStack >> 3; spi++) {
      const o = slotAt(spi);
      if (slotType(mem, o, 7) === STACK_SPILL && mem[o + R_TYPE] === RegType.SCALAR_VALUE) mem[o + R_PRECISE] = 0;
    }
  }
}

/** Entries of the history still in front of the walk; set by {@link getPrevInsnIdx}. */
let history = 0;

/** The instruction executed before `i`, or -ENOENT at the start of the state. Mirrors get_prev_insn_idx(). */
function getPrevInsnIdx(st: VerifierState, i: number): number {
  const cnt = history;
  if (i === st.firstInsnIdx) {
    if (cnt === 0) return -Errno.ENOENT;
    if (cnt === 1 && st.hist[HIST_IDX] === i) return -Errno.ENOENT;
  }
  const last = (cnt - 1) * HIST_WORDS;
  if (cnt !== 0 && st.hist[last + HIST_IDX] === i) {
    history = cnt - 1;
    return st.hist[last + HIST_PREV_IDX]!;
  }
  return i - 1;
}

/** Backtracking came to the entry of a function that is verified on its own: its arguments are precise. */
function markEntryArgsPrecise(env: VerifierEnv, st: VerifierState, changed: { value: boolean }): number {
  const bt = env.bt;
  const frame = st.frame[0]!;
  const mask = btRegMask(bt);
  if (
    st.curframe !== 0 ||
    frame.subprogno === 0 ||
    frame.callsite !== BPF_MAIN_FUNC ||
    btStackAny(bt) ||
    (mask & ~REGMASK_ARGS) !== 0
  ) {
    return verifierBug(env, `backtracking func entry subprog ${frame.subprogno} reg_mask ${mask.toString(16)}`);
  }
  for (let i = R1; i <= R5; i++) {
    if (((mask >> i) & 1) === 0) continue;
    btClearReg(bt, i);
    if (frame.mem[regAt(i) + R_TYPE] !== RegType.SCALAR_VALUE) continue;
    frame.mem[regAt(i) + R_PRECISE] = 1;
    changed.value = true;
  }
  return 0;
}

function markParentSlots(env: VerifierEnv, func: FuncState, fr: number, changed: { value: boolean }): number {
  const bt = env.bt;
  const mem = func.mem;
  const slots = func.allocatedStack >> 3;
  for (let i = 0; i < 64; i++) {
    if (!btIsFrameSlotSet(bt, fr, i)) continue;
    if (i >= slots) {
      return verifierBug(env, `stack slot ${i}, total slots ${slots} (i >= func->allocated_stack / BPF_REG_SIZE)`);
    }
    const o = slotAt(i);
    const scalar = slotType(mem, o, 7) === STACK_SPILL && mem[o + R_TYPE] === RegType.SCALAR_VALUE;
    if (!scalar || mem[o + R_PRECISE] !== 0) {
      btClearFrameSlot(bt, fr, i);
    } else {
      mem[o + R_PRECISE] = 1;
      changed.value = true;
    }
  }
  return 0;
}

/** Marks what is wanted in a saved state and forgets what is precise already or no scalar. */
function markParentState(env: VerifierEnv, st: VerifierState, changed: { value: boolean }): number {
  const bt = env.bt;
  for (let fr = bt.frame; fr >= 0; fr--) {
    const func = st.frame[fr]!;
    const mem = func.mem;
    for (let i = 0, mask = bt.regMasks[fr]!; mask >>> i !== 0; i++) {
      if (((mask >>> i) & 1) === 0) continue;
      const o = regAt(i);
      if (mem[o + R_TYPE] !== RegType.SCALAR_VALUE || mem[o + R_PRECISE] !== 0) {
        btClearFrameReg(bt, fr, i);
      } else {
        mem[o + R_PRECISE] = 1;
        changed.value = true;
      }
    }
    if ((bt.stackLo[fr]! | bt.stackHi[fr]!) !== 0) {
      const err = markParentSlots(env, func, fr, changed);
      if (err !== 0) return err;
    }
    if (env.details) reportTraceMark(env, st, fr);
  }
  return 0;
}

const ignored = { value: false };

/**
 * Walks back from the end of `starting` through it and its parents until nothing is wanted any more;
 * `regno` (-1 for none) is wanted at the start in addition to what `env.bt` holds. `changed.value`
 * becomes true when a mark was new. Mirrors __mark_chain_precision().
 */
export function markChainPrecisionRaw(
  env: VerifierEnv,
  starting: VerifierState,
  regno: number,
  changed: { value: boolean },
): number {
  const bt = env.bt;
  if (!env.bpfCapable) return 0;
  bt.frame = starting.curframe;
  if (regno >= 0) {
    if (starting.frame[bt.frame]!.mem[regAt(regno) + R_TYPE] !== RegType.SCALAR_VALUE) {
      return verifierBug(env, "backtracking misuse");
    }
    btSetReg(bt, regno);
  }
  if (btEmpty(bt)) return 0;
  if (env.tracer === null) return traceBack(env, starting, changed);
  env.tracer.traceBegin(starting);
  const err = traceBack(env, starting, changed);
  env.tracer.traceEnd();
  return err;
}

/** The walk itself, after what `env.bt` wants. */
function traceBack(env: VerifierEnv, starting: VerifierState, changed: { value: boolean }): number {
  const bt = env.bt;
  let st: VerifierState | null = starting;
  let firstIdx = st.firstInsnIdx;
  let lastIdx = starting.insnIdx;
  let subseqIdx = -1;
  let skipFirst = true;
  for (;;) {
    history = st.histCnt;
    if (env.details) reportTraceState(env, lastIdx, firstIdx, subseqIdx);
    if (lastIdx < 0) return markEntryArgsPrecise(env, st, changed);
    for (let i = lastIdx; ; ) {
      let err = 0;
      if (skipFirst) skipFirst = false;
      else err = backtrackInsn(env, st, i, subseqIdx, getJmpHistEntry(st, history, i));
      if (err === -Errno.ENOTSUPP) {
        markAllScalarsPrecise(env, starting);
        bt.reset();
        return 0;
      }
      if (err !== 0) return err;
      if (btEmpty(bt)) return 0;
      subseqIdx = i;
      i = getPrevInsnIdx(st, i);
      if (i === -Errno.ENOENT) break;
      if (i < 0 || i >= env.insns.len) return verifierBug(env, `backtracking idx ${i}`);
    }
    st = st.parent;
    if (st === null) break;
    const err = markParentState(env, st, changed);
    if (err !== 0) return err;
    if (btEmpty(bt)) return 0;
    subseqIdx = firstIdx;
    lastIdx = st.lastInsnIdx;
    firstIdx = st.firstInsnIdx;
  }
  if (!btEmpty(bt)) {
    markAllScalarsPrecise(env, starting);
    bt.reset();
  }
  return 0;
}

/** The value of register `regno` of the current frame decides something. Mirrors mark_chain_precision(). */
export function markChainPrecision(env: VerifierEnv, regno: number): number {
  return markChainPrecisionRaw(env, env.cur(), regno, ignored);
}

/** Like {@link markChainPrecision} for everything set in `env.bt`. Mirrors mark_chain_precision_batch(). */
export function markChainPrecisionBatch(env: VerifierEnv, starting: VerifierState): number {
  return markChainPrecisionRaw(env, starting, -1, ignored);
}
