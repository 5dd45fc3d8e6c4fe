// SPDX-License-Identifier: MIT
import { Errno } from "../../kernel/errno.js";
import { ElemFlag, MapType } from "../../kernel/uapi.js";
import type { MapLoad } from "../../model/load.js";
import { InputError } from "../../util/errors.js";
import { type MapContext, type MapElement, round8, VmMap } from "./map.js";

/** The key of an array's element. */
export function indexKey(index: number): Uint8Array {
  const key = new Uint8Array(4);
  new DataView(key.buffer).setUint32(0, index, true);
  return key;
}

/** ARRAY, PERCPU_ARRAY and the like of cgroup storage: all values exist from the beginning. */
export class ArrayMap extends VmMap {
  protected readonly length: number;
  readonly #stride: number;
  readonly #valuesAt: number;
  /** Regions of the values, made when somebody asks; plus 1. */
  readonly #regions: Int32Array;
  readonly #perCpu: boolean;
  #indexAt = 0;

  constructor(context: MapContext, load: MapLoad, length = load.maxEntries) {
    super(context, load);
    this.#perCpu = load.type === MapType.PERCPU_ARRAY || load.type === MapType.PERCPU_CGROUP_STORAGE;
    this.length = length;
    this.#stride = round8(load.valueSize);
    const cpus = this.#perCpu ? context.cpus : 1;
    this.#valuesAt = this.memory.allocate(this.#stride * length * cpus);
    this.#regions = new Int32Array(length * cpus);
    if (load.value !== null) this.memory.bytes.set(load.value.subarray(0, load.valueSize), this.#valuesAt);
  }

  protected override get isPerCpu(): boolean {
    return this.#perCpu;
  }

  /** Region of an element's value. */
  element(index: number, cpu = this.context.cpu): number {
    const i = this.#perCpu ? cpu * this.length + index : index;
    const known = this.#regions[i]!;
    if (known !== 0) return known - 1;
    const owner = { what: `value ${index} of ${this.what}` };
    const region = this.memory.region(this.#valuesAt + i * this.#stride, this.load.valueSize, owner, this.valueFlags);
    this.#regions[i] = region + 1;
    return region;
  }

  override lookup(keyAt: number, cpu: number): number {
    const index = this.memory.u32(keyAt);
    return index < this.length ? this.element(index, cpu) : -1;
  }

  override update(keyAt: number, valueAt: number, flags: number, cpu: number): number {
    const index = this.memory.u32(keyAt);
    if ((flags & ~ElemFlag.LOCK) > ElemFlag.EXIST) return -Errno.EINVAL;
    if (index >= this.length) return -Errno.E2BIG;
    if ((flags & ElemFlag.NOEXIST) !== 0) return -Errno.EEXIST;
    if ((flags & ElemFlag.LOCK) !== 0 && !this.hasLock) return -Errno.EINVAL;
    const i = this.#perCpu ? cpu * this.length + index : index;
    this.copyValue(this.#valuesAt + i * this.#stride, valueAt);
    return 0;
  }

  override remove(_keyAt: number): number {
    return -Errno.EINVAL;
  }

  override elements(cpu: number): readonly MapElement[] {
    if (this.#indexAt === 0) this.#indexAt = this.memory.allocate(4 * this.length);
    return Array.from({ length: this.length }, (_, index) => {
      const keyAt = this.#indexAt + 4 * index;
      this.memory.view.setUint32(keyAt, index, true);
      return { keyAt, region: this.element(index, cpu) };
    });
  }

  override keys(): Uint8Array[] {
    return Array.from({ length: this.length }, (_, index) => indexKey(index));
  }
}

/** Maps whose elements are things that programs can only use, not read: programs, other maps, devices, sockets. */
export class ReferenceMap<T> extends VmMap {
  readonly #items = new Map<string, T>();

  #itemKey(key: Uint8Array): string {
    if (key.length !== this.load.keySize) {
      throw new InputError(`${this.what}: a key has ${this.load.keySize} bytes, not ${key.length}`);
    }
    return String.fromCharCode(...key);
  }

  /** What stands at a key. */
  itemAt(keyAt: number): T | undefined {
    return this.#items.get(String.fromCharCode(...this.memory.copy(keyAt, this.load.keySize)));
  }

  item(index: number): T | undefined {
    return this.#items.get(String.fromCharCode(...indexKey(index)));
  }

  /**
   * Puts something at a key, a number being an index.
   * @throws InputError for a key that the map cannot have.
   */
  put(key: number | Uint8Array, item: T): void {
    const { load } = this;
    if (typeof key === "number" && key >= load.maxEntries) {
      throw new InputError(`${this.what} has ${load.maxEntries} elements, none with index ${key}`);
    }
    this.#items.set(this.#itemKey(typeof key === "number" ? indexKey(key) : key), item);
  }

  override lookup(_keyAt: number, _cpu: number): number {
    return -1;
  }

  override update(_keyAt: number, _valueAt: number, _flags: number, _cpu: number): number {
    return -Errno.EOPNOTSUPP;
  }

  override remove(keyAt: number): number {
    const key = String.fromCharCode(...this.memory.copy(keyAt, this.load.keySize));
    const item = this.#items.get(key);
    if (item === undefined) return -Errno.ENOENT;
    this.memory.undo?.push(() => this.#items.set(key, item));
    this.#items.delete(key);
    return 0;
  }

  override keys(): Uint8Array[] {
    return [...this.#items.keys()].map((key) => Uint8Array.from(key, (c) => c.charCodeAt(0)));
  }
}

/** ARRAY_OF_MAPS and HASH_OF_MAPS: a lookup gives the inner map. */
export class MapOfMaps extends ReferenceMap<VmMap> {
  override lookup(keyAt: number, _cpu: number): number {
    return this.itemAt(keyAt)?.region ?? -1;
  }

  override get(_key: Uint8Array): null {
    return null;
  }
}
