// SPDX-License-Identifier: GPL-2.0-only
import { BPF_ABS, BPF_DW, BPF_IND, R0, R6 } from "../../asm/opcode.js";
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { ProgType } from "../../kernel/uapi.js";
import { prepareFuncExit } from "../call/func-exit.js";
import { checkResourceLeak } from "../call/resource-leak.js";
import { type VerifierEnv, verbose } from "../env.js";
import { checkPtrOffReg } from "../mem/ptr-off.js";
import {
  checkRegArg,
  clearCallerSavedRegs,
  markRegKnownZero,
  markRegScratched,
  markRegUnknown,
  SRC_OP,
} from "../state/mark.js";
import { R_SUBREG_DEF, R_TYPE, regAt } from "../state/reg.js";
import type { VerifierState } from "../state/vstate.js";
import { pushStack } from "../track/worklist.js";

/** Mirrors may_access_skb(). */
function mayAccessSkb(progType: number): boolean {
  return progType === ProgType.SOCKET_FILTER || progType === ProgType.SCHED_CLS || progType === ProgType.SCHED_ACT;
}

function inCallback(state: VerifierState): boolean {
  for (let i = state.curframe; i > 0; i--) if (state.frame[i]!.inCallbackFn) return true;
  return false;
}

/** Program type, fields and registers of the instruction. */
function checkLdAbsOperands(env: VerifierEnv, i: number): number {
  const code = env.insns.code[i]!;
  const state = env.cur();
  if (!mayAccessSkb(env.load.progType)) {
    verbose(env, "BPF_LD_[ABS|IND] instructions not allowed for this program type\n");
    return -Errno.EINVAL;
  }
  if (env.rules.classicLoadsOutsideCallbacks && inCallback(state)) {
    verbose(env, "cannot use BPF_LD_[ABS|IND] within callback\n");
    return -Errno.EINVAL;
  }
  if (
    env.insns.dst[i] !== R0 ||
    env.insns.off[i] !== 0 ||
    (code & BPF_DW) === BPF_DW ||
    ((code & 0xe0) === BPF_ABS && env.insns.src[i] !== R0)
  ) {
    verbose(env, "BPF_LD_[ABS|IND] uses reserved fields\n");
    return -Errno.EINVAL;
  }
  let err = checkRegArg(env, R6, SRC_OP);
  if (err !== 0) return err;
  err = checkResourceLeak(env, false, true, "BPF_LD_[ABS|IND]");
  if (err !== 0) return err;
  const mem = state.cur().mem;
  if (mem[regAt(R6) + R_TYPE] !== RegType.PTR_TO_CTX) {
    verbose(env, "at the time of BPF_LD_ABS|IND R6 != pointer to skb\n");
    return -Errno.EINVAL;
  }
  if ((code & 0xe0) === BPF_IND) {
    err = checkRegArg(env, env.insns.src[i]!, SRC_OP);
    if (err !== 0) return err;
  }
  return checkPtrOffReg(env, mem, regAt(R6), R6);
}

/**
 * A load from outside the packet leaves the function with 0: in a subprogram its caller goes on with
 * that. The path where the load succeeds is put aside.
 */
function exitSubprog(env: VerifierEnv): number {
  markRegScratched(env, R0);
  const branch = pushStack(env, env.insnIdx + 1, env.insnIdx, false);
  if (typeof branch === "number") return branch;
  markRegKnownZero(env, env.cur().cur().mem, R0);
  const err = prepareFuncExit(env);
  if (err !== 0) return err;
  env.insnIdx--;
  return 0;
}

/** Instruction `i`, a classic packet load. Mirrors check_ld_abs(). */
export function checkLdAbs(env: VerifierEnv, i: number): number {
  const err = checkLdAbsOperands(env, i);
  if (err < 0) return err;
  const mem = env.cur().cur().mem;
  clearCallerSavedRegs(env, mem);
  markRegUnknown(env, mem, R0);
  mem[regAt(R0) + R_SUBREG_DEF] = env.insnIdx + 1;
  return env.cur().curframe > 0 ? exitSubprog(env) : 0;
}
