// SPDX-License-Identifier: MIT
import { decodeInsns, INSN_SIZE, type Insn } from "../asm/insn.js";
import { isCall, isLdImm64, isSubprogCall } from "../asm/isa.js";
import {
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_IMM64,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_VALUE,
} from "../asm/opcode.js";
import type { CoreRelo, ExtSection, LineInfo } from "../btf/ext.js";
import { functionSpec } from "../model/make.js";
import type { CoreReloSpec, FunctionSpec, LineSpec, Ref } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { dataSectionKind, R_BPF, STT } from "./format.js";
import { bindingOf, isExtern, isHidden, isStrong, type ObjectFile } from "./object-file.js";
import type { ElfRelocation, ElfSection, ElfSymbol } from "./read-elf.js";
import type { FunctionTable, PlacedSymbol } from "./read-symbols.js";

/** What instructions refer to. */
export interface Referents {
  readonly functions: FunctionTable;
  /** Names of the maps by their offset in `.maps`. */
  readonly maps: ReadonlyMap<number, string>;
}

/** Reads the functions of all sections of instructions. */
export function readFunctions(file: ObjectFile, referents: Referents): FunctionSpec[] {
  // Debug information is for the first section of each name.
  const seen = new Set<string>();
  return file.sections.code.flatMap((section) => {
    const reader = new SectionReader(file, referents, section, !seen.has(section.name));
    seen.add(section.name);
    return reader.read();
  });
}

/** Records of one section in ascending order, handed out function by function. */
class Records<T extends { readonly insnOff: number }> {
  readonly #records: readonly T[];

  constructor(all: readonly ExtSection<T>[], section: string) {
    const own = all.filter((part) => part.section === section).flatMap((part) => part.records);
    this.#records = own.some(({ insnOff }, i) => i > 0 && insnOff < own[i - 1]!.insnOff)
      ? own.toSorted((a, b) => a.insnOff - b.insnOff)
      : own;
  }

  /** Those of the bytes from `start` to `end`. */
  within(start: number, end: number): readonly T[] {
    return this.#records.slice(this.#firstFrom(start), this.#firstFrom(end));
  }

  #firstFrom(offset: number): number {
    let low = 0;
    let high = this.#records.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#records[middle]!.insnOff < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

class SectionReader {
  readonly #file: ObjectFile;
  readonly #referents: Referents;
  readonly #section: ElfSection;
  readonly #relocations = new Map<number, ElfRelocation>();
  readonly #funcIds = new Map<number, number>();
  readonly #lines: Records<LineInfo>;
  readonly #core: Records<CoreRelo>;

  constructor(file: ObjectFile, referents: Referents, section: ElfSection, hasDebugInfo: boolean) {
    this.#file = file;
    this.#referents = referents;
    this.#section = section;
    for (const relocation of file.elf.relocations.get(section.index) ?? []) {
      const { offset } = relocation;
      if (offset % INSN_SIZE !== 0 || offset >= section.size) {
        throw new InputError(`relocation at offset ${offset} is not on an instruction`, { section: section.name });
      }
      this.#relocations.set(offset, relocation);
    }
    const ext = hasDebugInfo ? file.ext : null;
    for (const info of ext?.funcInfo ?? []) {
      if (info.section !== section.name) continue;
      for (const record of info.records) this.#funcIds.set(record.insnOff, record.typeId);
    }
    this.#lines = new Records(ext?.lineInfo ?? [], section.name);
    this.#core = new Records(ext?.coreRelos ?? [], section.name);
  }

  read(): FunctionSpec[] {
    return this.#referents.functions.of(this.#section.index).map((placed) => this.#read(placed));
  }

  #read(placed: PlacedSymbol): FunctionSpec {
    const { name, symbol } = placed;
    const start = symbol.value;
    const end = start + symbol.size;
    const isSubprogram = this.#section === this.#file.sections.text;
    // To the verifier a hidden function is static. Programs are not called, so nothing changes for them.
    const isStatic = !isStrong(symbol) || (isSubprogram && isHidden(symbol));
    return functionSpec({
      name,
      symbol: symbol.name,
      section: this.#section.name,
      linkage: isStatic ? "static" : "global",
      ...bindingOf(symbol),
      ...this.#readCode(placed),
      lines: linesOf(this.#lines.within(start, end), start),
      core: this.#core.within(start, end).map((relo) => this.#coreOf(relo, placed)),
      btfFuncId: this.#funcId(symbol, isStatic),
    });
  }

  #coreOf({ insnOff, typeId, access, kind }: CoreRelo, { name, symbol }: PlacedSymbol): CoreReloSpec {
    const insn = (insnOff - symbol.value) / INSN_SIZE;
    if (!Number.isInteger(insn)) {
      throw new InputError(`function ${name}: CO-RE relocation at offset ${insnOff} is not on an instruction`, {
        section: this.#section.name,
      });
    }
    return { insn, typeId, access, kind };
  }

