// SPDX-License-Identifier: GPL-2.0-only
import { BPF_CALL, BPF_JMP, BPF_LDX, BPF_MEMSX } from "../../asm/opcode.js";
import { RegType } from "../../kernel/bpf-types.js";
import { isBpfTcpSockUpperHalf } from "../../kernel/ctx/sock.js";
import { Errno } from "../../kernel/errno.js";
import { helperByName } from "../../kernel/helpers/index.js";
import { LOOP_FITS, type VerifierEnv, verbose } from "../env.js";
import { isMayGotoInsn } from "../kinds/insn.js";

/*
 * What the rewrites of an accepted program check, and what they do to the depths of its functions' stacks. The rewrites
 * themselves are not made.
 */

const FUNC_TAIL_CALL = helperByName("tail_call")!;
const FUNC_LOOP = helperByName("loop")!;
/** R6–R8, which the loop needs that bpf_loop() becomes. */
const LOOP_SPILLS = 3 * 8;
/** Bytes for may_goto's budget. */
const MAY_GOTO_SLOT = 8;
/** The same with a time stamp. */
const TIMED_MAY_GOTO_SLOTS = 16;

/** Mirrors the depths of optimize_bpf_loop(). */
export function optimizeBpfLoop(env: VerifierEnv): number {
  const { insns, aux } = env;
  for (let s = 0; s < env.subprogCnt; s++) {
    const subprog = env.subprogs[s]!;
    for (let i = subprog.start; i < env.subprogs[s + 1]!.start; i++) {
      if (insns.code[i] !== (BPF_JMP | BPF_CALL) || insns.src[i] !== 0 || insns.imm[i] !== FUNC_LOOP) continue;
      if (aux.loopInline[i] !== LOOP_FITS) continue;
      subprog.stackDepth = ((subprog.stackDepth + 7) & ~7) + LOOP_SPILLS;
      break;
    }
  }
  return 0;
}

/** Functions that no path reached are no more. Mirrors opt_remove_dead_code() as far as whole functions go. */
export function removeDeadSubprogs(env: VerifierEnv): number {
  if (!env.bpfCapable) return 0;
  for (let s = 1; s < env.subprogCnt; s++) {
    const subprog = env.subprogs[s]!;
    subprog.removed = true;
    for (let i = subprog.start; i < env.subprogs[s + 1]!.start; i++) if (env.aux.seen[i] !== 0) subprog.removed = false;
  }
  return 0;
}

function isSignedLoad(code: number): boolean {
  return (code & 0xe7) === (BPF_LDX | BPF_MEMSX);
}

/**
 * Accesses that pass the check but that nothing translates: reads of the upper half of the two 8-byte fields of struct
 * bpf_tcp_sock, and on JITs that cannot do them, sign-extending loads from an arena. Mirrors the failures of
 * convert_ctx_accesses() that a program can bring about.
 */
export function convertCtxAccesses(env: VerifierEnv): number {
  const { insns, aux } = env;
  for (let i = 0; i < insns.len; i++) {
    const type = aux.ptrType[i];
    if (aux.seen[i] === 0) continue;
    if (type === RegType.PTR_TO_TCP_SOCK && isBpfTcpSockUpperHalf(insns.off[i]!)) {
      verbose(env, "verifier bug: error during ctx access conversion (0)\n");
      return -Errno.EFAULT;
    }
    if (type === RegType.PTR_TO_ARENA && isSignedLoad(insns.code[i]!) && !env.switches.arenaSignExtend) {
      verbose(env, "sign extending loads from arena are not supported yet\n");
      return -Errno.EOPNOTSUPP;
    }
  }
  return 0;
}

/**
 * Where speculation is guarded against, a tail call's index is masked by the size of its map: there
 * must be one. Mirrors the check of do_misc_fixups(); maps count as made with the program's capabilities.
 */
export function checkTailCallMaps(env: VerifierEnv): number {
  if (env.bypassSpecV1) return 0;
  for (let i = 0; i < env.insns.len; i++) {
    if (env.aux.callMapPoison[i] === 0 || env.insns.imm[i] !== FUNC_TAIL_CALL) continue;
    verbose(env, "tail_call abusing map_ptr\n");
    return -Errno.EINVAL;
  }
  return 0;
}

/** Mirrors the depths of do_misc_fixups(). */
export function addMayGotoSlots(env: VerifierEnv): number {
  for (let s = 0; s < env.subprogCnt; s++) {
    const subprog = env.subprogs[s]!;
    for (let i = subprog.start; i < env.subprogs[s + 1]!.start; i++) {
      if (!isMayGotoInsn(env.insns, i) || env.aux.seen[i] === 0 || env.insns.off[i] === 0) continue;
      subprog.stackDepth += env.switches.timedMayGoto ? TIMED_MAY_GOTO_SLOTS : MAY_GOTO_SLOT;
      break;
    }
  }
  return 0;
}
