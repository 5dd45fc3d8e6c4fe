// SPDX-License-Identifier: MIT
import type { HelperName } from "./names.js";

/**
 * C types of results that are not `long` or `int`, by helper: the prototypes in the comments of
 * include/uapi/linux/bpf.h. The verifier's table only says INTEGER.
 */
export const helperResults = {
  ktime_get_ns: "u64",
  ktime_get_boot_ns: "u64",
  ktime_get_coarse_ns: "u64",
  ktime_get_tai_ns: "u64",
  jiffies64: "u64",
  get_prandom_u32: "u32",
  get_smp_processor_id: "u32",
  get_current_pid_tgid: "u64",
  get_current_uid_gid: "u64",
  get_current_task: "u64",
  get_current_cgroup_id: "u64",
  get_current_ancestor_cgroup_id: "u64",
  get_cgroup_classid: "u32",
  get_route_realm: "u32",
  get_hash_recalc: "u32",
  get_socket_cookie: "u64",
  get_socket_uid: "u32",
  get_netns_cookie: "u64",
  get_func_ip: "u64",
  get_attach_cookie: "u64",
  perf_event_read: "u64",
  ringbuf_query: "u64",
  skb_cgroup_id: "u64",
  skb_ancestor_cgroup_id: "u64",
  skb_cgroup_classid: "u64",
  sk_cgroup_id: "u64",
  sk_ancestor_cgroup_id: "u64",
  xdp_get_buff_len: "u64",
} as const satisfies Partial<Record<HelperName, "u32" | "u64">>;
