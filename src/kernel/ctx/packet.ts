// SPDX-License-Identifier: MIT
import { RegType, TypeFlag } from "../bpf-types.js";
import { AttachType } from "../uapi.js";
import type { CtxField, CtxLayout, CtxSizes } from "./types.js";

/** A field of `struct __sk_buff`: name, offset, size, elements, sizes of accesses where a program type allows them. */
type SkbRow = readonly [name: string, offset: number, size: number, count: number, sizes: CtxSizes];

/**
 * `struct __sk_buff` of include/uapi/linux/bpf.h. Sizes are those of bpf_skb_is_valid_access():
 * `narrow` fields are written whole. tstamp_type and flow_keys are for single program types only.
 */
const skbRows: readonly SkbRow[] = [
  ["len", 0, 4, 1, "narrow"],
  ["pkt_type", 4, 4, 1, "narrow"],
  ["mark", 8, 4, 1, "narrow"],
  ["queue_mapping", 12, 4, 1, "narrow"],
  ["protocol", 16, 4, 1, "narrow"],
  ["vlan_present", 20, 4, 1, "narrow"],
  ["vlan_tci", 24, 4, 1, "narrow"],
  ["vlan_proto", 28, 4, 1, "narrow"],
  ["priority", 32, 4, 1, "narrow"],
  ["ingress_ifindex", 36, 4, 1, "narrow"],
  ["ifindex", 40, 4, 1, "narrow"],
  ["tc_index", 44, 4, 1, "narrow"],
  ["cb", 48, 4, 5, "any"],
  ["hash", 68, 4, 1, "narrow"],
  ["tc_classid", 72, 4, 1, "narrow"],
  ["data", 76, 4, 1, "full"],
  ["data_end", 80, 4, 1, "full"],
  ["napi_id", 84, 4, 1, "narrow"],
  ["family", 88, 4, 1, "narrow"],
  ["remote_ip4", 92, 4, 1, "full"],
  ["local_ip4", 96, 4, 1, "full"],
  ["remote_ip6", 100, 4, 4, "full"],
  ["local_ip6", 116, 4, 4, "full"],
  ["remote_port", 132, 4, 1, "narrow"],
  ["local_port", 136, 4, 1, "narrow"],
  ["data_meta", 140, 4, 1, "full"],
  ["flow_keys", 144, 8, 1, "full"],
  ["tstamp", 152, 8, 1, "full"],
  ["wire_len", 160, 4, 1, "narrow"],
  ["gso_segs", 164, 4, 1, "narrow"],
  ["sk", 168, 8, 1, "full"],
  ["gso_size", 176, 4, 1, "narrow"],
  ["tstamp_type", 180, 1, 1, "full"],
  ["hwtstamp", 184, 8, 1, "full"],
];

const SKB_SIZE = 192;

const skbRegTypes: Readonly<Record<string, number>> = {
  data: RegType.PTR_TO_PACKET,
  data_meta: RegType.PTR_TO_PACKET_META,
  data_end: RegType.PTR_TO_PACKET_END,
  sk: RegType.PTR_TO_SOCK_COMMON | TypeFlag.PTR_MAYBE_NULL,
};

/** Everything but what `hidden` names can be read, what `writable` names be written. */
function skbLayout(hidden: readonly string[], writable: readonly string[]): CtxLayout {
  const fields = skbRows.map(([name, offset, size, count, sizes]): CtxField => {
    const regType = skbRegTypes[name];
    return {
      name,
      offset,
      size,
      count,
      read: hidden.includes(name) ? null : sizes,
      write: writable.includes(name) ? (sizes === "narrow" ? "full" : sizes) : null,
      ...(regType === undefined ? {} : { regType }),
      ...(name.startsWith("data") ? { noSignExtend: true } : {}),
    };
  });
  return { name: "struct __sk_buff", size: SKB_SIZE, fields };
}

const addresses = ["family", "remote_ip4", "local_ip4", "remote_ip6", "local_ip6", "remote_port", "local_port"];

/** sk_filter_is_valid_access(). */
export const socketFilterCtx: CtxLayout = skbLayout(
  [
    "tc_classid",
    "data",
    "data_meta",
    "data_end",
    ...addresses,
    "flow_keys",
    "tstamp",
    "wire_len",
    "tstamp_type",
    "hwtstamp",
  ],
  ["cb"],
);

/** tc_cls_act_is_valid_access(). */
export const schedClsCtx: CtxLayout = skbLayout(
  [...addresses, "flow_keys"],
  ["mark", "tc_index", "priority", "tc_classid", "cb", "tstamp", "queue_mapping"],
);

/** cg_skb_is_valid_access(); without CAP_BPF neither data nor data_end, and tstamp cannot be written. */
export const cgroupSkbCtx: CtxLayout = skbLayout(
  ["tc_classid", "data_meta", "wire_len", "flow_keys", "tstamp_type"],
  ["mark", "priority", "cb", "tstamp"],
);

/** lwt_is_valid_access(). */
export const lwtCtx: CtxLayout = skbLayout(
  ["tc_classid", ...addresses, "data_meta", "tstamp", "wire_len", "hwtstamp", "flow_keys", "tstamp_type"],
  ["mark", "priority", "cb"],
);

/** sk_skb_is_valid_access(). */
export const skSkbCtx: CtxLayout = skbLayout(
  ["tc_classid", "data_meta", "tstamp", "wire_len", "hwtstamp", "mark", "flow_keys", "tstamp_type"],
  ["tc_index", "priority"],
);

/** flow_dissector_is_valid_access(). */
export const flowDissectorCtx: CtxLayout = {
  name: "struct __sk_buff",
  size: SKB_SIZE,
  fields: [
    {
      name: "data",
      offset: 76,
      size: 4,
      count: 1,
      read: "full",
      write: null,
      regType: RegType.PTR_TO_PACKET,
      noSignExtend: true,
    },
    {
      name: "data_end",
      offset: 80,
      size: 4,
      count: 1,
      read: "full",
      write: null,
      regType: RegType.PTR_TO_PACKET_END,
      noSignExtend: true,
    },
    { name: "flow_keys", offset: 144, size: 8, count: 1, read: "full", write: null, regType: RegType.PTR_TO_FLOW_KEYS },
  ],
};

/** xdp_is_valid_access(), programs offloaded to a device aside. */
export const xdpCtx: CtxLayout = {
  name: "struct xdp_md",
  size: 24,
  fields: [
    xdpField("data", 0, { regType: RegType.PTR_TO_PACKET, noSignExtend: true }),
    xdpField("data_end", 4, { regType: RegType.PTR_TO_PACKET_END, noSignExtend: true }),
    xdpField("data_meta", 8, { regType: RegType.PTR_TO_PACKET_META, noSignExtend: true }),
    xdpField("ingress_ifindex", 12),
    xdpField("rx_queue_index", 16),
    xdpField("egress_ifindex", 20, { attach: [AttachType.XDP_DEVMAP] }),
  ],
};

function xdpField(name: string, offset: number, more: Partial<CtxField> = {}): CtxField {
  return { name, offset, size: 4, count: 1, read: "full", write: null, ...more };
}
