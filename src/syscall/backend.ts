// SPDX-License-Identifier: MIT
import { InputError } from "../util/errors.js";
import type { Ffi } from "./ffi.js";
import { openKoffi } from "./ffi-koffi.js";
import { openFfiNapi } from "./ffi-napi.js";

let current: Ffi | undefined;

/**
 * The foreign function interface of this process, opened at first use: koffi, or what the
 * environment variable BPFSMITH_FFI names (`koffi`, `ffi-napi`).
 * @throws FfiUnavailableError when it is not installed; InputError for another value of BPFSMITH_FFI.
 */
export function ffi(): Ffi {
  current ??= openFfi(process.env.BPFSMITH_FFI ?? "");
  return current;
}

/**
 * Opens a backend by its name; the empty name is the default one.
 * @throws FfiUnavailableError when it is not installed; InputError for an unknown name.
 */
export function openFfi(name: string): Ffi {
  if (process.platform !== "linux") throw new InputError(`bpf(2) exists on Linux only, not on ${process.platform}`);
  if (name === "koffi" || name === "") return openKoffi();
  if (name === "ffi-napi") return openFfiNapi();
  throw new InputError(`BPFSMITH_FFI must be koffi or ffi-napi, not ${JSON.stringify(name)}`);
}
