// SPDX-License-Identifier: MIT
import { AttachType } from "../uapi.js";
import { base, type HelperSet, skBase } from "./sets-base.js";
import { socketFilter } from "./sets-packet.js";

const connect = [AttachType.CGROUP_INET4_CONNECT, AttachType.CGROUP_INET6_CONNECT] as const;
const setsockopt = [AttachType.CGROUP_SETSOCKOPT] as const;
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
] as const;

/** cg_skb_func_proto(). */
export const cgroupSkbOwn = {
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
} as const satisfies HelperSet;

/** cgroup_common_func_proto(), which comes first for cgroup_skb. */
export const cgroupSkb = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: cgroupSkbOwn,
} as const satisfies HelperSet;

/** sock_ops_func_proto(). */
export const sockOpsOwn = {
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
} as const satisfies HelperSet;

/** cgroup_common_func_proto() before sock_ops_func_proto(). */
export const sockOps = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: sockOpsOwn,
} as const satisfies HelperSet;

/** sock_filter_func_proto(). */
export const cgroupSockOwn = {
  helpers: {
    get_socket_cookie: "get_socket_cookie_sock",
    get_netns_cookie: "get_netns_cookie_sock",
    perf_event_output: "event_output_data",
    sk_storage_get: "sk_storage_get_cg_sock",
    ktime_get_coarse_ns: "ktime_get_coarse_ns",
  },
  next: base,
} as const satisfies HelperSet;

/** cgroup_common_func_proto() before sock_filter_func_proto(). */
export const cgroupSock = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: cgroupSockOwn,
} as const satisfies HelperSet;

/** sock_addr_func_proto(). */
export const cgroupSockAddrOwn = {
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
} as const satisfies HelperSet;

/** cgroup_common_func_proto() before sock_addr_func_proto(). */
export const cgroupSockAddr = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: cgroupSockAddrOwn,
} as const satisfies HelperSet;

/** cgroup_dev_func_proto(). */
export const cgroupDeviceOwn = {
  helpers: {
    perf_event_output: "event_output_data",
  },
  next: base,
} as const satisfies HelperSet;

/** cgroup_common_func_proto() before cgroup_dev_func_proto(). */
export const cgroupDevice = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: cgroupDeviceOwn,
} as const satisfies HelperSet;

/** sysctl_func_proto(). */
export const cgroupSysctlOwn = {
  helpers: {
    sysctl_get_name: "sysctl_get_name",
    sysctl_get_current_value: "sysctl_get_current_value",
    sysctl_get_new_value: "sysctl_get_new_value",
    sysctl_set_new_value: "sysctl_set_new_value",
    ktime_get_coarse_ns: "ktime_get_coarse_ns",
    perf_event_output: "event_output_data",
  },
  next: base,
} as const satisfies HelperSet;

/** cgroup_common_func_proto() before sysctl_func_proto(). */
export const cgroupSysctl = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: cgroupSysctlOwn,
} as const satisfies HelperSet;

/** cg_sockopt_func_proto(). */
export const cgroupSockoptOwn = {
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
} as const satisfies HelperSet;

/** cgroup_common_func_proto() before cg_sockopt_func_proto(). */
export const cgroupSockopt = {
  helpers: {
    get_local_storage: "get_local_storage",
    get_retval: { attach: noRetval, proto: null, other: "get_retval" },
    set_retval: { attach: noRetval, proto: null, other: "set_retval" },
  },
  next: cgroupSockoptOwn,
} as const satisfies HelperSet;
