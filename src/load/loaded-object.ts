// SPDX-License-Identifier: MIT
import type { Link } from "../link/link.js";
import { attachStructOps } from "../link/struct-ops.js";
import type { GlobalDecl, MapDecl } from "../model/codec.js";
import type { MapLoad, ProgramLoad } from "../model/load.js";
import type { DataVariable } from "../model/spec.js";
import { type ResolvedStructOps, structOpsValue } from "../object/struct-ops.js";
import { disposeAll, type Fd } from "../syscall/fd.js";
import { InputError } from "../util/errors.js";
import { similarNote } from "../util/similar.js";
import { type AttachOptions, attachesItself, attachProgram } from "./attach.js";
import { type TypedGlobal, typedGlobal } from "./typed-global.js";
import { perCpuMap, type TypedMap, typedMap } from "./typed-map.js";
import { type TypedRing, type TypedRingOptions, typedRing } from "./typed-ring.js";

/** A program in the kernel. */
export interface LoadedProgramEntry {
  readonly name: string;
  /** Its SEC name. */
  readonly section: string;
  readonly load: ProgramLoad;
  readonly fd: Fd;
  /** The verifier's log, where one was asked for. */
  readonly log: string;
}

/** A map in the kernel. */
export interface LoadedMapEntry {
  readonly name: string;
  readonly load: MapLoad;
  /** What lies in it, when it is a section of global data. */
  readonly variables: readonly DataVariable[];
  readonly fd: Fd;
}

/** A struct_ops map in the kernel. */
export interface LoadedStructOps {
  readonly ops: ResolvedStructOps;
  readonly fd: Fd;
}

/**
 * An object in the kernel: its programs, maps and attachments. Closing it detaches and unloads all
 * that is not pinned, as does the end of the process.
 */
export class LoadedObject implements Disposable {
  readonly programs: ReadonlyMap<string, LoadedProgramEntry>;
  readonly maps: ReadonlyMap<string, LoadedMapEntry>;
  readonly #links: Link[] = [];
  readonly #rings: TypedRing<unknown>[] = [];
  readonly #shared: Disposable[] = [];
  readonly #structOps: ReadonlyMap<string, LoadedStructOps>;
  readonly #owned: readonly Disposable[];
  #closed = false;

  /** Use {@link loadObject}. Takes over all that is given. */
  constructor(parts: {
    readonly maps: readonly LoadedMapEntry[];
    readonly programs: readonly LoadedProgramEntry[];
    readonly structOps: readonly LoadedStructOps[];
    readonly owned: readonly Disposable[];
  }) {
    this.programs = new Map(parts.programs.map((program) => [program.name, program]));
    this.maps = new Map(parts.maps.map((map) => [map.name, map]));
    this.#structOps = new Map(parts.structOps.map((entry) => [entry.ops.name, entry]));
    const fds = [...parts.maps, ...parts.structOps, ...parts.programs].map(({ fd }) => fd);
    this.#owned = [...parts.owned, ...fds];
  }

  /** Attachments made so far. */
  get links(): readonly Link[] {
    return this.#links;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** A program by its function's name. @throws InputError when there is none. */
  program(name: string): LoadedProgramEntry {
    const program = this.programs.get(name);
    if (program === undefined) {
      throw new InputError(`the object has no program ${name}${similarNote(name, this.programs.keys())}`);
    }
    return program;
  }

  /** A map by its name. @throws InputError when there is none. */
  mapEntry(name: string): LoadedMapEntry {
    const map = this.maps.get(name);
    if (map === undefined) throw new InputError(`the object has no map ${name}${similarNote(name, this.maps.keys())}`);
    return map;
  }

  /** A map as its declaration types it. @throws InputError */
  map<K, V>(decl: MapDecl<K, V>): TypedMap<K, V> {
    return typedMap(this.mapEntry(decl.spec.name).fd, decl);
  }

  /** A per-CPU map as its declaration types it. @throws InputError */
  perCpu<K, V>(decl: MapDecl<K, V>): TypedMap<K, V[]> {
    return perCpuMap(this.mapEntry(decl.spec.name).fd, decl);
  }

  /** A global variable as its declaration types it. @throws InputError when no program uses it; SyscallError */
  global<T>(decl: GlobalDecl<T>): TypedGlobal<T> {
    const variable = typedGlobal(this.maps, decl);
    this.#shared.push(variable);
    return variable;
  }

  /** A ring buffer as its declaration types it; closed together with the object. @throws InputError */
  ring<T>(decl: MapDecl<undefined, T>, options?: TypedRingOptions): TypedRing<T> {
    const ring = typedRing(this.mapEntry(decl.spec.name).fd, decl, options);
    this.#rings.push(ring as TypedRing<unknown>);
    return ring;
  }

  /**
   * Attaches one program to where its section says.
   * @throws InputError when the target is missing, or the section does not say it; SyscallError
   */
  attach(name: string, options: AttachOptions = {}): Link {
    const { fd, section } = this.program(name);
    const link = attachProgram(fd, section, options);
    this.#links.push(link);
    return link;
  }

  /** Names of the structs that the object's programs implement. */
  get structOps(): readonly string[] {
    return [...this.#structOps.keys()];
  }

  /**
   * Has the kernel call the programs that implement a struct, by the name of its variable.
   * @throws InputError when there is none, or one of its programs is not loaded; SyscallError
   */
  attachStructOps(name: string): Link {
    const link = this.#attachStructOps(name);
    this.#links.push(link);
    return link;
  }

  #attachStructOps(name: string): Link {
    const entry = this.#structOps.get(name);
    if (entry === undefined) {
      throw new InputError(`the object has no struct_ops ${name}${similarNote(name, this.#structOps.keys())}`);
    }
    const value = structOpsValue(entry.ops, (func) => this.program(func).fd.number);
    return attachStructOps(entry.fd, name, value, entry.ops.link);
  }

  /**
   * Attaches all programs whose section says where, or for which `options` says it, and all structs that programs
   * implement. When one cannot be attached, none is.
   * @returns The attachments made.
   */
  attachAll(options: AttachOptions = {}): Link[] {
    const made: Link[] = [];
    try {
      for (const program of this.programs.values()) {
        if (attachesItself(program.section, options)) made.push(attachProgram(program.fd, program.section, options));
      }
      for (const name of this.#structOps.keys()) made.push(this.#attachStructOps(name));
    } catch (error) {
      disposeAll(made);
      throw error;
    }
    this.#links.push(...made);
    return made;
  }

  /** Detaches and unloads; does nothing when that is done already. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    disposeAll([...this.#owned, ...this.#shared, ...this.#rings, ...this.#links]);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
