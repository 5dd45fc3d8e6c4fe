// SPDX-License-Identifier: MIT
import { decodeInsns, INSN_SIZE, type Insn } from "../asm/insn.js";
import { isCall, isLdImm64, isSubprogCall } from "../asm/isa.js";
import { BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE } from "../asm/opcode.js";
import type { BtfBuilder } from "../btf/builder.js";
import type { BtfExt, LineInfo } from "../btf/ext.js";
import { functionSpec } from "../model/make.js";
import type { FunctionSpec, LineSpec, Ref, SymbolVisibility } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { dataSectionKind, R_BPF, SECTION, SHF, SHN, SHT, STB, STT, STV } from "./format.js";
import { ELF_LIMITS } from "./limits.js";
import type { ElfFile, ElfRelocation, ElfSection, ElfSymbol } from "./read-elf.js";

/** What the functions of an object refer to. */
export interface CodeContext {
  readonly elf: ElfFile;
  readonly symbols: ReadonlyMap<number, readonly ElfSymbol[]>;
  /** Map names by their offset in `.maps`. */
  readonly maps: ReadonlyMap<number, string>;
  readonly ext: BtfExt | null;
  readonly btf: BtfBuilder | null;
  /** Names of functions by section index and byte offset. */
  readonly functionNames: ReadonlyMap<number, ReadonlyMap<number, string>>;
  /** Counts what was decoded, over all sections. */
  readonly budget: { insns: number };
}

/** Whether the symbol takes part in linking. */
export function isStrong(symbol: ElfSymbol): boolean {
  return symbol.bind === STB.GLOBAL || symbol.bind === STB.WEAK;
}

/** Whether the symbol is global for the linker only; the verifier sees it as static. */
export function isHidden(symbol: ElfSymbol): boolean {
  return symbol.visibility === STV.HIDDEN || symbol.visibility === STV.INTERNAL;
}

const VISIBILITIES = ["default", "internal", "hidden", "protected"] as const satisfies readonly SymbolVisibility[];

/** The symbol's visibility by name; whatever a local symbol says there means nothing. */
export function visibilityOf(symbol: ElfSymbol): SymbolVisibility {
  return isStrong(symbol) ? (VISIBILITIES[symbol.visibility] ?? "default") : "default";
}

/** Whether the section holds instructions. */
export function isCode(section: ElfSection): boolean {
  return section.type === SHT.PROGBITS && (section.flags & SHF.EXECINSTR) !== 0 && section.size > 0;
}

/** Reads the functions of one section of instructions. */
export function readFunctions(context: CodeContext, section: ElfSection): FunctionSpec[] {
  const symbols = functionSymbols(context, section);
  const relocations = new Map<number, ElfRelocation>();
  for (const relocation of context.elf.relocations.get(section.index) ?? []) {
    relocations.set(relocation.offset, relocation);
  }
  const funcIds = new Map<number, number>();
  for (const info of context.ext?.funcInfo ?? []) {
    if (info.section !== section.name) continue;
    for (const record of info.records) funcIds.set(record.insnOff, record.typeId);
  }
  const lines = context.ext?.lineInfo.filter((info) => info.section === section.name).flatMap((info) => info.records);
  const lineInfo = (lines ?? []).toSorted((a, b) => a.insnOff - b.insnOff);
  let firstLine = 0;
  return symbols.map((symbol) => {
    const end = symbol.value + symbol.size;
    while (firstLine < lineInfo.length && lineInfo[firstLine]!.insnOff < symbol.value) firstLine++;
    const from = firstLine;
    while (firstLine < lineInfo.length && lineInfo[firstLine]!.insnOff < end) firstLine++;
    const btfFuncId = checkFuncId(context, symbol, funcIds.get(symbol.value) ?? 0);
    return functionSpec({
      name: symbol.name,
      section: section.name,
      linkage: symbol.bind === STB.LOCAL || isHidden(symbol) ? "static" : "global",
      ...readCode(context, section, symbol, relocations),
      lines: linesOf(lineInfo.slice(from, firstLine), symbol.value),
      weak: symbol.bind === STB.WEAK,
      visibility: visibilityOf(symbol),
      btfFuncId,
    });
  });
}

/** The functions' symbols in the order of their places, which must not overlap. */
function functionSymbols(context: CodeContext, section: ElfSection): ElfSymbol[] {
  const symbols = (context.symbols.get(section.index) ?? []).filter((symbol) => symbol.type === STT.FUNC);
  symbols.sort((a, b) => a.value - b.value);
  let end = 0;
  for (const symbol of symbols) {
    const fail = (what: string) => {
      throw new InputError(`function ${symbol.name} ${what}`, { section: section.name });
    };
    if (symbol.value % INSN_SIZE !== 0 || symbol.size % INSN_SIZE !== 0) fail("is not made of whole instructions");
    if (symbol.size === 0) fail("has no instructions");
    if (symbol.value < end) fail("overlaps the one before");
    end = symbol.value + symbol.size;
    if (end > section.size) fail("reaches beyond its section");
    context.budget.insns += symbol.size / INSN_SIZE;
    if (context.budget.insns > ELF_LIMITS.insns) fail(`exceeds the limit of ${ELF_LIMITS.insns} instructions`);
  }
  return symbols;
}

