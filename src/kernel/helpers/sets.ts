// SPDX-License-Identifier: MIT
import { AttachType, ProgType } from "../uapi.js";
import type { HelperName } from "./names.js";
import type { HelperCaps } from "./types.js";

/** Which prototype a helper has in a set; null: none, and the search ends. */
export type ProtoChoice =
  | string
  | null
  | { readonly sleepable: string; readonly other: string }
  | { readonly needs: keyof HelperCaps; readonly proto: string }
  | { readonly attach: readonly number[]; readonly proto: string | null; readonly other: ProtoChoice };

/**
 * One step of the kernel's search for a prototype: each function of the get_func_proto() family
 * looks a helper up in its own list and else asks the next. A set whose capability is missing ends the search.
 */
export interface HelperSet {
  readonly needs?: keyof HelperCaps;
  readonly helpers: Readonly<Partial<Record<HelperName, ProtoChoice>>>;
  readonly next: HelperSet | null;
}

const kprobeMulti = [AttachType.TRACE_KPROBE_MULTI, AttachType.TRACE_KPROBE_SESSION];
const uprobeMulti = [AttachType.TRACE_UPROBE_MULTI, AttachType.TRACE_UPROBE_SESSION];
const iter = [AttachType.TRACE_ITER];
/** bpf_prog_has_trampoline(). */
const trampoline = [AttachType.TRACE_FENTRY, AttachType.TRACE_FEXIT, AttachType.MODIFY_RETURN, AttachType.LSM_MAC];
const cookieTargets = [...trampoline, AttachType.TRACE_RAW_TP];
const connect = [AttachType.CGROUP_INET4_CONNECT, AttachType.CGROUP_INET6_CONNECT];
const setsockopt = [AttachType.CGROUP_SETSOCKOPT];
/** Attach types of cgroup programs whose result is not a system call's. */
const noRetval = [
  AttachType.CGROUP_INET_INGRESS,
  AttachType.CGROUP_INET_EGRESS,
  AttachType.CGROUP_SOCK_OPS,
  AttachType.CGROUP_UDP4_RECVMSG,
  AttachType.CGROUP_UDP6_RECVMSG,
  AttachType.CGROUP_UNIX_RECVMSG,
  AttachType.CGROUP_INET4_GETPEERNAME,
  AttachType.CGROUP_INET6_GETPEERNAME,
  AttachType.CGROUP_UNIX_GETPEERNAME,
  AttachType.CGROUP_INET4_GETSOCKNAME,
  AttachType.CGROUP_INET6_GETSOCKNAME,
  AttachType.CGROUP_UNIX_GETSOCKNAME,
];

/** The part of bpf_base_func_proto() that needs CAP_PERFMON. Lockdown in mode confidentiality takes the kernel reads away. */
const basePerfmon: HelperSet = {
  needs: "perfmon",
  helpers: {
    trace_printk: "trace_printk",
    get_current_task: "get_current_task",
    get_current_task_btf: "get_current_task_btf",
    get_current_comm: "get_current_comm",
    probe_read_user: "probe_read_user",
    probe_read_user_str: "probe_read_user_str",
    copy_from_user: "copy_from_user",
    copy_from_user_task: "copy_from_user_task",
    snprintf_btf: "snprintf_btf",
    snprintf: "snprintf",
    task_pt_regs: "task_pt_regs",
    trace_vprintk: "trace_vprintk",
    perf_event_read_value: "perf_event_read_value",
    perf_event_read: "perf_event_read",
    send_signal: "send_signal",
    send_signal_thread: "send_signal_thread",
    get_branch_snapshot: "get_branch_snapshot",
    find_vma: "find_vma",
    probe_read_kernel: "probe_read_kernel",
    probe_read_kernel_str: "probe_read_kernel_str",
    get_task_stack: { sleepable: "get_task_stack_sleepable", other: "get_task_stack" },
  },
  next: null,
};

