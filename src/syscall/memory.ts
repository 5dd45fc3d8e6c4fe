// SPDX-License-Identifier: MIT
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { ffi } from "./backend.js";
import { checked } from "./errors.js";
import type { Fd } from "./fd.js";
import { sys } from "./sys.js";

const PROT = { READ: 1, WRITE: 2 } as const;
const MAP = {
  SHARED: 0x01,
  PRIVATE: 0x02,
  FIXED: 0x10,
  ANONYMOUS: 0x20,
  NORESERVE: 0x4000,
  FIXED_NOREPLACE: 0x100000,
} as const;
/** Type of the page size in /proc/self/auxv (linux/auxvec.h). */
const AT_PAGESZ = 6;

let cachedPageSize = 0;

/** Bytes of a memory page. */
export function pageSize(): number {
  if (cachedPageSize === 0) cachedPageSize = readPageSize();
  return cachedPageSize;
}

function readPageSize(): number {
  if (process.arch !== "x64") {
    const auxv = readFileSync("/proc/self/auxv");
    for (let at = 0; at + 16 <= auxv.length; at += 16) {
      if (auxv.readBigUInt64LE(at) === BigInt(AT_PAGESZ)) return Number(auxv.readBigUInt64LE(at + 8));
    }
  }
  return 4096;
}

/** Returns address space whose arrays nobody can reach any more. */
const abandoned = new FinalizationRegistry<{ address: number; length: number }>(({ address, length }) => {
  sys("munmap", address, length);
});

/**
 * Memory of a file (here: a map) mapped into this process, without copying.
 *
 * An ArrayBuffer over foreign memory cannot be taken back from those who hold it. So closing does not
 * leave a hole where a late access would end the process, but lays pages of zeroes there, and
 * returns the address space once the garbage collector has seen the last view go. What was mapped
 * read-only must not be written to, before or after: the processor forbids it.
 */
export class Mapping implements Disposable {
  readonly #address: number;
  readonly #length: number;
  /** The mapped bytes; zeroes after the mapping was closed. */
  readonly bytes: Uint8Array;
  #closed = false;

  /**
   * Maps `length` bytes at `offset`, both multiples of the page size.
   * @param at Address to map at, which nothing else may need; 0 leaves the choice to the kernel.
   * @throws SyscallError
   */
  constructor(file: Fd, offset: number, length: number, access: "read" | "read-write", at = 0) {
    const prot = access === "read" ? PROT.READ : PROT.READ | PROT.WRITE;
    const flags = MAP.SHARED | (at === 0 ? 0 : MAP.FIXED_NOREPLACE);
    this.#length = length;
    this.#address = checked(sys("mmap", at, length, prot, flags, file.number, offset), "mmap", file.what);
    this.bytes = ffi().view(this.#address, length);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Gives the file's memory back; does nothing when that is done already. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const flags = MAP.PRIVATE | MAP.FIXED | MAP.ANONYMOUS | MAP.NORESERVE;
    checked(sys("mmap", this.#address, this.#length, PROT.READ, flags, -1, 0), "mmap", "zero pages");
    abandoned.register(this.bytes.buffer, { address: this.#address, length: this.#length });
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * A file's bytes in memory without reading it. They must not be written to: the processor forbids it. The address space
 * goes back when the garbage collector has seen the last view go.
 * @throws SyscallError when the file cannot be mapped (of sysfs few can), FfiUnavailableError, and as `openSync()` does.
 */
export function mapFile(path: string): Uint8Array {
  const fd = openSync(path, "r");
  try {
    const length = fstatSync(fd).size;
    const address = checked(sys("mmap", 0, length, PROT.READ, MAP.PRIVATE, fd, 0), "mmap", path);
    const bytes = ffi().view(address, length);
    abandoned.register(bytes.buffer, { address, length });
    return bytes;
  } finally {
    closeSync(fd);
  }
}
