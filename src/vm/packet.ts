// SPDX-License-Identifier: MIT
import { type Memory, PACKET_REGION } from "./memory.js";

/** Lower half of the address of the first byte of the room that a packet lies in. */
const PACKET_LOW = 0x1000_0000;

/** Negative offsets of classic loads count from the network header, and below that from the link layer's. */
const SKF_NET_OFF = -0x100000;
const SKF_LL_OFF = -0x200000;

/**
 * The packet: a room with the packet somewhere in it, and what may lie before its first byte (metadata). All offsets
 * count from the beginning of the room.
 */
export class Packet {
  readonly #memory: Memory;
  readonly #low: number;
  #at: number;
  #room: number;
  /** Bytes that were taken from memory. */
  #capacity: number;
  #meta: number;
  #data: number;
  #end: number;

  /** @param spread Moves its addresses about. */
  constructor(memory: Memory, spread = 0) {
    this.#memory = memory;
    this.#low = PACKET_LOW + (spread & 0xff) * 0x1_0040;
    this.#room = 4096;
    this.#capacity = this.#room;
    this.#at = memory.allocate(this.#capacity);
    this.#meta = 0;
    this.#data = 0;
    this.#end = 0;
  }

  /** Takes a packet in, with room around it; what was there is forgotten. */
  reset(bytes: Uint8Array, headroom: number, tailroom: number): void {
    const room = headroom + bytes.length + tailroom;
    if (room > this.#capacity) {
      this.#at = this.#memory.allocate(room);
      this.#capacity = room;
    }
    this.#room = room;
    this.#memory.bytes.fill(0, this.#at, this.#at + room);
    this.#memory.bytes.set(bytes, this.#at + headroom);
    this.#meta = headroom;
    this.#data = headroom;
    this.#end = headroom + bytes.length;
    this.#show();
  }

  #show(): void {
    this.#memory.moveRegion(PACKET_REGION, this.#low + this.#meta, this.#end - this.#meta, this.#at + this.#meta);
  }

  /** Bytes from first to last. */
  get length(): number {
    return this.#end - this.#data;
  }

  get headroom(): number {
    return this.#data;
  }

  get tailroom(): number {
    return this.#room - this.#end;
  }

  get metaLength(): number {
    return this.#data - this.#meta;
  }

  /** Addresses, all in 32 bits. */
  get metaLow(): number {
    return this.#low + this.#meta;
  }

  get dataLow(): number {
    return this.#low + this.#data;
  }

  get endLow(): number {
    return this.#low + this.#end;
  }

  /** Where the packet's first byte lies. */
  get at(): number {
    return this.#at + this.#data;
  }

  /** A copy of the packet, from metadata on when asked. */
  bytes(withMeta = false): Uint8Array {
    return this.#memory.copy(
      this.#at + (withMeta ? this.#meta : this.#data),
      this.#end - (withMeta ? this.#meta : this.#data),
    );
  }

  /** Moves the beginnings and the end; what is between stays where it is. The caller has checked that there is room. */
  move({
    meta = this.#meta,
    data = this.#data,
    end = this.#end,
  }: {
    meta?: number;
    data?: number;
    end?: number;
  }): void {
    const old = { meta: this.#meta, data: this.#data, end: this.#end };
    this.#memory.undo?.push(() => {
      this.#meta = old.meta;
      this.#data = old.data;
      this.#end = old.end;
    });
    this.#meta = meta;
    this.#data = data;
    this.#end = end;
    this.#show();
  }

  /** Offsets in the room. */
  get metaOffset(): number {
    return this.#meta;
  }

  get dataOffset(): number {
    return this.#data;
  }

  get endOffset(): number {
    return this.#end;
  }

  /** Offset of the network header in the room, for classic loads with a negative offset. */
  networkOffset = 0;
  /** Offset of the link layer's header. */
  macOffset = 0;

  /** Where a classic load finds its bytes, -1 when they are not in the packet: bpf_skb_load_helper_*(). */
  classic(offset: number, size: number): number {
    if (offset >= 0) return offset <= this.length - size ? this.at + offset : -1;
    let from: number;
    if (offset >= SKF_NET_OFF) from = this.networkOffset + offset - SKF_NET_OFF;
    else if (offset >= SKF_LL_OFF) from = this.macOffset + offset - SKF_LL_OFF;
    else return -1;
    return from >= 0 && from <= this.#end - size ? this.#at + from : -1;
  }

  /** Fills bytes from an offset of the room on with zeros. */
  clear(offset: number, size: number): void {
    this.#memory.fill(this.#at + offset, size);
  }

  /** Lets the room grow at both ends. */
  expand(head: number, tail: number): void {
    const room = this.#room + head + tail;
    const at = this.#memory.allocate(room);
    this.#memory.bytes.copyWithin(at + head, this.#at, this.#at + this.#room);
    const old = { at: this.#at, room: this.#room };
    this.#memory.undo?.push(() => {
      this.#at = old.at;
      this.#room = old.room;
    });
    this.#at = at;
    this.#room = room;
    this.#capacity = room;
    this.move({ meta: this.#meta + head, data: this.#data + head, end: this.#end + head });
  }
}