/** The part of bpf_base_func_proto() that needs CAP_BPF. */
const baseBpf: HelperSet = {
  needs: "bpf",
  helpers: {
    spin_lock: "spin_lock",
    spin_unlock: "spin_unlock",
    jiffies64: "jiffies64",
    per_cpu_ptr: "per_cpu_ptr",
    this_cpu_ptr: "this_cpu_ptr",
    timer_init: "timer_init",
    timer_set_callback: "timer_set_callback",
    timer_start: "timer_start",
    timer_cancel: "timer_cancel",
    kptr_xchg: "kptr_xchg",
    for_each_map_elem: "for_each_map_elem",
    loop: "loop",
    user_ringbuf_drain: "user_ringbuf_drain",
    ringbuf_reserve_dynptr: "ringbuf_reserve_dynptr",
    ringbuf_submit_dynptr: "ringbuf_submit_dynptr",
    ringbuf_discard_dynptr: "ringbuf_discard_dynptr",
    dynptr_from_mem: "dynptr_from_mem",
    dynptr_read: "dynptr_read",
    dynptr_write: "dynptr_write",
    dynptr_data: "dynptr_data",
    cgrp_storage_get: "cgrp_storage_get",
    cgrp_storage_delete: "cgrp_storage_delete",
    get_current_cgroup_id: "get_current_cgroup_id",
    get_current_ancestor_cgroup_id: "get_current_ancestor_cgroup_id",
    current_task_under_cgroup: "current_task_under_cgroup",
    get_cgroup_classid: "get_cgroup_classid_curr",
    task_storage_get: "task_storage_get",
    task_storage_delete: "task_storage_delete",
  },
  next: basePerfmon,
};

/** bpf_base_func_proto(). */
const base: HelperSet = {
  helpers: {
    map_lookup_elem: "map_lookup_elem",
    map_update_elem: "map_update_elem",
    map_delete_elem: "map_delete_elem",
    map_push_elem: "map_push_elem",
    map_pop_elem: "map_pop_elem",
    map_peek_elem: "map_peek_elem",
    map_lookup_percpu_elem: "map_lookup_percpu_elem",
    get_prandom_u32: "get_prandom_u32",
    get_smp_processor_id: "get_raw_smp_processor_id",
    get_numa_node_id: "get_numa_node_id",
    tail_call: "tail_call",
    ktime_get_ns: "ktime_get_ns",
    ktime_get_boot_ns: "ktime_get_boot_ns",
    ktime_get_tai_ns: "ktime_get_tai_ns",
    ringbuf_output: "ringbuf_output",
    ringbuf_reserve: "ringbuf_reserve",
    ringbuf_submit: "ringbuf_submit",
    ringbuf_discard: "ringbuf_discard",
    ringbuf_query: "ringbuf_query",
    strncmp: "strncmp",
    strtol: "strtol",
    strtoul: "strtoul",
    get_current_pid_tgid: "get_current_pid_tgid",
    get_ns_current_pid_tgid: "get_ns_current_pid_tgid",
    get_current_uid_gid: "get_current_uid_gid",
  },
  next: baseBpf,
};

/** bpf_sk_base_func_proto(). */
const skBase: HelperSet = {
  helpers: {
    skc_to_tcp6_sock: { needs: "perfmon", proto: "skc_to_tcp6_sock" },
    skc_to_tcp_sock: { needs: "perfmon", proto: "skc_to_tcp_sock" },
    skc_to_tcp_timewait_sock: { needs: "perfmon", proto: "skc_to_tcp_timewait_sock" },
    skc_to_tcp_request_sock: { needs: "perfmon", proto: "skc_to_tcp_request_sock" },
    skc_to_udp6_sock: { needs: "perfmon", proto: "skc_to_udp6_sock" },
    skc_to_unix_sock: { needs: "perfmon", proto: "skc_to_unix_sock" },
    skc_to_mptcp_sock: { needs: "perfmon", proto: "skc_to_mptcp_sock" },
    ktime_get_coarse_ns: "ktime_get_coarse_ns",
  },
  next: base,
};

