// SPDX-License-Identifier: GPL-2.0-only
import {
  BPF_ABS,
  BPF_ALU,
  BPF_ALU64,
  BPF_ATOMIC,
  BPF_CALL,
  BPF_EXIT,
  BPF_HELPER_CALL,
  BPF_IMM,
  BPF_IND,
  BPF_JA,
  BPF_JMP,
  BPF_JMP32,
  BPF_K,
  BPF_LD,
  BPF_LDX,
  BPF_MEM,
  BPF_MEMSX,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_ST,
  BPF_STX,
  R0,
} from "../../asm/opcode.js";
import { Errno } from "../../kernel/errno.js";
import { helperByName } from "../../kernel/helpers/index.js";
import { Limit } from "../../kernel/limits.js";
import { prepareFuncExit } from "../call/func-exit.js";
import { checkHelperCall } from "../call/helper.js";
import { checkResourceLeak } from "../call/resource-leak.js";
import { checkReturnCode } from "../call/return-code.js";
import { checkFuncCall } from "../call/subprog.js";
import { Unsupported, type VerifierEnv, verbose } from "../env.js";
import { checkAluOp } from "../insn/alu.js";
import { checkCondJmpOp } from "../insn/jump.js";
import { checkLdAbs } from "../insn/ld-abs.js";
import { checkLdImm } from "../insn/ld-imm.js";
import { sanitizeMarkInsnSeen } from "../insn/spec.js";
import { BPF_WRITE } from "../kinds/access.js";
import { BPF_LOG_LEVEL2 } from "../log.js";
import { checkLoadMem, checkMemAccess, checkStoreReg } from "../mem/access.js";
import { checkAtomic } from "../mem/atomic.js";
import { saveAuxPtrType } from "../mem/aux-type.js";
import { reportEnter, reportSafe, reportStep } from "../report/steps.js";
import { checkRegArg, markRegScratched, markVerifierStateScratched, SRC_OP } from "../state/mark.js";
import { R_TYPE, regAt } from "../state/reg.js";
import { pushJmpHistory } from "../track/history.js";
import { bpfCommitStackWriteMarks, bpfResetStackWriteMarks, bpfUpdateLiveStack } from "../track/liveness.js";
import { popStack } from "../track/worklist.js";
import { updateBranchCounts } from "./branches.js";
import { isStateVisited } from "./visited.js";

/* The main loop: one instruction after the other, one path after the other. */

const FUNC_SPIN_UNLOCK = helperByName("spin_unlock")!;

/** What {@link doCheckInsn} says when the path ends here. */
const PROCESS_BPF_EXIT = 1;

/** Mirrors process_bpf_exit_full(). */
function processBpfExit(env: VerifierEnv): number {
  let err = checkResourceLeak(env, false, env.cur().curframe === 0, "BPF_EXIT instruction in main prog");
  if (err !== 0) return err;
  if (env.cur().curframe !== 0) {
    err = prepareFuncExit(env);
    if (err !== 0) return err;
    env.doPrintState = true;
    return 0;
  }
  err = checkReturnCode(env, R0, "R0");
  return err !== 0 ? err : PROCESS_BPF_EXIT;
}

function reserved(env: VerifierEnv, what: string): number {
  verbose(env, `${what} uses reserved fields\n`);
  return -Errno.EINVAL;
}

function checkCall(env: VerifierEnv, i: number, code: number): number {
  const { insns } = env;
  const src = insns.src[i]!;
  if (
    (code & 8) !== BPF_K ||
    (src !== BPF_PSEUDO_KFUNC_CALL && insns.off[i] !== 0) ||
    src > BPF_PSEUDO_KFUNC_CALL ||
    insns.dst[i] !== 0 ||
    (code & 7) === BPF_JMP32
  ) {
    return reserved(env, "BPF_CALL");
  }
  if (src === BPF_PSEUDO_KFUNC_CALL) throw new Unsupported(i, "kfunc call");
  if (env.cur().activeLocks !== 0 && src === BPF_HELPER_CALL && insns.imm[i] !== FUNC_SPIN_UNLOCK) {
    verbose(env, "function calls are not allowed while holding a lock\n");
    return -Errno.EINVAL;
  }
  const err = src === BPF_PSEUDO_CALL ? checkFuncCall(env) : checkHelperCall(env);
  if (err !== 0) return err;
  markRegScratched(env, R0);
  env.insnIdx++;
  return 0;
}

