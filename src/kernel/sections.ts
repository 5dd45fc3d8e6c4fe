// SPDX-License-Identifier: MIT
import { AttachType, ProgFlag, ProgType } from "./uapi.js";

/**
 * How a program of a section gets to its hook. The kinds in {@link SELF_ATTACHING} find their target in the
 * section's name; the others are told it (an interface, a cgroup, a socket map, …).
 */
export type AttachKind =
  | "kprobe"
  | "kretprobe"
  | "uprobe"
  | "uretprobe"
  | "kprobeMulti"
  | "kretprobeMulti"
  | "kprobeSession"
  | "uprobeMulti"
  | "uretprobeMulti"
  | "ksyscall"
  | "kretsyscall"
  | "usdt"
  | "tracepoint"
  | "rawTracepoint"
  | "trace"
  | "lsm"
  | "iter"
  | "structOps"
  | "perfEvent"
  | "socket"
  | "reuseport"
  | "tc"
  | "tcx"
  | "netkit"
  | "xdp"
  | "lwt"
  | "cgroup"
  | "sockmap"
  | "lirc"
  | "netns"
  | "netfilter"
  | "none";

/** Kinds of attachment whose target is the part of the section's name behind the first slash. */
export const SELF_ATTACHING: ReadonlySet<AttachKind> = new Set<AttachKind>([
  "kprobe",
  "kretprobe",
  "uprobe",
  "uretprobe",
  "kprobeMulti",
  "kretprobeMulti",
  "kprobeSession",
  "uprobeMulti",
  "uretprobeMulti",
  "ksyscall",
  "kretsyscall",
  "usdt",
  "tracepoint",
  "rawTracepoint",
  "trace",
  "lsm",
  "iter",
]);

/** What a SEC name stands for. */
export interface SectionDef {
  /** The name without its target, e.g. `tracepoint`, `fentry.s`, `cgroup/connect4`. */
  readonly name: string;
  /** Whether `name/TARGET` belongs to it too. */
  readonly takesTarget: boolean;
  /** Whether `name` alone does not belong to it. No section of libbpf is so. */
  readonly needsTarget?: boolean;
  /** BPF_PROG_TYPE_*. */
  readonly progType: number;
  /** `expected_attach_type` of BPF_PROG_LOAD; 0 where the program type has none. */
  readonly attachType: number;
  readonly attach: AttachKind;
  /** The program may sleep (BPF_F_SLEEPABLE). */
  readonly sleepable: boolean;
  /** `prog_flags` of BPF_PROG_LOAD that the name asks for. */
  readonly progFlags: number;
  /** The target is a type in vmlinux BTF (`attach_btf_id`). */
  readonly targetIsBtf: boolean;
}

type Trait = "target" | "btf" | "sleepable" | "frags";

/** A row of the table, whose literal types tell the compiler what the table says. */
interface Row<N extends string, P extends number, A extends number, T extends readonly Trait[]> extends SectionDef {
  readonly name: N;
  readonly progType: P;
  readonly attachType: A;
  readonly takesTarget: Extract<T[number], "target" | "btf"> extends never ? false : true;
  readonly sleepable: "sleepable" extends T[number] ? true : false;
  readonly targetIsBtf: "btf" extends T[number] ? true : false;
}

function def<const N extends string, P extends number, A extends number, const T extends readonly Trait[]>(
  name: N,
  progType: P,
  attachType: A,
  attach: AttachKind,
  ...traits: T
): Row<N, P, A, T> {
  return make(name, progType, attachType, attach, traits) as Row<N, P, A, T>;
}

function make(
  name: string,
  progType: number,
  attachType: number,
  attach: AttachKind,
  traits: readonly Trait[],
): SectionDef {
  const sleepable = traits.includes("sleepable");
  const targetIsBtf = traits.includes("btf");
  return {
    name,
    takesTarget: targetIsBtf || traits.includes("target"),
    progType,
    attachType,
    attach,
    sleepable,
    progFlags: (sleepable ? ProgFlag.SLEEPABLE : 0) | (traits.includes("frags") ? ProgFlag.XDP_HAS_FRAGS : 0),
    targetIsBtf,
  };
}

const P = ProgType;
const A = AttachType;

