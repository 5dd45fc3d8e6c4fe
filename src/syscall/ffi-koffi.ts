// SPDX-License-Identifier: MIT
import { closeSync, openSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import { type Ffi, FfiUnavailableError, type Watch } from "./ffi.js";

type SyscallFunction = (nr: number, ...args: number[]) => number | bigint;

/** The part of koffi 3 in use; the typings of its `node.poll` differ from what it does. */
interface Koffi {
  readonly version: string;
  load(path: null): { func(name: string, result: string, args: string[]): SyscallFunction };
  errno(): number;
  address(bytes: Uint8Array): bigint;
  view(address: bigint, length: number): ArrayBuffer;
  readonly node: { poll(fd: number, callback: (status: number) => void): Watch };
}

const MAJOR = "3.";

/** `linux` or `musl` by the dynamic loader that the Node binary names; undefined when it names none. */
function libcOfNode(): string | undefined {
  const head = Buffer.alloc(4096);
  const fd = openSync(process.execPath, "r");
  try {
    readSync(fd, head, 0, head.length, 0);
  } finally {
    closeSync(fd);
  }
  const text = head.toString("latin1");
  if (text.includes("/ld-musl-")) return "musl";
  return text.includes("/ld-linux") ? "linux" : undefined;
}

/**
 * Loads koffi's native addon by its path. koffi's own entry does the same by way of several modules
 * and searches, which takes 10 ms of the 12: a fifth of a Node start. Undefined when the package is
 * laid out otherwise, then the entry decides.
 */
function loadAddon(require: NodeJS.Require): Koffi | undefined {
  if (process.arch !== "x64" && process.arch !== "arm64") return undefined;
  try {
    const libc = libcOfNode();
    if (libc === undefined) return undefined;
    const addon = require(`@koromix/koffi-linux-${process.arch}/${libc}_${process.arch}/koffi.node`) as Koffi;
    return addon.version.startsWith(MAJOR) ? addon : undefined;
  } catch {
    return undefined;
  }
}

function loadEntry(require: NodeJS.Require): Koffi {
  let koffi: Koffi;
  try {
    koffi = require("koffi") as Koffi;
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND";
    throw new FfiUnavailableError(
      missing
        ? "system calls need the package koffi, which is not installed: npm install koffi@3"
        : `koffi does not load here: ${(cause as Error).message}`,
      {},
      { cause },
    );
  }
  if (!koffi.version.startsWith(MAJOR)) {
    throw new FfiUnavailableError(`koffi ${koffi.version} is installed, koffi 3 is needed: npm install koffi@3`);
  }
  return koffi;
}

/**
 * Opens the koffi backend.
 * @throws FfiUnavailableError when koffi is missing or has no binary for this machine.
 */
export function openKoffi(): Ffi {
  const require = createRequire(import.meta.url);
  const koffi = loadAddon(require) ?? loadEntry(require);
  const syscall = koffi
    .load(null)
    .func("syscall", "long", ["long", "long", "long", "long", "long", "long", "long"]) as (
    nr: number,
    a: number,
    b: number,
    c: number,
    d: number,
    e: number,
    f: number,
  ) => number;
  return {
    name: "koffi",
    syscall(nr, a, b, c, d, e, f) {
      const result = syscall(nr, a, b, c, d, e, f);
      return result === -1 ? -koffi.errno() : result;
    },
    address: (bytes) => Number(koffi.address(bytes)),
    view: (address, length) => new Uint8Array(koffi.view(BigInt(address), length)),
    watch: (fd, onReadable) => koffi.node.poll(fd, onReadable),
  };
}
