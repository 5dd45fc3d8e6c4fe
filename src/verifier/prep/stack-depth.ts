// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import { ProgType } from "../../kernel/uapi.js";
import { type VerifierEnv, verbose } from "../env.js";
import { bpfPseudoCall, bpfPseudoFunc } from "../kinds/insn.js";
import { findSubprog } from "../state/subprog.js";

/* How deep the stack gets along every chain of calls. */

/* enum priv_stack_mode. */
const PRIV_STACK_UNKNOWN = 0;
const NO_PRIV_STACK = 1;
const PRIV_STACK_ADAPTIVE = 2;

/** Bytes from which a stack of its own pays. */
const PRIV_STACK_MIN_SIZE = 64;

/** No errno. */
const AT_END = -0x10000;

/** As the JIT lays frames out. Mirrors round_up_stack_depth(). */
function roundUp(depth: number): number {
  return (depth + 15) & ~15;
}

/** Spills and fills around calls that keep registers take no stack. Mirrors remove_fastcall_spills_fills() as far as depth goes. */
export function removeFastcallSpillsFills(env: VerifierEnv): number {
  let modified = false;
  let s = 0;
  for (let i = 0; i < env.insns.len; i++) {
    if (env.aux.fastcallSpillsNum[i]! > 0) modified = true;
    if (env.subprogs[s + 1]!.start !== i + 1) continue;
    const subprog = env.subprogs[s]!;
    if (modified && !subprog.keepFastcallStack) subprog.stackDepth = 0 - subprog.fastcallStackOff;
    modified = false;
    s++;
  }
  return 0;
}

/** Mirrors bpf_enable_priv_stack(). */
function enablePrivStack(env: VerifierEnv): number {
  if (!env.switches.privateStack) return NO_PRIV_STACK;
  switch (env.load.progType) {
    case ProgType.KPROBE:
    case ProgType.TRACEPOINT:
    case ProgType.PERF_EVENT:
    case ProgType.RAW_TRACEPOINT:
      return PRIV_STACK_ADAPTIVE;
    default:
      return NO_PRIV_STACK;
  }
}

/** One walk down the calls of a function. */
class DepthWalk {
  private readonly env: VerifierEnv;
  private readonly priv: boolean;
  private readonly retInsn: number[] = [];
  private readonly retProg: number[] = [];
  private depth = 0;
  private tailCallReachable = false;

  constructor(env: VerifierEnv, priv: boolean) {
    this.env = env;
    this.priv = priv;
  }

  /** Adds the frame of function `idx`. */
  private enter(idx: number): number {
    const { env } = this;
    const subprog = env.subprogs[idx]!;
    if (!this.priv) subprog.privStackMode = NO_PRIV_STACK;
    if (env.rules.classicLoadsOutsideCallbacks && subprog.hasLdAbs) {
      if (subprog.isCb || this.retProg.some((caller) => env.subprogs[caller]!.isCb)) {
        verbose(env, "cannot use BPF_LD_[ABS|IND] within callback\n");
        return -Errno.EINVAL;
      }
    }
    if (idx !== 0 && subprog.hasTailCall && this.depth >= 256) {
      verbose(env, `tail_calls are not allowed when call stack of previous frames is ${this.depth} bytes. Too large\n`);
      return -Errno.EACCES;
    }
    const own = roundUp(subprog.stackDepth);
    if (this.priv && subprog.privStackMode === PRIV_STACK_UNKNOWN && own >= PRIV_STACK_MIN_SIZE) {
      subprog.privStackMode = PRIV_STACK_ADAPTIVE;
    }
    if (subprog.privStackMode === PRIV_STACK_ADAPTIVE) {
      if (own <= Limit.MAX_BPF_STACK) return 0;
      verbose(env, `stack size of subprog ${idx} is ${own}. Too large\n`);
      return -Errno.EACCES;
    }
    this.depth += own;
    if (this.depth <= Limit.MAX_BPF_STACK) return 0;
    verbose(env, `combined stack size of ${this.retProg.length + 1} calls is ${this.depth}. Too large\n`);
    return -Errno.EACCES;
  }

  /**
   * The next function called from instruction `i` on, with where to return to remembered; AT_END at the
   * function's end, or a negative errno.
   */
  private nextCallee(i: number, idx: number): number {
    const { insns, subprogs } = this.env;
    for (; i < subprogs[idx + 1]!.start; i++) {
      const isCall = bpfPseudoCall(insns, i);
      if (!isCall && !bpfPseudoFunc(insns, i)) continue;
      const callee = findSubprog(this.env, i + insns.imm[i]! + 1);
      // Callbacks that run later have a stack of their own unless they are called outright.
      if (subprogs[callee]!.isAsyncCb) {
        if (subprogs[callee]!.hasTailCall) {
          verbose(this.env, "verifier bug: subprog has tail_call and async cb\n");
          return -Errno.EFAULT;
        }
        if (!isCall) continue;
      }
      this.retInsn.push(i + 1);
      this.retProg.push(idx);
      if (subprogs[callee]!.isExceptionCb) {
        verbose(this.env, `insn ${i} cannot call exception cb directly`);
        return -Errno.EINVAL;
      }
      return callee;
    }
    return AT_END;
  }

  /** Every caller on the way can come to a tail call. */
  private markTailCalls(): number {
    for (const caller of this.retProg) {
      const subprog = this.env.subprogs[caller]!;
      if (subprog.isExceptionCb) {
        verbose(this.env, "cannot tail call within exception cb\n");
        return -Errno.EINVAL;
      }
      subprog.tailCallReachable = true;
    }
    return 0;
  }

  /** Mirrors check_max_stack_depth_subprog(). */
  run(start: number): number {
    const { env } = this;
    let idx = start;
    let i = env.subprogs[idx]!.start;
    let err = this.enter(idx);
    while (err === 0) {
      const callee = this.nextCallee(i, idx);
      if (callee >= 0) {
        idx = callee;
        i = env.subprogs[idx]!.start;
        if (!this.priv) env.subprogs[idx]!.privStackMode = NO_PRIV_STACK;
        if (env.subprogs[idx]!.hasTailCall) this.tailCallReachable = true;
        if (this.retProg.length >= Limit.MAX_CALL_FRAMES) {
          verbose(env, `the call stack of ${this.retProg.length} frames is too deep !\n`);
          return -Errno.E2BIG;
        }
        err = this.enter(idx);
        continue;
      }
      if (callee !== AT_END) return callee;
      if (this.tailCallReachable) err = this.markTailCalls();
      if (err !== 0) return err;
      if (this.retProg.length === 0) return 0;
      if (env.subprogs[idx]!.privStackMode !== PRIV_STACK_ADAPTIVE) {
        this.depth -= roundUp(env.subprogs[idx]!.stackDepth);
      }
      i = this.retInsn.pop()!;
      idx = this.retProg.pop()!;
    }
    return err;
  }
}

/** Mirrors check_max_stack_depth(). */
export function checkMaxStackDepth(env: VerifierEnv): number {
  const hasTailCall = env.subprogs.some((s) => s.hasTailCall);
  const mode = hasTailCall ? NO_PRIV_STACK : enablePrivStack(env);
  for (let i = env.subprogCnt - 1; i >= 0; i--) {
    if (i !== 0 && !env.subprogs[i]!.isAsyncCb) continue;
    const err = new DepthWalk(env, i === 0 && mode === PRIV_STACK_ADAPTIVE).run(i);
    if (err < 0) return err;
  }
  return 0;
}
