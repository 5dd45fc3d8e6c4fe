// SPDX-License-Identifier: MIT
import { ByteWriter, encodeUtf8 } from "../util/bytes.js";
import { invariant } from "../util/errors.js";
import {
  EHDR_SIZE,
  ELFCLASS64,
  ELFDATA2LSB,
  ELFDATA2MSB,
  EM_BPF,
  ET_REL,
  EV_CURRENT,
  REL_SIZE,
  SH_SIZE_OFFSET,
  SHDR_SIZE,
  SHF,
  SHN,
  SHT,
  STB,
  STT,
  STV,
  SYM_SIZE,
} from "./format.js";

/** A section to be written. */
export interface SectionDesc {
  readonly name: string;
  /** SHT_*. */
  readonly type: number;
  /** SHF_*. */
  readonly flags: number;
  /** Power of two. */
  readonly align: number;
  /** Content, or the number of bytes that SHT_NOBITS stands for. */
  readonly content: Uint8Array | number;
  /** Bytes of an entry, of sections that are tables; default 0. */
  readonly entsize?: number;
}

/** A symbol to be written. */
export interface SymbolDesc {
  readonly name: string;
  /** Index of the section that the symbol lies in, or SHN_*. */
  readonly section: number;
  readonly value: number;
  readonly size: number;
  /** STB_*. */
  readonly bind: number;
  /** STT_*. */
  readonly type: number;
  /** STV_*; default STV_DEFAULT. */
  readonly visibility?: number;
}

interface Relocation {
  readonly offset: number;
  readonly symbol: SymbolDesc;
  readonly type: number;
}

interface SectionHeader {
  readonly desc: SectionDesc;
  readonly link: number;
  readonly info: number;
  readonly entsize: number;
}

/**
 * Puts an ET_REL file for EM_BPF together: sections in the order in which they were added, then their
 * relocations, the symbol table and the string table. The same calls give the same bytes.
 */
export class ElfWriter {
  readonly #littleEndian: boolean;
  readonly #sections: SectionDesc[] = [];
  readonly #symbols: SymbolDesc[] = [];
  readonly #sectionSymbols = new Map<number, SymbolDesc>();
  readonly #relocations = new Map<number, Relocation[]>();

  /** @param littleEndian byte order of the file's own fields; contents are taken as they are. */
  constructor(littleEndian = true) {
    this.#littleEndian = littleEndian;
  }

  /** Adds a section and gives its index. */
  section(desc: SectionDesc): number {
    return this.#sections.push(desc);
  }

  /** Adds a symbol; what it returns stands for it in {@link relocation}. */
  symbol(desc: SymbolDesc): SymbolDesc {
    this.#symbols.push(desc);
    return desc;
  }

  /** The symbol of a section itself; the first call makes it. */
  sectionSymbol(section: number): SymbolDesc {
    const known = this.#sectionSymbols.get(section);
    if (known !== undefined) return known;
    const symbol = this.symbol({ name: "", section, value: 0, size: 0, bind: STB.LOCAL, type: STT.SECTION });
    this.#sectionSymbols.set(section, symbol);
    return symbol;
  }

  /** Adds a relocation (R_BPF_*) at a byte offset of a section. */
  relocation(section: number, offset: number, symbol: SymbolDesc, type: number): void {
    const list = this.#relocations.get(section);
    if (list === undefined) this.#relocations.set(section, [{ offset, symbol, type }]);
    else list.push({ offset, symbol, type });
  }

