// SPDX-License-Identifier: MIT
import { Errno } from "../../kernel/errno.js";
import { ElemFlag, MapFlag, MapType } from "../../kernel/uapi.js";
import type { MapLoad } from "../../model/load.js";
import { type MapContext, type MapElement, round8, VmMap } from "./map.js";

/** Elements that get memory at once. */
const SLAB = 256;

/**
 * HASH and its kin: elements lie in memory one after the other, key before values; which is which says a table with
 * chains. As in the kernel, an update of a map with preallocated elements puts the new value into another element, so
 * that pointers which the program still holds see the old one, and a freed element is the next to be used.
 */
export class HashMap extends VmMap {
  readonly #perCpu: boolean;
  readonly #lru: boolean;
  readonly #keyRoom: number;
  readonly #valueRoom: number;
  readonly #elementSize: number;
  readonly #slabs: number[] = [];
  readonly #heads: Int32Array;
  /** Next element of the chain, by element; -1 at its end. */
  #next = new Int32Array(SLAB);
  #free: number[] = [];
  /** Elements that have memory. */
  #made = 0;
  #size = 0;
  /** The element that the next update of an existing key takes. */
  #extra = -1;
  readonly #regions: number[][] = [];
  /** When an element was used last, for LRU maps. */
  readonly #used = new Map<number, number>();
  #clock = 0;

  constructor(context: MapContext, load: MapLoad) {
    super(context, load);
    this.#perCpu = load.type === MapType.PERCPU_HASH || load.type === MapType.LRU_PERCPU_HASH;
    this.#lru = load.type === MapType.LRU_HASH || load.type === MapType.LRU_PERCPU_HASH;
    this.#keyRoom = round8(load.keySize);
    this.#valueRoom = round8(load.valueSize);
    this.#elementSize = this.#keyRoom + this.#valueRoom * (this.#perCpu ? context.cpus : 1);
    this.#heads = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(2, Math.min(load.maxEntries, 1 << 20))))).fill(-1);
    if (!this.#perCpu && !this.#lru && (load.flags & MapFlag.NO_PREALLOC) === 0) this.#extra = this.#make();
  }

  protected override get isPerCpu(): boolean {
    return this.#perCpu;
  }

  get size(): number {
    return this.#size;
  }

  #at(element: number): number {
    return this.#slabs[Math.floor(element / SLAB)]! + (element % SLAB) * this.#elementSize;
  }

