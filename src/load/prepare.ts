// SPDX-License-Identifier: MIT
import type { MapLoad, ProgramLoad } from "../model/load.js";
import { loadBtf } from "../syscall/btf.js";
import { disposeAll, type Fd } from "../syscall/fd.js";
import { type LoadedProgram, type LoadProgramOptions, loadProgram, type ProgramRequest } from "../syscall/program.js";
import { createLoadedMap } from "./maps.js";
import { ModuleBtfs } from "./module-btf.js";
import { programRequest } from "./patch.js";

/** A program whose maps and BTF stand in the kernel: it can be loaded again and again. */
export class PreparedLoad implements Disposable {
  readonly #request: ProgramRequest;
  readonly #owned: readonly Disposable[];

  /** Use {@link prepareLoad}. */
  constructor(request: ProgramRequest, owned: readonly Disposable[]) {
    this.#request = request;
    this.#owned = owned;
  }

  /**
   * Loads the program once; whoever calls closes it.
   * @throws VerifierRejection; SyscallError
   */
  load(logLevel = 0, options: LoadProgramOptions = {}): LoadedProgram {
    return loadProgram(this.#request, logLevel, options);
  }

  /** Takes maps and BTF out of the kernel again. */
  close(): void {
    disposeAll(this.#owned);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Brings what a program needs into the kernel, but not the program.
 * @throws SyscallError; VerifierRejection for refused BTF; InputError
 */
export function prepareLoad(load: ProgramLoad): PreparedLoad {
  const owned: Disposable[] = [];
  const keep = (fd: Fd): Fd => {
    owned.push(fd);
    return fd;
  };
  try {
    const btf = load.btf === null ? null : keep(loadBtf(load.btf, load.name));
    const mapBtf = (map: MapLoad): Fd | null =>
      map.btf === null || map.btf === "prog" ? map.btf && btf : keep(loadBtf(map.btf, map.name));
    const create = (map: MapLoad) => createLoadedMap(map, mapBtf(map), map.inner === null ? null : mapBtf(map.inner));
    const fds = load.maps.map((map) => keep(create(map)).number);
    const modules = new ModuleBtfs();
    owned.push(modules);
    return new PreparedLoad(programRequest(load, fds, btf, modules), owned);
  } catch (error) {
    disposeAll(owned);
    throw error;
  }
}
