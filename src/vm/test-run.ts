// SPDX-License-Identifier: MIT
import { ctxLayout, flowDissectorCtx, schedClsCtx, xdpCtx } from "../kernel/ctx/index.js";
import { ProgType, progTypeName } from "../kernel/uapi.js";
import { InputError } from "../util/errors.js";
import { RegionFlag } from "./memory.js";
import { Packet } from "./packet.js";
import { fieldOffset, SkbContext, XdpContext } from "./packet-context.js";
import type { Vm } from "./vm.js";

/** What a test run takes: the names of BPF_PROG_TEST_RUN. */
export interface VmTestRunRequest {
  /** Input data (a packet). */
  readonly data?: Uint8Array;
  /** Input context. */
  readonly context?: Uint8Array;
  /** How often to run; 0 and 1 mean once. */
  readonly repeat?: number;
}

/** What a test run brought. */
export interface VmTestRunResult {
  /** The program's return value, unsigned. */
  readonly retval: number;
  /** Mean duration of one run in nanoseconds. */
  readonly duration: number;
  /** The packet as the program left it; of a flow dissector, the keys. */
  readonly data: Uint8Array;
  readonly context: Uint8Array;
}

/* Rooms around packets: net/bpf/test_run.c, on a machine with pages of 4 KiB. */
const ETH_HLEN = 14;
const PAGE = 4096;
const SHARED_INFO = 320;
const XDP_HEADROOM = 256;
const SKB_HEADROOM = 64;
const MAX_METADATA = 255;
/** struct bpf_flow_keys. */
const FLOW_KEYS_SIZE = 56;
const ETH_P_802_2 = 4;
const ETH_P_802_3 = 1;
const ETH_P_802_3_MIN = 0x600;
const ETH_P_IP = 0x800;
const ETH_P_IPV6 = 0x86dd;
/** An Ethernet header and the shortest IP header behind it. */
const IPV4_LEAST = ETH_HLEN + 20;
const IPV6_LEAST = ETH_HLEN + 40;
/** struct bpf_sock. */
const SOCK_SIZE = 80;
const SOCK_FAMILY = 4;
const SOCK_SRC_IP4 = 24;
const SOCK_SRC_IP6 = 28;
const SOCK_DST_IP4 = 52;
const SOCK_DST_IP6 = 56;
const SOCK_STATE = 72;
const SOCK_RX_QUEUE = 76;
const TCP_CLOSE = 7;
const AF_INET = 2;
const AF_INET6 = 10;
const LOOPBACK = 1;

const L2_TYPES: ReadonlySet<number> = new Set([ProgType.SCHED_CLS, ProgType.SCHED_ACT]);
const SKB_TYPES: ReadonlySet<number> = new Set([
  ProgType.SOCKET_FILTER,
  ProgType.SCHED_CLS,
  ProgType.SCHED_ACT,
  ProgType.CGROUP_SKB,
  ProgType.LWT_IN,
  ProgType.LWT_OUT,
  ProgType.LWT_XMIT,
  ProgType.LWT_SEG6LOCAL,
  ProgType.SK_SKB,
]);

/** Fields of __sk_buff that a test may set. */
const SETTABLE = [
  "mark",
  "priority",
  "ingress_ifindex",
  "ifindex",
  "cb",
  "tstamp",
  "wire_len",
  "gso_segs",
  "gso_size",
  "hwtstamp",
];

function refuse(vm: Vm, why: string): InputError {
  return new InputError(`test run of ${vm.program.name}: ${why} (the kernel says EINVAL)`);
}

/** A run about to begin: its input stands in memory. */
export interface PreparedRun {
  /** The context's. */
  readonly region: number;
  /** Takes the results out after the last run. */
  finish(retval: number): Omit<VmTestRunResult, "duration">;
}

/**
 * Runs the program on given input, as BPF_PROG_TEST_RUN does. Maps keep what earlier runs left in them.
 * @throws VmFault when the program does what it must not; InputError when the input is not what the kernel takes.
 */
