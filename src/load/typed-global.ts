// SPDX-License-Identifier: MIT
import { MapFlag } from "../kernel/uapi.js";
import type { Codec, GlobalDecl } from "../model/codec.js";
import type { MapLoad } from "../model/load.js";
import type { DataVariable } from "../model/spec.js";
import type { Fd } from "../syscall/fd.js";
import { MapAccess } from "../syscall/map.js";
import { Mapping, pageSize } from "../syscall/memory.js";
import { InputError } from "../util/errors.js";
import { similarNote } from "../util/similar.js";

/** A map with global variables in it. */
interface DataMap {
  readonly load: MapLoad;
  readonly fd: Fd;
  readonly variables: readonly DataVariable[];
}

/** A global variable of an object in the kernel. Reading and writing it copies; where the kernel can share it, without a system call. */
export class TypedGlobal<T> implements Disposable {
  readonly name: string;
  readonly #value: Codec<T>;
  readonly #offset: number;
  readonly #frozen: boolean;
  readonly #mapping: Mapping | null;
  readonly #access: MapAccess | null;

  /** Use {@link typedGlobal}. */
  constructor({ fd, load }: DataMap, { name, value }: GlobalDecl<T>, offset: number) {
    this.name = name;
    this.#value = value;
    this.#offset = offset;
    this.#frozen = load.frozen;
    const isShared = (load.flags & MapFlag.MMAPABLE) !== 0;
    const bytes = Math.ceil(load.valueSize / pageSize()) * pageSize();
    this.#mapping = isShared ? new Mapping(fd, 0, bytes, load.frozen ? "read" : "read-write") : null;
    this.#access = isShared ? null : new MapAccess(fd, load.keySize, load.valueSize);
  }

  #view(): DataView {
    if (this.#mapping !== null) {
      const { buffer, byteOffset } = this.#mapping.bytes;
      return new DataView(buffer, byteOffset);
    }
    this.#access!.lookup();
    return this.#access!.value;
  }

  /** The value it has now; programs may be writing it. @throws SyscallError */
  get(): T {
    return this.#value.decode(this.#view(), this.#offset);
  }

  /**
   * Stores a value. Where memory is not shared, the whole section is written back, with what programs did meanwhile undone.
   * @throws InputError for a constant, and a value that does not fit; SyscallError
   */
  set(value: T): void {
    if (this.#frozen) {
      throw new InputError(`${this.name} is a constant: its value is given before it is loaded, build({ globals: … })`);
    }
    this.#value.encode(value, this.#view(), this.#offset);
    this.#access?.update();
  }

  /** Gives shared memory back. The object that it belongs to does so too. */
  close(): void {
    this.#mapping?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a global variable as its declaration types it.
 * @throws InputError when no program of the object uses it; SyscallError
 */
export function typedGlobal<T>(maps: ReadonlyMap<string, DataMap>, decl: GlobalDecl<T>): TypedGlobal<T> {
  const entry = maps.get(decl.section);
  const variable = entry?.variables.find(({ name }) => name === decl.name);
  if (entry === undefined || variable === undefined) {
    const names = [...maps.values()].flatMap(({ variables }) => variables.map(({ name }) => name));
    throw new InputError(
      `no program of the object uses a global variable ${decl.name}${similarNote(decl.name, names)}`,
    );
  }
  if (variable.size !== decl.value.size) {
    throw new InputError(`${decl.name} has ${variable.size} bytes in the object, ${decl.value.size} as declared`);
  }
  return new TypedGlobal(entry, decl, variable.offset);
}
