// SPDX-License-Identifier: GPL-2.0-only
import { BPF_ABS, BPF_CALL, BPF_EXIT, BPF_IND, BPF_JA, BPF_JMP, BPF_JMP32, BPF_LD } from "../../asm/opcode.js";
import { Errno } from "../../kernel/errno.js";
import { helperByName } from "../../kernel/helpers/index.js";
import { Limit } from "../../kernel/limits.js";
import { SubprogInfo, Unsupported, type VerifierEnv, verbose } from "../env.js";
import { bpfHelperCall, bpfJmpOffset, bpfPseudoCall, bpfPseudoFunc, bpfPseudoKfuncCall } from "../kinds/insn.js";
import { BPF_LOG_LEVEL2 } from "../log.js";
import { findSubprog } from "../state/subprog.js";
import { findExceptionCallback } from "./btf-info.js";

/* Where the program's functions begin and end. */

const FUNC_TAIL_CALL = helperByName("tail_call")!;

/** A function begins at `off`: its index, or a negative errno. Mirrors add_subprog(). */
function addSubprog(env: VerifierEnv, off: number): number {
  if (off >= env.insns.len || off < 0) {
    verbose(env, "call to invalid destination\n");
    return -Errno.EINVAL;
  }
  const known = findSubprog(env, off);
  if (known >= 0) return known;
  if (env.subprogCnt >= Limit.BPF_MAX_SUBPROGS) {
    verbose(env, "too many subprograms\n");
    return -Errno.E2BIG;
  }
  let at = env.subprogCnt;
  while (at > 0 && env.subprogs[at - 1]!.start > off) at--;
  env.subprogs.splice(at, 0, new SubprogInfo(off));
  env.subprogCnt++;
  return env.subprogCnt - 1;
}

/** The handler of exceptions is a function whether it is called or not, and counts as a callback that runs later. */
function addExceptionCallback(env: VerifierEnv): number {
  const start = findExceptionCallback(env);
  if (start <= 0) return start;
  const err = addSubprog(env, start);
  if (err < 0) return err;
  const index = findSubprog(env, start);
  const subprog = env.subprogs[index]!;
  env.exceptionCallbackSubprog = index;
  subprog.isCb = true;
  subprog.isAsyncCb = true;
  subprog.isExceptionCb = true;
  return 0;
}

/** Finds the functions by the calls and address loads that name them. Mirrors add_subprog_and_kfunc(). */
export function addSubprogAndKfunc(env: VerifierEnv): number {
  const { insns } = env;
  const err = addSubprog(env, 0);
  if (err < 0) return err;
  for (let i = 0; i < insns.len; i++) {
    const isKfunc = bpfPseudoKfuncCall(insns, i);
    if (!isKfunc && !bpfPseudoFunc(insns, i) && !bpfPseudoCall(insns, i)) continue;
    if (!env.bpfCapable) {
      verbose(env, "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN\n");
      return -Errno.EPERM;
    }
    if (isKfunc) throw new Unsupported(i, "kfunc call");
    const ret = addSubprog(env, i + insns.imm[i]! + 1);
    if (ret < 0) return ret;
  }
  const handlerErr = addExceptionCallback(env);
  if (handlerErr < 0) return handlerErr;
  env.subprogs[env.subprogCnt] = new SubprogInfo(insns.len);
  if ((env.log.level & BPF_LOG_LEVEL2) !== 0) {
    for (let i = 0; i < env.subprogCnt; i++) verbose(env, `func#${i} @${env.subprogs[i]!.start}\n`);
  }
  return 0;
}

/** No jump leaves its function, and none runs into the next. Mirrors check_subprogs(). */
export function checkSubprogs(env: VerifierEnv): number {
  const { insns, subprogs } = env;
  let cur = 0;
  let start = subprogs[0]!.start;
  let end = subprogs[1]!.start;
  for (let i = 0; i < insns.len; i++) {
    const code = insns.code[i]!;
    const cls = code & 7;
    if (bpfHelperCall(insns, i) && insns.imm[i] === FUNC_TAIL_CALL) {
      subprogs[cur]!.hasTailCall = true;
      subprogs[cur]!.tailCallReachable = true;
    }
    if (cls === BPF_LD && ((code & 0xe0) === BPF_ABS || (code & 0xe0) === BPF_IND)) subprogs[cur]!.hasLdAbs = true;
    if ((cls === BPF_JMP || cls === BPF_JMP32) && (code & 0xf0) !== BPF_CALL) {
      if ((code & 0xf0) === BPF_EXIT) {
        subprogs[cur]!.exitIdx = i;
      } else {
        const off = i + bpfJmpOffset(insns, i) + 1;
        if (off < start || off >= end) {
          verbose(env, `jump out of range from insn ${i} to ${off}\n`);
          return -Errno.EINVAL;
        }
      }
    }
    if (i === end - 1) {
      if (code !== (BPF_JMP | BPF_EXIT) && code !== (BPF_JMP32 | BPF_JA) && code !== (BPF_JMP | BPF_JA)) {
        verbose(env, "last insn is not an exit or jmp\n");
        return -Errno.EINVAL;
      }
      start = end;
      cur++;
      if (cur < env.subprogCnt) end = subprogs[cur + 1]!.start;
    }
  }
  return 0;
}
