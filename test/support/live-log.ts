// SPDX-License-Identifier: MIT

import { createLoadedMap } from "../../src/load/maps.js";
import { programRequest } from "../../src/load/patch.js";
import type { ProgramLoad } from "../../src/model/load.js";
import { loadBtf } from "../../src/syscall/btf.js";
import { disposeAll, type Fd } from "../../src/syscall/fd.js";
import { type ProgramRequest, probeProgram } from "../../src/syscall/program.js";

/** What one BPF_PROG_LOAD left behind. */
export interface LogProbe {
  readonly errno: number;
  readonly trueSize: number;
  /** The buffer, which was zero before; empty when none was given. */
  readonly bytes: Uint8Array;
}

/** A load whose maps stand in the kernel, to be tried with one log buffer after the other. */
export class LogProber implements Disposable {
  readonly #fds: Fd[] = [];
  readonly #request: ProgramRequest;

  constructor(load: ProgramLoad) {
    try {
      const btf = load.btf === null ? null : this.#keep(loadBtf(load.btf, load.name));
      const btfOf = (map: ProgramLoad["maps"][number]): Fd | null => {
        if (map.btf === null) return null;
        return map.btf === "prog" ? btf : this.#keep(loadBtf(map.btf, map.name));
      };
      const maps = load.maps.map((map) => {
        const innerBtf = map.inner === null ? null : btfOf(map.inner);
        return this.#keep(createLoadedMap(map, btfOf(map), innerBtf)).number;
      });
      this.#request = programRequest(load, maps, btf);
    } catch (error) {
      disposeAll(this.#fds);
      throw error;
    }
  }

  #keep(fd: Fd): Fd {
    this.#fds.push(fd);
    return fd;
  }

  /** @param size Bytes of the buffer; null for a load without one. */
  probe(level: number, size: number | null): LogProbe {
    const bytes = new Uint8Array(size ?? 0);
    const { result, trueSize } = probeProgram(this.#request, { level, buffer: size === null ? null : bytes });
    return { errno: result < 0 ? -result : 0, trueSize, bytes };
  }

  /** As {@link probe} with attributes that need not go together. */
  probeAttributes(level: number, hasBuffer: boolean, size: number): LogProbe {
    const bytes = new Uint8Array(hasBuffer ? Math.max(1, Math.min(size, 1 << 20)) : 0);
    const buffer = hasBuffer ? bytes : null;
    const { result, trueSize } = probeProgram(this.#request, { level, buffer, size });
    return { errno: result < 0 ? -result : 0, trueSize, bytes };
  }

  [Symbol.dispose](): void {
    disposeAll(this.#fds);
  }
}

const ADDRESS = /0xffff[0-9a-f]{12}/g;

/** An address of the kernel's memory as the kernel printed it, and what stands in its place in our log. */
export type AddressPair = readonly [kernel: string, ours: string];

/** The addresses of two whole logs of the same program. */
export function addressPairs(kernel: string, ours: string): AddressPair[] {
  const theirs = kernel.match(ADDRESS) ?? [];
  const mine = ours.match(ADDRESS) ?? [];
  const pairs = new Map<string, AddressPair>();
  theirs.forEach((address, i) => {
    const other = mine[i] ?? "";
    pairs.set(`${address} ${other}`, [address, other]);
  });
  return [...pairs.values()];
}

/** Where two buffers differ otherwise than in (parts of) addresses, -1 for nowhere. */
export function firstDifference(kernel: Uint8Array, ours: Uint8Array, pairs: readonly AddressPair[]): number {
  for (let i = 0; i < kernel.length; i++) {
    const a = kernel[i]!;
    const b = ours[i] ?? 0;
    if (a === b) continue;
    const known = pairs.some(([theirs, mine]) => {
      for (let at = 2; at < theirs.length; at++) {
        if (theirs.charCodeAt(at) === a && mine.charCodeAt(at) === b && fits(kernel, i - at, theirs)) return true;
      }
      return false;
    });
    if (!known) return i;
  }
  return -1;
}

/** Whether an address may stand at `from`: later text may have been written over a part of it. */
function fits(bytes: Uint8Array, from: number, address: string): boolean {
  let same = 0;
  for (let i = 0; i < address.length; i++) {
    const at = from + i;
    if (at < 0 || at >= bytes.length || bytes[at] === address.charCodeAt(i)) same++;
  }
  return same >= 4;
}
