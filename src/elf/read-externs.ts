// SPDX-License-Identifier: MIT
import { alignOf, resolveType, sizeOf } from "../btf/size.js";
import type { Btf, BtfType } from "../btf/types.js";
import type { ExternSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { SECTION } from "./format.js";
import { bindingOf, isExtern, type ObjectFile, type ObjectTypes } from "./object-file.js";
import type { ElfSymbol } from "./read-elf.js";

/**
 * Reads what the object uses and does not define (libbpf: bpf_object__collect_externs()).
 * @param linkable whether externs may remain that only linking can give.
 * @throws InputError for an extern without BTF, of a type or section that loaders do not know, and for one that
 *   BTF describes and nothing uses.
 */
export function readExterns(file: ObjectFile, linkable: boolean): ExternSpec[] {
  const symbols = file.elf.symbols.filter((symbol) => isExtern(symbol) && symbol.name !== "");
  if (symbols.length === 0) return [];
  const index = file.types === null ? null : indexTypes(file.types);
  const externs = symbols.map((symbol) => {
    if (file.types === null || index === null) return untyped(symbol, linkable);
    return readExtern(file.types, index, symbol, linkable);
  });
  if (file.types !== null) checkDatasecs(file.types, externs);
  return externs;
}

interface TypeIndex {
  /** The first variable or function of each name. */
  readonly byName: ReadonlyMap<string, number>;
  /** Name of the first DATASEC that holds the variable or function. */
  readonly sectionOf: ReadonlyMap<number, string>;
}

function indexTypes({ types }: Btf): TypeIndex {
  const byName = new Map<string, number>();
  const sectionOf = new Map<number, string>();
  types.forEach((type, id) => {
    if (type.kind === "var" || type.kind === "func") {
      if (!byName.has(type.name)) byName.set(type.name, id);
    } else if (type.kind === "datasec") {
      for (const info of type.vars) if (!sectionOf.has(info.type)) sectionOf.set(info.type, type.name);
    }
  });
  return { byName, sectionOf };
}

function untyped(symbol: ElfSymbol, linkable: boolean): ExternSpec {
  if (!linkable) throw new InputError(`extern ${symbol.name} needs BTF, but the file has none (compile with -g)`);
  const { name } = symbol;
  return { name, section: "", kind: "var", ...bindingOf(symbol), btfId: 0, size: 0, align: 1 };
}

function readExtern(types: ObjectTypes, index: TypeIndex, symbol: ElfSymbol, linkable: boolean): ExternSpec {
  const { name } = symbol;
  const btfId = index.byName.get(name);
  const type = btfId === undefined ? undefined : types.types[btfId];
  if (btfId === undefined || (type?.kind !== "var" && type?.kind !== "func")) {
    throw new InputError(`extern ${name} is not described by BTF`, { section: SECTION.BTF });
  }
  const section = index.sectionOf.get(btfId) ?? "";
  if (type.linkage !== "extern") {
    throw new InputError(`${name} is extern, but BTF type id ${btfId} says that it is ${type.linkage}`, { section });
  }
  const known = section === SECTION.KCONFIG || section === SECTION.KSYMS;
  if (!known && !linkable) {
    const where = section === "" ? "in no section" : `in section ${section}`;
    throw new InputError(
      `extern ${name} is declared ${where}: a loader fills in those of .kconfig and .ksyms only; is there another ` +
        "object to link with?",
    );
  }
  if (section === SECTION.KCONFIG) checkKconfig(types, type, name);
  const isSized = type.kind === "var" && resolveType(types, type.type).kind !== "void";
  return {
    name,
    section,
    kind: type.kind,
    ...bindingOf(symbol),
    btfId,
    // The type of a kernel's symbol may be only declared.
    size: isSized ? valueOr(0, () => sizeOf(types, type.type)) : 0,
    align: isSized ? valueOr(1, () => alignOf(types, type.type)) : 1,
  };
}

function valueOr(fallback: number, get: () => number): number {
  try {
    return get();
  } catch (error) {
    if (error instanceof InputError) return fallback;
    throw error;
  }
}

/** What a value of the kernel's configuration can be put into. */
function checkKconfig(types: Btf, type: Extract<BtfType, { kind: "var" | "func" }>, name: string): void {
  const place = { section: SECTION.KCONFIG };
  if (type.kind === "func") throw new InputError(`${name} is a function, but the configuration holds values`, place);
  if (!isConfigType(types, type.type)) {
    throw new InputError(
      `${name} has a type that no value of the configuration fits: expected bool, char, an array of char, an integer ` +
        "of at most 8 bytes, or enum libbpf_tristate",
      place,
    );
  }
}

function isConfigType(types: Btf, id: number): boolean {
  const type = resolveType(types, id);
  switch (type.kind) {
    case "int":
      return type.encoding === "bool" ? type.size === 1 : [1, 2, 4, 8].includes(type.size);
    case "enum":
      return type.size === 4 && type.name === "libbpf_tristate";
    case "enum64":
      return type.name === "libbpf_tristate";
    case "array": {
      const element = resolveType(types, type.type);
      return type.nelems > 0 && element.kind === "int" && element.size === 1 && element.encoding !== "bool";
    }
    default:
      return false;
  }
}

/** What BTF says of an extern section, the symbols must say too. */
function checkDatasecs(types: ObjectTypes, externs: readonly ExternSpec[]): void {
  const names = new Set(externs.map((one) => one.name));
  for (const section of new Set(externs.map((one) => one.section))) {
    if (section !== SECTION.KCONFIG && section !== SECTION.KSYMS) continue;
    const datasec = types.types[types.datasec(section) ?? 0];
    for (const { type: id } of datasec?.kind === "datasec" ? datasec.vars : []) {
      const type = types.types[id];
      if (type?.kind !== "var" && type?.kind !== "func") {
        throw new InputError(`BTF type id ${id} is no variable or function`, { section });
      }
      if (!names.has(type.name)) throw new InputError(`${type.name} has no symbol`, { section });
    }
  }
}