/** bpf_tracing_func_proto(); bpf_probe_write_user() needs CAP_SYS_ADMIN and is not part of this kernel. */
const tracingBase: HelperSet = {
  helpers: {
    get_smp_processor_id: "get_smp_processor_id",
    probe_read: "probe_read_compat",
    probe_read_str: "probe_read_compat_str",
    get_func_ip: "get_func_ip_tracing",
  },
  next: base,
};

/** kprobe_prog_func_proto(); bpf_override_return() needs CONFIG_BPF_KPROBE_OVERRIDE and is not part of this kernel. */
const kprobe: HelperSet = {
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
};

/** tp_prog_func_proto(). */
const tracepoint: HelperSet = {
  helpers: {
    perf_event_output: "perf_event_output_tp",
    get_stackid: "get_stackid_tp",
    get_stack: "get_stack_tp",
    get_attach_cookie: "get_attach_cookie_trace",
  },
  next: tracingBase,
};

/** pe_prog_func_proto(). */
const perfEvent: HelperSet = {
  helpers: {
    perf_event_output: "perf_event_output_tp",
    get_stackid: "get_stackid_pe",
    get_stack: "get_stack_pe",
    perf_prog_read_value: "perf_prog_read_value",
    read_branch_records: "read_branch_records",
    get_attach_cookie: "get_attach_cookie_pe",
  },
  next: tracingBase,
};

/** raw_tp_prog_func_proto(). */
const rawTracepoint: HelperSet = {
  helpers: {
    perf_event_output: "perf_event_output_raw_tp",
    get_stackid: "get_stackid_raw_tp",
    get_stack: "get_stack_raw_tp",
    get_attach_cookie: "get_attach_cookie_tracing",
  },
  next: tracingBase,
};

/** tracing_prog_func_proto() of kernel/trace/bpf_trace.c; the helpers that single iterators add are not listed. */
const tracing: HelperSet = {
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
};

/** sk_filter_func_proto(). */
const socketFilter: HelperSet = {
  helpers: {
    skb_load_bytes: "skb_load_bytes",
    skb_load_bytes_relative: "skb_load_bytes_relative",
    get_socket_cookie: "get_socket_cookie",
    get_netns_cookie: "get_netns_cookie",
    get_socket_uid: "get_socket_uid",
    perf_event_output: "skb_event_output",
  },
  next: skBase,
};

/** cg_skb_func_proto(). */
const cgroupSkbOwn: HelperSet = {
  helpers: {
    sk_fullsock: "sk_fullsock",
    sk_storage_get: "sk_storage_get",
    sk_storage_delete: "sk_storage_delete",
    perf_event_output: "skb_event_output",
    skb_cgroup_id: "skb_cgroup_id",
    skb_ancestor_cgroup_id: "skb_ancestor_cgroup_id",
    sk_cgroup_id: "sk_cgroup_id",
    sk_ancestor_cgroup_id: "sk_ancestor_cgroup_id",
    sk_lookup_tcp: "sk_lookup_tcp",
    sk_lookup_udp: "sk_lookup_udp",
    sk_release: "sk_release",
    skc_lookup_tcp: "skc_lookup_tcp",
    tcp_sock: "tcp_sock",
    get_listener_sock: "get_listener_sock",
    skb_ecn_set_ce: "skb_ecn_set_ce",
  },
  next: socketFilter,
};

/** cgroup_common_func_proto(), which comes first for cgroup_skb. */
const cgroupSkb: HelperSet = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: cgroupSkbOwn,
};

