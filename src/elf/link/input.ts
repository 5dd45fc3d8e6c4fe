// SPDX-License-Identifier: MIT
import { type LazyBtf, openBtf } from "../../btf/lazy.js";
import type { BtfSecInfo } from "../../btf/types.js";
import { InputError } from "../../util/errors.js";
import { R_BPF, SECTION, SHF, SHN, SHT, STB, STT, STV } from "../format.js";
import { ELF_LIMITS } from "../limits.js";
import { type ElfFile, type ElfRelocation, type ElfSection, type ElfSymbol, readElf } from "../read-elf.js";
import type { OutputSection } from "./output.js";

/** An object file to be linked. */
export interface LinkInput {
  /** What messages call it: its path. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** clang's name in BTF for where externs are that no section was given. */
export const EXTERN_SECTION = ".extern";

/** A section of an input, and where it goes. */
export interface InputSection {
  readonly name: string;
  /** Null for one that only BTF knows: `.kconfig`, `.ksyms`. */
  readonly elf: ElfSection | null;
  /** Not taken over: DWARF, string tables, BTF (which is merged by itself), a licence that stands already. */
  skipped: boolean;
  out: OutputSection | null;
  /** Bytes of the output section before this one. */
  offset: number;
  /** BTF_KIND_DATASEC of the section, with the offsets that the symbols have; null without one. */
  datasec: readonly BtfSecInfo[] | null;
}

/** Where BTF speaks of a global name. */
export interface GlobalType {
  /** BTF_KIND_VAR or BTF_KIND_FUNC. */
  id: number;
  /** Name of the BTF_KIND_DATASEC that it is in; undefined for none. */
  section: string | undefined;
}

/** An input taken apart and checked. */
export interface InputObject {
  readonly name: string;
  readonly elf: ElfFile;
  /** By index, as in the file; behind them those that only BTF knows. */
  readonly sections: readonly InputSection[];
  readonly types: LazyBtf | null;
  readonly btf: Uint8Array | null;
  readonly btfExt: Uint8Array | null;
  /** Types of what is global or extern, by name. */
  readonly globals: ReadonlyMap<string, GlobalType>;
}

const RELOCATION_TYPES: ReadonlySet<number> = new Set([R_BPF.R64_64, R_BPF.R64_32, R_BPF.ABS64, R_BPF.ABS32]);

/** Bytes of an instruction. */
export const INSN_SIZE = 8;

function isSkipped({ name, type, size }: ElfSection): boolean {
  if (type === SHT.NULL || type === SHT.STRTAB || type === SHT.LLVM_ADDRSIG || type === SHT.SYMTAB_SHNDX) return true;
  if (type === SHT.PROGBITS && size === 0 && name === SECTION.TEXT) return true;
  const target = name.startsWith(".rel") ? name.slice(".rel".length) : name;
  return target.startsWith(".debug_") || target === SECTION.BTF || target === SECTION.BTF_EXT;
}

/**
 * Reads an input and checks what merging relies on.
 * @throws InputError, without the file's name.
 */
export function readInput({ name, bytes }: LinkInput): InputObject {
  const elf = readElf(bytes, (section) => !isSkipped(section));
  const sections = elf.sections.map((section): InputSection => {
    checkSection(section, elf.sections);
    return { name: section.name, elf: section, skipped: isSkipped(section), out: null, offset: 0, datasec: null };
  });
  if (elf.symbols.length === 0) throw new InputError("the object has no symbol table");
  elf.symbols.forEach(checkSymbol);
  for (const [index, list] of elf.relocations) for (const one of list) checkRelocation(one, elf.sections[index]!);
  const content = (wanted: string) =>
    elf.sections.find((section) => section.type === SHT.PROGBITS && section.name === wanted)?.content ?? null;
  const btf = content(SECTION.BTF);
  const btfExt = content(SECTION.BTF_EXT);
  if (btfExt !== null && btf === null) throw new InputError("the object has .BTF.ext but no .BTF");
  const types = btf === null ? null : openBtf(btf);
  if (types !== null && types.littleEndian !== elf.littleEndian) {
    throw new InputError("its byte order is not the file's", { section: SECTION.BTF });
  }
  const globals = new Map<string, GlobalType>();
  if (types !== null) readTypes(types, elf, sections, globals);
  return { name, elf, sections, types, btf, btfExt, globals };
}

function checkSection(section: ElfSection, all: readonly ElfSection[]): void {
  const fail = (what: string): never => {
    throw new InputError(what, { section: section.name || `#${section.index}` });
  };
  if (section.index === 0) return;
  if (section.name === "") fail("the section has no name");
  if (isSkipped(section)) return;
  const { align } = section;
  if (align !== 0 && !Number.isInteger(Math.log2(align))) fail(`alignment ${align} is no power of two`);
  if (align > ELF_LIMITS.align) fail(`alignment ${align} is beyond ${ELF_LIMITS.align}`);
  switch (section.type) {
    case SHT.SYMTAB:
    case SHT.NOBITS:
      return;
    case SHT.PROGBITS:
      if ((section.flags & SHF.EXECINSTR) !== 0 && section.size % INSN_SIZE !== 0) {
        fail(`size ${section.size} is no multiple of ${INSN_SIZE}, the size of an instruction`);
      }
      return;
    case SHT.REL: {
      const target = all[section.info];
      if (target === undefined || section.name !== `.rel${target.name}`) fail("its name is not .rel and its target's");
      return;
    }
    default:
      fail(`cannot link a section of type ${section.type}`);
  }
}

function checkSymbol({ name, section, value, size, bind, type, visibility }: ElfSymbol, index: number): void {
  const fail = (what: string): never => {
    throw new InputError(`symbol ${index} (${name}): ${what}`, { section: ".symtab" });
  };
  if (index === 0) return;
  if (bind !== STB.LOCAL && bind !== STB.GLOBAL && bind !== STB.WEAK) fail(`unknown binding ${bind}`);
  if (visibility !== STV.DEFAULT && visibility !== STV.HIDDEN) fail(`visibility ${visibility} means nothing for BPF`);
  if (section === SHN.UNDEF && (type !== STT.NOTYPE || bind === STB.LOCAL || value !== 0 || size !== 0)) {
    fail("it is undefined, but has a type, a value or a size, or is local");
  }
  if (type === STT.SECTION && value !== 0) fail("a section's symbol has a value");
}

function checkRelocation({ offset, symbol, type, addend }: ElfRelocation, target: ElfSection): void {
  const fail = (what: string): never => {
    throw new InputError(`relocation at offset ${offset}: ${what}`, { section: target.name });
  };
  if (addend !== null) fail("relocations with addends cannot be linked");
  if (!RELOCATION_TYPES.has(type)) fail(`unexpected type ${type}`);
  if (symbol.bind === STB.LOCAL && symbol.section === SHN.UNDEF) fail("it names no symbol");
  if (target.type !== SHT.PROGBITS && target.type !== SHT.NOBITS) fail("the section is neither code nor data");
  if (offset + INSN_SIZE > target.size) fail(`it lies outside of the section of ${target.size} bytes`);
  if ((target.flags & SHF.EXECINSTR) !== 0 && offset % INSN_SIZE !== 0) fail("it is not at an instruction");
}

/** Finds the types of global names, and what BTF says of sections. */
function readTypes(types: LazyBtf, elf: ElfFile, sections: InputSection[], globals: Map<string, GlobalType>): void {
  const byName = new Map<string, InputSection>();
  for (const section of sections) if (!byName.has(section.name)) byName.set(section.name, section);
  const objects = new Map<string, ElfSymbol>();
  for (const symbol of elf.symbols) {
    const key = `${symbol.section} ${symbol.name}`;
    if (symbol.type === STT.OBJECT && !objects.has(key)) objects.set(key, symbol);
  }
  for (let id = 1; id < types.length; id++) {
    const kind = types.kindById(id);
    if (kind === "var" || kind === "func") {
      const type = types.typeById(id);
      if ((type.kind !== "var" && type.kind !== "func") || type.linkage === "static") continue;
      const known = globals.get(type.name);
      // In a section it is surely what is meant; otherwise the last one.
      if (known === undefined) globals.set(type.name, { id, section: undefined });
      else if (known.section === undefined) known.id = id;
    }
    if (kind !== "datasec") continue;
    const datasec = types.typeById(id);
    if (datasec.kind !== "datasec") continue;
    noteMembers(types, datasec.name, datasec.vars, globals);
    if (datasec.name === EXTERN_SECTION) continue;
    let section = byName.get(datasec.name);
    if (section === undefined) {
      section = { name: datasec.name, elf: null, skipped: false, out: null, offset: 0, datasec: null };
      sections.push(section);
      byName.set(section.name, section);
    }
    const index = section.elf?.index ?? SHN.UNDEF;
    section.datasec = datasec.vars.map((info) => placed(types, info, index, datasec.name, objects));
  }
}

function noteMembers(
  types: LazyBtf,
  section: string,
  vars: readonly BtfSecInfo[],
  globals: Map<string, GlobalType>,
): void {
  for (const info of vars) {
    const type = types.typeById(info.type);
    if ((type.kind !== "var" && type.kind !== "func") || type.linkage === "static") continue;
    const known = globals.get(type.name);
    if (known?.section !== undefined) continue;
    if (known !== undefined && known.id !== info.type) {
      throw new InputError(`BTF has two types for the global ${type.name}: ${known.id} and ${info.type}`);
    }
    globals.set(type.name, { id: info.type, section });
  }
}

/** A variable where the symbol says it is: compilers leave that to the linker. */
function placed(
  types: LazyBtf,
  info: BtfSecInfo,
  section: number,
  sectionName: string,
  objects: ReadonlyMap<string, ElfSymbol>,
): BtfSecInfo {
  const type = types.typeById(info.type);
  if (type.kind !== "var" || type.linkage !== "global") return info;
  const symbol = objects.get(`${section} ${type.name}`);
  if (symbol === undefined) throw new InputError(`variable ${type.name} has no symbol`, { section: sectionName });
  return { ...info, offset: symbol.value };
}
