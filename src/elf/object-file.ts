// SPDX-License-Identifier: MIT
import type { BtfExt } from "../btf/ext.js";
import type { Btf, BtfType } from "../btf/types.js";
import type { SymbolVisibility } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { dataSectionKind, SECTION, SHF, SHT, STB, STRUCT_OPS_SECTIONS, STT, STV } from "./format.js";
import type { ElfFile, ElfRelocation, ElfSection, ElfSymbol } from "./read-elf.js";

/** The sections of an object that mean something, sorted by what they are for. */
export interface ObjectSections {
  /** Sections of instructions: `.text` first, then in the order of the file, those of one name together. */
  readonly code: readonly ElfSection[];
  readonly text: ElfSection | undefined;
  /** Global data, in the order of the file. */
  readonly data: readonly ElfSection[];
  readonly structOps: readonly ElfSection[];
  readonly maps: ElfSection | undefined;
  readonly license: ElfSection | undefined;
  readonly version: ElfSection | undefined;
  readonly btf: ElfSection | undefined;
  readonly btfExt: ElfSection | undefined;
}

/** An object file taken apart, as the readers of its parts share it. */
export interface ObjectFile {
  readonly elf: ElfFile;
  readonly sections: ObjectSections;
  /** Symbols by the index of the section that they lie in, in the order of the file. */
  readonly symbols: ReadonlyMap<number, readonly ElfSymbol[]>;
  /** The object's types; null without. */
  readonly types: ObjectTypes | null;
  readonly ext: BtfExt | null;
}

/** The types of an object while it is read: what the compiler left to the loader is filled in. */
export class ObjectTypes implements Btf {
  readonly types: BtfType[];
  readonly strings: Uint8Array;
  #datasecs: Map<string, number> | undefined;

  constructor(btf: Btf, strings: Uint8Array) {
    this.types = [...btf.types];
    this.strings = strings;
  }

  /** Id of the first DATASEC of this name. */
  datasec(name: string): number | undefined {
    if (this.#datasecs === undefined) {
      this.#datasecs = new Map();
      for (let id = this.types.length - 1; id > 0; id--) {
        const type = this.types[id]!;
        if (type.kind === "datasec") this.#datasecs.set(type.name, id);
      }
    }
    return this.#datasecs.get(name);
  }
}

/** Whether a section's relocations matter; the others are passed over, as libbpf does. */
export function isRelocatable(section: ElfSection): boolean {
  return (
    (section.flags & SHF.EXECINSTR) !== 0 ||
    section.name === SECTION.MAPS ||
    STRUCT_OPS_SECTIONS.has(section.name) ||
    dataSectionKind(section.name) !== undefined
  );
}

/** Names that libbpf looks for before it looks at what the section is. */
const NAMED = {
  [SECTION.LICENSE]: "license",
  [SECTION.VERSION]: "version",
  [SECTION.MAPS]: "maps",
  [SECTION.BTF]: "btf",
  [SECTION.BTF_EXT]: "btfExt",
} as const;

/**
 * Sorts the sections as libbpf does (bpf_object__elf_collect()).
 * @throws InputError for what libbpf refuses: map definitions of before BTF, two sections of global data of one
 *   name.
 */
export function sortSections(elf: ElfFile): ObjectSections {
  const named: { [K in (typeof NAMED)[keyof typeof NAMED]]?: ElfSection } = {};
  const code: ElfSection[] = [];
  const data: ElfSection[] = [];
  const structOps: ElfSection[] = [];
  let text: ElfSection | undefined;
  for (const section of elf.sections) {
    const { name } = section;
    if (isIgnored(section)) continue;
    if (name === SECTION.LEGACY_MAPS) refuseLegacyMaps();
    if (Object.hasOwn(NAMED, name)) {
      named[NAMED[name as keyof typeof NAMED]] = section;
    } else if (section.type === SHT.PROGBITS && section.size > 0) {
      if ((section.flags & SHF.EXECINSTR) !== 0) {
        code.push(section);
        if (name === SECTION.TEXT) text = section;
      } else if (STRUCT_OPS_SECTIONS.has(name)) structOps.push(section);
      else if ([undefined, "bss"].includes(dataSectionKind(name)) === false) data.push(section);
    } else if (section.type === SHT.NOBITS && section.size > 0 && dataSectionKind(name) === "bss") data.push(section);
  }
  for (const list of [data, structOps]) refuseTwins(list);
  const { license, version, maps, btf, btfExt } = named;
  return { code: grouped(code), text, data, structOps, license, version, maps, btf, btfExt };
}