/** tc_cls_act_func_proto(). */
const schedCls: HelperSet = {
  helpers: {
    skb_store_bytes: "skb_store_bytes",
    skb_load_bytes: "skb_load_bytes",
    skb_load_bytes_relative: "skb_load_bytes_relative",
    skb_pull_data: "skb_pull_data",
    csum_diff: "csum_diff",
    csum_update: "csum_update",
    csum_level: "csum_level",
    l3_csum_replace: "l3_csum_replace",
    l4_csum_replace: "l4_csum_replace",
    clone_redirect: "clone_redirect",
    get_cgroup_classid: "get_cgroup_classid",
    skb_vlan_push: "skb_vlan_push",
    skb_vlan_pop: "skb_vlan_pop",
    skb_change_proto: "skb_change_proto",
    skb_change_type: "skb_change_type",
    skb_adjust_room: "skb_adjust_room",
    skb_change_tail: "skb_change_tail",
    skb_change_head: "skb_change_head",
    skb_get_tunnel_key: "skb_get_tunnel_key",
    skb_set_tunnel_key: "skb_set_tunnel_key",
    skb_get_tunnel_opt: "skb_get_tunnel_opt",
    skb_set_tunnel_opt: "skb_set_tunnel_opt",
    redirect: "redirect",
    redirect_neigh: "redirect_neigh",
    redirect_peer: "redirect_peer",
    get_route_realm: "get_route_realm",
    get_hash_recalc: "get_hash_recalc",
    set_hash_invalid: "set_hash_invalid",
    set_hash: "set_hash",
    perf_event_output: "skb_event_output",
    get_smp_processor_id: "get_smp_processor_id",
    skb_under_cgroup: "skb_under_cgroup",
    get_socket_cookie: "get_socket_cookie",
    get_netns_cookie: "get_netns_cookie",
    get_socket_uid: "get_socket_uid",
    fib_lookup: "skb_fib_lookup",
    check_mtu: "skb_check_mtu",
    sk_fullsock: "sk_fullsock",
    sk_storage_get: "sk_storage_get",
    sk_storage_delete: "sk_storage_delete",
    skb_get_xfrm_state: "skb_get_xfrm_state",
    skb_cgroup_classid: "skb_cgroup_classid",
    skb_cgroup_id: "skb_cgroup_id",
    skb_ancestor_cgroup_id: "skb_ancestor_cgroup_id",
    sk_lookup_tcp: "tc_sk_lookup_tcp",
    sk_lookup_udp: "tc_sk_lookup_udp",
    sk_release: "sk_release",
    tcp_sock: "tcp_sock",
    get_listener_sock: "get_listener_sock",
    skc_lookup_tcp: "tc_skc_lookup_tcp",
    tcp_check_syncookie: "tcp_check_syncookie",
    skb_ecn_set_ce: "skb_ecn_set_ce",
    tcp_gen_syncookie: "tcp_gen_syncookie",
    sk_assign: "sk_assign",
    skb_set_tstamp: "skb_set_tstamp",
    tcp_raw_gen_syncookie_ipv4: "tcp_raw_gen_syncookie_ipv4",
    tcp_raw_gen_syncookie_ipv6: "tcp_raw_gen_syncookie_ipv6",
    tcp_raw_check_syncookie_ipv4: "tcp_raw_check_syncookie_ipv4",
    tcp_raw_check_syncookie_ipv6: "tcp_raw_check_syncookie_ipv6",
  },
  next: skBase,
};

/** xdp_func_proto(). */
const xdp: HelperSet = {
  helpers: {
    perf_event_output: "xdp_event_output",
    get_smp_processor_id: "get_smp_processor_id",
    csum_diff: "csum_diff",
    xdp_adjust_head: "xdp_adjust_head",
    xdp_adjust_meta: "xdp_adjust_meta",
    redirect: "xdp_redirect",
    redirect_map: "xdp_redirect_map",
    xdp_adjust_tail: "xdp_adjust_tail",
    xdp_get_buff_len: "xdp_get_buff_len",
    xdp_load_bytes: "xdp_load_bytes",
    xdp_store_bytes: "xdp_store_bytes",
    fib_lookup: "xdp_fib_lookup",
    check_mtu: "xdp_check_mtu",
    sk_lookup_udp: "xdp_sk_lookup_udp",
    sk_lookup_tcp: "xdp_sk_lookup_tcp",
    sk_release: "sk_release",
    skc_lookup_tcp: "xdp_skc_lookup_tcp",
    tcp_check_syncookie: "tcp_check_syncookie",
    tcp_gen_syncookie: "tcp_gen_syncookie",
    tcp_raw_gen_syncookie_ipv4: "tcp_raw_gen_syncookie_ipv4",
    tcp_raw_gen_syncookie_ipv6: "tcp_raw_gen_syncookie_ipv6",
    tcp_raw_check_syncookie_ipv4: "tcp_raw_check_syncookie_ipv4",
    tcp_raw_check_syncookie_ipv6: "tcp_raw_check_syncookie_ipv6",
  },
  next: skBase,
};

