// SPDX-License-Identifier: MIT
import { Errno } from "../../kernel/errno.js";
import type { HelperName } from "../../kernel/helpers/index.js";
import { XdpAction } from "../../kernel/uapi.js";
import type { Helper, Machine } from "../machine.js";
import { TargetMap } from "../maps/create.js";
import type { Packet } from "../packet.js";
import { type PacketContext, SkbContext, XdpContext } from "../packet-context.js";
import { csumPartial, csumReplace2, csumReplace4, csumReplaceByDiff, csumSub, csumTo16 } from "./checksum.js";

/* Helpers on packets: net/core/filter.c. */

const ETH_HLEN = 14;
/** What an XDP program cannot have of the room before the packet: struct xdp_frame. */
const XDP_FRAME_SIZE = 40;
/** The most that metadata of an XDP packet can be. */
const MAX_METADATA = 255;
/** BPF_SKB_MAX_LEN, of a machine with pages of 4 KiB. */
const SKB_MAX_LEN = 16064;
/** BPF_F_RECOMPUTE_CSUM and BPF_F_INVALIDATE_HASH. */
const STORE_FLAGS = 3;
/** BPF_F_HDR_FIELD_MASK and the flags of bpf_l4_csum_replace() in front of it. */
const FIELD_MASK = 0xf;
const MARK_MANGLED_0 = 1 << 5;
const MARK_ENFORCE = 1 << 6;
const L4_FLAGS = FIELD_MASK | (1 << 4) | MARK_MANGLED_0 | MARK_ENFORCE | (1 << 7);
const TC_ACT_SHOT = 2;
const TC_ACT_REDIRECT = 7;
const INGRESS = 1;
/** Types of packets between which bpf_skb_change_type() may change: PACKET_HOST to PACKET_OTHERHOST. */
const MAX_PKT_TYPE = 3;

function context(machine: Machine): PacketContext {
  const owner = machine.ownerOf(1);
  if (owner instanceof SkbContext || owner instanceof XdpContext) return owner;
  throw machine.fault("argument", "R1 is no context with a packet");
}

/** Where bytes of the packet lie, -1 when they are not all in it. */
function within(packet: Packet, offset: number, size: number): number {
  return offset >= 0 && offset + size <= packet.length ? packet.at + offset : -1;
}

function loadBytes(machine: Machine): void {
  const { packet } = context(machine);
  const size = machine.size(4);
  const to = machine.at(3, size, true);
  const at = within(packet, machine.u32(2), size);
  if (at >= 0) {
    machine.memory.move(to, at, size);
    return;
  }
  machine.memory.fill(to, size);
  machine.setNumber(-Errno.EFAULT);
}

function loadBytesRelative(machine: Machine): void {
  const { packet } = context(machine);
  const size = machine.size(4);
  const to = machine.at(3, size, true);
  const header = machine.u32(5);
  const start = header === 0 ? packet.macOffset : header === 1 ? packet.networkOffset : -1;
  const offset = machine.u32(2);
  const from = start + offset;
  if (start < 0 || offset > 0xffff || from + size > packet.endOffset) {
    machine.memory.fill(to, size);
    machine.setNumber(-Errno.EFAULT);
    return;
  }
  machine.memory.move(to, packet.at - packet.dataOffset + from, size);
}