export function testRun(vm: Vm, request: VmTestRunRequest = {}): VmTestRunResult {
  const setup = prepareRun(vm, request);
  const repeat = Math.max(1, request.repeat ?? 1);
  const start = performance.now();
  let retval = 0;
  for (let i = 0; i < repeat; i++) retval = vm.run(setup.region);
  const duration = Math.min(0xffff_ffff, Math.round(((performance.now() - start) * 1e6) / repeat));
  return { duration, ...setup.finish(retval) };
}

/**
 * Puts a run's input in its place, for who runs the program otherwise than by {@link testRun}.
 * @throws InputError when it is not what the kernel takes.
 */
export function prepareRun(vm: Vm, request: VmTestRunRequest): PreparedRun {
  const { progType } = vm.program;
  if (progType === ProgType.XDP) return xdp(vm, request);
  if (progType === ProgType.FLOW_DISSECTOR) return flowDissector(vm, request);
  if (SKB_TYPES.has(progType)) return skb(vm, request);
  return plain(vm, request);
}

function packetOf(vm: Vm): Packet {
  vm.machine.packet ??= new Packet(vm.machine.memory, vm.spread);
  return vm.machine.packet;
}

function packetData(vm: Vm, { data }: VmTestRunRequest, headroom: number, tailroom: number): Uint8Array {
  if (data === undefined || data.length < ETH_HLEN) throw refuse(vm, `a packet has at least ${ETH_HLEN} bytes`);
  const most = PAGE - headroom - tailroom;
  if (data.length > most) throw refuse(vm, `a packet has at most ${most} bytes, not ${data.length}`);
  return data;
}

/** The context in full length; what stands behind the structure must be 0. */
function padded(vm: Vm, context: Uint8Array, size: number): Uint8Array {
  if (context.subarray(size).some((byte) => byte !== 0)) throw refuse(vm, `the context has ${size} bytes`);
  const bytes = new Uint8Array(size);
  bytes.set(context.subarray(0, size));
  return bytes;
}

function xdp(vm: Vm, request: VmTestRunRequest): PreparedRun {
  const packet = packetOf(vm);
  let meta = 0;
  if (request.context !== undefined) {
    const view = new DataView(padded(vm, request.context, xdpCtx.size).buffer);
    const field = (name: string): number => view.getUint32(fieldOffset(xdpCtx, name), true);
    meta = field("data");
    const end = field("data_end");
    const isBad = field("data_meta") !== 0 || end !== (request.data?.length ?? 0) || meta > end;
    if (isBad || meta % 4 !== 0 || meta > MAX_METADATA) throw refuse(vm, "the context does not fit the packet");
    if (field("egress_ifindex") !== 0) throw refuse(vm, "egress_ifindex must be 0");
    if (field("ingress_ifindex") === 0 && field("rx_queue_index") !== 0) throw refuse(vm, "a queue needs an interface");
  }
  const headroom = XDP_HEADROOM - meta;
  const data = packetData(vm, request, headroom, SHARED_INFO);
  packet.reset(data, headroom, PAGE - SHARED_INFO - headroom - data.length);
  packet.move({ data: packet.dataOffset + meta });
  const ctx = new XdpContext(vm.machine.memory, packet);
  ctx.follow();
  ctx.set("ingress_ifindex", LOOPBACK);
  vm.machine.context = ctx;
  return {
    region: ctx.region,
    finish: (retval) => {
      const out = request.context === undefined ? new Uint8Array(0) : padded(vm, request.context, xdpCtx.size);
      if (request.context !== undefined) {
        const view = new DataView(out.buffer);
        view.setUint32(fieldOffset(xdpCtx, "data"), packet.metaLength, true);
        view.setUint32(fieldOffset(xdpCtx, "data_end"), packet.endOffset - packet.metaOffset, true);
      }
      return { retval, data: packet.bytes(true), context: out };
    },
  };
}

/** eth_type_trans() for the loopback device, whose address is all zeros. */
function linkLayer(data: Uint8Array): { readonly type: number; readonly protocol: number } {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const to = data.subarray(0, 6);
  const isGroup = (to[0]! & 1) !== 0;
  const isAll = to.every((byte) => byte === 0xff);
  const type = isAll ? 1 : isGroup ? 2 : to.every((byte) => byte === 0) ? 0 : 3;
  let protocol = view.getUint16(12);
  if (protocol < ETH_P_802_3_MIN) {
    const isRaw = data.length >= ETH_HLEN + 2 && view.getUint16(ETH_HLEN) === 0xffff;
    protocol = isRaw ? ETH_P_802_3 : ETH_P_802_2;
  }
  return { type, protocol };
}

