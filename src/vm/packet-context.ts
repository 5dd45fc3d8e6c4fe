// SPDX-License-Identifier: MIT
import { schedClsCtx, xdpCtx } from "../kernel/ctx/index.js";
import type { CtxLayout } from "../kernel/ctx/types.js";
import { BugError } from "../util/errors.js";
import { type Memory, RegionFlag, type RegionOwner } from "./memory.js";
import type { Packet } from "./packet.js";

/** Offset of a context's field. */
export function fieldOffset(layout: CtxLayout, name: string): number {
  const field = layout.fields.find((it) => it.name === name);
  if (field === undefined) throw new BugError(`${layout.name} has no field ${name}`);
  return field.offset;
}

/** A context with packet pointers, as the program sees it; what belongs to the packet follows it. */
export abstract class PacketContext implements RegionOwner {
  readonly what: string;
  readonly region: number;
  readonly packet: Packet;
  protected readonly memory: Memory;
  protected readonly at: number;
  protected readonly layout: CtxLayout;

  constructor(memory: Memory, packet: Packet, layout: CtxLayout, flags: number) {
    this.memory = memory;
    this.packet = packet;
    this.layout = layout;
    this.what = layout.name;
    this.at = memory.allocate(layout.size);
    this.region = memory.region(this.at, layout.size, this, flags);
  }

  get(name: string): number {
    return this.memory.u32(this.at + fieldOffset(this.layout, name));
  }

  set(name: string, value: number): void {
    this.memory.setU32(this.at + fieldOffset(this.layout, name), value);
  }

  /** Sets a field of several words. */
  put(name: string, bytes: Uint8Array): void {
    this.memory.write(this.at + fieldOffset(this.layout, name), bytes);
  }

  /** The whole structure. */
  bytes(): Uint8Array {
    return this.memory.copy(this.at, this.layout.size);
  }

  /** Makes the fields follow the packet after it moved. */
  abstract follow(): void;
}

/** `struct xdp_md`. */
export class XdpContext extends PacketContext {
  constructor(memory: Memory, packet: Packet) {
    super(memory, packet, xdpCtx, RegionFlag.READ_ONLY);
  }

  override follow(): void {
    this.set("data", this.packet.dataLow);
    this.set("data_end", this.packet.endLow);
    this.set("data_meta", this.packet.metaLow);
  }
}

/** Fields of which the kernel keeps 16 bits. */
const SHORT_FIELDS = ["tc_index", "tc_classid", "queue_mapping"] as const;
/** NO_QUEUE_MAPPING: from here on a write of queue_mapping does nothing. */
const NO_QUEUE = 0xffff;

/** `struct __sk_buff`. */
export class SkbContext extends PacketContext {
  readonly #short = SHORT_FIELDS.map((name) => fieldOffset(schedClsCtx, name));
  readonly #queue = fieldOffset(schedClsCtx, "queue_mapping");
  #queueMapping = 0;

  constructor(memory: Memory, packet: Packet) {
    super(memory, packet, schedClsCtx, RegionFlag.HOOK);
  }

  /** Where the structure lies. */
  get place(): number {
    return this.at;
  }

  clear(): void {
    this.memory.fill(this.at, this.layout.size);
    this.#queueMapping = 0;
  }

  written(offset: number): void {
    for (const field of this.#short) {
      if (offset < field || offset >= field + 4) continue;
      let value = this.memory.u32(this.at + field);
      if (field === this.#queue) {
        if (value >= NO_QUEUE) value = this.#queueMapping;
        this.#queueMapping = value;
      }
      this.memory.setU32(this.at + field, value & 0xffff);
    }
  }

  override follow(): void {
    this.set("len", this.packet.length);
    this.set("data", this.packet.dataLow);
    this.set("data_end", this.packet.endLow);
    this.set("data_meta", this.packet.metaLow);
  }
}
