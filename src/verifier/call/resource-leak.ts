// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { REF_TYPE_PTR } from "../state/vstate.js";

/** Whether the program ends with references still held; functions that return leave them to their caller. Mirrors check_reference_leak(). */
function checkReferenceLeak(env: VerifierEnv, exceptionExit: boolean): number {
  const state = env.cur();
  const { frameno, inCallbackFn } = state.cur();
  const ownOnly = !exceptionExit && inCallbackFn && !env.rules.sharedReferences;
  if (!exceptionExit && frameno !== 0 && !ownOnly) return 0;
  let lingering = false;
  for (const ref of state.refs) {
    if (ref.type !== REF_TYPE_PTR || (ownOnly && ref.callbackRef !== frameno)) continue;
    verbose(env, `Unreleased reference id=${ref.id} alloc_insn=${ref.insnIdx}\n`);
    lingering = true;
  }
  return lingering ? -Errno.EINVAL : 0;
}

/** As {@link checkResourceLeak}, in the words of kernels that had a check at each exit. */
function checkUnnamedLeak(env: VerifierEnv, exceptionExit: boolean, checkLock: boolean, prefix: string): number {
  const atExit = prefix.startsWith("BPF_EXIT");
  const region = (lock: string): number => {
    verbose(
      env,
      atExit
        ? `${lock.replace(/_lock$/, "_unlock")} is missing\n`
        : `${prefix} cannot be used inside ${lock}-ed region\n`,
    );
    return -Errno.EINVAL;
  };
  const state = env.cur();
  if (checkLock && state.activeLocks !== 0) return region("bpf_spin_lock");
  if (atExit && checkLock && state.activeRcuLock !== 0) return region("bpf_rcu_read_lock");
  const err = checkReferenceLeak(env, exceptionExit);
  if (err !== 0) {
    if (prefix === "tail_call") verbose(env, "tail_call would lead to reference leak\n");
    else if (!atExit) verbose(env, `${prefix} cannot be mixed with socket references\n`);
    return err;
  }
  if (!checkLock) return 0;
  if (state.activeRcuLock !== 0) return region("bpf_rcu_read_lock");
  if (state.activePreemptLocks === 0) return 0;
  if (!atExit) return region("bpf_preempt_disable");
  const n = state.activePreemptLocks;
  verbose(env, `${n} bpf_preempt_enable${n === 1 ? " is" : "(s) are"} missing\n`);
  return -Errno.EINVAL;
}

/**
 * What `prefix` names leaves the program here: nothing may be held any more, with `checkLock` no lock either.
 * Mirrors check_resource_leak().
 */
export function checkResourceLeak(
  env: VerifierEnv,
  exceptionExit: boolean,
  checkLock: boolean,
  prefix: string,
): number {
  const state = env.cur();
  if (!env.rules.leaksNamed) return checkUnnamedLeak(env, exceptionExit, checkLock, prefix);
  if (checkLock && state.activeLocks !== 0) {
    verbose(env, `${prefix} cannot be used inside bpf_spin_lock-ed region\n`);
    return -Errno.EINVAL;
  }
  const err = checkReferenceLeak(env, exceptionExit);
  if (err !== 0) {
    verbose(env, `${prefix} would lead to reference leak\n`);
    return err;
  }
  if (!checkLock) return 0;
  if (state.activeIrqId !== 0) {
    verbose(env, `${prefix} cannot be used inside bpf_local_irq_save-ed region\n`);
    return -Errno.EINVAL;
  }
  if (state.activeRcuLock !== 0) {
    verbose(env, `${prefix} cannot be used inside bpf_rcu_read_lock-ed region\n`);
    return -Errno.EINVAL;
  }
  if (state.activePreemptLocks !== 0) {
    verbose(env, `${prefix} cannot be used inside bpf_preempt_disable-ed region\n`);
    return -Errno.EINVAL;
  }
  return 0;
}