/** sock_ops_func_proto(). */
const sockOpsOwn: HelperSet = {
  helpers: {
    setsockopt: "sock_ops_setsockopt",
    getsockopt: "sock_ops_getsockopt",
    sock_ops_cb_flags_set: "sock_ops_cb_flags_set",
    sock_map_update: "sock_map_update",
    sock_hash_update: "sock_hash_update",
    get_socket_cookie: "get_socket_cookie_sock_ops",
    perf_event_output: "event_output_data",
    sk_storage_get: "sk_storage_get",
    sk_storage_delete: "sk_storage_delete",
    get_netns_cookie: "get_netns_cookie_sock_ops",
    load_hdr_opt: "sock_ops_load_hdr_opt",
    store_hdr_opt: "sock_ops_store_hdr_opt",
    reserve_hdr_opt: "sock_ops_reserve_hdr_opt",
    tcp_sock: "tcp_sock",
  },
  next: skBase,
};

/** cgroup_common_func_proto() before sock_ops_func_proto(). */
const sockOps: HelperSet = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: sockOpsOwn,
};

/** sock_filter_func_proto(). */
const cgroupSockOwn: HelperSet = {
  helpers: {
    get_socket_cookie: "get_socket_cookie_sock",
    get_netns_cookie: "get_netns_cookie_sock",
    perf_event_output: "event_output_data",
    sk_storage_get: "sk_storage_get_cg_sock",
    ktime_get_coarse_ns: "ktime_get_coarse_ns",
  },
  next: base,
};

/** cgroup_common_func_proto() before sock_filter_func_proto(). */
const cgroupSock: HelperSet = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: cgroupSockOwn,
};

/** sock_addr_func_proto(). */
const cgroupSockAddrOwn: HelperSet = {
  helpers: {
    get_socket_cookie: "get_socket_cookie_sock_addr",
    get_netns_cookie: "get_netns_cookie_sock_addr",
    perf_event_output: "event_output_data",
    sk_lookup_tcp: "sock_addr_sk_lookup_tcp",
    sk_lookup_udp: "sock_addr_sk_lookup_udp",
    sk_release: "sk_release",
    skc_lookup_tcp: "sock_addr_skc_lookup_tcp",
    sk_storage_get: "sk_storage_get",
    sk_storage_delete: "sk_storage_delete",
    bind: { attach: connect, proto: "bind", other: null },
    setsockopt: "sock_addr_setsockopt",
    getsockopt: "sock_addr_getsockopt",
  },
  next: skBase,
};

/** cgroup_common_func_proto() before sock_addr_func_proto(). */
const cgroupSockAddr: HelperSet = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: cgroupSockAddrOwn,
};

/** cgroup_dev_func_proto(). */
const cgroupDeviceOwn: HelperSet = {
  helpers: {
    perf_event_output: "event_output_data",
  },
  next: base,
};

/** cgroup_common_func_proto() before cgroup_dev_func_proto(). */
const cgroupDevice: HelperSet = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: cgroupDeviceOwn,
};

/** sysctl_func_proto(). */
const cgroupSysctlOwn: HelperSet = {
  helpers: {
    sysctl_get_name: "sysctl_get_name",
    sysctl_get_current_value: "sysctl_get_current_value",
    sysctl_get_new_value: "sysctl_get_new_value",
    sysctl_set_new_value: "sysctl_set_new_value",
    ktime_get_coarse_ns: "ktime_get_coarse_ns",
    perf_event_output: "event_output_data",
  },
  next: base,
};

/** cgroup_common_func_proto() before sysctl_func_proto(). */
const cgroupSysctl: HelperSet = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: cgroupSysctlOwn,
};

