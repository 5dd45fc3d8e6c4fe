// SPDX-License-Identifier: GPL-2.0-only
import { BPF_JA, BPF_JCOND, BPF_JEQ, BPF_JMP, BPF_JMP32, BPF_JNE, BPF_MAY_GOTO, BPF_X, R0 } from "../../asm/opcode.js";
import { baseType, RegType, typeMayBeNull } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { isPointerValue, isRegConst, regIsPktPointerAny, regNotNull } from "../kinds/reg-type.js";
import { BPF_LOG_LEVEL } from "../log.js";
import { markRegKnownRaw, regBoundsSanityCheck } from "../num/bounds.js";
import { flipOpcode, isScalarBranchTaken, revOpcode } from "../num/branch.js";
import { regsRefineCondOp } from "../num/refine.js";
import { regBoundsSync } from "../num/sync.js";
import { checkRegArg, markPtrNotNullReg, SRC_OP } from "../state/mark.js";
import { printInsnState } from "../state/print.js";
import { copyReg, R_ID, R_TYPE, R_VAL_HI, R_VAL_LO, REG_WORDS, regAt } from "../state/reg.js";
import type { VerifierState } from "../state/vstate.js";
import { markChainPrecision } from "../track/backtrack.js";
import { INSN_F_DST_REG_STACK, INSN_F_SRC_REG_STACK, pushJmpHistory } from "../track/history.js";
import { collectLinkedRegs, LinkedRegs, syncLinkedRegs } from "../track/linked.js";
import { findPrevEntry, widenImpreciseScalars } from "../track/widen.js";
import { pushStack } from "../track/worklist.js";
import { markPtrOrNullRegs } from "./null-check.js";
import { isPktPtrBranchTaken, tryMatchPktPointers } from "./packet-range.js";
import { sanitizeSpeculativePath } from "./spec.js";

const { SCALAR_VALUE, PTR_TO_STACK, PTR_TO_BTF_ID } = RegType;

/**
 * Which way "1 opcode 2" goes: 1 taken, 0 not taken, -1 unknown. Mirrors is_branch_taken().
 */
export function isBranchTaken(
  env: VerifierEnv,
  m1: Int32Array,
  r1: number,
  m2: Int32Array,
  r2: number,
  opcode: number,
  isJmp32: boolean,
): number {
  if (m1[r1 + R_TYPE] === SCALAR_VALUE && m2[r2 + R_TYPE] === SCALAR_VALUE) {
    return isScalarBranchTaken(m1, r1, m2, r2, opcode, isJmp32);
  }
  if (!isJmp32 && regIsPktPointerAny(m1, r1) && regIsPktPointerAny(m2, r2)) {
    return isPktPtrBranchTaken(m1, r1, m2, r2, opcode);
  }
  // A pointer that is not NULL, compared with 0.
  if (isJmp32 && !env.rules.pointerHalfDecided) return -1;
  const second = isRegConst(m2, r2, isJmp32);
  const cm = second ? m2 : m1;
  const c = second ? r2 : r1;
  if (!second && !isRegConst(cm, c, isJmp32)) return -1;
  if (!regNotNull(env, second ? m1 : m2, second ? r1 : r2)) return -1;
  if ((cm[c + R_VAL_LO]! | (isJmp32 ? 0 : cm[c + R_VAL_HI]!)) !== 0) return -1;
  const op = second ? opcode : flipOpcode(opcode);
  if (op === BPF_JEQ) return 0;
  return op === BPF_JNE ? 1 : -1;
}

/** Operands of a comparison in both branches; a constant is not the same state in both. */
function regSetMinMax(
  env: VerifierEnv,
  yes1: Int32Array,
  yes2: Int32Array,
  y2: number,
  no1: Int32Array,
  no2: Int32Array,
  n2: number,
  d: number,
  opcode: number,
  isJmp32: boolean,
): number {
  if (no1[d + R_TYPE] !== SCALAR_VALUE || no2[n2 + R_TYPE] !== SCALAR_VALUE) return 0;
  regsRefineCondOp(no1, d, no2, n2, revOpcode(opcode), isJmp32);
  regBoundsSync(no1, d);
  regBoundsSync(no2, n2);
  regsRefineCondOp(yes1, d, yes2, y2, opcode, isJmp32);
  regBoundsSync(yes1, d);
  regBoundsSync(yes2, y2);
  let err = regBoundsSanityCheck(env, yes1, d, "true_reg1");
  if (err === 0) err = regBoundsSanityCheck(env, yes2, y2, "true_reg2");
  if (err === 0) err = regBoundsSanityCheck(env, no1, d, "false_reg1");
  if (err === 0) err = regBoundsSanityCheck(env, no2, n2, "false_reg2");
  return err;
}

