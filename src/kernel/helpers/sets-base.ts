// SPDX-License-Identifier: MIT
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

/** The part of bpf_base_func_proto() that needs CAP_PERFMON. Lockdown in mode confidentiality takes the kernel reads away. */
export const basePerfmon = {
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
} as const satisfies HelperSet;

/** The part of bpf_base_func_proto() that needs CAP_BPF. */
export const baseBpf = {
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
} as const satisfies HelperSet;

/** bpf_base_func_proto(). */
export const base = {
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
} as const satisfies HelperSet;

/** bpf_sk_base_func_proto(). */
export const skBase = {
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
} as const satisfies HelperSet;