/** cg_sockopt_func_proto(). */
const cgroupSockoptOwn: HelperSet = {
  helpers: {
    get_netns_cookie: "get_netns_cookie_sockopt",
    sk_storage_get: "sk_storage_get",
    sk_storage_delete: "sk_storage_delete",
    tcp_sock: "tcp_sock",
    perf_event_output: "event_output_data",
    setsockopt: { attach: setsockopt, proto: "sk_setsockopt", other: null },
    getsockopt: { attach: setsockopt, proto: "sk_getsockopt", other: null },
  },
  next: base,
};

/** cgroup_common_func_proto() before cg_sockopt_func_proto(). */
const cgroupSockopt: HelperSet = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: cgroupSockoptOwn,
};

/** sk_msg_func_proto(). */
const skMsg: HelperSet = {
  helpers: {
    msg_redirect_map: "msg_redirect_map",
    msg_redirect_hash: "msg_redirect_hash",
    msg_apply_bytes: "msg_apply_bytes",
    msg_cork_bytes: "msg_cork_bytes",
    msg_pull_data: "msg_pull_data",
    msg_push_data: "msg_push_data",
    msg_pop_data: "msg_pop_data",
    perf_event_output: "event_output_data",
    sk_storage_get: "sk_storage_get",
    sk_storage_delete: "sk_storage_delete",
    get_netns_cookie: "get_netns_cookie_sk_msg",
  },
  next: skBase,
};

/** sk_skb_func_proto(). */
const skSkb: HelperSet = {
  helpers: {
    skb_store_bytes: "skb_store_bytes",
    skb_load_bytes: "skb_load_bytes",
    skb_pull_data: "sk_skb_pull_data",
    skb_change_tail: "sk_skb_change_tail",
    skb_change_head: "sk_skb_change_head",
    skb_adjust_room: "sk_skb_adjust_room",
    get_socket_cookie: "get_socket_cookie",
    get_socket_uid: "get_socket_uid",
    sk_redirect_map: "sk_redirect_map",
    sk_redirect_hash: "sk_redirect_hash",
    perf_event_output: "skb_event_output",
    sk_lookup_tcp: "sk_lookup_tcp",
    sk_lookup_udp: "sk_lookup_udp",
    sk_release: "sk_release",
    skc_lookup_tcp: "skc_lookup_tcp",
  },
  next: skBase,
};

/** flow_dissector_func_proto(). */
const flowDissector: HelperSet = {
  helpers: {
    skb_load_bytes: "flow_dissector_load_bytes",
  },
  next: skBase,
};

/** lwt_out_func_proto(). */
const lwtOut: HelperSet = {
  helpers: {
    skb_load_bytes: "skb_load_bytes",
    skb_pull_data: "skb_pull_data",
    csum_diff: "csum_diff",
    get_cgroup_classid: "get_cgroup_classid",
    get_route_realm: "get_route_realm",
    get_hash_recalc: "get_hash_recalc",
    perf_event_output: "skb_event_output",
    get_smp_processor_id: "get_smp_processor_id",
    skb_under_cgroup: "skb_under_cgroup",
  },
  next: skBase,
};

/** lwt_in_func_proto(). */
const lwtIn: HelperSet = {
  helpers: {
    lwt_push_encap: "lwt_in_push_encap",
  },
  next: lwtOut,
};

/** lwt_xmit_func_proto(). */
const lwtXmit: HelperSet = {
  helpers: {
    skb_get_tunnel_key: "skb_get_tunnel_key",
    skb_set_tunnel_key: "skb_set_tunnel_key",
    skb_get_tunnel_opt: "skb_get_tunnel_opt",
    skb_set_tunnel_opt: "skb_set_tunnel_opt",
    redirect: "redirect",
    clone_redirect: "clone_redirect",
    skb_change_tail: "skb_change_tail",
    skb_change_head: "skb_change_head",
    skb_store_bytes: "skb_store_bytes",
    csum_update: "csum_update",
    csum_level: "csum_level",
    l3_csum_replace: "l3_csum_replace",
    l4_csum_replace: "l4_csum_replace",
    set_hash_invalid: "set_hash_invalid",
    lwt_push_encap: "lwt_xmit_push_encap",
  },
  next: lwtOut,
};