function storeBytes(machine: Machine): void {
  const ctx = context(machine);
  const size = machine.size(4);
  const from = machine.at(3, size);
  if ((machine.flags(5) & ~STORE_FLAGS) !== 0) {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  const at = within(ctx.packet, machine.u32(2), size);
  if (at < 0) {
    machine.setNumber(-Errno.EFAULT);
    return;
  }
  machine.memory.move(at, from, size);
  if ((machine.low(5) & 2) !== 0) ctx.set("hash", 0);
}

function xdpBytes(machine: Machine, store: boolean): void {
  const { packet } = context(machine);
  const size = machine.size(4);
  const buffer = machine.at(3, size, !store);
  const offset = machine.u32(2);
  if (offset > 0xffff || size > 0xffff) {
    machine.setNumber(-Errno.EFAULT);
    return;
  }
  const at = within(packet, offset, size);
  if (at < 0) {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  if (store) machine.memory.move(at, buffer, size);
  else machine.memory.move(buffer, at, size);
}

/** Changes a checksum in the packet; a negative error number, or 0. */
function replace(machine: Machine, known: number, change: (field: number, kind: number) => number | null): number {
  const { packet } = context(machine);
  const flags = machine.flags(5);
  const offset = machine.u32(2);
  if ((flags & ~known) !== 0) return -Errno.EINVAL;
  if (offset > 0xffff || (offset & 1) !== 0) return -Errno.EFAULT;
  const at = within(packet, offset, 2);
  if (at < 0) return -Errno.EFAULT;
  const { memory } = machine;
  const field = memory.view.getUint16(at, true);
  if ((flags & MARK_MANGLED_0) !== 0 && (flags & MARK_ENFORCE) === 0 && field === 0) return 0;
  let result = change(field, flags & FIELD_MASK);
  if (result === null) return -Errno.EINVAL;
  if ((flags & MARK_MANGLED_0) !== 0 && result === 0) result = 0xffff;
  memory.touch(at, 2);
  memory.view.setUint16(at, result, true);
  return 0;
}

function l3Replace(machine: Machine): void {
  const [from, to] = [machine.u32(3), machine.u32(4)];
  const change = (field: number, kind: number): number | null => {
    if (kind === 0) return machine.isNull(3) ? csumReplaceByDiff(field, to) : null;
    if (kind === 2) return csumReplace2(field, from & 0xffff, to & 0xffff);
    return kind === 4 ? csumReplace4(field, from, to) : null;
  };
  machine.setNumber(replace(machine, FIELD_MASK, change));
}

function l4Replace(machine: Machine): void {
  const [from, to] = [machine.u32(3), machine.u32(4)];
  const change = (field: number, kind: number): number | null => {
    if (kind === 0) return machine.isNull(3) ? csumReplaceByDiff(field, to) : null;
    if (kind === 2) return csumReplace4(field, from & 0xffff, to & 0xffff);
    return kind === 4 ? csumReplace4(field, from, to) : null;
  };
  machine.setNumber(replace(machine, L4_FLAGS, change));
}

function csumDiff(machine: Machine): void {
  const fromSize = machine.size(2);
  const toSize = machine.size(4);
  const from = machine.memory.copy(machine.at(1, fromSize), fromSize);
  const to = machine.memory.copy(machine.at(3, toSize), toSize);
  const seed = machine.u32(5);
  let sum = seed;
  if (fromSize > 0 && toSize > 0) sum = csumSub(csumPartial(to, seed), csumPartial(from, 0));
  else if (toSize > 0) sum = csumPartial(to, seed);
  else if (fromSize > 0) sum = ~csumPartial(from, ~seed >>> 0) >>> 0;
  machine.setNumber(csumTo16(sum));
}

function pullData(machine: Machine): void {
  const { packet } = context(machine);
  if (machine.u32(2) > packet.length) machine.setNumber(-Errno.ENOMEM);
}

function changeTail(machine: Machine): void {
  const ctx = context(machine);
  const { packet } = ctx;
  const length = machine.u32(2);
  const least = Math.max(0, packet.networkOffset - packet.dataOffset);
  if (!machine.isNull(3) || length > SKB_MAX_LEN || length < least) {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  const more = length - packet.length;
  if (more > packet.tailroom) packet.expand(0, more);
  if (more > 0) packet.clear(packet.endOffset, more);
  packet.move({ end: packet.endOffset + more });
  ctx.follow();
}

function changeHead(machine: Machine): void {
  const ctx = context(machine);
  const { packet } = ctx;
  const more = machine.low(2);
  if (!machine.isNull(3) || more < 0 || packet.length + more > SKB_MAX_LEN) {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  if (more > packet.headroom) packet.expand(more, 0);
  const data = packet.dataOffset - more;
  packet.clear(data, more);
  packet.move({ meta: data, data });
  packet.macOffset = data;
  ctx.follow();
}

function changeType(machine: Machine): void {
  const ctx = context(machine);
  const type = machine.u32(2);
  if (type > MAX_PKT_TYPE || ctx.get("pkt_type") > MAX_PKT_TYPE) {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  ctx.set("pkt_type", type);
}

function adjustHead(machine: Machine): void {
  const ctx = context(machine);
  const { packet } = ctx;
  const by = machine.low(2);
  const data = packet.dataOffset + by;
  if (data < XDP_FRAME_SIZE + packet.metaLength || data > packet.endOffset - ETH_HLEN) {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  const first = packet.at - packet.dataOffset;
  machine.memory.move(first + packet.metaOffset + by, first + packet.metaOffset, packet.metaLength);
  packet.move({ meta: packet.metaOffset + by, data });
  ctx.follow();
}

function adjustTail(machine: Machine): void {
  const ctx = context(machine);
  const { packet } = ctx;
  const by = machine.low(2);
  if (by > packet.tailroom || packet.length + by < ETH_HLEN) {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  if (by > 0) packet.clear(packet.endOffset, by);
  packet.move({ end: packet.endOffset + by });
  ctx.follow();
}

function adjustMeta(machine: Machine): void {
  const ctx = context(machine);
  const { packet } = ctx;
  const meta = packet.metaOffset + machine.low(2);
  const length = packet.dataOffset - meta;
  if (meta < XDP_FRAME_SIZE || length < 0) {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  if (length % 4 !== 0 || length > MAX_METADATA) {
    machine.setNumber(-Errno.EACCES);
    return;
  }
  packet.move({ meta });
  ctx.follow();
}

function redirect(machine: Machine): void {
  const [ifindex, flags] = [machine.u32(1), machine.flags(2)];
  const isXdp = machine.context instanceof XdpContext;
  if (isXdp ? flags !== 0 : (flags & ~INGRESS) !== 0) {
    machine.setNumber(isXdp ? XdpAction.ABORTED : TC_ACT_SHOT);
    return;
  }
  machine.act("redirect", { ifindex, flags });
  machine.setNumber(isXdp ? XdpAction.REDIRECT : TC_ACT_REDIRECT);
}

/** BPF_F_BROADCAST and BPF_F_EXCLUDE_INGRESS, for maps of devices. */
const BROADCAST_FLAGS = 0x18;
const ACTION_MASK = 3;

function redirectMap(machine: Machine): void {
  const map = machine.map(1, TargetMap);
  const key = machine.u32(2);
  const flags = machine.flags(3);
  const known = ACTION_MASK | (map.typeName.startsWith("devmap") ? BROADCAST_FLAGS : 0);
  if ((flags & ~known) !== 0) {
    machine.setNumber(XdpAction.ABORTED);
    return;
  }
  const to = machine.high(2) === 0 ? map.item(key) : undefined;
  if (to === undefined && (flags & BROADCAST_FLAGS) === 0) {
    machine.setNumber(flags & ACTION_MASK);
    return;
  }
  machine.act("redirect_map", { map: map.name, key, flags });
  machine.setNumber(XdpAction.REDIRECT);
}

export const packetHelpers = {
  skb_load_bytes: loadBytes,
  skb_load_bytes_relative: loadBytesRelative,
  skb_store_bytes: storeBytes,
  l3_csum_replace: l3Replace,
  l4_csum_replace: l4Replace,
  csum_diff: csumDiff,
  // There is no sum over the whole packet to be kept.
  csum_update: (machine) => machine.setNumber(-Errno.ENOTSUPP),
  skb_pull_data: pullData,
  skb_change_tail: changeTail,
  skb_change_head: changeHead,
  skb_change_type: changeType,
  set_hash: (machine) => context(machine).set("hash", machine.u32(2)),
  set_hash_invalid: (machine) => context(machine).set("hash", 0),
  xdp_adjust_head: adjustHead,
  xdp_adjust_tail: adjustTail,
  xdp_adjust_meta: adjustMeta,
  xdp_get_buff_len: (machine) => machine.setNumber(context(machine).packet.length),
  xdp_load_bytes: (machine) => xdpBytes(machine, false),
  xdp_store_bytes: (machine) => xdpBytes(machine, true),
  redirect,
  redirect_map: redirectMap,
} satisfies Partial<Record<HelperName, Helper>>;