const swap16 = (value: number): number => ((value & 0xff) << 8) | (value >> 8);

/** A socket with what a test run knows of it. */
function socketOf(vm: Vm, protocol: number, data: Uint8Array): bigint {
  const { memory } = vm.machine;
  const at = memory.allocate(SOCK_SIZE);
  memory.setU32(at + SOCK_STATE, TCP_CLOSE);
  memory.setU32(at + SOCK_RX_QUEUE, 0xffff_ffff);
  if (protocol === ETH_P_IP) {
    memory.setU32(at + SOCK_FAMILY, AF_INET);
    memory.write(at + SOCK_SRC_IP4, data.subarray(ETH_HLEN + 12, ETH_HLEN + 16));
    memory.write(at + SOCK_DST_IP4, data.subarray(ETH_HLEN + 16, ETH_HLEN + 20));
  } else if (protocol === ETH_P_IPV6) {
    memory.setU32(at + SOCK_FAMILY, AF_INET6);
    memory.write(at + SOCK_SRC_IP6, data.subarray(ETH_HLEN + 8, ETH_HLEN + 24));
    memory.write(at + SOCK_DST_IP6, data.subarray(ETH_HLEN + 24, ETH_HLEN + 40));
  }
  return memory.address(memory.region(at, SOCK_SIZE, { what: "socket" }, RegionFlag.READ_ONLY));
}

function skb(vm: Vm, request: VmTestRunRequest): PreparedRun {
  const { memory } = vm.machine;
  const packet = packetOf(vm);
  const data = packetData(vm, request, SKB_HEADROOM, SHARED_INFO);
  const { type, protocol } = linkLayer(data);
  const least = protocol === ETH_P_IP ? IPV4_LEAST : protocol === ETH_P_IPV6 ? IPV6_LEAST : 0;
  if (data.length < least) throw refuse(vm, `its IP header needs a packet of ${least} bytes`);
  const isL2 = L2_TYPES.has(vm.program.progType);
  packet.reset(data, SKB_HEADROOM, SHARED_INFO);
  packet.macOffset = SKB_HEADROOM;
  packet.networkOffset = SKB_HEADROOM + ETH_HLEN;
  if (!isL2) packet.move({ meta: packet.networkOffset, data: packet.networkOffset });
  const ctx = new SkbContext(memory, packet);
  if (request.context !== undefined) copySettable(vm, ctx, padded(vm, request.context, schedClsCtx.size));
  ctx.set("pkt_type", type);
  ctx.set("protocol", swap16(protocol));
  if (ctx.get("ifindex") === 0) ctx.set("ifindex", LOOPBACK);
  if (ctx.get("wire_len") === 0) ctx.set("wire_len", packet.length);
  memory.setU64(ctx.place + fieldOffset(schedClsCtx, "sk"), socketOf(vm, protocol, data));
  setAddresses(ctx, protocol, data);
  ctx.follow();
  vm.machine.context = ctx;
  return { region: ctx.region, finish: (retval) => skbResult(request, ctx, packet, isL2, retval) };
}

/** The fields that come from the socket, as programs on cgroups and sockets read them. */
function setAddresses(ctx: SkbContext, protocol: number, data: Uint8Array): void {
  const words = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (protocol === ETH_P_IP) {
    ctx.set("family", AF_INET);
    ctx.set("local_ip4", words.getUint32(ETH_HLEN + 12, true));
    ctx.set("remote_ip4", words.getUint32(ETH_HLEN + 16, true));
  } else if (protocol === ETH_P_IPV6) {
    ctx.set("family", AF_INET6);
    ctx.put("local_ip6", data.subarray(ETH_HLEN + 8, ETH_HLEN + 24));
    ctx.put("remote_ip6", data.subarray(ETH_HLEN + 24, ETH_HLEN + 40));
  }
}

