// SPDX-License-Identifier: MIT
import { Errno } from "../../kernel/errno.js";
import { ElemFlag, MapType } from "../../kernel/uapi.js";
import { VmMap } from "./map.js";

/** What maps without keys say to the operations on keys. */
abstract class KeylessMap extends VmMap {
  override lookup(_keyAt: number, _cpu: number): number {
    return -1;
  }

  override update(_keyAt: number, _valueAt: number, _flags: number, _cpu: number): number {
    return -Errno.EINVAL;
  }

  override remove(_keyAt: number): number {
    return -Errno.EINVAL;
  }

  override keys(): Uint8Array[] {
    return [];
  }
}

/** QUEUE and STACK. */
export class QueueMap extends KeylessMap {
  #items: Uint8Array[] = [];

  /** The values, the one that comes out first at the beginning. */
  values(): Uint8Array[] {
    return this.load.type === MapType.QUEUE ? [...this.#items] : [...this.#items].reverse();
  }

  #change(items: Uint8Array[]): void {
    const old = this.#items;
    this.memory.undo?.push(() => {
      this.#items = old;
    });
    this.#items = items;
  }

  override push(valueAt: number, flags: number): number {
    const replace = (flags & ElemFlag.EXIST) !== 0;
    if ((flags & ElemFlag.NOEXIST) !== 0 || flags > ElemFlag.EXIST) return -Errno.EINVAL;
    let items = this.#items;
    if (items.length >= this.load.maxEntries) {
      if (!replace) return -Errno.E2BIG;
      items = items.slice(1);
    }
    this.#change([...items, this.memory.copy(valueAt, this.load.valueSize)]);
    return 0;
  }

  #out(valueAt: number, removes: boolean): number {
    const first = this.load.type === MapType.QUEUE;
    const item = this.#items.at(first ? 0 : -1);
    if (item === undefined) {
      this.memory.fill(valueAt, this.load.valueSize);
      return -Errno.ENOENT;
    }
    this.memory.write(valueAt, item);
    if (removes) this.#change(first ? this.#items.slice(1) : this.#items.slice(0, -1));
    return 0;
  }

  override pop(valueAt: number): number {
    return this.#out(valueAt, true);
  }

  override peek(valueAt: number): number {
    return this.#out(valueAt, false);
  }
}

/** BLOOM_FILTER, one that never errs. */
export class BloomMap extends KeylessMap {
  readonly #seen = new Set<string>();

  #name(valueAt: number): string {
    return String.fromCharCode(...this.memory.copy(valueAt, this.load.valueSize));
  }

  override push(valueAt: number, flags: number): number {
    if (flags !== ElemFlag.ANY) return -Errno.EINVAL;
    const name = this.#name(valueAt);
    if (!this.#seen.has(name)) this.memory.undo?.push(() => this.#seen.delete(name));
    this.#seen.add(name);
    return 0;
  }

  override peek(valueAt: number): number {
    return this.#seen.has(this.#name(valueAt)) ? 0 : -Errno.ENOENT;
  }
}
