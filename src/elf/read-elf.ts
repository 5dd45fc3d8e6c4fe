// SPDX-License-Identifier: MIT
import { ByteReader, stringTableReader } from "../util/bytes.js";
import { InputError } from "../util/errors.js";
import {
  EHDR_SIZE,
  ELF_MAGIC,
  ELFCLASS64,
  ELFDATA2LSB,
  EM_BPF,
  ET_REL,
  REL_SIZE,
  SHDR_SIZE,
  SHN,
  SHT,
  SYM_SIZE,
} from "./format.js";
import { ELF_LIMITS } from "./limits.js";

/** A section of an ELF file. */
export interface ElfSection {
  readonly index: number;
  readonly name: string;
  /** SHT_*. */
  readonly type: number;
  /** SHF_*. */
  readonly flags: number;
  /** Bytes; for SHT_NOBITS what it stands for. */
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly align: number;
  readonly entsize: number;
  /** Content, not copied; empty for SHT_NOBITS. */
  readonly content: Uint8Array;
}

/** A symbol of an ELF file. */
export interface ElfSymbol {
  readonly name: string;
  /** Index of the section that it lies in, or SHN_*. */
  readonly section: number;
  readonly value: number;
  readonly size: number;
  /** STB_*. */
  readonly bind: number;
  /** STT_*. */
  readonly type: number;
  /** STV_*. */
  readonly visibility: number;
}

/** One SHT_REL relocation. */
export interface ElfRelocation {
  /** Bytes from the start of the section that it applies to. */
  readonly offset: number;
  readonly symbol: ElfSymbol;
  /** R_BPF_*. */
  readonly type: number;
}

/** An ELF file taken apart. */
export interface ElfFile {
  /** All sections; index 0 is the null section. */
  readonly sections: readonly ElfSection[];
  /** All symbols; index 0 is the null symbol. Empty without a symbol table. */
  readonly symbols: readonly ElfSymbol[];
  /** Relocations by the index of the section that they apply to, in the order of the file. */
  readonly relocations: ReadonlyMap<number, readonly ElfRelocation[]>;
}

interface Header {
  readonly shoff: number;
  readonly shnum: number;
  readonly shstrndx: number;
}

/**
 * Reads a 64-bit little-endian relocatable ELF file for BPF.
 * @param relocatable which sections' relocations are wanted; the others are passed over.
 * @throws InputError for anything malformed or beyond {@link ELF_LIMITS}.
 */
export function readElf(bytes: Uint8Array, relocatable: (section: ElfSection) => boolean = () => true): ElfFile {
  if (bytes.length > ELF_LIMITS.fileSize) {
    throw new InputError(`ELF file of ${bytes.length} bytes is beyond the limit of ${ELF_LIMITS.fileSize}`);
  }
  const header = readHeader(bytes);
  const sections = readSections(bytes, header);
  const symtab = sections.filter((section) => section.type === SHT.SYMTAB);
  if (symtab.length > 1) throw new InputError("ELF file has more than one symbol table");
  const symbols = symtab[0] === undefined ? [] : readSymbols(sections, symtab[0]);
  return { sections, symbols, relocations: readRelocations(sections, symbols, symtab[0]?.index, relocatable) };
}

function expect(what: string, value: number, wanted: number, hint = ""): void {
  if (value !== wanted) throw new InputError(`ELF header: ${what} is ${value}, expected ${wanted}${hint}`);
}

function readHeader(bytes: Uint8Array): Header {
  const r = new ByteReader(bytes, { what: "ELF header" });
  const magic = r.u32("magic");
  if (magic !== ELF_MAGIC) throw new InputError("not an ELF file: the first four bytes are not 0x7f 'ELF'");
  expect("class", r.u8("class"), ELFCLASS64, " (64-bit)");
  expect("byte order", r.u8("byte order"), ELFDATA2LSB, " (little-endian)");
  r.seek(16, "type");
  expect("type", r.u16("type"), ET_REL, " (relocatable object)");
  expect("machine", r.u16("machine"), EM_BPF, " (BPF)");
  r.seek(40, "section table offset");
  const shoff = r.size64("section table offset");
  r.skip(4, "flags");
  r.u16("header size");
  r.skip(4, "program header sizes");
  const shentsize = r.u16("section header size");
  const shnum = r.u16("number of sections");
  const shstrndx = r.u16("section name table index");
  expect("section header size", shentsize, SHDR_SIZE);
  if (shnum === 0 || shnum > ELF_LIMITS.sections) {
    throw new InputError(`ELF header: ${shnum} sections, expected 1 to ${ELF_LIMITS.sections}`);
  }
  if (shoff < EHDR_SIZE) throw new InputError(`ELF header: section table offset ${shoff} lies in the header`);
  return { shoff, shnum, shstrndx };
}

