// SPDX-License-Identifier: MIT
import { unlinkSync } from "node:fs";
import type { MapLoad, ProgramLoad } from "../model/load.js";
import type { DataVariable, MapSpec } from "../model/spec.js";
import { explainMissing, type MissingRef } from "../object/missing.js";
import type { ResolvedStructOps } from "../object/struct-ops.js";
import { loadBtf } from "../syscall/btf.js";
import { VerifierRejection } from "../syscall/errors.js";
import { disposeAll, type Fd } from "../syscall/fd.js";
import { loadProgram } from "../syscall/program.js";
import { LoadedObject, type LoadedProgramEntry } from "./loaded-object.js";
import { createLoadedMap, createStructOpsMap, fillSlots, mapArena, openPinnedMap } from "./maps.js";
import { ModuleBtfs } from "./module-btf.js";
import { programRequest } from "./patch.js";

/** A program on its way into the kernel. */
export interface ProgramToLoad {
  /** Its name in the object; that of `load`, which the kernel may have cut, when absent. */
  readonly name?: string;
  readonly load: ProgramLoad;
  /** Its SEC name, which says where it is attached. */
  readonly section: string;
  /** False leaves it out. */
  readonly autoload?: boolean;
  /** Instructions that refer to what the kernel lacks, for the log of a rejection. */
  readonly missing?: readonly MissingRef[];
}

/** A map with its name in the object, of which the kernel keeps 15 bytes only. */
export interface NamedMap {
  readonly name: string;
  readonly load: MapLoad;
  /** Says which maps or programs it holds from the start, by their names in the object. */
  readonly spec?: Pick<MapSpec, "initial"> | null;
  /** What lies in it, when it is a section of global data. */
  readonly variables?: readonly DataVariable[];
}

/**
 * What of an object goes into the kernel: a resolved object, or its parts. Maps are the same when
 * their `MapLoad` is the same JavaScript object.
 */
export interface ObjectToLoad {
  /** Maps to create although no program refers to them. */
  readonly maps: readonly (MapLoad | NamedMap)[];
  readonly programs: readonly ProgramToLoad[];
  /** Maps whose programs the kernel calls, once they are attached. */
  readonly structOps?: readonly ResolvedStructOps[];
}

/** How to load. */
export interface LoadOptions {
  /** Bits of BPF_LOG_*; 0 (the default) has the kernel write a log for a rejected program only. */
  readonly logLevel?: number;
  /** Paths on a bpf file system at which maps are shared with other objects: opened there, or pinned. */
  readonly pins?: ReadonlyMap<MapLoad, string>;
}

/**
 * Brings maps, BTF and programs into the kernel. When anything fails, nothing of it stays there.
 * @throws VerifierRejection when the kernel rejects a program; SyscallError; InputError
 */
export function loadObject(object: ObjectToLoad, options: LoadOptions = {}): LoadedObject {
  const programs = object.programs.filter(({ autoload }) => autoload !== false);
  const maps: readonly NamedMap[] = object.maps.map((map) => ("load" in map ? map : { name: map.name, load: map }));
  using modules = new ModuleBtfs();
  const loading = new Loading(programs, options, modules);
  try {
    for (const { load } of maps) loading.map(load);
    for (const { load } of programs) for (const map of load.maps) loading.map(map);
    loading.fillMaps(maps);
    const structOps = (object.structOps ?? []).map((ops) => loading.structOps(ops));
    for (const program of programs) loading.program(program);
    loading.fillPrograms(maps);
    const named = new Map(maps.map((map) => [map.load, map]));
    return new LoadedObject({
      maps: Array.from(loading.maps, ([load, fd]) => {
        const { name = load.name, variables = [] } = named.get(load) ?? {};
        return { name, load, fd, variables };
      }),
      programs: loading.programs,
      structOps,
      owned: [...loading.btfs.map(({ fd }) => fd), ...loading.arenas],
    });
  } catch (error) {
    loading.undo();
    throw error;
  }
}

/** What stands in the kernel while an object is being loaded. */
class Loading {
  readonly maps = new Map<MapLoad, Fd>();
  readonly programs: LoadedProgramEntry[] = [];
  readonly btfs: { readonly bytes: Uint8Array; readonly fd: Fd }[] = [];
  readonly arenas: Disposable[] = [];
  readonly #structOps: Fd[] = [];
  readonly #pinned: string[] = [];
  readonly #toLoad: readonly ProgramToLoad[];
  readonly #options: LoadOptions;
  readonly #modules: ModuleBtfs;

