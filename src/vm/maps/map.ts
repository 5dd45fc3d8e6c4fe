// SPDX-License-Identifier: MIT
import { Errno } from "../../kernel/errno.js";
import { ElemFlag, MapFlag, mapTypeName } from "../../kernel/uapi.js";
import type { MapLoad } from "../../model/load.js";
import { InputError } from "../../util/errors.js";
import { type Memory, RegionFlag, type RegionOwner } from "../memory.js";
import { type SpecialField, specialFields } from "./fields.js";

/** What maps need of their machine. */
export interface MapContext {
  readonly memory: Memory;
  /** CPUs that per-CPU maps have values for. */
  readonly cpus: number;
  /** The CPU that runs the program. */
  readonly cpu: number;
  /** BTF of the program that the map is made for. */
  readonly programBtf: Uint8Array | null;
}

/** One element on its way to a callback: where its key lies, and its value's region. */
export interface MapElement {
  readonly keyAt: number;
  readonly region: number;
}

/** How much the values of a map are apart, rounded up as the kernel does. */
export const round8 = (size: number): number => Math.ceil(size / 8) * 8;

/**
 * A map of the machine. Programs work with places in memory and get negative error numbers; {@link get} and the other
 * methods on bytes are for whoever runs the program, and throw {@link InputError}s.
 */
export abstract class VmMap implements RegionOwner {
  readonly what: string;
  readonly load: MapLoad;
  /** The region that a pointer to the map names; nothing in it can be accessed. */
  readonly region: number;
  protected readonly context: MapContext;
  readonly #special: readonly SpecialField[];
  #scratchAt = 0;

  constructor(context: MapContext, load: MapLoad) {
    this.context = context;
    this.load = load;
    this.what = `map ${load.name}`;
    this.region = context.memory.region(0, 0, this);
    this.#special = specialFields(load, context.programBtf);
  }

  protected get memory(): Memory {
    return this.context.memory;
  }

  get name(): string {
    return this.load.name;
  }

  /** Values have a lock, which BPF_F_LOCK takes. */
  protected get hasLock(): boolean {
    return this.#special.some(({ type }) => type.endsWith("spin_lock"));
  }

  /** Copies a value without what in it belongs to the kernel; that becomes 0 in a new one. */
  protected copyValue(to: number, from: number, fresh = false): void {
    let done = 0;
    for (const { offset, size } of this.#special) {
      this.memory.move(to + done, from + done, offset - done);
      if (fresh) this.memory.fill(to + offset, size);
      done = offset + size;
    }
    this.memory.move(to + done, from + done, this.load.valueSize - done);
  }

  protected get isPerCpu(): boolean {
    return false;
  }

  /** Region of the value that belongs to a key, -1 when there is none. */
  abstract lookup(keyAt: number, cpu: number): number;

  /** Sets a key's value on one CPU; a negative error number, or 0. */
  abstract update(keyAt: number, valueAt: number, flags: number, cpu: number): number;

  /** Removes a key; a negative error number, or 0. */
  abstract remove(keyAt: number): number;

  /** What bpf_for_each_map_elem() goes through; null when the kernel has no such callback for the type. */
  elements(_cpu: number): readonly MapElement[] | null {
    return null;
  }

  /** All keys. */
  abstract keys(): Uint8Array[];

  push(_valueAt: number, _flags: number): number {
    return -Errno.EOPNOTSUPP;
  }

  pop(_valueAt: number): number {
    return -Errno.EOPNOTSUPP;
  }

  peek(_valueAt: number): number {
    return -Errno.EOPNOTSUPP;
  }

  /** Flags of the regions of values. */
  protected get valueFlags(): number {
    return (this.load.flags & MapFlag.RDONLY_PROG) !== 0 ? RegionFlag.READ_ONLY : 0;
  }

  /** A place for a key and a value of the one who runs the program. */
  #scratch(): number {
    const { keySize, valueSize } = this.load;
    if (this.#scratchAt === 0) this.#scratchAt = this.memory.allocate(round8(keySize) + round8(valueSize));
    return this.#scratchAt;
  }

  #key(key: Uint8Array): number {
    if (key.length !== this.load.keySize) {
      throw new InputError(`${this.what}: a key has ${this.load.keySize} bytes, not ${key.length}`);
    }
    const at = this.#scratch();
    this.memory.bytes.set(key, at);
    return at;
  }

  /** Bytes of a value as bpf(2) shows it: for per-CPU maps one after the other, each rounded up to 8 bytes. */
  get userValueSize(): number {
    return this.isPerCpu ? round8(this.load.valueSize) * this.context.cpus : this.load.valueSize;
  }

  /**
   * A key's value, null when there is none: BPF_MAP_LOOKUP_ELEM.
   * @throws InputError for a key of another size.
   */
  get(key: Uint8Array): Uint8Array | null {
    const keyAt = this.#key(key);
    const { memory, load } = this;
    if (!this.isPerCpu) {
      const region = this.lookup(keyAt, this.context.cpu);
      return region < 0 ? null : memory.copy(memory.regionBase(region), load.valueSize);
    }
    const all = new Uint8Array(this.userValueSize);
    for (let cpu = 0; cpu < this.context.cpus; cpu++) {
      const region = this.lookup(keyAt, cpu);
      if (region < 0) return null;
      all.set(memory.copy(memory.regionBase(region), load.valueSize), cpu * round8(load.valueSize));
    }
    return all;
  }

  /**
   * Sets a key's value: BPF_MAP_UPDATE_ELEM.
   * @param value Of a per-CPU map one CPU's, or all as {@link userValueSize} says.
   * @throws InputError when sizes are wrong or the map is full.
   */
  set(key: Uint8Array, value: Uint8Array, flags: number = ElemFlag.ANY): void {
    const { valueSize } = this.load;
    if (value.length !== valueSize && value.length !== this.userValueSize) {
      throw new InputError(`${this.what}: a value has ${this.userValueSize} bytes, not ${value.length}`);
    }
    const cpus = this.isPerCpu ? this.context.cpus : 1;
    for (let cpu = 0; cpu < cpus; cpu++) {
      const keyAt = this.#key(key);
      const valueAt = keyAt + round8(this.load.keySize);
      const from = value.length === valueSize ? 0 : cpu * round8(valueSize);
      this.memory.bytes.set(value.subarray(from, from + valueSize), valueAt);
      const error = this.update(keyAt, valueAt, cpu === 0 ? flags : ElemFlag.ANY, cpu);
      if (error !== 0) throw new InputError(`${this.what}: the kernel would refuse this value with error ${-error}`);
    }
  }

  /** Removes a key: BPF_MAP_DELETE_ELEM; false when it is not there or cannot be removed. */
  delete(key: Uint8Array): boolean {
    return this.remove(this.#key(key)) === 0;
  }

  /** All keys with their values. */
  entries(): [key: Uint8Array, value: Uint8Array][] {
    return this.keys().map((key) => [key, this.get(key)!]);
  }

  /** Its type, by the name that bpftool prints. */
  get typeName(): string {
    return mapTypeName(this.load.type) ?? `type ${this.load.type}`;
  }
}
