// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { ProgType } from "../../kernel/uapi.js";
import { type VerifierEnv, verbose } from "../env.js";

/** Whether the program's type may sleep at all; what attaches by BTF does not come here. Mirrors check_attach_btf_id(). */
export function checkAttachBtfId(env: VerifierEnv): number {
  if (env.load.progType === ProgType.SYSCALL) {
    if (env.sleepable) return 0;
    verbose(env, "Syscall programs can only be sleepable\n");
    return -Errno.EINVAL;
  }
  // Only uprobes of the types modelled here can sleep, and their type is that of kprobes.
  if (env.sleepable && env.load.progType !== ProgType.KPROBE) {
    verbose(env, "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable\n");
    return -Errno.EINVAL;
  }
  return 0;
}
