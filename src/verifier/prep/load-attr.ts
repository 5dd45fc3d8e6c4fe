// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import type { KernelProfile } from "../../kernel/profile.js";
import { isNetAdminProgType, isPerfmonProgType } from "../../kernel/prog-rights.js";
import { AttachType, ProgFlag, ProgType } from "../../kernel/uapi.js";
import { Unsupported, type VerifierEnv } from "../env.js";
import { bpfVerifierLogAttrValid } from "../log.js";

/* What bpf(2) checks before it hands the program to the verifier: it fails without a word in the log. */

const ALL_FLAGS =
  ProgFlag.STRICT_ALIGNMENT |
  ProgFlag.ANY_ALIGNMENT |
  ProgFlag.TEST_STATE_FREQ |
  ProgFlag.SLEEPABLE |
  ProgFlag.TEST_RND_HI32 |
  ProgFlag.XDP_HAS_FRAGS |
  ProgFlag.XDP_DEV_BOUND_ONLY |
  ProgFlag.TEST_REG_INVARIANTS |
  ProgFlag.TOKEN_FD;

/** Types that attach to a function or hook known by its BTF. */
const BTF_ATTACHED: ReadonlySet<number> = new Set([ProgType.TRACING, ProgType.LSM, ProgType.STRUCT_OPS, ProgType.EXT]);

/** The attach types that a load must name one of, for the types that are particular. */
const ATTACH_TYPES: ReadonlyMap<number, readonly number[]> = new Map<number, readonly number[]>([
  [
    ProgType.CGROUP_SOCK,
    [
      AttachType.CGROUP_INET_SOCK_CREATE,
      AttachType.CGROUP_INET_SOCK_RELEASE,
      AttachType.CGROUP_INET4_POST_BIND,
      AttachType.CGROUP_INET6_POST_BIND,
    ],
  ],
  [
    ProgType.CGROUP_SOCK_ADDR,
    [
      AttachType.CGROUP_INET4_BIND,
      AttachType.CGROUP_INET6_BIND,
      AttachType.CGROUP_INET4_CONNECT,
      AttachType.CGROUP_INET6_CONNECT,
      AttachType.CGROUP_UNIX_CONNECT,
      AttachType.CGROUP_INET4_GETPEERNAME,
      AttachType.CGROUP_INET6_GETPEERNAME,
      AttachType.CGROUP_UNIX_GETPEERNAME,
      AttachType.CGROUP_INET4_GETSOCKNAME,
      AttachType.CGROUP_INET6_GETSOCKNAME,
      AttachType.CGROUP_UNIX_GETSOCKNAME,
      AttachType.CGROUP_UDP4_SENDMSG,
      AttachType.CGROUP_UDP6_SENDMSG,
      AttachType.CGROUP_UNIX_SENDMSG,
      AttachType.CGROUP_UDP4_RECVMSG,
      AttachType.CGROUP_UDP6_RECVMSG,
      AttachType.CGROUP_UNIX_RECVMSG,
    ],
  ],
  [ProgType.CGROUP_SKB, [AttachType.CGROUP_INET_INGRESS, AttachType.CGROUP_INET_EGRESS]],
  [ProgType.CGROUP_SOCKOPT, [AttachType.CGROUP_SETSOCKOPT, AttachType.CGROUP_GETSOCKOPT]],
  [ProgType.SK_LOOKUP, [AttachType.SK_LOOKUP]],
  [ProgType.SK_REUSEPORT, [AttachType.SK_REUSEPORT_SELECT, AttachType.SK_REUSEPORT_SELECT_OR_MIGRATE]],
  [ProgType.NETFILTER, [AttachType.NETFILTER]],
  [ProgType.SYSCALL, [0]],
  [ProgType.EXT, [0]],
]);

/** Mirrors bpf_prog_load_fixup_attach_type(). */
export function effectiveAttachType(progType: number, attachType: number): number {
  if (attachType !== 0) return attachType;
  if (progType === ProgType.CGROUP_SOCK) return AttachType.CGROUP_INET_SOCK_CREATE;
  return progType === ProgType.SK_REUSEPORT ? AttachType.SK_REUSEPORT_SELECT : attachType;
}

/** Mirrors bpf_prog_load_check_attach(). */
function checkAttach(env: VerifierEnv): number {
  const { progType, attachBtfId, attachBtf, expectedAttachType } = env.load;
  if (attachBtf !== undefined) throw new Unsupported(0, "attachment to a kernel module");
  if (attachBtfId !== 0 && !BTF_ATTACHED.has(progType)) return -Errno.EINVAL;
  const allowed = ATTACH_TYPES.get(progType);
  return allowed === undefined || allowed.includes(effectiveAttachType(progType, expectedAttachType))
    ? 0
    : -Errno.EINVAL;
}

/** Mirrors bpf_obj_name_cpy(). */
function checkName(name: string): number {
  return /^[A-Za-z0-9_.]{0,15}$/.test(name) ? 0 : -Errno.EINVAL;
}

/**
 * A program for one network device: whether it can be made depends on the device. Mirrors bpf_prog_dev_bound_init().
 * @throws Unsupported when the device decides
 */
function checkDevice(env: VerifierEnv): number {
  const { progType, progFlags } = env.load;
  if (progType !== ProgType.SCHED_CLS && progType !== ProgType.XDP) return -Errno.EINVAL;
  const boundOnly = (progFlags & ProgFlag.XDP_DEV_BOUND_ONLY) !== 0;
  if ((progFlags & ~(ProgFlag.XDP_DEV_BOUND_ONLY | ProgFlag.XDP_HAS_FRAGS)) !== 0) return -Errno.EINVAL;
  if ((progFlags & ProgFlag.XDP_HAS_FRAGS) !== 0 && !boundOnly) return -Errno.EINVAL;
  if (progType === ProgType.SCHED_CLS && boundOnly) return -Errno.EINVAL;
  throw new Unsupported(0, "program bound to a device");
}

/** Mirrors the checks of bpf_prog_load() and bpf_vlog_init(), in their order. */
export function checkLoadAttr(env: VerifierEnv, profile: KernelProfile): number {
  const { load, caps } = env;
  if ((load.progFlags & ~ALL_FLAGS) !== 0) return -Errno.EINVAL;
  if ((load.progFlags & ProgFlag.TOKEN_FD) !== 0) throw new Unsupported(0, "BPF token");
  const maxInsns = caps.bpf ? Limit.BPF_COMPLEXITY_LIMIT_INSNS : Limit.BPF_MAXINSNS;
  if (env.insns.len === 0 || env.insns.len > maxInsns) return -Errno.E2BIG;
  if (load.progType !== ProgType.SOCKET_FILTER && load.progType !== ProgType.CGROUP_SKB && !caps.bpf) {
    return -Errno.EPERM;
  }
  if (isNetAdminProgType(load.progType) && !caps.netAdmin) return -Errno.EPERM;
  if (isPerfmonProgType(load.progType) && !caps.perfmon) return -Errno.EPERM;
  const err = checkAttach(env);
  if (err !== 0) return err;
  if (!profile.progTypes.has(load.progType)) return -Errno.EINVAL;
  if (checkName(load.name) !== 0) return -Errno.EINVAL;
  if (load.progIfindex !== 0) return checkDevice(env);
  const logSize = env.log.buffer?.size ?? (env.hasLogBuf ? 1 : 0);
  if (!bpfVerifierLogAttrValid(env.log.level, env.hasLogBuf, logSize)) return -Errno.EINVAL;
  if (BTF_ATTACHED.has(load.progType)) throw new Unsupported(0, "program attached by BTF");
  return 0;
}
