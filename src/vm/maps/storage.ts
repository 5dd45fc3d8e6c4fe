// SPDX-License-Identifier: MIT
import { Errno } from "../../kernel/errno.js";
import { ElemFlag } from "../../kernel/uapi.js";
import { round8, VmMap } from "./map.js";

/** Local storage of sockets, tasks, inodes, cgroups: a value for each owner, told apart by its address. */
export class StorageMap extends VmMap {
  readonly #values = new Map<bigint, number>();

  /** Region of an owner's value; made, when asked for, with what stands at `initAt` (-1: zeros). -1 when there is none. */
  storageOf(owner: bigint, create: boolean, initAt: number): number {
    const known = this.#values.get(owner);
    if (known !== undefined || !create) return known ?? -1;
    const { valueSize } = this.load;
    const at = this.memory.allocate(round8(valueSize));
    if (initAt >= 0) this.memory.bytes.copyWithin(at, initAt, initAt + valueSize);
    const region = this.memory.region(at, valueSize, { what: `a value of ${this.what}` });
    this.memory.undo?.push(() => this.#values.delete(owner));
    this.#values.set(owner, region);
    return region;
  }

  removeOf(owner: bigint): number {
    const region = this.#values.get(owner);
    if (region === undefined) return -Errno.ENOENT;
    this.memory.undo?.push(() => this.#values.set(owner, region));
    this.#values.delete(owner);
    return 0;
  }

  override lookup(_keyAt: number, _cpu: number): number {
    return -1;
  }

  override update(_keyAt: number, _valueAt: number, flags: number, _cpu: number): number {
    return flags > ElemFlag.EXIST ? -Errno.EINVAL : -Errno.EOPNOTSUPP;
  }

  override remove(_keyAt: number): number {
    return -Errno.EOPNOTSUPP;
  }

  override keys(): Uint8Array[] {
    return [];
  }
}