  constructor(programs: readonly ProgramToLoad[], options: LoadOptions, modules: ModuleBtfs) {
    this.#toLoad = programs;
    this.#options = options;
    this.#modules = modules;
  }

  map(map: MapLoad): void {
    if (this.maps.has(map)) return;
    const btf = this.#mapBtf(map, map);
    const innerBtf = map.inner === null ? null : this.#mapBtf(map.inner, map);
    const path = this.#options.pins?.get(map);
    let fd: Fd;
    if (path === undefined) fd = createLoadedMap(map, btf, innerBtf);
    else {
      const opened = openPinnedMap(map, path, btf, innerBtf);
      fd = opened.fd;
      if (opened.created) this.#pinned.push(path);
    }
    this.maps.set(map, fd);
    const arena = mapArena(fd, map);
    if (arena !== null) this.arenas.push(arena);
  }

  /** Fills maps of maps. */
  fillMaps(maps: readonly NamedMap[]): void {
    const byName = new Map(maps.map(({ name, load }) => [name, this.maps.get(load)!.number]));
    this.#fill(maps, "map", byName);
  }

  /** Fills maps of programs; those that are not loaded leave their places empty. */
  fillPrograms(maps: readonly NamedMap[]): void {
    this.#fill(maps, "func", new Map(this.programs.map(({ name, fd }) => [name, fd.number])));
  }

  #fill(maps: readonly NamedMap[], kind: "map" | "func", fds: ReadonlyMap<string, number>): void {
    for (const { load, spec } of maps) {
      const slots = (spec?.initial ?? []).flatMap(({ index, kind: what, name }) => {
        const fd = what === kind ? fds.get(name) : undefined;
        return fd === undefined ? [] : [{ index, fd }];
      });
      if (slots.length > 0) fillSlots(this.maps.get(load)!, slots);
    }
  }

  structOps(ops: ResolvedStructOps): { readonly ops: ResolvedStructOps; readonly fd: Fd } {
    // The kernel wants some BTF besides the id, which is vmlinux'.
    const btf = this.#toLoad.find(({ load }) => load.btf !== null)?.load.btf;
    const fd = createStructOpsMap(ops.load, btf ? this.#btf(btf, ops.name) : null, this.#modules);
    this.#structOps.push(fd);
    return { ops, fd };
  }

  /** @param owner the map itself, or that which it is the template of. */
  #mapBtf(map: MapLoad, owner: MapLoad): Fd | null {
    if (map.btf === null) return null;
    if (map.btf !== "prog") return this.#btf(map.btf, map.name);
    const user = this.#toLoad.find(({ load }) => load.btf !== null && load.maps.includes(owner));
    // A map that no program uses shares the BTF of its object all the same.
    const bytes = (user ?? this.#toLoad.find(({ load }) => load.btf !== null))?.load.btf;
    return bytes ? this.#btf(bytes, map.name) : null;
  }

  #btf(bytes: Uint8Array, name: string): Fd {
    const known = this.btfs.find((btf) => btf.bytes === bytes || Buffer.compare(btf.bytes, bytes) === 0);
    if (known !== undefined) return known.fd;
    const fd = loadBtf(bytes, name);
    this.btfs.push({ bytes, fd });
    return fd;
  }

  program({ name, load, section, missing }: ProgramToLoad): void {
    const fds = load.maps.map((map) => this.maps.get(map)!.number);
    const btf = load.btf === null ? null : this.#btf(load.btf, load.name);
    const request = programRequest(load, fds, btf, this.#modules);
    const { fd, log } = explained(missing, () => loadProgram(request, this.#options.logLevel));
    this.programs.push({ name: name ?? load.name, section, load, fd, log });
  }

  undo(): void {
    const fds = [...this.btfs, ...this.programs].map(({ fd }) => fd);
    disposeAll([...this.arenas, ...fds, ...this.maps.values(), ...this.#structOps]);
    for (const path of this.#pinned) unlinkSync(path);
  }
}

/** Says in a rejection's log what an invalid call stands for. */
function explained<T>(missing: readonly MissingRef[] | undefined, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof VerifierRejection)) throw error;
    const explanation = explainMissing(error.log, missing ?? []);
    if (explanation === undefined) throw error;
    throw new VerifierRejection(error.program, error.errno, explanation.log);
  }
}
