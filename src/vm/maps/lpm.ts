// SPDX-License-Identifier: MIT
import { Errno } from "../../kernel/errno.js";
import { ElemFlag } from "../../kernel/uapi.js";
import { type MapElement, round8, VmMap } from "./map.js";

/** Bytes of the prefix length in front of a key's data. */
const PREFIX_BYTES = 4;

interface Node {
  readonly keyAt: number;
  readonly region: number;
  readonly prefix: number;
}

/** LPM_TRIE: a lookup gives the value of the longest prefix that the key begins with. */
export class LpmMap extends VmMap {
  /** By prefix length and the bits below it. */
  readonly #nodes = new Map<string, Node>();

  get #maxPrefix(): number {
    return 8 * (this.load.keySize - PREFIX_BYTES);
  }

  /** The first `prefix` bits of a key as text. */
  #name(keyAt: number, prefix: number): string {
    const data = this.memory.copy(keyAt + PREFIX_BYTES, Math.ceil(prefix / 8));
    if (prefix % 8 !== 0) data[data.length - 1]! &= 0xff << (8 - (prefix % 8));
    return `${prefix}/${String.fromCharCode(...data)}`;
  }

  override lookup(keyAt: number, _cpu: number): number {
    const prefix = this.memory.u32(keyAt);
    if (prefix > this.#maxPrefix) return -1;
    for (let length = prefix; length >= 0; length--) {
      const node = this.#nodes.get(this.#name(keyAt, length));
      if (node !== undefined) return node.region;
    }
    return -1;
  }

  override update(keyAt: number, valueAt: number, flags: number, _cpu: number): number {
    if (flags > ElemFlag.EXIST) return -Errno.EINVAL;
    const prefix = this.memory.u32(keyAt);
    if (prefix > this.#maxPrefix) return -Errno.EINVAL;
    const name = this.#name(keyAt, prefix);
    const old = this.#nodes.get(name);
    if (old === undefined && flags === ElemFlag.EXIST) return -Errno.ENOENT;
    if (old !== undefined && flags === ElemFlag.NOEXIST) return -Errno.EEXIST;
    if (old === undefined && this.#nodes.size >= this.load.maxEntries) return -Errno.ENOSPC;
    this.memory.undo?.push(() => {
      this.#nodes.delete(name);
      if (old !== undefined) this.#nodes.set(name, old);
    });
    const { keySize, valueSize } = this.load;
    const at = this.memory.allocate(round8(keySize) + round8(valueSize));
    this.memory.bytes.copyWithin(at, keyAt, keyAt + keySize);
    this.memory.bytes.copyWithin(at + round8(keySize), valueAt, valueAt + valueSize);
    const owner = { what: `a value of ${this.what}` };
    const region = this.memory.region(at + round8(keySize), valueSize, owner, this.valueFlags);
    this.#nodes.set(name, { keyAt: at, region, prefix });
    return 0;
  }

  override remove(keyAt: number): number {
    const prefix = this.memory.u32(keyAt);
    if (prefix > this.#maxPrefix) return -Errno.EINVAL;
    const name = this.#name(keyAt, prefix);
    const node = this.#nodes.get(name);
    if (node === undefined) return -Errno.ENOENT;
    this.memory.undo?.push(() => this.#nodes.set(name, node));
    this.#nodes.delete(name);
    return 0;
  }

  override elements(_cpu: number): readonly MapElement[] {
    return [...this.#nodes.values()];
  }

  override keys(): Uint8Array[] {
    return [...this.#nodes.values()].map(({ keyAt }) => this.memory.copy(keyAt, this.load.keySize));
  }
}