function skbResult(
  request: VmTestRunRequest,
  ctx: SkbContext,
  packet: Packet,
  isL2: boolean,
  retval: number,
): Omit<VmTestRunResult, "duration"> {
  let data = packet.bytes();
  if (!isL2) {
    const framed = new Uint8Array(ETH_HLEN + data.length);
    framed.set(data, ETH_HLEN);
    data = framed;
  }
  const context = new Uint8Array(request.context === undefined ? 0 : schedClsCtx.size);
  if (request.context !== undefined) {
    context.set(request.context.subarray(0, schedClsCtx.size));
    const now = ctx.bytes();
    for (const name of SETTABLE) {
      // The kernel does not write this one back.
      if (name === "gso_size") continue;
      const field = schedClsCtx.fields.find((it) => it.name === name)!;
      const end = field.offset + field.size * field.count;
      context.set(now.subarray(field.offset, end), field.offset);
    }
  }
  return { retval, data, context };
}

function copySettable(vm: Vm, ctx: SkbContext, bytes: Uint8Array): void {
  const rest = bytes.slice();
  for (const name of SETTABLE) {
    const field = schedClsCtx.fields.find((it) => it.name === name)!;
    const end = field.offset + field.size * field.count;
    rest.fill(0, field.offset, end);
    vm.machine.memory.write(ctx.place + field.offset, bytes.subarray(field.offset, end));
  }
  const wrong = schedClsCtx.fields.find(({ offset, size, count }) =>
    rest.subarray(offset, offset + size * count).some((byte) => byte !== 0),
  );
  if (wrong !== undefined) throw refuse(vm, `a test cannot set ${wrong.name}`);
}

function flowDissector(vm: Vm, request: VmTestRunRequest): PreparedRun {
  const { memory } = vm.machine;
  const packet = packetOf(vm);
  const data = packetData(vm, request, 0, 0);
  packet.reset(data, 0, 0);
  const keysAt = memory.allocate(FLOW_KEYS_SIZE);
  const keys = memory.region(keysAt, FLOW_KEYS_SIZE, { what: "flow keys" });
  memory.view.setUint16(keysAt, ETH_HLEN, true);
  memory.view.setUint16(keysAt + 2, ETH_HLEN, true);
  memory.bytes.set(data.subarray(12, 14), keysAt + 10);
  const at = memory.allocate(flowDissectorCtx.size);
  memory.setU32(at + fieldOffset(flowDissectorCtx, "data"), packet.dataLow);
  memory.setU32(at + fieldOffset(flowDissectorCtx, "data_end"), packet.endLow);
  memory.setU64(at + fieldOffset(flowDissectorCtx, "flow_keys"), memory.address(keys));
  const region = memory.region(at, flowDissectorCtx.size, { what: "context" }, RegionFlag.READ_ONLY);
  return {
    region,
    finish: (retval) => {
      const clamp = (offset: number, least: number): void => {
        const value = memory.view.getUint16(keysAt + offset, true);
        memory.view.setUint16(keysAt + offset, Math.min(Math.max(value, least), data.length), true);
      };
      clamp(0, ETH_HLEN);
      clamp(2, memory.view.getUint16(keysAt, true));
      return { retval, data: memory.copy(keysAt, FLOW_KEYS_SIZE), context: new Uint8Array(0) };
    },
  };
}

/** Programs without packets: the context is memory. */
function plain(vm: Vm, request: VmTestRunRequest): PreparedRun {
  const { memory } = vm.machine;
  const { progType } = vm.program;
  if (request.data !== undefined && request.data.length > 0) {
    throw refuse(vm, `a ${progTypeName(progType) ?? progType} program takes no data`);
  }
  const given = request.context ?? new Uint8Array(0);
  const size = progType === ProgType.SYSCALL ? given.length : Math.max(given.length, ctxLayout(progType)?.size ?? 0);
  const at = memory.allocate(size);
  memory.write(at, given);
  const region = memory.region(at, size, { what: "context" });
  return {
    region,
    finish: (retval) => ({ retval, data: new Uint8Array(0), context: memory.copy(at, given.length) }),
  };
}
