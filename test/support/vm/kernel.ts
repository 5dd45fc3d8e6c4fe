// SPDX-License-Identifier: MIT
import { MapType } from "../../../src/kernel/uapi.js";
import { createLoadedMap } from "../../../src/load/maps.js";
import { programRequest } from "../../../src/load/patch.js";
import type { MapLoad, ProgramLoad } from "../../../src/model/load.js";
import { loadBtf } from "../../../src/syscall/btf.js";
import type { Fd } from "../../../src/syscall/fd.js";
import { MapAccess } from "../../../src/syscall/map.js";
import { loadProgram, type TestRunRequest, type TestRunResult, testRun } from "../../../src/syscall/program.js";

/** An element as bpf(2) shows it. */
export type Element = readonly [key: Uint8Array, value: Uint8Array];

const perCpuTypes: ReadonlySet<number> = new Set([
  MapType.PERCPU_ARRAY,
  MapType.PERCPU_HASH,
  MapType.LRU_PERCPU_HASH,
  MapType.PERCPU_CGROUP_STORAGE,
]);

/** Bytes of a value as bpf(2) shows it on a machine with so many CPUs. */
export function userValueSize({ type, valueSize }: MapLoad, cpus: number): number {
  return perCpuTypes.has(type) ? Math.ceil(valueSize / 8) * 8 * cpus : valueSize;
}

/** A program in the kernel with maps of its own. */
export class KernelProgram implements Disposable {
  readonly load: ProgramLoad;
  readonly #maps: Fd[] = [];
  readonly #program: Fd;
  readonly #cpus: number;
  readonly #btfs = new Map<Uint8Array, Fd>();

  /**
   * @param cpus Of this machine.
   * @throws VerifierRejection, SyscallError
   */
  constructor(load: ProgramLoad, cpus: number) {
    this.load = load;
    this.#cpus = cpus;
    try {
      for (const map of load.maps) {
        const btf = map.btf === "prog" ? load.btf : map.btf;
        this.#maps.push(createLoadedMap(map, btf === null ? null : this.#btf(btf)));
      }
      const btf = load.btf === null ? null : this.#btf(load.btf);
      const numbers = this.#maps.map((fd) => fd.number);
      this.#program = loadProgram(programRequest(load, numbers, btf)).fd;
    } catch (error) {
      this.#close();
      throw error;
    }
  }

  #btf(bytes: Uint8Array): Fd {
    let fd = this.#btfs.get(bytes);
    if (fd === undefined) {
      fd = loadBtf(bytes, "test");
      this.#btfs.set(bytes, fd);
    }
    return fd;
  }

  run(request: TestRunRequest): TestRunResult {
    return testRun(this.#program, request);
  }

  #access(index: number): MapAccess {
    const map = this.load.maps[index]!;
    return new MapAccess(this.#maps[index]!, map.keySize, userValueSize(map, this.#cpus));
  }

  set(index: number, [key, value]: Element): void {
    const access = this.#access(index);
    access.keyBytes.set(key);
    access.valueBytes.set(value);
    access.update();
  }

  /** All elements of a map with keys, or what comes out of a queue or stack. */
  elements(index: number): Element[] {
    const access = this.#access(index);
    const found: Element[] = [];
    if (this.load.maps[index]!.keySize === 0) {
      while (access.lookupAndDelete()) found.push([new Uint8Array(0), access.valueBytes.slice()]);
      return found;
    }
    for (let first = true; access.nextKey(first); first = false) {
      if (access.lookup()) found.push([access.keyBytes.slice(), access.valueBytes.slice()]);
    }
    return found;
  }

  #close(): void {
    for (const fd of this.#maps) fd.close();
    for (const fd of this.#btfs.values()) fd.close();
  }

  [Symbol.dispose](): void {
    this.#program.close();
    this.#close();
  }
}