function checkJump(env: VerifierEnv, i: number, code: number): number {
  const { insns } = env;
  const cls = code & 7;
  env.jmpsProcessed++;
  switch (code & 0xf0) {
    case BPF_CALL:
      return checkCall(env, i, code);
    case BPF_JA:
      if (
        (code & 8) !== BPF_K ||
        (insns.src[i]! | insns.dst[i]!) !== 0 ||
        (cls === BPF_JMP ? insns.imm[i] !== 0 : insns.off[i] !== 0)
      ) {
        return reserved(env, "BPF_JA");
      }
      env.insnIdx += (cls === BPF_JMP ? insns.off[i]! : insns.imm[i]!) + 1;
      return 0;
    case BPF_EXIT:
      if ((code & 8) !== BPF_K || (insns.imm[i]! | insns.src[i]! | insns.dst[i]!) !== 0 || cls === BPF_JMP32) {
        return reserved(env, "BPF_EXIT");
      }
      return processBpfExit(env);
    default: {
      const err = checkCondJmpOp(env, i);
      if (err !== 0) return err;
      env.insnIdx++;
      return 0;
    }
  }
}

/** A store of an immediate. */
function checkSt(env: VerifierEnv, i: number, code: number): number {
  const dst = env.insns.dst[i]!;
  if ((code & 0xe0) !== BPF_MEM || env.insns.src[i] !== 0) return reserved(env, "BPF_ST");
  let err = checkRegArg(env, dst, SRC_OP);
  if (err !== 0) return err;
  const type = env.cur().cur().mem[regAt(dst) + R_TYPE]!;
  err = checkMemAccess(env, i, dst, env.insns.off[i]!, code & 0x18, BPF_WRITE, -1, false, false);
  if (err !== 0) return err;
  err = saveAuxPtrType(env, type, false);
  if (err !== 0) return err;
  env.insnIdx++;
  return 0;
}

/** A store of a register, or an atomic operation. */
function checkStx(env: VerifierEnv, i: number, code: number): number {
  const mode = code & 0xe0;
  if (mode !== BPF_ATOMIC && (mode !== BPF_MEM || env.insns.imm[i] !== 0)) return reserved(env, "BPF_STX");
  const err = mode === BPF_ATOMIC ? checkAtomic(env) : checkStoreReg(env, false);
  if (err !== 0) return err;
  env.insnIdx++;
  return 0;
}

function checkLd(env: VerifierEnv, i: number, code: number): number {
  const mode = code & 0xe0;
  if (mode === BPF_IMM) {
    const err = checkLdImm(env, i);
    if (err !== 0) return err;
    env.insnIdx++;
    sanitizeMarkInsnSeen(env);
  } else if (mode === BPF_ABS || mode === BPF_IND) {
    const err = checkLdAbs(env, i);
    if (err !== 0) return err;
  } else {
    verbose(env, "invalid BPF_LD mode\n");
    return -Errno.EINVAL;
  }
  env.insnIdx++;
  return 0;
}

/** Checks the instruction at `env.insnIdx` and moves on. Mirrors do_check_insn(). */
function doCheckInsn(env: VerifierEnv): number {
  const i = env.insnIdx;
  const code = env.insns.code[i]!;
  switch (code & 7) {
    case BPF_ALU:
    case BPF_ALU64: {
      const err = checkAluOp(env, i);
      if (err !== 0) return err;
      env.insnIdx++;
      return 0;
    }
    case BPF_LDX: {
      const err = checkLoadMem(env, false, (code & 0xe0) === BPF_MEMSX, true, "ldx");
      if (err !== 0) return err;
      env.insnIdx++;
      return 0;
    }
    case BPF_STX:
      return checkStx(env, i, code);
    case BPF_ST:
      return checkSt(env, i, code);
    case BPF_JMP:
    case BPF_JMP32:
      return checkJump(env, i, code);
    case BPF_LD:
      return checkLd(env, i, code);
    default:
      verbose(env, `unknown insn class ${code & 7}\n`);
      return -Errno.EINVAL;
  }
}

