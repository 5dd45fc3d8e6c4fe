// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import type { VerifierEnv } from "../env.js";

/** Index of the subprogram that holds instruction `off`; -1 when there is none. Mirrors bpf_find_containing_subprog(). */
export function bpfFindContainingSubprog(env: VerifierEnv, off: number): number {
  if (off >= env.insns.len || off < 0 || env.subprogCnt === 0) return -1;
  let l = 0;
  let r = env.subprogCnt - 1;
  while (l < r) {
    const m = l + ((r - l + 1) >> 1);
    if (env.subprogs[m]!.start <= off) l = m;
    else r = m - 1;
  }
  return l;
}

/** Index of the subprogram that starts at `off`, or -ENOENT. Mirrors find_subprog(). */
export function findSubprog(env: VerifierEnv, off: number): number {
  const i = bpfFindContainingSubprog(env, off);
  return i < 0 || env.subprogs[i]!.start !== off ? -Errno.ENOENT : i;
}

/** Mirrors subprog_is_global(). */
export function subprogIsGlobal(env: VerifierEnv, subprog: number): boolean {
  return env.subprogs[subprog]!.isGlobal;
}

/** The function's name, empty without function information. Mirrors subprog_name(). */
export function subprogName(env: VerifierEnv, subprog: number): string {
  return env.subprogs[subprog]!.name;
}
