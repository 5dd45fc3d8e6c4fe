// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { type LazyBtf, openBtf } from "../btf/lazy.js";
import { findSection, isElf } from "../elf/find-section.js";
import { SECTION } from "../elf/format.js";
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
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new InputError("no such file", { file });
    if (code === "EISDIR") throw new InputError("is a directory, expected BTF", { file });
    throw error;
  }
  try {
    const content = isElf(bytes) ? findSection(bytes, SECTION.BTF) : bytes;
    if (content === undefined) throw new InputError(`has no section ${SECTION.BTF}`);
    return openBtf(content);
  } catch (error) {
    if (error instanceof InputError) throw new InputError(error.message, { file }, { cause: error });
    throw error;
  }
}