function checkFuncId(context: CodeContext, symbol: ElfSymbol, id: number): number {
  if (id === 0 || context.btf === null) return 0;
  const type = context.btf.types[id];
  if (type?.kind !== "func") throw new InputError(`function ${symbol.name}: BTF type id ${id} is no function`);
  if (isStrong(symbol) && isHidden(symbol) && type.linkage === "global") {
    context.btf.replace(id, { ...type, linkage: "static" });
  }
  return id;
}

/** Records at one instruction: the last one counts, since the kernel takes one only. */
function linesOf(records: readonly LineInfo[], start: number): LineSpec[] {
  const lines: LineSpec[] = [];
  for (const { insnOff, file, text, line, column } of records) {
    const insn = Math.floor((insnOff - start) / INSN_SIZE);
    if (lines.at(-1)?.insn === insn) lines.pop();
    lines.push({ insn, file, line, column, text });
  }
  // A function whose first instructions have no line gets that of the first that has.
  const first = lines[0];
  if (first !== undefined && first.insn !== 0) lines[0] = { ...first, insn: 0 };
  return lines;
}

function readCode(
  context: CodeContext,
  section: ElfSection,
  symbol: ElfSymbol,
  relocations: ReadonlyMap<number, ElfRelocation>,
): { insns: Insn[]; refs: Ref[] } {
  const insns = decodeInsns(section.content.subarray(symbol.value, symbol.value + symbol.size));
  const refs: Ref[] = [];
  for (let i = 0; i < insns.length; i++) {
    const insn = insns[i]!;
    const at = symbol.value + i * INSN_SIZE;
    const relocation = relocations.get(at);
    try {
      if (relocation !== undefined) refs.push(readRef(context, insns, i, relocation));
      else if (isSubprogCall(insn)) {
        const func = functionAt(context, section.index, at + (insn.imm + 1) * INSN_SIZE);
        refs.push({ kind: "call", insn: i, func });
        insns[i] = { ...insn, imm: -1 };
      }
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new InputError(`function ${symbol.name}: ${error.message}`, { section: section.name, insn: i });
    }
    if (isLdImm64(insn)) i++;
  }
  return { insns, refs };
}

/** Reads one relocation; the instruction becomes what it is for the kernel, with nothing filled in. */
function readRef(context: CodeContext, insns: Insn[], i: number, relocation: ElfRelocation): Ref {
  const { symbol } = relocation;
  const insn = insns[i]!;
  if (symbol.section === SHN.UNDEF) {
    throw new InputError(`reference to ${symbol.name}, which the object does not hold: externs are not supported yet`);
  }
  const section = context.elf.sections[symbol.section];
  if (section === undefined) throw new InputError(`reference to ${symbol.name} in no section`);
  if (isCall(insn) && relocation.type === R_BPF.R64_32) {
    if (!isSubprogCall(insn)) throw new InputError(`relocated call of ${symbol.name} is no call of a subprogram`);
    const func = functionAt(context, section.index, symbol.value + (insn.imm + 1) * INSN_SIZE);
    insns[i] = { ...insn, src: BPF_PSEUDO_CALL, imm: -1 };
    return { kind: "call", insn: i, func };
  }
  const next = insns[i + 1];
  if (!isLdImm64(insn) || relocation.type !== R_BPF.R64_64 || next === undefined) {
    throw new InputError(`relocation of type ${relocation.type} against ${symbol.name} is not on what it is for`);
  }
  const target = symbol.value + insn.imm;
  const become = (src: number) => {
    insns[i] = { ...insn, src, imm: 0 };
    insns[i + 1] = { ...next, imm: 0 };
  };
  if (section.name === SECTION.MAPS) {
    const map = context.maps.get(target);
    if (map === undefined) throw new InputError(`no map is defined at offset ${target} of ${SECTION.MAPS}`);
    become(BPF_PSEUDO_MAP_FD);
    return { kind: "map", insn: i, map };
  }
  if (isCode(section)) {
    const func = functionAt(context, section.index, target);
    become(BPF_PSEUDO_FUNC);
    return { kind: "func", insn: i, func };
  }
  if (dataSectionKind(section.name) === undefined) {
    throw new InputError(`reference to ${symbol.name} in section ${section.name}, which holds no data for programs`);
  }
  become(BPF_PSEUDO_MAP_VALUE);
  return { kind: "data", insn: i, section: section.name, offset: target };
}

/** Name of the function that begins at this byte of a section. */
function functionAt(context: CodeContext, section: number, offset: number): string {
  const name = context.functionNames.get(section)?.get(offset);
  if (name === undefined) {
    const sectionName = context.elf.sections[section]?.name ?? "";
    throw new InputError(`no function begins at offset ${offset} of section ${sectionName}`);
  }
  return name;
}