/** lwt_seg6local_func_proto(). */
const lwtSeg6local: HelperSet = {
  helpers: {
    lwt_seg6_store_bytes: "lwt_seg6_store_bytes",
    lwt_seg6_action: "lwt_seg6_action",
    lwt_seg6_adjust_srh: "lwt_seg6_adjust_srh",
  },
  next: lwtOut,
};

/** sk_reuseport_func_proto(). */
const skReuseport: HelperSet = {
  helpers: {
    sk_select_reuseport: "sk_select_reuseport",
    skb_load_bytes: "sk_reuseport_load_bytes",
    skb_load_bytes_relative: "sk_reuseport_load_bytes_relative",
    get_socket_cookie: "get_socket_ptr_cookie",
    ktime_get_coarse_ns: "ktime_get_coarse_ns",
  },
  next: base,
};

/** sk_lookup_func_proto(). */
const skLookup: HelperSet = {
  helpers: {
    perf_event_output: "event_output_data",
    sk_assign: "sk_lookup_assign",
    sk_release: "sk_release",
  },
  next: skBase,
};

/** bpf_lsm_func_proto(), without what only LSM_CGROUP hooks may call. */
const lsm: HelperSet = {
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
};

/** syscall_prog_func_proto(). */
const syscall: HelperSet = {
  helpers: {
    sys_bpf: { needs: "perfmon", proto: "sys_bpf" },
    btf_find_by_name_kind: "btf_find_by_name_kind",
    sys_close: "sys_close",
    kallsyms_lookup_name: "kallsyms_lookup_name",
  },
  next: tracing,
};

/** lirc_mode2_func_proto(), not checked against a kernel: CONFIG_BPF_LIRC_MODE2 is rare. */
const lircMode2: HelperSet = {
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
};

/**
 * Where the search for a helper's prototype begins, by program type. STRUCT_OPS has the base set only (a struct_ops
 * may add its own); EXT has none of its own: it takes its target's.
 */
export const helperSets: ReadonlyMap<number, HelperSet> = new Map<number, HelperSet>([
  [ProgType.SOCKET_FILTER, socketFilter],
  [ProgType.KPROBE, kprobe],
  [ProgType.SCHED_CLS, schedCls],
  [ProgType.SCHED_ACT, schedCls],
  [ProgType.TRACEPOINT, tracepoint],
  [ProgType.XDP, xdp],
  [ProgType.PERF_EVENT, perfEvent],
  [ProgType.CGROUP_SKB, cgroupSkb],
  [ProgType.CGROUP_SOCK, cgroupSock],
  [ProgType.LWT_IN, lwtIn],
  [ProgType.LWT_OUT, lwtOut],
  [ProgType.LWT_XMIT, lwtXmit],
  [ProgType.SOCK_OPS, sockOps],
  [ProgType.SK_SKB, skSkb],
  [ProgType.CGROUP_DEVICE, cgroupDevice],
  [ProgType.SK_MSG, skMsg],
  [ProgType.RAW_TRACEPOINT, rawTracepoint],
  [ProgType.CGROUP_SOCK_ADDR, cgroupSockAddr],
  [ProgType.LWT_SEG6LOCAL, lwtSeg6local],
  [ProgType.LIRC_MODE2, lircMode2],
  [ProgType.SK_REUSEPORT, skReuseport],
  [ProgType.FLOW_DISSECTOR, flowDissector],
  [ProgType.CGROUP_SYSCTL, cgroupSysctl],
  [ProgType.RAW_TRACEPOINT_WRITABLE, rawTracepoint],
  [ProgType.CGROUP_SOCKOPT, cgroupSockopt],
  [ProgType.TRACING, tracing],
  [ProgType.STRUCT_OPS, base],
  [ProgType.LSM, lsm],
  [ProgType.SK_LOOKUP, skLookup],
  [ProgType.SYSCALL, syscall],
  [ProgType.NETFILTER, base],
]);
