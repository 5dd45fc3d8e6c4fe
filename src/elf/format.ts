// SPDX-License-Identifier: MIT
import { ARENA_SECTION, dataSectionKind } from "../kernel/sections.js";

/*
 * The part of the ELF64 format that BPF objects use: System V ABI, <elf.h>, and the relocation types of
 * LLVM's BPF target.
 */

/** 0x7f "ELF" as a little-endian word. */
export const ELF_MAGIC = 0x464c457f;
/** sizeof(Elf64_Ehdr). */
export const EHDR_SIZE = 64;
/** sizeof(Elf64_Shdr). */
export const SHDR_SIZE = 64;
/** Offset of sh_size in a section header; sh_link follows. */
export const SH_SIZE_OFFSET = 32;
/** sizeof(Elf64_Sym). */
export const SYM_SIZE = 24;
/** sizeof(Elf64_Rel). */
export const REL_SIZE = 16;
/** sizeof(Elf64_Rela). */
export const RELA_SIZE = 24;

export const ELFCLASS64 = 2;
export const ELFDATA2LSB = 1;
export const ELFDATA2MSB = 2;
export const EV_CURRENT = 1;
/** Relocatable object. */
export const ET_REL = 1;
/** No machine: what LLVM wrote before BPF had a number. */
export const EM_NONE = 0;
export const EM_BPF = 247;

/** Section types. */
export const SHT = {
  NULL: 0,
  PROGBITS: 1,
  SYMTAB: 2,
  STRTAB: 3,
  RELA: 4,
  NOBITS: 8,
  REL: 9,
  /** Section indices of symbols for which st_shndx is too narrow. */
  SYMTAB_SHNDX: 18,
  /** Symbols whose addresses matter; says nothing to a loader. */
  LLVM_ADDRSIG: 0x6fff4c03,
} as const;

/** Section flags. */
export const SHF = { WRITE: 1, ALLOC: 2, EXECINSTR: 4, INFO_LINK: 0x40 } as const;

/** Special section indices. */
export const SHN = { UNDEF: 0, LORESERVE: 0xff00, ABS: 0xfff1, COMMON: 0xfff2, XINDEX: 0xffff } as const;

/** Symbol bindings. */
export const STB = { LOCAL: 0, GLOBAL: 1, WEAK: 2 } as const;
/** Symbol types. */
export const STT = { NOTYPE: 0, OBJECT: 1, FUNC: 2, SECTION: 3, FILE: 4 } as const;
/** Symbol visibilities. */
export const STV = { DEFAULT: 0, INTERNAL: 1, HIDDEN: 2, PROTECTED: 3 } as const;

/** Relocation types of EM_BPF. */
export const R_BPF = {
  NONE: 0,
  /** `ld_imm64`: symbol plus the imm that stands there. */
  R64_64: 1,
  ABS64: 2,
  ABS32: 3,
  NODYLD32: 4,
  /** Call: symbol plus (imm + 1) instructions. */
  R64_32: 10,
} as const;

/** Names of sections that every BPF loader knows. */
export const SECTION = {
  TEXT: ".text",
  MAPS: ".maps",
  LICENSE: "license",
  /** KERNEL_VERSION() for kernels before 5.0. */
  VERSION: "version",
  BTF: ".BTF",
  BTF_EXT: ".BTF.ext",
  KCONFIG: ".kconfig",
  KSYMS: ".ksyms",
  /** Initial content of the object's arena. */
  ARENA: ARENA_SECTION,
  /** Map definitions of before BTF; libbpf 1.0 dropped them. */
  LEGACY_MAPS: "maps",
} as const;

/** Sections of struct_ops variables; the `?` keeps the loader from creating their maps by itself. */
export const STRUCT_OPS_SECTIONS: ReadonlySet<string> = new Set([
  ".struct_ops",
  ".struct_ops.link",
  "?.struct_ops",
  "?.struct_ops.link",
]);

export { dataSectionKind };
