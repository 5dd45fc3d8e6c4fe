// SPDX-License-Identifier: MIT
import { unlinkSync } from "node:fs";
import type { FdArrayEntry, MapLoad, ProgramLoad } from "../model/load.js";
import { loadBtf } from "../syscall/btf.js";
import { disposeAll, type Fd } from "../syscall/fd.js";
import { loadProgram } from "../syscall/program.js";
import { InputError } from "../util/errors.js";
import { LoadedObject, type LoadedProgramEntry } from "./loaded-object.js";
import { createLoadedMap, openPinnedMap } from "./maps.js";
import { patchMapFds } from "./patch.js";

/** A program on its way into the kernel. */
export interface ProgramToLoad {
  readonly load: ProgramLoad;
  /** Its SEC name, which says where it is attached. */
  readonly section: string;
}

/** What of an object goes into the kernel. Maps are the same when they are the same JavaScript object. */
export interface ObjectToLoad {
  /** Maps to create although no program refers to them. */
  readonly maps: readonly MapLoad[];
  readonly programs: readonly ProgramToLoad[];
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
  const loading = new Loading(options);
  try {
    for (const map of object.maps) loading.map(map, object.programs);
    for (const program of object.programs) {
      for (const map of program.load.maps) loading.map(map, object.programs);
    }
    for (const program of object.programs) loading.program(program);
    return new LoadedObject(loading.maps, loading.programs, loading.btfs);
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
  readonly #pinned: string[] = [];
  readonly #options: LoadOptions;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  map(map: MapLoad, programs: readonly ProgramToLoad[]): Fd {
    const known = this.maps.get(map);
    if (known !== undefined) return known;
    const btf = this.#mapBtf(map, programs);
    const path = this.#options.pins?.get(map);
    let fd: Fd;
    if (path === undefined) fd = createLoadedMap(map, btf);
    else {
      const opened = openPinnedMap(map, btf, path);
      fd = opened.fd;
      if (opened.created) this.#pinned.push(path);
    }
    this.maps.set(map, fd);
    return fd;
  }

  #mapBtf(map: MapLoad, programs: readonly ProgramToLoad[]): Fd | null {
    if (map.btf === null) return null;
    if (map.btf !== "prog") return this.#btf(map.btf, map.name);
    const user = programs.find(({ load }) => load.btf !== null && load.maps.includes(map));
    // A map that no program uses shares the BTF of its object all the same.
    const bytes = (user ?? programs.find(({ load }) => load.btf !== null))?.load.btf;
    return bytes ? this.#btf(bytes, map.name) : null;
  }

  #btf(bytes: Uint8Array, name: string): Fd {
    const known = this.btfs.find((btf) => btf.bytes === bytes || Buffer.compare(btf.bytes, bytes) === 0);
    if (known !== undefined) return known.fd;
    const fd = loadBtf(bytes, name);
    this.btfs.push({ bytes, fd });
    return fd;
  }

  program({ load, section }: ProgramToLoad): void {
    const fds = load.maps.map((map) => this.maps.get(map)!.number);
    const { fd, log } = loadProgram(
      {
        name: load.name,
        type: load.progType,
        expectedAttachType: load.expectedAttachType,
        insns: patchMapFds(load, fds),
        license: load.license,
        flags: load.progFlags,
        ifindex: load.progIfindex,
        kernVersion: load.kernVersion,
        btf: load.btf === null ? null : this.#btf(load.btf, load.name),
        funcInfo: load.funcInfo,
        lineInfo: load.lineInfo,
        attachBtfId: load.attachBtfId,
        fdArray: load.fdArray === null ? null : fdArray(load, load.fdArray, fds),
      },
      this.#options.logLevel,
    );
    this.programs.push({ name: load.name, section, load, fd, log });
  }

  undo(): void {
    disposeAll([...this.btfs.map(({ fd }) => fd), ...this.maps.values(), ...this.programs.map(({ fd }) => fd)]);
    for (const path of this.#pinned) unlinkSync(path);
  }
}

function fdArray(load: ProgramLoad, entries: readonly FdArrayEntry[], fds: readonly number[]): Int32Array {
  return Int32Array.from(entries, (entry) => {
    if (entry.kind === "fd") return entry.fd;
    if (entry.kind === "map" && fds[entry.map] !== undefined) return fds[entry.map]!;
    throw new InputError(
      entry.kind === "map"
        ? `program ${load.name} has no map ${entry.map}`
        : `program ${load.name} calls functions of a kernel module, which cannot be loaded yet`,
    );
  });
}
