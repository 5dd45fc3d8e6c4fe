// SPDX-License-Identifier: MIT
import { ByteReader, stringTableReader } from "../util/bytes.js";
import { InputError } from "../util/errors.js";
import {
  EHDR_SIZE,
  ELF_MAGIC,
  ELFCLASS64,
  ELFDATA2LSB,
  ELFDATA2MSB,
  EM_BPF,
  EM_NONE,
  ET_REL,
  REL_SIZE,
  RELA_SIZE,
  SH_SIZE_OFFSET,
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

/** One relocation. */
export interface ElfRelocation {
  /** Bytes from the start of the section that it applies to. */
  readonly offset: number;
  readonly symbol: ElfSymbol;
  /** R_BPF_*. */
  readonly type: number;
  /** What is added to the symbol's value; null when it stands in the place itself (SHT_REL). */
  readonly addend: bigint | null;
}

/** An ELF file taken apart. */
export interface ElfFile {
  /** Byte order of the file's fields and of what its sections hold. */
  readonly littleEndian: boolean;
  /** All sections; index 0 is the null section. */
  readonly sections: readonly ElfSection[];
  /** All symbols; index 0 is the null symbol. Empty without a symbol table. */
  readonly symbols: readonly ElfSymbol[];
  /** Relocations by the index of the section that they apply to, in the order of the file. */
  readonly relocations: ReadonlyMap<number, readonly ElfRelocation[]>;
}

interface Header {
  readonly littleEndian: boolean;
  readonly shoff: number;
  readonly shnum: number;
  readonly shstrndx: number;
}

/**
 * Reads a 64-bit relocatable ELF file for BPF of either byte order, with any number of sections.
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
  const { littleEndian } = header;
  const symbols = symtab[0] === undefined ? [] : readSymbols(sections, symtab[0], littleEndian);
  const relocations = new RelocationReader(sections, symbols, symtab[0]?.index, littleEndian).read(relocatable);
  return { littleEndian, sections, symbols, relocations };
}

function expect(what: string, value: number, wanted: number, hint = ""): void {
  if (value !== wanted) throw new InputError(`ELF header: ${what} is ${value}, expected ${wanted}${hint}`);
}

function readHeader(bytes: Uint8Array): Header {
  const ident = new ByteReader(bytes, { what: "ELF header" });
  const magic = ident.u32("magic");
  if (magic !== ELF_MAGIC) throw new InputError("not an ELF file: the first four bytes are not 0x7f 'ELF'");
  expect("class", ident.u8("class"), ELFCLASS64, " (64-bit)");
  const order = ident.u8("byte order");
  if (order !== ELFDATA2MSB) expect("byte order", order, ELFDATA2LSB, " (little-endian) or 2 (big-endian)");
  const littleEndian = order === ELFDATA2LSB;
  const r = new ByteReader(bytes, { what: "ELF header", littleEndian });
  r.seek(16, "type");
  expect("type", r.u16("type"), ET_REL, " (relocatable object)");
  const machine = r.u16("machine");
  if (machine !== EM_NONE) expect("machine", machine, EM_BPF, " (BPF)");
  r.seek(40, "section table offset");
  const shoff = r.size64("section table offset");
  r.skip(4, "flags");
  r.u16("header size");
  r.skip(4, "program header sizes");
  const shentsize = r.u16("section header size");
  let shnum = r.u16("number of sections");
  let shstrndx = r.u16("section name table index");
  if (shoff === 0) throw new InputError("ELF header: the file has no section table");
  expect("section header size", shentsize, SHDR_SIZE);
  if (shoff < EHDR_SIZE) throw new InputError(`ELF header: section table offset ${shoff} lies in the header`);
  // Numbers too large for their fields stand in the section header 0.
  if (shnum === 0 || shstrndx === SHN.XINDEX) {
    const first = new ByteReader(r.slice(shoff, SHDR_SIZE, "section header 0"), {
      what: "section header 0",
      littleEndian,
    });
    first.seek(SH_SIZE_OFFSET, "sh_size");
    const size = first.size64("sh_size");
    const link = first.u32("sh_link");
    if (shnum === 0) shnum = size;
    if (shstrndx === SHN.XINDEX) shstrndx = link;
  }
  if (shnum === 0 || shnum > ELF_LIMITS.sections) {
    throw new InputError(`ELF header: ${shnum} sections, expected 1 to ${ELF_LIMITS.sections}`);
  }
  return { littleEndian, shoff, shnum, shstrndx };
}

interface RawSection extends Omit<ElfSection, "name"> {
  readonly nameOffset: number;
}

function readSections(bytes: Uint8Array, header: Header): ElfSection[] {
  const { littleEndian } = header;
  const file = new ByteReader(bytes, { what: "ELF file" });
  const table = file.slice(header.shoff, header.shnum * SHDR_SIZE, "section table");
  const r = new ByteReader(table, { what: "ELF section table", littleEndian });
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

function readSymbols(sections: readonly ElfSection[], symtab: ElfSection, littleEndian: boolean): ElfSymbol[] {
  if (symtab.entsize !== SYM_SIZE) {
    throw new InputError(`size of an entry is ${symtab.entsize}, expected ${SYM_SIZE}`, place(symtab));
  }
  if (symtab.content.length !== symtab.size) throw new InputError("the symbol table has no content", place(symtab));
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
  const r = new ByteReader(symtab.content, { what: "ELF symbol table", littleEndian });
  const indexTable = sections.find(({ type, link }) => type === SHT.SYMTAB_SHNDX && link === symtab.index);
  const indices = new ByteReader(indexTable?.content ?? new Uint8Array(), {
    what: "ELF extended section indices",
    littleEndian,
  });
  return Array.from({ length: count }, (_, i): ElfSymbol => {
    const name = nameAt(r.u32("st_name"));
    const info = r.u8("st_info");
    const visibility = r.u8("st_other") & 3;
    let section = r.u16("st_shndx");
    const extended = section === SHN.XINDEX;
    if (extended) {
      indices.seek(i * 4, `section index of symbol ${i}`);
      section = indices.u32(`section index of symbol ${i}`);
    }
    const value = r.size64("st_value");
    const size = r.size64("st_size");
    if (section >= sections.length && (extended || section < SHN.LORESERVE)) {
      throw new InputError(`symbol ${i} (${name}) lies in section ${section}, which does not exist`, place(symtab));
    }
    return { name, section, value, size, bind: info >> 4, type: info & 0xf, visibility };
  });
}

class RelocationReader {
  readonly #sections: readonly ElfSection[];
  readonly #symbols: readonly ElfSymbol[];
  readonly #symtabIndex: number | undefined;
  readonly #littleEndian: boolean;
  #total = 0;

  constructor(
    sections: readonly ElfSection[],
    symbols: readonly ElfSymbol[],
    symtabIndex: number | undefined,
    littleEndian: boolean,
  ) {
    this.#sections = sections;
    this.#symbols = symbols;
    this.#symtabIndex = symtabIndex;
    this.#littleEndian = littleEndian;
  }

  read(relocatable: (section: ElfSection) => boolean): Map<number, ElfRelocation[]> {
    const result = new Map<number, ElfRelocation[]>();
    for (const section of this.#sections) {
      if (section.type !== SHT.REL && section.type !== SHT.RELA) continue;
      const target = this.#sections[section.info];
      if (target === undefined) throw new InputError(`sh_info ${section.info} is no section`, place(section));
      if (!relocatable(target)) continue;
      const list = result.get(target.index) ?? [];
      result.set(target.index, list);
      this.#readSection(section, list);
    }
    return result;
  }

  #readSection(section: ElfSection, list: ElfRelocation[]): void {
    const hasAddend = section.type === SHT.RELA;
    const entrySize = hasAddend ? RELA_SIZE : REL_SIZE;
    if (section.link !== this.#symtabIndex) {
      throw new InputError(`sh_link ${section.link} is not the symbol table`, place(section));
    }
    if (section.entsize !== entrySize) {
      throw new InputError(`size of an entry is ${section.entsize}, expected ${entrySize}`, place(section));
    }
    const count = section.size / entrySize;
    if (!Number.isInteger(count)) {
      throw new InputError(`size ${section.size} is not a multiple of ${entrySize}`, place(section));
    }
    this.#total += count;
    if (this.#total > ELF_LIMITS.relocations) throw new InputError("too many relocations", place(section));
    const what = `relocations ${section.name}`;
    const r = new ByteReader(section.content, { what, littleEndian: this.#littleEndian });
    for (let i = 0; i < count; i++) {
      const offset = r.size64("r_offset");
      // r_info is one number of 64 bits: the symbol above, the type below.
      const first = r.u32("r_info");
      const second = r.u32("r_info");
      const type = this.#littleEndian ? first : second;
      const index = this.#littleEndian ? second : first;
      const addend = hasAddend ? r.i64("r_addend") : null;
      const symbol = this.#symbols[index];
      if (symbol === undefined) {
        throw new InputError(`relocation ${i} names symbol ${index}, which does not exist`, place(section));
      }
      list.push({ offset, symbol, type, addend });
    }
  }
}

function place(section: ElfSection): { section: string } {
  return { section: section.name };
}