/** `.text` first, then the sections as they are, those of one name together: as they are written again. */
function grouped(code: readonly ElfSection[]): ElfSection[] {
  const byName = new Map<string, ElfSection[]>([[SECTION.TEXT, []]]);
  for (const section of code) {
    const list = byName.get(section.name);
    if (list === undefined) byName.set(section.name, [section]);
    else list.push(section);
  }
  return [...byName.values()].flat();
}

/** What libbpf does not even look at (ignore_elf_section()). */
function isIgnored(section: ElfSection): boolean {
  const { type, name } = section;
  return type === SHT.NULL || type === SHT.STRTAB || type === SHT.SYMTAB || name.startsWith(".debug_");
}

function refuseLegacyMaps(): never {
  throw new InputError(
    "maps defined without BTF (struct bpf_map_def) cannot be read, nor does libbpf since 1.0 take them: declare them " +
      'in section .maps, as SEC(".maps") with __uint() and __type() of <bpf/bpf_helpers.h> (in aya: #[btf_map])',
    { section: SECTION.LEGACY_MAPS },
  );
}

function refuseTwins(sections: readonly ElfSection[]): void {
  const seen = new Set<string>();
  for (const { name } of sections) {
    if (seen.has(name)) throw new InputError("the file has two sections of this name", { section: name });
    seen.add(name);
  }
}

/** The symbols by the section that they lie in. */
export function symbolsBySection(symbols: readonly ElfSymbol[]): Map<number, ElfSymbol[]> {
  const result = new Map<number, ElfSymbol[]>();
  for (const symbol of symbols) {
    const list = result.get(symbol.section);
    if (list === undefined) result.set(symbol.section, [symbol]);
    else list.push(symbol);
  }
  return result;
}

/** The last element for which the test holds; it must hold for all before that one (binary search). */
export function lastOf<T>(items: readonly T[], test: (item: T) => boolean): T | undefined {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (test(items[middle]!)) low = middle + 1;
    else high = middle;
  }
  return items[low - 1];
}

/** Whether the symbol takes part in linking. */
export function isStrong(symbol: ElfSymbol): boolean {
  return symbol.bind === STB.GLOBAL || symbol.bind === STB.WEAK;
}

/** Whether the symbol is global for the linker only; verifier and user space see it as static. */
export function isHidden(symbol: ElfSymbol): boolean {
  return symbol.visibility === STV.HIDDEN || symbol.visibility === STV.INTERNAL;
}

/** Whether the symbol is what another object or the kernel defines (libbpf: sym_is_extern()). */
export function isExtern(symbol: ElfSymbol): boolean {
  return symbol.section === 0 && isStrong(symbol) && symbol.type === STT.NOTYPE;
}

/** Names of STV_*, by number. */
export const VISIBILITIES = [
  "default",
  "internal",
  "hidden",
  "protected",
] as const satisfies readonly SymbolVisibility[];

/** How a definition takes part in linking. */
export function bindingOf(symbol: ElfSymbol | undefined): { weak: boolean; visibility: SymbolVisibility } {
  // Whatever a local symbol says of its visibility means nothing.
  if (symbol === undefined || !isStrong(symbol)) return { weak: false, visibility: "default" };
  return { weak: symbol.bind === STB.WEAK, visibility: VISIBILITIES[symbol.visibility] ?? "default" };
}

/**
 * The place that a relocation of data means, counted from the start of the symbol's section, where `place` are the
 * bytes that it is for.
 */
export function relocatedValue(relocation: ElfRelocation, place: Uint8Array, littleEndian: boolean): number {
  const { symbol, addend } = relocation;
  if (addend !== null) return symbol.value + Number(addend);
  const view = new DataView(place.buffer, place.byteOffset, place.byteLength);
  const standing = place.length === 8 ? view.getBigInt64(0, littleEndian) : view.getInt32(0, littleEndian);
  return symbol.value + Number(standing);
}