/** may_goto: either way at the program's discretion, as often as the kernel allows at run time. */
function checkMayGoto(env: VerifierEnv, i: number): number {
  const { code, src, dst, imm, off } = env.insns;
  const nowhere = off[i] === 0 && !env.rules.mayGotoNext;
  if (code[i] !== (BPF_JMP | BPF_JCOND) || src[i] !== BPF_MAY_GOTO || dst[i] !== 0 || imm[i] !== 0 || nowhere) {
    verbose(env, `invalid may_goto ${env.rules.mayGotoNext ? "" : `off ${off[i]} `}imm ${imm[i]}\n`);
    return -Errno.EINVAL;
  }
  const parent = env.cur().parent;
  const prev = parent === null ? null : findPrevEntry(env, parent, i);
  const queued = pushStack(env, i + 1, i, false);
  if (typeof queued === "number") return env.rules.overflowTooBig ? queued : -Errno.ENOMEM;
  queued.mayGotoDepth++;
  if (prev !== null) widenImpreciseScalars(env, prev, queued);
  env.insnIdx += off[i]!;
  return 0;
}

/** Fields and registers of a conditional jump. */
function checkOperands(env: VerifierEnv, i: number): number {
  const dst = env.insns.dst[i]!;
  const src = env.insns.src[i]!;
  let err = checkRegArg(env, dst, SRC_OP);
  if (err !== 0) return err;
  const isReg = (env.insns.code[i]! & BPF_X) === BPF_X;
  if (isReg ? env.insns.imm[i] !== 0 : src !== R0) {
    verbose(env, "BPF_JMP/JMP32 uses reserved fields\n");
    return -Errno.EINVAL;
  }
  if (!isReg) return 0;
  err = checkRegArg(env, src, SRC_OP);
  if (err !== 0) return err;
  const mem = env.cur().cur().mem;
  const bothPkt = regIsPktPointerAny(mem, regAt(dst)) && regIsPktPointerAny(mem, regAt(src));
  if (!bothPkt && isPointerValue(env, src)) {
    verbose(env, `R${src} pointer comparison prohibited\n`);
    return -Errno.EACCES;
  }
  return 0;
}

/** The way is known: goes it, after marking what decided it. */
function followBranch(env: VerifierEnv, i: number, taken: boolean): number {
  const { dst, src, off, code } = env.insns;
  const state = env.cur();
  const mem = state.cur().mem;
  let err = 0;
  if (mem[regAt(dst[i]!) + R_TYPE] === SCALAR_VALUE) err = markChainPrecision(env, dst[i]!);
  if (err === 0 && (code[i]! & BPF_X) === BPF_X && mem[regAt(src[i]!) + R_TYPE] === SCALAR_VALUE) {
    err = markChainPrecision(env, src[i]!);
  }
  if (err !== 0) return err;
  if (!env.bypassSpecV1) {
    err = sanitizeSpeculativePath(env, i, taken ? i + 1 : i + off[i]! + 1, i);
    if (err < 0) return err;
  }
  if ((env.log.level & BPF_LOG_LEVEL) !== 0) printInsnState(env, state, state.curframe);
  if (taken) env.insnIdx += off[i]!;
  return 0;
}

/** Comparing two pointers for equality: one that is not NULL says so of the other. */
function propagateNotNull(env: VerifierEnv, i: number, fall: VerifierState, jump: VerifierState): void {
  const op = env.insns.code[i]! & 0xf0;
  if (op !== BPF_JEQ && op !== BPF_JNE) return;
  const mem = fall.cur().mem;
  const d = regAt(env.insns.dst[i]!);
  const s = regAt(env.insns.src[i]!);
  const dstType = mem[d + R_TYPE]!;
  const srcType = mem[s + R_TYPE]!;
  if (dstType === SCALAR_VALUE || srcType === SCALAR_VALUE || typeMayBeNull(dstType) === typeMayBeNull(srcType)) return;
  // A pointer to a kernel object may be NULL without the type saying so.
  if (baseType(dstType) === PTR_TO_BTF_ID || baseType(srcType) === PTR_TO_BTF_ID) return;
  if (!env.rules.notNullByType && !regNotNull(env, mem, typeMayBeNull(srcType) ? d : s)) return;
  const equal = op === BPF_JEQ ? jump : fall;
  markPtrNotNullReg(env, equal.cur().mem, typeMayBeNull(srcType) ? s : d);
}

const linked = new LinkedRegs();

/** Finds the scalars linked to either operand and leaves them to the jump history. */
function recordLinkedRegs(env: VerifierEnv, state: VerifierState, mem: Int32Array, d: number, s: number): number {
  linked.cnt = 0;
  if (s >= 0 && mem[s + R_TYPE] === SCALAR_VALUE && mem[s + R_ID] !== 0) {
    collectLinkedRegs(env, state, mem[s + R_ID]!, linked);
  }
  if (mem[d + R_TYPE] === SCALAR_VALUE && mem[d + R_ID] !== 0) {
    collectLinkedRegs(env, state, mem[d + R_ID]!, linked);
  }
  return linked.cnt > 1 ? pushJmpHistory(env, state, 0, linked.lo(), linked.hi()) : 0;
}