  /**
   * The file's bytes. From 65280 sections on, numbers that are too large for their fields stand where the ABI has
   * them stand then.
   */
  finish(): Uint8Array {
    const headers: SectionHeader[] = this.#sections.map((desc) => ({
      desc,
      link: 0,
      info: 0,
      entsize: desc.entsize ?? 0,
    }));
    const symtabIndex = 1 + headers.length + this.#relocations.size;
    const isWide = this.#symbols.some((symbol) => this.#isWide(symbol.section));
    const strtabIndex = symtabIndex + (isWide ? 2 : 1);
    // Local symbols stand before the others; `sort` keeps the order otherwise.
    const symbols = this.#symbols.toSorted((a, b) => Number(a.bind !== STB.LOCAL) - Number(b.bind !== STB.LOCAL));
    const locals = symbols.filter((symbol) => symbol.bind === STB.LOCAL).length;
    const indexOf = new Map(symbols.map((symbol, i) => [symbol, i + 1]));
    for (const [section, relocations] of [...this.#relocations].sort(([a], [b]) => a - b)) {
      headers.push(this.#relocationSection(section, relocations, indexOf, symtabIndex));
    }
    const strings = new NameTable();
    const symtab = this.#encodeSymbols(symbols, strings);
    headers.push({
      desc: { name: ".symtab", type: SHT.SYMTAB, flags: 0, align: 8, content: symtab },
      link: strtabIndex,
      info: locals + 1,
      entsize: SYM_SIZE,
    });
    if (isWide) {
      headers.push({
        desc: {
          name: ".symtab_shndx",
          type: SHT.SYMTAB_SHNDX,
          flags: 0,
          align: 4,
          content: this.#encodeIndices(symbols),
        },
        link: symtabIndex,
        info: 0,
        entsize: 4,
      });
    }
    const names = headers.map((header) => strings.add(header.desc.name));
    names.push(strings.add(".strtab"));
    headers.push({
      desc: { name: ".strtab", type: SHT.STRTAB, flags: 0, align: 1, content: strings.finish() },
      link: 0,
      info: 0,
      entsize: 0,
    });
    return encodeFile(headers, names, strtabIndex, this.#littleEndian);
  }

  #relocationSection(
    section: number,
    relocations: readonly Relocation[],
    indexOf: ReadonlyMap<SymbolDesc, number>,
    symtabIndex: number,
  ): SectionHeader {
    const target = this.#sections[section - 1];
    invariant(target !== undefined, `relocations of section ${section}, which does not exist`);
    const littleEndian = this.#littleEndian;
    const out = new ByteWriter({ capacity: relocations.length * REL_SIZE, littleEndian });
    for (const { offset, symbol, type } of relocations) {
      const index = indexOf.get(symbol);
      invariant(index !== undefined, `relocation against symbol ${symbol.name}, which was not added`);
      // r_info is one number: symbol in the upper half, type in the lower.
      out.u64(offset);
      if (littleEndian) out.u32(type).u32(index);
      else out.u32(index).u32(type);
    }
    const content = out.finish();
    return {
      desc: { name: `.rel${target.name}`, type: SHT.REL, flags: SHF.INFO_LINK, align: 8, content },
      link: symtabIndex,
      info: section,
      entsize: REL_SIZE,
    };
  }

  /** Whether a section's index does not fit into st_shndx; special indices (SHN_ABS) are no sections. */
  #isWide(section: number): boolean {
    return section >= SHN.LORESERVE && section <= this.#sections.length;
  }

  #encodeSymbols(symbols: readonly SymbolDesc[], strings: NameTable): Uint8Array {
    const littleEndian = this.#littleEndian;
    const out = new ByteWriter({ capacity: (symbols.length + 1) * SYM_SIZE, littleEndian }).zeros(SYM_SIZE);
    for (const symbol of symbols) {
      const section = this.#isWide(symbol.section) ? SHN.XINDEX : symbol.section;
      out
        .u32(strings.add(symbol.name))
        .u8((symbol.bind << 4) | symbol.type)
        .u8(symbol.visibility ?? STV.DEFAULT);
      out.u16(section).u64(symbol.value).u64(symbol.size);
    }
    return out.finish();
  }

  /** The section indices of all symbols that have wide ones, 0 for the others. */
  #encodeIndices(symbols: readonly SymbolDesc[]): Uint8Array {
    const out = new ByteWriter({ capacity: (symbols.length + 1) * 4, littleEndian: this.#littleEndian }).u32(0);
    for (const { section } of symbols) out.u32(this.#isWide(section) ? section : 0);
    return out.finish();
  }
}

/** The string table that section names and symbol names share. */
class NameTable {
  readonly #offsets = new Map<string, number>([["", 0]]);
  readonly #writer = new ByteWriter().u8(0);

  add(name: string): number {
    const known = this.#offsets.get(name);
    if (known !== undefined) return known;
    const at = this.#writer.length;
    this.#writer.bytes(encodeUtf8(name)).u8(0);
    this.#offsets.set(name, at);
    return at;
  }

  finish(): Uint8Array {
    return this.#writer.finish();
  }
}

function encodeFile(
  headers: readonly SectionHeader[],
  names: readonly number[],
  strtabIndex: number,
  littleEndian: boolean,
): Uint8Array {
  const out = new ByteWriter({ capacity: 4096, littleEndian }).zeros(EHDR_SIZE);
  const offsets = headers.map(({ desc }) => {
    out.align(desc.align);
    const at = out.length;
    if (typeof desc.content !== "number") out.bytes(desc.content);
    return at;
  });
  out.align(8);
  const tableOffset = out.length;
  const count = headers.length + 1;
  // Header 0 holds the numbers that the file's header has no room for.
  out.zeros(SH_SIZE_OFFSET).u64(count < SHN.LORESERVE ? 0 : count);
  out.u32(strtabIndex < SHN.LORESERVE ? 0 : strtabIndex).zeros(SHDR_SIZE - SH_SIZE_OFFSET - 12);
  headers.forEach(({ desc, link, info, entsize }, i) => {
    const size = typeof desc.content === "number" ? desc.content : desc.content.length;
    out.u32(names[i]!).u32(desc.type).u64(desc.flags).u64(0).u64(offsets[i]!).u64(size);
    out.u32(link).u32(info).u64(desc.align).u64(entsize);
  });
  const bytes = out.finish();
  bytes.set(encodeFileHeader(tableOffset, count, strtabIndex, littleEndian));
  return bytes;
}

function encodeFileHeader(
  tableOffset: number,
  sections: number,
  strtabIndex: number,
  littleEndian: boolean,
): Uint8Array {
  const out = new ByteWriter({ capacity: EHDR_SIZE, littleEndian });
  // The magic is bytes, in this order whatever the file's.
  out.bytes(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46));
  out
    .u8(ELFCLASS64)
    .u8(littleEndian ? ELFDATA2LSB : ELFDATA2MSB)
    .u8(EV_CURRENT)
    .zeros(9);
  out.u16(ET_REL).u16(EM_BPF).u32(EV_CURRENT);
  // e_entry, e_phoff, e_shoff, e_flags
  out.u64(0).u64(0).u64(tableOffset).u32(0);
  // e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
  out.u16(EHDR_SIZE).u16(0).u16(0).u16(SHDR_SIZE);
  out.u16(sections < SHN.LORESERVE ? sections : 0);
  out.u16(strtabIndex < SHN.LORESERVE ? strtabIndex : SHN.XINDEX);
  return out.finish();
}
