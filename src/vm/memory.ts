// SPDX-License-Identifier: MIT
import { InputError } from "../util/errors.js";

/*
 * All that a program can touch lies in one linear memory, cut into regions: a frame's stack, the context, the packet,
 * one map value, one ring buffer record. An address says its region in the upper half and the place in it in the lower:
 * arithmetic on a pointer never leads from one region into another one, and an access is checked with one look at the
 * region's row in a table. That table lies in the same memory, so that compiled programs can look too.
 *
 * The packet is the exception: contexts hold its addresses in 32 bits, so its upper half is 0.
 */

/** Upper half of the address of region 0, if it had one like the others; like the kernel's, addresses are negative. */
export const REGION_BASE = 0xffff8880 | 0;
/** Where regions begin, lower half: what goes a little too far either way still says whose memory it missed. */
const REGION_LOW = 0x4000_0000;
/** The packet's region; its addresses have an upper half of 0. */
export const PACKET_REGION = 0;
/** First frame's stack; the others follow. */
export const STACK_REGION = 1;
/** Frames there can be at once, callbacks included. */
export const MAX_FRAMES = 16;
/** Bytes of a frame's stack. */
export const FRAME_SIZE = 512;
const FIRST_FREE_REGION = STACK_REGION + MAX_FRAMES;

/** Where R0 to R5 are handed over between compiled programs and helpers. */
export const ARGS_AT = 64;
const ARGS_WORDS = 12;
/** Where the frames' stacks lie. */
export const STACKS_AT = 1024;
const HEAP_AT = STACKS_AT + MAX_FRAMES * FRAME_SIZE;

/** Words of a row: lowest valid offset, bytes, what to add to an offset for the place in memory, flags. */
export const ROW_WORDS = 4;
export const ROW_BYTES = 4 * ROW_WORDS;

/** A region's flags; a write to one that has any is looked at more closely. */
export const RegionFlag = { READ_ONLY: 1, HOOK: 2 } as const;

/** What a region is, for messages and for helpers that take a pointer to it. */
export interface RegionOwner {
  /** For messages: `map value`, `context`. */
  readonly what: string;
  /** Called after a write to a region with {@link RegionFlag.HOOK}: offset from the region's first byte, and bytes. */
  written?(offset: number, size: number): void;
}

/** Undoes one change. */
export type Undo = () => void;

const PAGE = 65536;
/** Places in memory are signed 32-bit numbers, which engines are fastest with. */
const MAX_BYTES = 0x7fff_0000;

/** The memory of one machine. Views change when it grows: nobody keeps them over a call. */
export class Memory {
  bytes: Uint8Array<ArrayBufferLike>;
  view: DataView;
  /** The table of regions. */
  rows: Int32Array;
  /** R0 to R5 on the way to a helper and back: low and high halves. */
  args: Int32Array;
  /** Rows in use. */
  count = 0;
  /** Where the table lies. */
  tableAt = 0;
  /** Told when memory or table moved or rows were added. */
  onChange: (() => void) | null = null;
  /** Where changes are noted when somebody wants to go back. */
  undo: Undo[] | null = null;

  #capacity = 0;
  #top = HEAP_AT;
  #grow: (bytes: number) => ArrayBufferLike;
  readonly #owners: (RegionOwner | undefined)[] = [];
  readonly #spread: number;

