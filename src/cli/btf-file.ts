// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { type LazyBtf, openBtf } from "../btf/lazy.js";
import type { BtfKind } from "../btf/types.js";
import { findSection, isElf } from "../elf/find-section.js";
import { kernelBtfBytes, VMLINUX_BTF } from "../load/vmlinux.js";
import { InputError } from "../util/errors.js";
import { similarNote } from "../util/similar.js";

/** Where the kernel shows its own types and those of its modules, which continue them. */
const SYSFS_BTF = "/sys/kernel/btf/";

/**
 * @throws InputError when there is no such file
 */
export function readBytes(file: string): Uint8Array {
  try {
    return file === VMLINUX_BTF ? kernelBtfBytes() : readFileSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new InputError("no such file", { file });
    if (code === "EISDIR") throw new InputError("is a directory, expected BTF or an ELF file", { file });
    throw error;
  }
}

/**
 * Opens the types of a file: raw BTF, or an ELF file (object, kernel, module) with a section `.BTF`.
 * @param baseFile file with the types that it continues; default for the kernel's modules: vmlinux.
 * @throws InputError when a file is missing or holds no BTF.
 */
export function openBtfFile(file: string, baseFile?: string): LazyBtf {
  const isModule = file.startsWith(SYSFS_BTF) && file !== VMLINUX_BTF;
  const baseName = baseFile ?? (isModule ? VMLINUX_BTF : undefined);
  const base = baseName === undefined ? undefined : openBtfFile(baseName);
  const bytes = readBytes(file);
  try {
    const content = isElf(bytes) ? findSection(bytes, ".BTF") : bytes;
    if (content === undefined) throw new InputError("has no section .BTF (was it built with -g?)");
    return openBtf(content, base === undefined ? {} : { base });
  } catch (error) {
    if (!(error instanceof InputError) || error.place.file !== undefined) throw error;
    throw new InputError(error.message, { file }, { cause: error });
  }
}

/**
 * Ids of the types that a user means by a name or an id.
 * @param kinds only these; with `struct NAME` and the like only that.
 * @throws InputError when there are none, with what is similar.
 */
export function typesNamed(btf: LazyBtf, text: string, kinds?: readonly BtfKind[]): readonly number[] {
  if (/^\d+$/.test(text)) {
    btf.kindById(Number(text));
    return [Number(text)];
  }
  const [, tag, name = text] = /^(struct|union|enum|typedef)\s+(\S+)$/.exec(text) ?? [];
  const wanted = tag === undefined ? kinds : tag === "enum" ? (["enum", "enum64"] as const) : [tag as BtfKind];
  const matches = (id: number): boolean => wanted === undefined || wanted.includes(btf.kindById(id));
  const ids = btf.idsByName(name).filter(matches);
  if (ids.length > 0) return ids;
  const names = new Set<string>();
  for (let id = 1; id < btf.length; id++) if (matches(id)) names.add(btf.nameById(id));
  names.delete("");
  throw new InputError(`no type is named ${name}${similarNote(name, names)}`);
}