/** What is known of register `o` in both branches goes to the scalars linked to it. */
function syncBoth(env: VerifierEnv, fall: VerifierState, jump: VerifierState, o: number): void {
  const mem = fall.cur().mem;
  if (mem[o + R_TYPE] !== SCALAR_VALUE || mem[o + R_ID] === 0) return;
  const other = jump.cur().mem;
  if (mem[o + R_ID] !== other[o + R_ID]) return;
  syncLinkedRegs(env, fall, mem, o, linked);
  syncLinkedRegs(env, jump, other, o, linked);
}

/** Both ways are open: the jump is put aside, and both states learn from the comparison. */
function splitBranch(env: VerifierEnv, i: number, isJmp32: boolean): number {
  const { dst, src, off, imm } = env.insns;
  const code = env.insns.code[i]!;
  const opcode = code & 0xf0;
  const isReg = (code & BPF_X) === BPF_X;
  const fall = env.cur();
  const mem = fall.cur().mem;
  const d = regAt(dst[i]!);
  const s = isReg ? regAt(src[i]!) : -1;
  let err = recordLinkedRegs(env, fall, mem, d, s);
  if (err !== 0) return err;
  const jump = pushStack(env, i + off[i]! + 1, i, false);
  if (typeof jump === "number") return jump;
  const other = jump.cur().mem;
  const fake = env.fake;
  if (isReg) {
    err = regSetMinMax(env, other, other, s, mem, mem, s, d, opcode, isJmp32);
  } else {
    copyReg(fake, REG_WORDS, fake, 0);
    err = regSetMinMax(env, other, fake, 0, mem, fake, REG_WORDS, d, opcode, isJmp32);
  }
  if (err !== 0) return err;
  if (isReg) syncBoth(env, fall, jump, s);
  syncBoth(env, fall, jump, d);
  if (isReg && !isJmp32) propagateNotNull(env, i, fall, jump);

  const equality = opcode === BPF_JEQ || opcode === BPF_JNE;
  if (!isJmp32 && !isReg && imm[i] === 0 && equality && typeMayBeNull(mem[d + R_TYPE]!)) {
    markPtrOrNullRegs(env, fall, dst[i]!, opcode === BPF_JNE);
    markPtrOrNullRegs(env, jump, dst[i]!, opcode === BPF_JEQ);
  } else {
    const matched = isReg && !isJmp32 && tryMatchPktPointers(opcode, dst[i]!, src[i]!, fall, jump);
    if (!matched && isPointerValue(env, dst[i]!)) {
      verbose(env, `R${dst[i]} pointer comparison prohibited\n`);
      return -Errno.EACCES;
    }
  }
  if ((env.log.level & BPF_LOG_LEVEL) !== 0) printInsnState(env, fall, fall.curframe);
  return 0;
}

/**
 * Instruction `i`, a conditional jump: 0 or a negative errno. When the jump alone is taken,
 * `env.insnIdx` moves by its offset. Mirrors check_cond_jmp_op().
 */
export function checkCondJmpOp(env: VerifierEnv, i: number): number {
  const code = env.insns.code[i]!;
  const opcode = code & 0xf0;
  if (opcode === BPF_JA || opcode > BPF_JCOND) {
    verbose(env, `invalid BPF_JMP/JMP32 opcode ${opcode.toString(16)}\n`);
    return -Errno.EINVAL;
  }
  if (opcode === BPF_JCOND) return checkMayGoto(env, i);
  let err = checkOperands(env, i);
  if (err !== 0) return err;

  const state = env.cur();
  const mem = state.cur().mem;
  const isReg = (code & BPF_X) === BPF_X;
  const d = regAt(env.insns.dst[i]!);
  let srcMem = mem;
  let s = 0;
  let flags = mem[d + R_TYPE] === PTR_TO_STACK ? INSN_F_DST_REG_STACK : 0;
  if (isReg) {
    s = regAt(env.insns.src[i]!);
    if (mem[s + R_TYPE] === PTR_TO_STACK) flags |= INSN_F_SRC_REG_STACK;
  } else {
    const imm = env.insns.imm[i]!;
    srcMem = env.fake;
    srcMem[R_TYPE] = SCALAR_VALUE;
    markRegKnownRaw(srcMem, 0, imm, imm >> 31);
  }
  if (flags !== 0) {
    err = pushJmpHistory(env, state, flags, 0, 0);
    if (err !== 0) return err;
  }
  const isJmp32 = (code & 0x07) === BPF_JMP32;
  const taken = isBranchTaken(env, mem, d, srcMem, s, opcode, isJmp32);
  return taken >= 0 ? followBranch(env, i, taken === 1) : splitBranch(env, i, isJmp32);
}
