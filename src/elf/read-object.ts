// SPDX-License-Identifier: MIT
import { objectSpec } from "../model/make.js";
import type { ObjectSpec } from "../model/spec.js";
import { ByteReader, decodeUtf8 } from "../util/bytes.js";
import { InputError } from "../util/errors.js";
import { SECTION } from "./format.js";
import { isExtern, isRelocatable, type ObjectFile, sortSections, symbolsBySection } from "./object-file.js";
import { checkObject } from "./object-layout.js";
import { readData } from "./read-data.js";
import { type ElfSection, readElf } from "./read-elf.js";
import { readExterns } from "./read-externs.js";
import { readFunctions } from "./read-functions.js";
import { readMaps } from "./read-maps.js";
import { readStructOps } from "./read-struct-ops.js";
import { FunctionTable } from "./read-symbols.js";
import { completeDatasecs, readDebugInfo } from "./read-types.js";

/** How an object is read. */
export interface ReadObjectOptions {
  /** The object's name; libbpf takes the file's name up to the first dot. */
  readonly name: string;
  /**
   * Takes objects that must be linked before a loader takes them, for what they declare extern stands in another
   * object. Default false.
   */
  readonly linkable?: boolean;
  /** Told of what is passed over although it looks wrong, as libbpf does: malformed BTF that nothing needs. */
  readonly onWarning?: (message: string) => void;
}

/**
 * Reads a BPF object of any compiler and either byte order: what libbpf's bpf_object__open() takes is read, and what
 * it refuses is refused.
 * @throws InputError for anything malformed.
 */
export function readObject(bytes: Uint8Array, options: ReadObjectOptions): ObjectSpec {
  const { linkable = false, onWarning = () => undefined } = options;
  const file = takeApart(bytes, onWarning);
  const { elf, sections, types } = file;
  const functions = new FunctionTable(sections, file.symbols);
  const externs = readExterns(file, linkable);
  if (types !== null) completeDatasecs(types, elf);
  const maps = readMaps(file, functions, linkable);
  const spec = objectSpec({
    name: options.name,
    license: readLicense(sections.license),
    version: readVersion(sections.version, elf.littleEndian),
    endianness: elf.littleEndian ? "little" : "big",
    functions: readFunctions(file, { functions, maps: maps.names }),
    maps: maps.specs,
    data: readData(file, functions, maps.names),
    externs,
    structOps: readStructOps(file, functions),
    btf: types === null ? null : { types: types.types },
    btfStrings: types === null ? null : new Uint8Array(types.strings),
  });
  checkObject(spec);
  return spec;
}

function takeApart(bytes: Uint8Array, warn: (message: string) => void): ObjectFile {
  const elf = readElf(bytes, isRelocatable);
  if (elf.symbols.length === 0) throw new InputError("the file has no symbol table; is it stripped?");
  const sections = sortSections(elf);
  const debug = readDebugInfo(sections, whatNeedsBtf(), warn);
  const symbols = symbolsBySection(elf.symbols);
  return { elf, sections, symbols, types: debug?.types ?? null, ext: debug?.ext ?? null };

  function whatNeedsBtf(): string | undefined {
    if (sections.maps !== undefined) return "map definitions need";
    if (sections.structOps.length > 0) return "struct_ops variables need";
    const extern = elf.symbols.find((symbol) => isExtern(symbol) && symbol.name !== "");
    return extern === undefined ? undefined : `extern ${extern.name} needs`;
  }
}

function readLicense(section: ElfSection | undefined): string {
  if (section === undefined) return "";
  const end = section.content.indexOf(0);
  return decodeUtf8(end < 0 ? section.content : section.content.subarray(0, end));
}

function readVersion(section: ElfSection | undefined, littleEndian: boolean): number {
  if (section === undefined) return 0;
  if (section.content.length !== 4) {
    throw new InputError(`a version takes 4 bytes, not ${section.content.length}`, { section: SECTION.VERSION });
  }
  return new ByteReader(section.content, { what: "version", littleEndian }).u32("version");
}