/** Errors that a fence in front of the instruction undoes when only speculation gets there. Mirrors error_recoverable_with_nospec(). */
function errorRecoverableWithNospec(err: number): boolean {
  return err === -Errno.EPERM || err === -Errno.EACCES || err === -Errno.EINVAL;
}

/** The path ends, for the CPU does not run past here before it knows better. */
function fence(env: VerifierEnv): number {
  if (env.tracer !== null) env.tracer.fence();
  return PROCESS_BPF_EXIT;
}

/** Checks one instruction: 0 to go on, PROCESS_BPF_EXIT at the end of the path, or a negative errno. */
function step(env: VerifierEnv): number {
  const state = env.cur();
  const { aux } = env;
  const i = env.insnIdx;
  if (++env.insnProcessed > env.insnBudget) {
    throw new Unsupported(env.insnIdx, `more than ${env.insnBudget} instructions to check`);
  }
  if (env.insnProcessed > Limit.BPF_COMPLEXITY_LIMIT_INSNS) {
    verbose(env, `BPF program is too large. Processed ${env.insnProcessed} insn\n`);
    return -Errno.E2BIG;
  }
  state.lastInsnIdx = env.prevInsnIdx;
  state.insnIdx = i;
  if (env.watched) reportEnter(env, i);
  if (aux.prunePoint[i] !== 0) {
    const visited = isStateVisited(env, i);
    if (visited < 0) return visited;
    if (visited === 1) {
      reportSafe(env);
      return PROCESS_BPF_EXIT;
    }
  }
  if (aux.jmpPoint[i] !== 0) pushJmpHistory(env, state, 0, 0, 0);
  if (env.log.level !== 0) reportStep(env);
  sanitizeMarkInsnSeen(env);
  // Beyond a fence there is no speculation.
  if (state.speculative && aux.nospec[i] !== 0) return fence(env);

  bpfResetStackWriteMarks(env, i);
  const err = doCheckInsn(env);
  if (err === 0) {
    bpfCommitStackWriteMarks(env);
    return state.speculative && aux.nospecResult[i] !== 0 && env.rules.speculationFences ? fence(env) : 0;
  }
  if (err > 0) {
    bpfCommitStackWriteMarks(env);
    return err;
  }
  if (errorRecoverableWithNospec(err)) {
    bpfCommitStackWriteMarks(env);
    if (state.speculative && env.rules.speculationFences) {
      aux.nospec[i] = 1;
      aux.aluState[i] = 0;
      return fence(env);
    }
  }
  return err;
}

/** Explores every path from the current state. Mirrors do_check(). */
export function doCheck(env: VerifierEnv): number {
  const popLog = (env.log.level & BPF_LOG_LEVEL2) === 0;
  const { tracer } = env;
  let prevInsnIdx = -1;
  env.doPrintState = false;
  for (;;) {
    env.curHistEnt = -1;
    env.prevInsnIdx = prevInsnIdx;
    const i = env.insnIdx;
    if (i >= env.insns.len) {
      verbose(env, `invalid insn idx ${i} insn_cnt ${env.insns.len}\n`);
      return -Errno.EFAULT;
    }
    const result = step(env);
    if (result < 0) return result;
    prevInsnIdx = i;
    if (result === 0) {
      if (tracer !== null) tracer.leave(i);
      continue;
    }
    if (tracer !== null) tracer.end(i);
    markVerifierStateScratched(env);
    const err = updateBranchCounts(env, env.cur());
    if (err !== 0) return err;
    bpfUpdateLiveStack(env);
    if (!popStack(env, popLog)) return 0;
    prevInsnIdx = env.prevInsnIdx;
    env.doPrintState = true;
  }
}
