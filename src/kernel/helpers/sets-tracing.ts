// SPDX-License-Identifier: MIT
import { AttachType } from "../uapi.js";
import { base, type HelperSet } from "./sets-base.js";

const kprobeMulti = [AttachType.TRACE_KPROBE_MULTI, AttachType.TRACE_KPROBE_SESSION] as const;
const uprobeMulti = [AttachType.TRACE_UPROBE_MULTI, AttachType.TRACE_UPROBE_SESSION] as const;
const iter = [AttachType.TRACE_ITER] as const;
/** bpf_prog_has_trampoline(). */
const trampoline = [
  AttachType.TRACE_FENTRY,
  AttachType.TRACE_FEXIT,
  AttachType.MODIFY_RETURN,
  AttachType.LSM_MAC,
] as const;
const cookieTargets = [...trampoline, AttachType.TRACE_RAW_TP] as const;

/** bpf_tracing_func_proto(); bpf_probe_write_user() needs CAP_SYS_ADMIN and is not part of this kernel. */
export const tracingBase = {
  helpers: {
    get_smp_processor_id: "get_smp_processor_id",
    probe_read: "probe_read_compat",
    probe_read_str: "probe_read_compat_str",
    get_func_ip: "get_func_ip_tracing",
  },
  next: base,
} as const satisfies HelperSet;

/** kprobe_prog_func_proto(); bpf_override_return() needs CONFIG_BPF_KPROBE_OVERRIDE and is not part of this kernel. */
export const kprobe = {
  helpers: {
    perf_event_output: "perf_event_output",
    get_stackid: "get_stackid",
    get_stack: { sleepable: "get_stack_sleepable", other: "get_stack" },
    get_func_ip: {
      attach: kprobeMulti,
      proto: "get_func_ip_kprobe_multi",
      other: { attach: uprobeMulti, proto: "get_func_ip_uprobe_multi", other: "get_func_ip_kprobe" },
    },
    get_attach_cookie: {
      attach: kprobeMulti,
      proto: "get_attach_cookie_kmulti",
      other: { attach: uprobeMulti, proto: "get_attach_cookie_umulti", other: "get_attach_cookie_trace" },
    },
  },
  next: tracingBase,
} as const satisfies HelperSet;

/** tp_prog_func_proto(). */
export const tracepoint = {
  helpers: {
    perf_event_output: "perf_event_output_tp",
    get_stackid: "get_stackid_tp",
    get_stack: "get_stack_tp",
    get_attach_cookie: "get_attach_cookie_trace",
  },
  next: tracingBase,
} as const satisfies HelperSet;

/** pe_prog_func_proto(). */
export const perfEvent = {
  helpers: {
    perf_event_output: "perf_event_output_tp",
    get_stackid: "get_stackid_pe",
    get_stack: "get_stack_pe",
    perf_prog_read_value: "perf_prog_read_value",
    read_branch_records: "read_branch_records",
    get_attach_cookie: "get_attach_cookie_pe",
  },
  next: tracingBase,
} as const satisfies HelperSet;

/** raw_tp_prog_func_proto(). */
export const rawTracepoint = {
  helpers: {
    perf_event_output: "perf_event_output_raw_tp",
    get_stackid: "get_stackid_raw_tp",
    get_stack: "get_stack_raw_tp",
    get_attach_cookie: "get_attach_cookie_tracing",
  },
  next: tracingBase,
} as const satisfies HelperSet;

/** tracing_prog_func_proto() of kernel/trace/bpf_trace.c; the helpers that single iterators add are not listed. */
export const tracing = {
  helpers: {
    skb_output: "skb_output",
    xdp_output: "xdp_output",
    skc_to_tcp6_sock: "skc_to_tcp6_sock",
    skc_to_tcp_sock: "skc_to_tcp_sock",
    skc_to_tcp_timewait_sock: "skc_to_tcp_timewait_sock",
    skc_to_tcp_request_sock: "skc_to_tcp_request_sock",
    skc_to_udp6_sock: "skc_to_udp6_sock",
    skc_to_unix_sock: "skc_to_unix_sock",
    skc_to_mptcp_sock: "skc_to_mptcp_sock",
    sk_storage_get: "sk_storage_get_tracing",
    sk_storage_delete: "sk_storage_delete_tracing",
    sock_from_file: "sock_from_file",
    get_socket_cookie: "get_socket_ptr_cookie",
    xdp_get_buff_len: "xdp_get_buff_len_trace",
    d_path: "d_path",
    seq_printf: { attach: iter, proto: "seq_printf", other: null },
    seq_write: { attach: iter, proto: "seq_write", other: null },
    seq_printf_btf: { attach: iter, proto: "seq_printf_btf", other: null },
    get_func_arg: { attach: trampoline, proto: "get_func_arg", other: null },
    get_func_ret: { attach: trampoline, proto: "get_func_ret", other: null },
    get_func_arg_cnt: { attach: trampoline, proto: "get_func_arg_cnt", other: null },
    get_attach_cookie: { attach: cookieTargets, proto: "get_attach_cookie_tracing", other: null },
  },
  next: rawTracepoint,
} as const satisfies HelperSet;

/** bpf_lsm_func_proto(), without what only LSM_CGROUP hooks may call. */
export const lsm = {
  helpers: {
    inode_storage_get: "inode_storage_get",
    inode_storage_delete: "inode_storage_delete",
    sk_storage_get: "sk_storage_get",
    sk_storage_delete: "sk_storage_delete",
    spin_lock: "spin_lock",
    spin_unlock: "spin_unlock",
    bprm_opts_set: "bprm_opts_set",
    ima_inode_hash: "ima_inode_hash",
    ima_file_hash: "ima_file_hash",
    get_attach_cookie: { attach: trampoline, proto: "get_attach_cookie_tracing", other: null },
    setsockopt: null,
    getsockopt: null,
  },
  next: tracing,
} as const satisfies HelperSet;

/** syscall_prog_func_proto(). */
export const syscall = {
  helpers: {
    sys_bpf: { needs: "perfmon", proto: "sys_bpf" },
    btf_find_by_name_kind: "btf_find_by_name_kind",
    sys_close: "sys_close",
    kallsyms_lookup_name: "kallsyms_lookup_name",
  },
  next: tracing,
} as const satisfies HelperSet;

/** lirc_mode2_func_proto(), not checked against a kernel: CONFIG_BPF_LIRC_MODE2 is rare. */
export const lircMode2 = {
  helpers: {
    rc_repeat: "rc_repeat",
    rc_keydown: "rc_keydown",
    rc_pointer_rel: "rc_pointer_rel",
    map_lookup_elem: "map_lookup_elem",
    map_update_elem: "map_update_elem",
    map_delete_elem: "map_delete_elem",
    map_push_elem: "map_push_elem",
    map_pop_elem: "map_pop_elem",
    map_peek_elem: "map_peek_elem",
    ktime_get_ns: "ktime_get_ns",
    ktime_get_boot_ns: "ktime_get_boot_ns",
    tail_call: "tail_call",
    get_prandom_u32: "get_prandom_u32",
  },
  next: null,
} as const satisfies HelperSet;