interface RawSection extends Omit<ElfSection, "name"> {
  readonly nameOffset: number;
}

function readSections(bytes: Uint8Array, header: Header): ElfSection[] {
  const file = new ByteReader(bytes, { what: "ELF file" });
  const table = file.slice(header.shoff, header.shnum * SHDR_SIZE, "section table");
  const r = new ByteReader(table, { what: "ELF section table" });
  const raw = Array.from({ length: header.shnum }, (_, index): RawSection => {
    const nameOffset = r.u32("sh_name");
    const type = r.u32("sh_type");
    const flags = Number(r.u64("sh_flags") & 0xffffffffn);
    r.skip(8, "sh_addr");
    const offset = r.size64("sh_offset");
    const size = r.size64("sh_size");
    const link = r.u32("sh_link");
    const info = r.u32("sh_info");
    const align = r.size64("sh_addralign");
    const entsize = r.size64("sh_entsize");
    const empty = type === SHT.NOBITS || type === SHT.NULL;
    const content = empty ? new Uint8Array() : file.slice(offset, size, `content of section ${index}`);
    return { index, nameOffset, type, flags, size, link, info, align, entsize, content };
  });
  const names = raw[header.shstrndx];
  if (names === undefined || names.type !== SHT.STRTAB) {
    throw new InputError(`ELF header: section name table index ${header.shstrndx} is no string table`);
  }
  const nameAt = stringTableReader(names.content, "ELF section names");
  return raw.map(({ nameOffset, ...section }) => ({ ...section, name: section.index === 0 ? "" : nameAt(nameOffset) }));
}

function readSymbols(sections: readonly ElfSection[], symtab: ElfSection): ElfSymbol[] {
  const count = symtab.size / SYM_SIZE;
  if (!Number.isInteger(count)) {
    throw new InputError(`symbol table size ${symtab.size} is not a multiple of ${SYM_SIZE}`, place(symtab));
  }
  if (count > ELF_LIMITS.symbols) throw new InputError(`${count} symbols is beyond the limit`, place(symtab));
  const strings = sections[symtab.link];
  if (strings === undefined || strings.type !== SHT.STRTAB) {
    throw new InputError(`sh_link ${symtab.link} is no string table`, place(symtab));
  }
  const nameAt = stringTableReader(strings.content, "ELF symbol names");
  const r = new ByteReader(symtab.content, { what: "ELF symbol table" });
  return Array.from({ length: count }, (_, i): ElfSymbol => {
    const name = nameAt(r.u32("st_name"));
    const info = r.u8("st_info");
    const visibility = r.u8("st_other") & 3;
    const section = r.u16("st_shndx");
    const value = r.size64("st_value");
    const size = r.size64("st_size");
    if (section >= sections.length && section < SHN.LORESERVE) {
      throw new InputError(`symbol ${i} (${name}) lies in section ${section}, which does not exist`, place(symtab));
    }
    return { name, section, value, size, bind: info >> 4, type: info & 0xf, visibility };
  });
}

function readRelocations(
  sections: readonly ElfSection[],
  symbols: readonly ElfSymbol[],
  symtabIndex: number | undefined,
  relocatable: (section: ElfSection) => boolean,
): Map<number, ElfRelocation[]> {
  const result = new Map<number, ElfRelocation[]>();
  let total = 0;
  for (const section of sections) {
    if (section.type !== SHT.REL && section.type !== SHT.RELA) continue;
    const target = sections[section.info];
    if (target === undefined) throw new InputError(`sh_info ${section.info} is no section`, place(section));
    if (!relocatable(target)) continue;
    if (section.type === SHT.RELA) throw new InputError("RELA relocations are not used by BPF objects", place(section));
    if (section.link !== symtabIndex) {
      throw new InputError(`sh_link ${section.link} is not the symbol table`, place(section));
    }
    const count = section.size / REL_SIZE;
    if (!Number.isInteger(count)) {
      throw new InputError(`size ${section.size} is not a multiple of ${REL_SIZE}`, place(section));
    }
    total += count;
    if (total > ELF_LIMITS.relocations) throw new InputError("too many relocations", place(section));
    const list = result.get(target.index) ?? [];
    result.set(target.index, list);
    const r = new ByteReader(section.content, { what: `relocations ${section.name}` });
    for (let i = 0; i < count; i++) {
      const offset = r.size64("r_offset");
      const type = r.u32("relocation type");
      const index = r.u32("symbol index");
      const symbol = symbols[index];
      if (symbol === undefined) {
        throw new InputError(`relocation ${i} names symbol ${index}, which does not exist`, place(section));
      }
      list.push({ offset, symbol, type });
    }
  }
  return result;
}

function place(section: ElfSection): { section: string } {
  return { section: section.name };
}