/** The SEC names as libbpf 1.5 has them. The order does not matter: no name is ambiguous. */
export const SECTIONS = [
  def("socket", P.SOCKET_FILTER, 0, "socket"),
  def("sk_reuseport/migrate", P.SK_REUSEPORT, A.SK_REUSEPORT_SELECT_OR_MIGRATE, "reuseport"),
  def("sk_reuseport", P.SK_REUSEPORT, A.SK_REUSEPORT_SELECT, "reuseport"),

  def("kprobe", P.KPROBE, 0, "kprobe", "target"),
  def("kretprobe", P.KPROBE, 0, "kretprobe", "target"),
  def("kprobe.multi", P.KPROBE, A.TRACE_KPROBE_MULTI, "kprobeMulti", "target"),
  def("kretprobe.multi", P.KPROBE, A.TRACE_KPROBE_MULTI, "kretprobeMulti", "target"),
  def("kprobe.session", P.KPROBE, A.TRACE_KPROBE_SESSION, "kprobeSession", "target"),
  def("ksyscall", P.KPROBE, 0, "ksyscall", "target"),
  def("kretsyscall", P.KPROBE, 0, "kretsyscall", "target"),
  def("uprobe", P.KPROBE, 0, "uprobe", "target"),
  def("uprobe.s", P.KPROBE, 0, "uprobe", "target", "sleepable"),
  def("uretprobe", P.KPROBE, 0, "uretprobe", "target"),
  def("uretprobe.s", P.KPROBE, 0, "uretprobe", "target", "sleepable"),
  def("uprobe.multi", P.KPROBE, A.TRACE_UPROBE_MULTI, "uprobeMulti", "target"),
  def("uprobe.multi.s", P.KPROBE, A.TRACE_UPROBE_MULTI, "uprobeMulti", "target", "sleepable"),
  def("uretprobe.multi", P.KPROBE, A.TRACE_UPROBE_MULTI, "uretprobeMulti", "target"),
  def("uretprobe.multi.s", P.KPROBE, A.TRACE_UPROBE_MULTI, "uretprobeMulti", "target", "sleepable"),
  def("usdt", P.KPROBE, 0, "usdt", "target"),
  def("usdt.s", P.KPROBE, 0, "usdt", "target", "sleepable"),

  def("tracepoint", P.TRACEPOINT, 0, "tracepoint", "target"),
  def("tp", P.TRACEPOINT, 0, "tracepoint", "target"),
  def("raw_tracepoint", P.RAW_TRACEPOINT, 0, "rawTracepoint", "target"),
  def("raw_tp", P.RAW_TRACEPOINT, 0, "rawTracepoint", "target"),
  def("raw_tracepoint.w", P.RAW_TRACEPOINT_WRITABLE, 0, "rawTracepoint", "target"),
  def("raw_tp.w", P.RAW_TRACEPOINT_WRITABLE, 0, "rawTracepoint", "target"),
  def("tp_btf", P.TRACING, A.TRACE_RAW_TP, "trace", "btf"),
  def("fentry", P.TRACING, A.TRACE_FENTRY, "trace", "btf"),
  def("fentry.s", P.TRACING, A.TRACE_FENTRY, "trace", "btf", "sleepable"),
  def("fmod_ret", P.TRACING, A.MODIFY_RETURN, "trace", "btf"),
  def("fmod_ret.s", P.TRACING, A.MODIFY_RETURN, "trace", "btf", "sleepable"),
  def("fexit", P.TRACING, A.TRACE_FEXIT, "trace", "btf"),
  def("fexit.s", P.TRACING, A.TRACE_FEXIT, "trace", "btf", "sleepable"),
  def("freplace", P.EXT, 0, "trace", "btf"),
  def("lsm", P.LSM, A.LSM_MAC, "lsm", "btf"),
  def("lsm.s", P.LSM, A.LSM_MAC, "lsm", "btf", "sleepable"),
  def("lsm_cgroup", P.LSM, A.LSM_CGROUP, "cgroup", "btf"),
  def("iter", P.TRACING, A.TRACE_ITER, "iter", "btf"),
  def("iter.s", P.TRACING, A.TRACE_ITER, "iter", "btf", "sleepable"),
  def("syscall", P.SYSCALL, 0, "none", "sleepable"),
  def("struct_ops", P.STRUCT_OPS, 0, "structOps", "target"),
  def("struct_ops.s", P.STRUCT_OPS, 0, "structOps", "target", "sleepable"),
  def("perf_event", P.PERF_EVENT, 0, "perfEvent"),

  def("tc/ingress", P.SCHED_CLS, A.TCX_INGRESS, "tcx"),
  def("tc/egress", P.SCHED_CLS, A.TCX_EGRESS, "tcx"),
  def("tcx/ingress", P.SCHED_CLS, A.TCX_INGRESS, "tcx"),
  def("tcx/egress", P.SCHED_CLS, A.TCX_EGRESS, "tcx"),
  def("tc", P.SCHED_CLS, 0, "tc"),
  def("classifier", P.SCHED_CLS, 0, "tc"),
  def("action", P.SCHED_ACT, 0, "tc"),
  def("netkit/primary", P.SCHED_CLS, A.NETKIT_PRIMARY, "netkit"),
  def("netkit/peer", P.SCHED_CLS, A.NETKIT_PEER, "netkit"),
  def("xdp.frags/devmap", P.XDP, A.XDP_DEVMAP, "none", "frags"),
  def("xdp/devmap", P.XDP, A.XDP_DEVMAP, "none"),
  def("xdp.frags/cpumap", P.XDP, A.XDP_CPUMAP, "none", "frags"),
  def("xdp/cpumap", P.XDP, A.XDP_CPUMAP, "none"),
  def("xdp.frags", P.XDP, A.XDP, "xdp", "frags"),
  def("xdp", P.XDP, A.XDP, "xdp"),
  def("lwt_in", P.LWT_IN, 0, "lwt"),
  def("lwt_out", P.LWT_OUT, 0, "lwt"),
  def("lwt_xmit", P.LWT_XMIT, 0, "lwt"),
  def("lwt_seg6local", P.LWT_SEG6LOCAL, 0, "lwt"),
  def("sk_skb/stream_parser", P.SK_SKB, A.SK_SKB_STREAM_PARSER, "sockmap"),
  def("sk_skb/stream_verdict", P.SK_SKB, A.SK_SKB_STREAM_VERDICT, "sockmap"),
  def("sk_skb/verdict", P.SK_SKB, A.SK_SKB_VERDICT, "sockmap"),
  def("sk_skb", P.SK_SKB, 0, "sockmap"),
  def("sk_msg", P.SK_MSG, A.SK_MSG_VERDICT, "sockmap"),
  def("lirc_mode2", P.LIRC_MODE2, A.LIRC_MODE2, "lirc"),
  def("flow_dissector", P.FLOW_DISSECTOR, A.FLOW_DISSECTOR, "netns"),
  def("sk_lookup", P.SK_LOOKUP, A.SK_LOOKUP, "netns"),
  def("netfilter", P.NETFILTER, A.NETFILTER, "netfilter"),

  def("sockops", P.SOCK_OPS, A.CGROUP_SOCK_OPS, "cgroup"),
  def("cgroup_skb/ingress", P.CGROUP_SKB, A.CGROUP_INET_INGRESS, "cgroup"),
  def("cgroup_skb/egress", P.CGROUP_SKB, A.CGROUP_INET_EGRESS, "cgroup"),
  def("cgroup/skb", P.CGROUP_SKB, 0, "cgroup"),
  def("cgroup/sock_create", P.CGROUP_SOCK, A.CGROUP_INET_SOCK_CREATE, "cgroup"),
  def("cgroup/sock_release", P.CGROUP_SOCK, A.CGROUP_INET_SOCK_RELEASE, "cgroup"),
  def("cgroup/sock", P.CGROUP_SOCK, A.CGROUP_INET_SOCK_CREATE, "cgroup"),
  def("cgroup/post_bind4", P.CGROUP_SOCK, A.CGROUP_INET4_POST_BIND, "cgroup"),
  def("cgroup/post_bind6", P.CGROUP_SOCK, A.CGROUP_INET6_POST_BIND, "cgroup"),
  def("cgroup/bind4", P.CGROUP_SOCK_ADDR, A.CGROUP_INET4_BIND, "cgroup"),
  def("cgroup/bind6", P.CGROUP_SOCK_ADDR, A.CGROUP_INET6_BIND, "cgroup"),
  def("cgroup/connect4", P.CGROUP_SOCK_ADDR, A.CGROUP_INET4_CONNECT, "cgroup"),
  def("cgroup/connect6", P.CGROUP_SOCK_ADDR, A.CGROUP_INET6_CONNECT, "cgroup"),
  def("cgroup/connect_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_CONNECT, "cgroup"),
  def("cgroup/sendmsg4", P.CGROUP_SOCK_ADDR, A.CGROUP_UDP4_SENDMSG, "cgroup"),
  def("cgroup/sendmsg6", P.CGROUP_SOCK_ADDR, A.CGROUP_UDP6_SENDMSG, "cgroup"),
  def("cgroup/sendmsg_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_SENDMSG, "cgroup"),
  def("cgroup/recvmsg4", P.CGROUP_SOCK_ADDR, A.CGROUP_UDP4_RECVMSG, "cgroup"),
  def("cgroup/recvmsg6", P.CGROUP_SOCK_ADDR, A.CGROUP_UDP6_RECVMSG, "cgroup"),
  def("cgroup/recvmsg_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_RECVMSG, "cgroup"),
  def("cgroup/getpeername4", P.CGROUP_SOCK_ADDR, A.CGROUP_INET4_GETPEERNAME, "cgroup"),
  def("cgroup/getpeername6", P.CGROUP_SOCK_ADDR, A.CGROUP_INET6_GETPEERNAME, "cgroup"),
  def("cgroup/getpeername_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_GETPEERNAME, "cgroup"),
  def("cgroup/getsockname4", P.CGROUP_SOCK_ADDR, A.CGROUP_INET4_GETSOCKNAME, "cgroup"),
  def("cgroup/getsockname6", P.CGROUP_SOCK_ADDR, A.CGROUP_INET6_GETSOCKNAME, "cgroup"),
  def("cgroup/getsockname_unix", P.CGROUP_SOCK_ADDR, A.CGROUP_UNIX_GETSOCKNAME, "cgroup"),
  def("cgroup/sysctl", P.CGROUP_SYSCTL, A.CGROUP_SYSCTL, "cgroup"),
  def("cgroup/getsockopt", P.CGROUP_SOCKOPT, A.CGROUP_GETSOCKOPT, "cgroup"),
  def("cgroup/setsockopt", P.CGROUP_SOCKOPT, A.CGROUP_SETSOCKOPT, "cgroup"),
  def("cgroup/dev", P.CGROUP_DEVICE, A.CGROUP_DEVICE, "cgroup"),
] as const satisfies readonly SectionDef[];

/** The names of the table, without targets. */
export type SectionName = (typeof SECTIONS)[number]["name"];

/** What the table says of a name, for the compiler. */
export type SectionRow<Name extends SectionName> = Extract<(typeof SECTIONS)[number], { readonly name: Name }>;

/** A SEC name taken apart. */
export interface ParsedSection {
  readonly def: SectionDef;
  /** What stands behind the name's slash, e.g. `syscalls/sys_enter_execve`; null when nothing does. */
  readonly target: string | null;
  /** False when the name begins with `?`: the program is loaded only on demand. */
  readonly autoload: boolean;
}

const BY_NAME: ReadonlyMap<string, SectionDef> = new Map<string, SectionDef>(
  SECTIONS.map((section) => [section.name, section]),
);

/** What the table says of a name without target. */
export function sectionRow(name: SectionName): SectionDef {
  return BY_NAME.get(name)!;
}

/**
 * Looks a SEC name up; undefined when it stands for no program type.
 * @param custom sections of the user's own, which go before libbpf's; the first that fits counts.
 */
export function parseSection(section: string, custom: readonly SectionDef[] = []): ParsedSection | undefined {
  const autoload = !section.startsWith("?");
  const name = autoload ? section : section.slice(1);
  for (const def of custom) {
    const target = targetOf(def, name);
    if (target !== undefined) return { def, target, autoload };
  }
  const exact = BY_NAME.get(name);
  if (exact !== undefined) return { def: exact, target: null, autoload };
  const slash = name.indexOf("/");
  const prefixed = slash < 0 ? undefined : BY_NAME.get(name.slice(0, slash));
  if (prefixed === undefined || !prefixed.takesTarget) return undefined;
  return { def: prefixed, target: name.slice(slash + 1), autoload };
}

/** What stands behind the name of a section; null when nothing does, undefined when the name is another one's. */
function targetOf(def: SectionDef, name: string): string | null | undefined {
  if (name === def.name) return def.needsTarget === true ? undefined : null;
  return def.takesTarget && name.startsWith(`${def.name}/`) ? name.slice(def.name.length + 1) : undefined;
}

/** Section of the initial content of an object's arena. */
export const ARENA_SECTION = ".addr_space.1";

/** What kind of global data a section of this name holds; undefined when it is no data section. */
export function dataSectionKind(name: string): "rodata" | "data" | "bss" | "arena" | undefined {
  if (name === ARENA_SECTION) return "arena";
  for (const kind of ["rodata", "data", "bss"] as const) {
    if (name === `.${kind}` || name.startsWith(`.${kind}.`)) return kind;
  }
  return undefined;
}
