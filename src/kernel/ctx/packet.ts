// SPDX-License-Identifier: MIT
import { AttachType } from "../uapi.js";
import { type CtxField, type CtxLayout, type CtxSizes, field } from "./types.js";

/** A field of `struct __sk_buff`: name, offset, size, elements, sizes of accesses where a program type allows them. */
type SkbRow = readonly [name: string, offset: number, size: number, count: number, sizes: CtxSizes];

/**
 * `struct __sk_buff` of include/uapi/linux/bpf.h. Sizes are those of bpf_skb_is_valid_access():
 * `narrow` fields are written whole. tstamp_type and flow_keys are for single program types only.
 */
const skbRows = [
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
] as const satisfies readonly SkbRow[];

const SKB_SIZE = 192;

const skbPointers = {
  data: { points: "packet", noSignExtend: true },
  data_meta: { points: "packetMeta", noSignExtend: true },
  data_end: { points: "packetEnd", noSignExtend: true },
  sk: { points: "sockCommonOrNull" },
} as const;

/** remote_port is shifted, so that all four bytes are the port in network order. */
const skbNetwork = {
  protocol: { network: 16 },
  vlan_proto: { network: 16 },
  remote_ip4: { network: 32 },
  local_ip4: { network: 32 },
  remote_ip6: { network: 32 },
  local_ip6: { network: 32 },
  remote_port: { network: 32 },
} as const;

type SkbRowUnion = (typeof skbRows)[number];

type More<Table, Name> = Name extends keyof Table ? Table[Name] : object;

/** A field of `struct __sk_buff` as a program type may use it, for the compiler. */
type SkbField<Row extends SkbRowUnion, Hidden extends string, Writable extends string> = Row extends SkbRowUnion
  ? CtxField & {
      readonly name: Row[0];
      readonly size: Row[2];
      readonly count: Row[3];
      readonly read: Row[0] extends Hidden ? null : Row[4];
      readonly write: Row[0] extends Writable ? "full" : null;
    } & More<typeof skbPointers, Row[0]> &
      More<typeof skbNetwork, Row[0]>
  : never;

/** Everything but what `hidden` names can be read, what `writable` names be written. */
function skbLayout<const Hidden extends string, const Writable extends string>(
  hidden: readonly Hidden[],
  writable: readonly Writable[],
): CtxLayout<SkbField<SkbRowUnion, Hidden, Writable>> {
  const isIn = (names: readonly string[], name: string): boolean => names.includes(name);
  const fields = skbRows.map(([name, offset, size, count, sizes]): CtxField => {
    return {
      name,
      offset,
      size,
      count,
      read: isIn(hidden, name) ? null : sizes,
      write: isIn(writable, name) ? (sizes === "narrow" ? "full" : sizes) : null,
      ...(skbPointers as Readonly<Record<string, Partial<CtxField>>>)[name],
      ...(skbNetwork as Readonly<Record<string, Partial<CtxField>>>)[name],
    };
  });
  return { name: "struct __sk_buff", size: SKB_SIZE, fields } as unknown as CtxLayout<
    SkbField<SkbRowUnion, Hidden, Writable>
  >;
}

const addresses = [
  "family",
  "remote_ip4",
  "local_ip4",
  "remote_ip6",
  "local_ip6",
  "remote_port",
  "local_port",
] as const;

/** sk_filter_is_valid_access(). */
export const socketFilterCtx = skbLayout(
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
export const schedClsCtx = skbLayout(
  [...addresses, "flow_keys"],
  ["mark", "tc_index", "priority", "tc_classid", "cb", "tstamp", "queue_mapping"],
);

/** cg_skb_is_valid_access(); without CAP_BPF neither data nor data_end, and tstamp cannot be written. */
export const cgroupSkbCtx = skbLayout(
  ["tc_classid", "data_meta", "wire_len", "flow_keys", "tstamp_type"],
  ["mark", "priority", "cb", "tstamp"],
);

/** lwt_is_valid_access(). */
export const lwtCtx = skbLayout(
  ["tc_classid", ...addresses, "data_meta", "tstamp", "wire_len", "hwtstamp", "flow_keys", "tstamp_type"],
  ["mark", "priority", "cb"],
);

/** sk_skb_is_valid_access(). */
export const skSkbCtx = skbLayout(
  ["tc_classid", "data_meta", "tstamp", "wire_len", "hwtstamp", "mark", "flow_keys", "tstamp_type"],
  ["tc_index", "priority"],
);

/** flow_dissector_is_valid_access(). */
export const flowDissectorCtx = {
  name: "struct __sk_buff",
  size: SKB_SIZE,
  fields: [
    field("data", 76, 4, "full", skbPointers.data),
    field("data_end", 80, 4, "full", skbPointers.data_end),
    field("flow_keys", 144, 8, "full", { points: "flowKeys" }),
  ],
} as const satisfies CtxLayout;

const key = { write: "any" } as const;

/** `struct bpf_flow_keys`, which flow dissectors fill in (check_flow_keys_access()). Addresses of both versions overlap. */
export const flowKeysLayout = {
  name: "struct bpf_flow_keys",
  size: 56,
  fields: [
    field("nhoff", 0, 2, "any", key),
    field("thoff", 2, 2, "any", key),
    field("addr_proto", 4, 2, "any", key),
    field("is_frag", 6, 1, "any", key),
    field("is_first_frag", 7, 1, "any", key),
    field("is_encap", 8, 1, "any", key),
    field("ip_proto", 9, 1, "any", key),
    field("n_proto", 10, 2, "any", { write: "any", network: 16 }),
    field("sport", 12, 2, "any", { write: "any", network: 16 }),
    field("dport", 14, 2, "any", { write: "any", network: 16 }),
    field("ipv4_src", 16, 4, "any", { write: "any", network: 32 }),
    field("ipv4_dst", 20, 4, "any", { write: "any", network: 32 }),
    field("ipv6_src", 16, 4, "any", { write: "any", network: 32, count: 4 }),
    field("ipv6_dst", 32, 4, "any", { write: "any", network: 32, count: 4 }),
    field("flags", 48, 4, "any", key),
    field("flow_label", 52, 4, "any", { write: "any", network: 32 }),
  ],
} as const;

/** xdp_is_valid_access(), programs offloaded to a device aside. */
export const xdpCtx = {
  name: "struct xdp_md",
  size: 24,
  fields: [
    field("data", 0, 4, "full", skbPointers.data),
    field("data_end", 4, 4, "full", skbPointers.data_end),
    field("data_meta", 8, 4, "full", skbPointers.data_meta),
    field("ingress_ifindex", 12, 4, "full"),
    field("rx_queue_index", 16, 4, "full"),
    field("egress_ifindex", 20, 4, "full", { attach: [AttachType.XDP_DEVMAP] }),
  ],
} as const satisfies CtxLayout;
