// SPDX-License-Identifier: MIT
import { base, type HelperSet, skBase } from "./sets-base.js";

/** sk_filter_func_proto(). */
export const socketFilter = {
  helpers: {
    skb_load_bytes: "skb_load_bytes",
    skb_load_bytes_relative: "skb_load_bytes_relative",
    get_socket_cookie: "get_socket_cookie",
    get_netns_cookie: "get_netns_cookie",
    get_socket_uid: "get_socket_uid",
    perf_event_output: "skb_event_output",
  },
  next: skBase,
} as const satisfies HelperSet;

/** tc_cls_act_func_proto(). */
export const schedCls = {
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
} as const satisfies HelperSet;

/** xdp_func_proto(). */
export const xdp = {
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
} as const satisfies HelperSet;

/** sk_msg_func_proto(). */
export const skMsg = {
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
} as const satisfies HelperSet;

/** sk_skb_func_proto(). */
export const skSkb = {
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
} as const satisfies HelperSet;

/** flow_dissector_func_proto(). */
export const flowDissector = {
  helpers: {
    skb_load_bytes: "flow_dissector_load_bytes",
  },
  next: skBase,
} as const satisfies HelperSet;

/** lwt_out_func_proto(). */
export const lwtOut = {
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
} as const satisfies HelperSet;

/** lwt_in_func_proto(). */
export const lwtIn = {
  helpers: {
    lwt_push_encap: "lwt_in_push_encap",
  },
  next: lwtOut,
} as const satisfies HelperSet;

/** lwt_xmit_func_proto(). */
export const lwtXmit = {
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
} as const satisfies HelperSet;

/** lwt_seg6local_func_proto(). */
export const lwtSeg6local = {
  helpers: {
    lwt_seg6_store_bytes: "lwt_seg6_store_bytes",
    lwt_seg6_action: "lwt_seg6_action",
    lwt_seg6_adjust_srh: "lwt_seg6_adjust_srh",
  },
  next: lwtOut,
} as const satisfies HelperSet;

/** sk_reuseport_func_proto(). */
export const skReuseport = {
  helpers: {
    sk_select_reuseport: "sk_select_reuseport",
    skb_load_bytes: "sk_reuseport_load_bytes",
    skb_load_bytes_relative: "sk_reuseport_load_bytes_relative",
    get_socket_cookie: "get_socket_ptr_cookie",
    ktime_get_coarse_ns: "ktime_get_coarse_ns",
  },
  next: base,
} as const satisfies HelperSet;

/** sk_lookup_func_proto(). */
export const skLookup = {
  helpers: {
    perf_event_output: "event_output_data",
    sk_assign: "sk_lookup_assign",
    sk_release: "sk_release",
  },
  next: skBase,
} as const satisfies HelperSet;
