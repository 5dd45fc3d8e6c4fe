// SPDX-License-Identifier: MIT
import { InputError } from "../util/errors.js";

/** A running watch on a file descriptor. */
export interface Watch {
  /** Stops watching; may be called again. The descriptor must still be open. */
  close(): void;
  /** Lets the process end although the watch runs. */
  unref(): void;
  /** Keeps the process alive while the watch runs (the default). */
  ref(): void;
}

/**
 * What this library needs of a foreign function interface. Everything is synchronous.
 *
 * Addresses are plain numbers: user space of every supported 64-bit architecture ends below 2^53.
 */
export interface Ffi {
  readonly name: "koffi" | "ffi-napi";
  /** syscall(2). Returns what the system call returned, or its negated errno. */
  syscall(nr: number, a: number, b: number, c: number, d: number, e: number, f: number): number;
  /**
   * Address of an array's first byte. The bytes don't move, but they live only as long as the array:
   * whoever passes the address on keeps the array reachable until the kernel is done with it.
   */
  address(bytes: Uint8Array): number;
  /** Foreign memory without copying. Access after that memory was unmapped ends the process. */
  view(address: number, length: number): Uint8Array;
  /**
   * Calls back from the event loop each time the descriptor is readable (level-triggered), outside
   * of any promise job; null when the backend has no such thing.
   */
  readonly watch: ((fd: number, onReadable: () => void) => Watch) | null;
}

/** The foreign function interface is not installed or does not run on this machine. */
export class FfiUnavailableError extends InputError {
  override readonly name: string = "FfiUnavailableError";
}