  /**
   * @param spread Moves addresses about: what a program computes from addresses differs with it, nothing else does.
   */
  constructor(spread = 0) {
    this.#spread = spread;
    this.#grow = (bytes) => {
      const buffer = new ArrayBuffer(bytes);
      new Uint8Array(buffer).set(this.bytes);
      return buffer;
    };
    this.bytes = new Uint8Array(PAGE);
    this.view = new DataView(this.bytes.buffer);
    this.args = new Int32Array(this.bytes.buffer, ARGS_AT, ARGS_WORDS);
    this.rows = new Int32Array(0);
    this.#growTable(64);
    this.#row(PACKET_REGION, 0, 0, 0, 0, { what: "packet" });
    for (let i = 0; i < MAX_FRAMES; i++) {
      this.#row(STACK_REGION + i, this.stackStart, 0, STACKS_AT + i * FRAME_SIZE, 0, { what: `stack of frame ${i}` });
    }
    this.count = FIRST_FREE_REGION + (spread & 7);
  }

  /** Lower half of the address of a stack's first byte. */
  get stackStart(): number {
    return REGION_LOW + ((this.#spread & 0xff) << 12);
  }

  /** Lets another memory grow in place of the plain one; its content is copied there first. */
  moveTo(bytesNow: number, buffer: ArrayBufferLike, grow: (bytes: number) => ArrayBufferLike): void {
    if (bytesNow < this.bytes.length) throw new InputError("the other memory is too small");
    new Uint8Array(buffer).set(this.bytes);
    this.#grow = grow;
    this.#adopt(buffer);
  }

  #adopt(buffer: ArrayBufferLike): void {
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.args = new Int32Array(buffer, ARGS_AT, ARGS_WORDS);
    this.rows = new Int32Array(buffer, this.tableAt, this.#capacity * ROW_WORDS);
    this.onChange?.();
  }

  /**
   * Takes memory, filled with zeros, at a multiple of 8.
   * @throws InputError when there would be more than 2 GiB.
   */
  allocate(size: number): number {
    const at = this.#top;
    const top = at + Math.ceil(size / 8) * 8;
    if (!(top <= MAX_BYTES)) throw new InputError(`the machine's memory would exceed 2 GiB (${size} more bytes)`);
    this.#top = top;
    if (top > this.bytes.length) {
      const wanted = Math.min(
        MAX_BYTES,
        Math.max(top, Math.min(this.bytes.length * 2, this.bytes.length + 0x400_0000)),
      );
      this.#adopt(this.#grow(Math.ceil(wanted / PAGE) * PAGE));
    }
    return at;
  }

  #growTable(capacity: number): void {
    const at = this.allocate(capacity * ROW_BYTES);
    const rows = new Int32Array(this.bytes.buffer, at, capacity * ROW_WORDS);
    rows.set(this.rows);
    this.rows = rows;
    this.tableAt = at;
    this.#capacity = capacity;
    this.onChange?.();
  }

  #row(id: number, start: number, size: number, base: number, flags: number, owner: RegionOwner): void {
    const row = id * ROW_WORDS;
    this.rows[row] = start;
    this.rows[row + 1] = size;
    this.rows[row + 2] = base - start;
    this.rows[row + 3] = flags;
    this.#owners[id] = owner;
  }

  /** Makes a region of memory that was taken; gives its number. */
  region(base: number, size: number, owner: RegionOwner, flags = 0): number {
    if (this.count >= this.#capacity) this.#growTable(this.#capacity * 2);
    const id = this.count++;
    this.#row(id, REGION_LOW + (((this.#spread * 0x9e37) & 0xffff) << 4), size, base, flags, owner);
    this.onChange?.();
    return id;
  }

  /** Changes what part of memory a region is. */
  moveRegion(id: number, start: number, size: number, base: number): void {
    const row = id * ROW_WORDS;
    this.undo?.push(this.#rowUndo(id));
    this.rows[row] = start;
    this.rows[row + 1] = size;
    this.rows[row + 2] = base - start;
  }

  /** Makes a region longer or shorter; of 0 bytes nothing can be accessed. */
  resizeRegion(id: number, size: number): void {
    this.undo?.push(this.#rowUndo(id));
    this.rows[id * ROW_WORDS + 1] = size;
  }

  #rowUndo(id: number): Undo {
    const old = this.rows.slice(id * ROW_WORDS, (id + 1) * ROW_WORDS);
    return () => this.rows.set(old, id * ROW_WORDS);
  }

  owner(id: number): RegionOwner | undefined {
    return this.#owners[id];
  }

  regionSize(id: number): number {
    return this.rows[id * ROW_WORDS + 1]!;
  }

  /** Lower half of the address of a region's first byte. */
  regionLow(id: number): number {
    return this.rows[id * ROW_WORDS]!;
  }

  /** Upper half of a region's addresses. */
  regionHigh(id: number): number {
    return id === PACKET_REGION ? 0 : (REGION_BASE + id) | 0;
  }

  /** Where a region's first byte lies. */
  regionBase(id: number): number {
    return (this.rows[id * ROW_WORDS + 2]! + this.rows[id * ROW_WORDS]!) | 0;
  }

  /** Address of a byte of a region. */
  address(id: number, offset = 0): bigint {
    return toU64((this.regionLow(id) + offset) | 0, this.regionHigh(id));
  }

  /** The region that an address names, -1 for none. */
  regionOf(high: number): number {
    const id = high === 0 ? PACKET_REGION : (high - REGION_BASE) >>> 0;
    return id < this.count ? id : -1;
  }

  /** Where `size` bytes at an address lie, -1 when they do not lie in one region. */
  find(low: number, high: number, size: number): number {
    const id = high === 0 ? PACKET_REGION : (high - REGION_BASE) >>> 0;
    if (id >= this.count) return -1;
    const row = id * ROW_WORDS;
    const offset = (low - this.rows[row]!) | 0;
    if (offset < 0 || offset > this.rows[row + 1]! - size) return -1;
    return (low + this.rows[row + 2]!) | 0;
  }

  /** Bytes from an address to the end of its region, 0 for an address outside. */
  room(low: number, high: number): number {
    const id = this.regionOf(high);
    if (id < 0) return 0;
    const offset = (low - this.rows[id * ROW_WORDS]!) >>> 0;
    const size = this.rows[id * ROW_WORDS + 1]!;
    return offset >= size ? 0 : size - offset;
  }

  /** A copy of bytes. */
  copy(at: number, size: number): Uint8Array {
    return this.bytes.slice(at, at + size);
  }

  /** Notes what stands there now, for going back; to be called before each write. */
  touch(at: number, size: number): void {
    if (this.undo === null) return;
    const old = this.copy(at, size);
    this.undo.push(() => this.bytes.set(old, at));
  }

  write(at: number, bytes: Uint8Array): void {
    this.touch(at, bytes.length);
    this.bytes.set(bytes, at);
  }

  fill(at: number, size: number, byte = 0): void {
    this.touch(at, size);
    this.bytes.fill(byte, at, at + size);
  }

  move(to: number, from: number, size: number): void {
    this.touch(to, size);
    this.bytes.copyWithin(to, from, from + size);
  }

  u32(at: number): number {
    return this.view.getUint32(at, true);
  }

  setU32(at: number, value: number): void {
    this.touch(at, 4);
    this.view.setUint32(at, value, true);
  }

  setU64(at: number, value: bigint): void {
    this.touch(at, 8);
    this.view.setBigUint64(at, BigInt.asUintN(64, value), true);
  }
}

/** 64 bits of two halves, unsigned. */
export function toU64(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
