// SPDX-License-Identifier: MIT
import { release } from "node:os";
import { readStats } from "../../../src/load/ask-kernel.js";
import { createLoadedMap } from "../../../src/load/maps.js";
import { patchMapFds } from "../../../src/load/patch.js";
import type { MapLoad, ProgramLoad } from "../../../src/model/load.js";
import type { KernelAnswer } from "../../../src/model/record.js";
import { loadBtf } from "../../../src/syscall/btf.js";
import { SyscallError, VerifierRejection } from "../../../src/syscall/errors.js";
import type { Fd } from "../../../src/syscall/fd.js";
import { loadProgram } from "../../../src/syscall/program.js";
import { withoutTimes } from "./compare.js";
import { remembersPrograms } from "./world.js";

/** Maps kept open at most: mutants bring others than the generator's. */
const KEPT = 400;

/** Asks the running kernel about many programs; maps and types that they share are made once. */
export class KernelJudge implements Disposable {
  readonly #maps = new Map<MapLoad, Fd>();
  readonly #btfs = new Map<Uint8Array, Fd>();
  readonly #release = release();

  /**
   * The kernel's verdict and log.
   * @throws SyscallError when a map or BTF cannot be made; VerifierRejection for refused BTF
   */
  ask(load: ProgramLoad, logLevel = 2): KernelAnswer {
    return this.withProgram(load, logLevel, (_, answer) => answer);
  }

  /** As {@link ask}; an accepted program's descriptor, null for a rejected one, is open during the call. */
  withProgram<T>(load: ProgramLoad, logLevel: number, use: (program: Fd | null, answer: KernelAnswer) => T): T {
    const own: Fd[] = [];
    try {
      // The same declaration twice is two maps.
      const fds = load.maps.map((map, i) => this.#map(map, load, own, load.maps.indexOf(map) < i).number);
      const btf = load.btf === null ? null : this.#btf(load.btf);
      const { program, ...answer } = this.#load(load, fds, btf, logLevel);
      try {
        return use(program, answer);
      } finally {
        program?.close();
      }
    } finally {
      for (const fd of own) fd.close();
    }
  }

  #load(
    load: ProgramLoad,
    fds: readonly number[],
    btf: Fd | null,
    logLevel: number,
  ): KernelAnswer & { program: Fd | null } {
    const told = { release: this.#release, logTruncated: false, log1: "" };
    try {
      const { fd, log } = loadProgram(
        {
          name: load.name,
          type: load.progType,
          expectedAttachType: load.expectedAttachType,
          insns: patchMapFds(load, fds),
          license: load.license,
          flags: load.progFlags,
          kernVersion: load.kernVersion,
          btf,
          funcInfo: load.funcInfo,
          lineInfo: load.lineInfo,
          attachBtfId: load.attachBtfId,
          fdArray:
            load.fdArray === null ? null : Int32Array.from(load.fdArray, (e) => (e.kind === "map" ? fds[e.map]! : -1)),
        },
        logLevel,
      );
      return { ...told, program: fd, errno: 0, stage: "verifier", log: withoutTimes(log), stats: readStats(log) };
    } catch (error) {
      if (error instanceof VerifierRejection) {
        const log = withoutTimes(error.log);
        return { ...told, program: null, errno: error.errno, stage: "verifier", log, stats: readStats(log) };
      }
      if (error instanceof SyscallError && error.command === "BPF_PROG_LOAD") {
        return { ...told, program: null, errno: error.errno, stage: "before", log: "", stats: null };
      }
      throw error;
    }
  }

  #map(map: MapLoad, load: ProgramLoad, own: Fd[], another: boolean): Fd {
    let fd = this.#maps.get(map);
    if (fd !== undefined && !another) return fd;
    const btfOf = ({ btf: own }: MapLoad) => {
      const btf = own === "prog" ? load.btf : own;
      return btf === null ? null : this.#btf(btf);
    };
    fd = createLoadedMap(map, btfOf(map), map.inner === null ? null : btfOf(map.inner));
    if (another || remembersPrograms(map) || map.btf === "prog" || this.#maps.size >= KEPT) own.push(fd);
    else this.#maps.set(map, fd);
    return fd;
  }

  #btf(bytes: Uint8Array): Fd {
    let fd = this.#btfs.get(bytes);
    if (fd !== undefined) return fd;
    if (this.#btfs.size >= KEPT) this.#drop(this.#btfs);
    fd = loadBtf(bytes, "fuzz");
    this.#btfs.set(bytes, fd);
    return fd;
  }

  #drop<K>(fds: Map<K, Fd>): void {
    for (const fd of fds.values()) fd.close();
    fds.clear();
  }

  [Symbol.dispose](): void {
    this.#drop(this.#maps);
    this.#drop(this.#btfs);
  }
}