  #valueAt(element: number, cpu: number): number {
    return this.#at(element) + this.#keyRoom + (this.#perCpu ? cpu * this.#valueRoom : 0);
  }

  #hash(keyAt: number): number {
    const { bytes } = this.memory;
    let h = 0x811c9dc5;
    for (let i = keyAt; i < keyAt + this.load.keySize; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
    return ((h ^ (h >>> 15)) >>> 0) & (this.#heads.length - 1);
  }

  #same(element: number, keyAt: number): boolean {
    const { bytes } = this.memory;
    const at = this.#at(element);
    for (let i = 0; i < this.load.keySize; i++) if (bytes[at + i] !== bytes[keyAt + i]) return false;
    return true;
  }

  #find(keyAt: number): number {
    let element = this.#heads[this.#hash(keyAt)]!;
    while (element >= 0 && !this.#same(element, keyAt)) element = this.#next[element]!;
    return element;
  }

  /** An element that was not there yet. */
  #make(): number {
    const element = this.#made++;
    if (element % SLAB === 0) {
      this.#slabs.push(this.memory.allocate(SLAB * this.#elementSize));
      if (element >= this.#next.length) {
        const next = new Int32Array(this.#next.length * 2);
        next.set(this.#next);
        this.#next = next;
      }
    }
    return element;
  }

  #note(undo: () => void): void {
    this.memory.undo?.push(undo);
  }

  #link(element: number): void {
    const bucket = this.#hash(this.#at(element));
    this.#next[element] = this.#heads[bucket]!;
    this.#heads[bucket] = element;
    this.#size++;
  }

  #unlink(element: number): void {
    const bucket = this.#hash(this.#at(element));
    let at = this.#heads[bucket]!;
    if (at === element) this.#heads[bucket] = this.#next[element]!;
    else {
      while (this.#next[at] !== element) at = this.#next[at]!;
      this.#next[at] = this.#next[element]!;
    }
    this.#size--;
  }

  /** Region of an element's value. */
  #region(element: number, cpu: number): number {
    const slot = this.#perCpu ? cpu : 0;
    this.#regions[element] ??= [];
    const regions = this.#regions[element]!;
    regions[slot] ??= this.memory.region(
      this.#valueAt(element, slot),
      this.load.valueSize,
      { what: `a value of ${this.what}` },
      this.valueFlags,
    );
    return regions[slot]!;
  }

  override lookup(keyAt: number, cpu: number): number {
    const element = this.#find(keyAt);
    if (element < 0) return -1;
    if (this.#lru) this.#used.set(element, ++this.#clock);
    return this.#region(element, cpu);
  }

  override update(keyAt: number, valueAt: number, flags: number, cpu: number): number {
    const lock = this.#perCpu || this.#lru ? 0 : ElemFlag.LOCK;
    if ((flags & ~lock) > ElemFlag.EXIST) return -Errno.EINVAL;
    if ((flags & ElemFlag.LOCK) !== 0 && !this.hasLock) return -Errno.EINVAL;
    const old = this.#find(keyAt);
    if (old >= 0 && (flags & ElemFlag.NOEXIST) !== 0) return -Errno.EEXIST;
    if (old < 0 && (flags & ElemFlag.EXIST) !== 0) return -Errno.ENOENT;
    if (old >= 0 && (this.#perCpu || (flags & ElemFlag.LOCK) !== 0)) {
      this.#write(old, valueAt, cpu);
      return 0;
    }
    const element = this.#take(old);
    if (element < 0) return -Errno.E2BIG;
    if (old >= 0) this.#drop(old, this.#extra >= 0);
    this.#insert(element, keyAt, valueAt, cpu);
    return 0;
  }

  #insert(element: number, keyAt: number, valueAt: number, cpu: number): void {
    const at = this.#at(element);
    this.memory.move(at, keyAt, this.load.keySize);
    if (this.#perCpu) this.memory.fill(at + this.#keyRoom, this.#elementSize - this.#keyRoom);
    this.copyValue(this.#valueAt(element, cpu), valueAt, true);
    this.#note(() => this.#unlink(element));
    this.#link(element);
    if (this.#lru) this.#used.set(element, ++this.#clock);
  }

  #write(element: number, valueAt: number, cpu: number): void {
    this.copyValue(this.#valueAt(element, cpu), valueAt);
  }

  /** Takes an element for a new key, or for the new value of `old`; -1 when the map is full. */
  #take(old: number): number {
    if (old >= 0 && this.#extra >= 0) {
      const element = this.#extra;
      this.#note(() => {
        this.#extra = element;
      });
      this.#extra = old;
      return element;
    }
    if (old < 0 && this.#size >= this.load.maxEntries) {
      if (!this.#lru) return -1;
      this.#evict();
    }
    const freed = this.#free.pop();
    if (freed !== undefined) {
      this.#note(() => this.#free.push(freed));
      return freed;
    }
    const element = this.#make();
    this.#note(() => this.#free.push(element));
    return element;
  }

  #evict(): void {
    let oldest = -1;
    let when = Number.POSITIVE_INFINITY;
    for (const [element, used] of this.#used) {
      if (used < when) {
        oldest = element;
        when = used;
      }
    }
    this.#used.delete(oldest);
    this.#drop(oldest, false);
  }

  /** Takes an element out of the table; it can be used again unless somebody keeps it. */
  #drop(element: number, kept: boolean): void {
    this.#note(() => {
      this.#link(element);
      if (!kept) this.#free.pop();
    });
    this.#unlink(element);
    if (!kept) this.#free.push(element);
  }

  override remove(keyAt: number): number {
    const element = this.#find(keyAt);
    if (element < 0) return -Errno.ENOENT;
    this.#used.delete(element);
    this.#drop(element, false);
    return 0;
  }

  #all(): number[] {
    const all: number[] = [];
    for (const head of this.#heads) for (let e = head; e >= 0; e = this.#next[e]!) all.push(e);
    return all;
  }

  override elements(cpu: number): readonly MapElement[] {
    return this.#all().map((element) => ({ keyAt: this.#at(element), region: this.#region(element, cpu) }));
  }

  override keys(): Uint8Array[] {
    return this.#all().map((element) => this.memory.copy(this.#at(element), this.load.keySize));
  }
}
