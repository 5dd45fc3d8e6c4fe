// SPDX-License-Identifier: MIT
import { createRequire } from "node:module";
import { type Ffi, FfiUnavailableError } from "./ffi.js";

interface FfiNapi {
  Library(
    path: null,
    functions: Record<string, [string, string[]]>,
  ): Record<string, (...args: number[]) => number | string>;
  errno(): number;
}

interface RefNapi {
  address(buffer: Buffer): number;
  readPointer(buffer: Buffer, offset: number, length: number): Buffer;
}

function load<T>(require: NodeJS.Require, name: string): T {
  try {
    return require(name) as T;
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND";
    throw new FfiUnavailableError(
      missing
        ? `BPFSMITH_FFI=ffi-napi, but ${name} is not installed: FFI_NAPI=1 npm install --no-save ffi-napi ref-napi`
        : `${name} does not load here: ${(cause as Error).message}`,
      {},
      { cause },
    );
  }
}

/**
 * Opens the ffi-napi backend: slower than koffi by a factor of 30, and without readiness
 * notification; ring buffers are polled by a timer instead.
 * @throws FfiUnavailableError when ffi-napi or ref-napi is missing.
 */
export function openFfiNapi(): Ffi {
  const require = createRequire(import.meta.url);
  const ffi = load<FfiNapi>(require, "ffi-napi");
  const ref = load<RefNapi>(require, "ref-napi");
  const library = ffi.Library(null, { syscall: ["int64", Array<string>(7).fill("int64")] });
  const syscall = library.syscall as (...args: number[]) => number | string;
  return {
    name: "ffi-napi",
    syscall(nr, a, b, c, d, e, f) {
      // A result outside of the safe integers would be a string; no system call in use returns one.
      const result = Number(syscall(nr, a, b, c, d, e, f));
      return result === -1 ? -ffi.errno() : result;
    },
    address: (bytes) => ref.address(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)),
    view(address, length) {
      const pointer = Buffer.alloc(8);
      pointer.writeBigUInt64LE(BigInt(address));
      const memory = ref.readPointer(pointer, 0, length);
      return new Uint8Array(memory.buffer, memory.byteOffset, length);
    },
    watch: null,
  };
}
