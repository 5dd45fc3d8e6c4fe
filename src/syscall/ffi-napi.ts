// SPDX-License-Identifier: MIT
import { createRequire } from "node:module";
import { type Ffi, FfiUnavailableError } from "./ffi.js";

interface FfiNapi {
  CIF(result: string, args: readonly string[]): Buffer;
  DynamicLibrary(path: null): { get(symbol: string): Buffer };
  ForeignFunction(pointer: Buffer, result: string, args: readonly string[]): () => Buffer;
}

/** What ffi-napi itself calls functions through. */
interface Bindings {
  ffi_call(cif: Buffer, pointer: Buffer, result: Buffer, args: Buffer): void;
}

interface RefNapi {
  address(buffer: Buffer): number;
  reinterpret(buffer: Buffer, size: number): Buffer;
  writePointer(buffer: Buffer, offset: number, pointer: Buffer): void;
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

/** System call number and six arguments. */
const WORDS = 7;

/**
 * Opens the ffi-napi backend: slower than koffi, and without readiness notification; ring buffers are polled by a
 * timer instead.
 * @throws FfiUnavailableError when ffi-napi or ref-napi is missing.
 */
export function openFfiNapi(): Ffi {
  const require = createRequire(import.meta.url);
  const ffi = load<FfiNapi>(require, "ffi-napi");
  const ref = load<RefNapi>(require, "ref-napi");
  const bindings = load<Bindings>(require, "ffi-napi/lib/bindings");
  const libc = ffi.DynamicLibrary(null);
  const pointer = libc.get("syscall");
  const cif = ffi.CIF("int64", Array<string>(WORDS).fill("int64"));
  // ffi-napi's own errno() is a second foreign call, and what it and its callers allocate can start a garbage
  // collection, whose system calls overwrite errno. So errno is read from its place, with nothing in between.
  const errno = ref.reinterpret(ffi.ForeignFunction(libc.get("__errno_location"), "pointer", [])(), 4);
  const words = Buffer.alloc(WORDS * 8);
  const pointers = Buffer.alloc(WORDS * 8);
  for (let i = 0; i < WORDS; i++) ref.writePointer(pointers, i * 8, words.subarray(i * 8, i * 8 + 8));
  const result = Buffer.alloc(8);
  const view = new DataView(words.buffer, words.byteOffset, words.byteLength);
  const put = (i: number, value: number): void => {
    view.setInt32(i * 8, value | 0, true);
    view.setInt32(i * 8 + 4, Math.floor(value / 2 ** 32), true);
  };
  return {
    name: "ffi-napi",
    syscall(nr, a, b, c, d, e, f) {
      put(0, nr);
      put(1, a);
      put(2, b);
      put(3, c);
      put(4, d);
      put(5, e);
      put(6, f);
      bindings.ffi_call(cif, pointer, result, pointers);
      const error = errno.readInt32LE(0);
      const low = result.readUInt32LE(0);
      const high = result.readInt32LE(4);
      return low === 0xffffffff && high === -1 ? -error : high * 2 ** 32 + low;
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