  #funcId(symbol: ElfSymbol, isStatic: boolean): number {
    const id = this.#funcIds.get(symbol.value) ?? 0;
    const { types } = this.#file;
    if (id === 0 || types === null) return 0;
    const type = types.types[id];
    if (type?.kind !== "func") throw new InputError(`function ${symbol.name}: BTF type id ${id} is no function`);
    if (isStatic && type.linkage === "global") types.types[id] = { ...type, linkage: "static" };
    return id;
  }

  #readCode({ name, symbol }: PlacedSymbol): { insns: Insn[]; refs: Ref[] } {
    const content = this.#section.content.subarray(symbol.value, symbol.value + symbol.size);
    const insns = decodeInsns(content, this.#file.elf.littleEndian);
    const refs: Ref[] = [];
    for (let i = 0; i < insns.length; i++) {
      const at = symbol.value + i * INSN_SIZE;
      const relocation = this.#relocations.get(at);
      if (relocation === undefined && !isSubprogCall(insns[i]!)) continue;
      try {
        if (relocation === undefined) refs.push(this.#readCall(insns, i, at + (insns[i]!.imm + 1) * INSN_SIZE));
        else if (relocation.type !== R_BPF.NONE) refs.push(this.#readRef(insns, i, relocation));
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        throw new InputError(`function ${name}: ${error.message}`, { section: this.#section.name, insn: i });
      }
    }
    return { insns, refs };
  }

  /** A call within the section, without relocation: the distance is known. */
  #readCall(insns: Insn[], i: number, target: number): Ref {
    insns[i] = { ...insns[i]!, imm: -1 };
    return this.#callOf(i, this.#section, target);
  }

  /**
   * gcc 12 writes distances of calls that are relocated as if the symbol were not to be added: they lead beyond the
   * section. Programs that reach no such call can be loaded all the same.
   */
  #callOf(insn: number, section: ElfSection, target: number): Ref {
    const func = this.#referents.functions.containing(section.index, target);
    return func === undefined ? { kind: "nowhere", insn } : { kind: "call", insn, func: func.name };
  }

  /** Reads one relocation; the instruction becomes what it is for the kernel, with nothing filled in. */
  #readRef(insns: Insn[], i: number, relocation: ElfRelocation): Ref {
    const { symbol } = relocation;
    const insn = insns[i]!;
    const next = insns[i + 1];
    const become = (src: number) => {
      insns[i] = { ...insn, src, imm: 0 };
      if (!isCall(insn)) insns[i + 1] = { ...next!, imm: 0 };
    };
    if (!isCall(insn) && (!isLdImm64(insn) || next === undefined)) {
      throw new InputError(`relocation against ${symbolText(symbol)} is on no call and no 64-bit immediate load`);
    }
    if (isExtern(symbol)) {
      become(isCall(insn) ? BPF_PSEUDO_KFUNC_CALL : BPF_PSEUDO_IMM64);
      return { kind: isCall(insn) ? "kfunc" : "extern", insn: i, extern: symbol.name };
    }
    const section = this.#file.elf.sections[symbol.section];
    if (section === undefined || section.index === 0) {
      throw new InputError(
        `reference to ${symbolText(symbol)}, which lies in no section; is it a variable without a value?`,
      );
    }
    if (isCall(insn)) return this.#readRelocatedCall(insns, i, relocation, section);
    const target = symbol.value + addendOf(relocation, insn.imm);
    if (section === this.#file.sections.maps) {
      // As libbpf has it, the symbol alone says which map.
      const map = this.#referents.maps.get(symbol.value);
      if (map === undefined)
        throw new InputError(`no map is defined at offset ${symbol.value} of section ${section.name}`);
      become(BPF_PSEUDO_MAP_FD);
      return { kind: "map", insn: i, map };
    }
    if (
      section === this.#file.sections.text ||
      (symbol.type === STT.FUNC && this.#file.sections.code.includes(section))
    ) {
      const func = this.#functionAt(section, target);
      become(BPF_PSEUDO_FUNC);
      return { kind: "func", insn: i, func };
    }
    if (dataSectionKind(section.name) === undefined || !this.#file.sections.data.includes(section)) {
      throw new InputError(
        `reference to ${symbolText(symbol)} in section ${section.name}, which holds no data for programs`,
      );
    }
    become(BPF_PSEUDO_MAP_VALUE);
    return { kind: "data", insn: i, section: section.name, offset: target };
  }

  #readRelocatedCall(insns: Insn[], i: number, { symbol, addend }: ElfRelocation, section: ElfSection): Ref {
    const insn = insns[i]!;
    if (!isSubprogCall(insn))
      throw new InputError(`relocated call of ${symbolText(symbol)} is no call of a subprogram`);
    // In place the distance counts from the next instruction; an addend of its own is in bytes.
    const distance = addend === null ? (insn.imm + 1) * INSN_SIZE : Number(addend);
    insns[i] = { ...insn, src: BPF_PSEUDO_CALL, imm: -1 };
    return this.#callOf(i, section, symbol.value + distance);
  }

  /** Name of the function that holds this byte of a section. */
  #functionAt(section: ElfSection, offset: number): string {
    const func = this.#referents.functions.containing(section.index, offset);
    if (func === undefined) throw new InputError(`no function begins at offset ${offset} of section ${section.name}`);
    return func.name;
  }
}

function addendOf(relocation: ElfRelocation, standing: number): number {
  return relocation.addend === null ? standing : Number(relocation.addend);
}

function symbolText(symbol: ElfSymbol): string {
  return symbol.name === "" ? "a symbol without name" : symbol.name;
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
