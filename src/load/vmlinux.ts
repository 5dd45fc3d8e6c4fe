// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { type LazyBtf, openBtf } from "../btf/lazy.js";
import { findSection, isElf } from "../elf/find-section.js";
import { SECTION } from "../elf/format.js";
import type { ModuleTypes } from "../object/options.js";
import { mapFile } from "../syscall/memory.js";
import { InputError } from "../util/errors.js";

/** The running kernel's types. */
export const VMLINUX_BTF = "/sys/kernel/btf/vmlinux";
const read = new Map<string, LazyBtf | null>();

/**
 * The running kernel's types as bytes, which must not be written to. Since Linux 6.16 they can be mapped, so that nothing
 * is copied; read, they come a page at a time, which takes longer than finding a type in them.
 * @throws as `readFileSync()` does, where there are none.
 */
export function kernelBtfBytes(): Uint8Array {
  try {
    return mapFile(VMLINUX_BTF);
  } catch {
    return readFileSync(VMLINUX_BTF);
  }
}

/**
 * A kernel's types, opened when first asked for, once per file.
 * @param path a raw BTF file or an ELF file with types (vmlinux, object); default: the running kernel's, null where there is none.
 */
export function kernelTypes(path?: string): () => LazyBtf | null {
  const file = path ?? VMLINUX_BTF;
  return () => {
    let btf = read.get(file);
    if (btf === undefined) {
      btf = readTypes(file, path === undefined);
      read.set(file, btf);
    }
    return btf;
  };
}

/** @throws InputError for a file that is missing or holds no BTF */
function readTypes(file: string, optional: boolean): LazyBtf | null {
  let bytes: Uint8Array;
  try {
    bytes = file === VMLINUX_BTF ? kernelBtfBytes() : readFileSync(file);
  } catch (error) {
    if (optional) return null;
    throw unreadable(file, error as NodeJS.ErrnoException);
  }
  return ofFile(file, () => openBtf(btfOf(bytes)));
}

/**
 * The types of a kernel module out of a file: raw BTF (`/sys/kernel/btf/NAME`) or the module itself (`.ko`). Its name is the
 * file's up to the first dot.
 * @param base the types that the module's continue.
 * @throws InputError for a file that is missing or holds no BTF, and when there are no types to continue
 */
export function readModule(file: string, base: LazyBtf | null): ModuleTypes {
  if (base === null) throw new InputError("the types that a module's continue are not at hand", { file });
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw unreadable(file, error as NodeJS.ErrnoException);
  }
  return ofFile(file, () => {
    const blob = btfOf(bytes);
    return { name: basename(file).split(".")[0]!, blob, btf: openBtf(blob, { base }) };
  });
}

function unreadable(file: string, error: NodeJS.ErrnoException): Error {
  if (error.code === "ENOENT") return new InputError("no such file", { file });
  if (error.code === "EISDIR") return new InputError("is a directory, expected BTF", { file });
  return error;
}

function btfOf(bytes: Uint8Array): Uint8Array {
  const content = isElf(bytes) ? findSection(bytes, SECTION.BTF) : bytes;
  if (content === undefined) throw new InputError(`has no section ${SECTION.BTF}`);
  return content;
}

/** Says of which file an error is. */
function ofFile<T>(file: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof InputError) throw new InputError(error.message, { file }, { cause: error });
    throw error;
  }
}
