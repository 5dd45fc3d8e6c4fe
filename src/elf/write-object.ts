// SPDX-License-Identifier: MIT
import { encodeInsns, INSN_SIZE, type Insn } from "../asm/insn.js";
import { isSubprogCall } from "../asm/isa.js";
import { BPF_PSEUDO_CALL } from "../asm/opcode.js";
import type { DataSpec, FunctionSpec, MapSpec, ObjectSpec, Ref } from "../model/spec.js";
import { encodeUtf8 } from "../util/bytes.js";
import { InputError, invariant } from "../util/errors.js";
import { dataSectionKind, R_BPF, SECTION, SHF, SHN, SHT, STB, STT } from "./format.js";
import { encodeObjectBtf, licenseSymbol, type ObjectBtf } from "./object-btf.js";
import { type CodeSection, checkObject, layoutFunctions, type PlacedFunction } from "./object-layout.js";
import { ElfWriter, type SymbolDesc } from "./write-elf.js";

/**
 * Writes an object file as clang's BPF target does, so that libbpf, bpftool and the LLVM tools read it:
 * one section per SEC name, `.text`, data sections, `.maps`, `license`, `.BTF` and `.BTF.ext`.
 * The same spec gives the same bytes.
 * @throws InputError when the spec contradicts itself or cannot be said in an object file.
 */
export function writeObject(spec: ObjectSpec): Uint8Array {
  checkObject(spec);
  checkCode(spec);
  const layout = layoutFunctions(spec.functions);
  const btf = encodeObjectBtf(spec, layout);
  return new ObjectWriter(spec, layout, btf).write();
}

/** What a file cannot say although a spec can. */
function checkCode(spec: ObjectSpec): void {
  for (const func of spec.functions) {
    if (func.section === "") throw new InputError(`function ${func.name} has no section`);
    if (func.section !== SECTION.TEXT && func.linkage === "static") {
      throw new InputError(`program ${func.name} is static; libbpf takes global programs only`);
    }
    const referred = new Set(func.refs.map((ref) => ref.insn));
    const loose = func.insns.findIndex((insn, i) => isSubprogCall(insn) && !referred.has(i));
    if (loose >= 0) throw new InputError(`function ${func.name}: call without a reference`, { insn: loose });
  }
}

interface FunctionPlace extends PlacedFunction {
  readonly section: number;
  readonly symbol: SymbolDesc;
}

class ObjectWriter {
  readonly #elf = new ElfWriter();
  readonly #spec: ObjectSpec;
  readonly #layout: readonly CodeSection[];
  readonly #btf: ObjectBtf | null;
  readonly #functions = new Map<string, FunctionPlace>();
  readonly #maps = new Map<string, SymbolDesc>();
  readonly #dataSections = new Map<string, number>();
  /** Symbols of global variables by section and offset. */
  readonly #variables = new Map<string, SymbolDesc>();

  constructor(spec: ObjectSpec, layout: readonly CodeSection[], btf: ObjectBtf | null) {
    this.#spec = spec;
    this.#layout = layout;
    this.#btf = btf;
  }

  write(): Uint8Array {
    const { name } = this.#spec;
    this.#elf.symbol({ name, section: SHN.ABS, value: 0, size: 0, bind: STB.LOCAL, type: STT.FILE });
    // The code sections come first, as clang has them, but their relocations need every symbol.
    const contents = this.#layout.map((section) => new Uint8Array(section.size * INSN_SIZE));
    this.#layout.forEach((section, i) => {
      this.#addCodeSection(section, contents[i]!);
    });
    for (const data of this.#spec.data) this.#addData(data);
    if (this.#spec.maps.length > 0) this.#addMaps();
    if (this.#spec.license !== "") this.#addLicense();
    if (this.#btf !== null) {
      const debug = { type: SHT.PROGBITS, flags: 0, align: 4 };
      this.#elf.section({ ...debug, name: SECTION.BTF, content: this.#btf.blob });
      const { ext } = this.#btf;
      if (ext !== null) this.#elf.section({ ...debug, name: SECTION.BTF_EXT, content: ext });
    }
    this.#layout.forEach((section, i) => {
      this.#fillCode(section, contents[i]!);
    });
    return this.#elf.finish();
  }

  #addCodeSection(section: CodeSection, content: Uint8Array): void {
    const flags = SHF.ALLOC | SHF.EXECINSTR;
    const index = this.#elf.section({ name: section.name, type: SHT.PROGBITS, flags, align: 8, content });
    for (const placed of section.functions) {
      const { func, offset } = placed;
      const symbol = this.#elf.symbol({
        name: func.name,
        section: index,
        value: offset * INSN_SIZE,
        size: func.insns.length * INSN_SIZE,
        bind: func.linkage === "static" ? STB.LOCAL : STB.GLOBAL,
        type: STT.FUNC,
      });
      this.#functions.set(func.name, { ...placed, section: index, symbol });
    }
  }

  #addData(data: DataSpec): void {
    const kind = dataSectionKind(data.section);
    const zero = kind === "bss";
    if (zero && !isZero(data.content)) {
      throw new InputError("variables in .bss must start as zero", { section: data.section });
    }
    const index = this.#elf.section({
      name: data.section,
      type: zero ? SHT.NOBITS : SHT.PROGBITS,
      flags: kind === "rodata" ? SHF.ALLOC : SHF.ALLOC | SHF.WRITE,
      align: data.align,
      content: zero ? data.content.length : data.content,
    });
    this.#dataSections.set(data.section, index);
    for (const variable of data.variables) {
      const type = this.#btf?.btf.types[variable.btfVarId];
      const isStatic = type?.kind === "var" && type.linkage === "static";
      const symbol = this.#elf.symbol({
        name: variable.name,
        section: index,
        value: variable.offset,
        size: variable.size,
        bind: isStatic ? STB.LOCAL : STB.GLOBAL,
        type: STT.OBJECT,
      });
      if (!isStatic) this.#variables.set(`${data.section}+${variable.offset}`, symbol);
    }
  }

  #addMaps(): void {
    invariant(this.#btf !== null, "an object with maps has BTF");
    const sizes = this.#btf.mapDefSizes;
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const flags = SHF.ALLOC | SHF.WRITE;
    const content = new Uint8Array(total);
    const section = this.#elf.section({ name: SECTION.MAPS, type: SHT.PROGBITS, flags, align: 8, content });
    let value = 0;
    this.#spec.maps.forEach((map: MapSpec, i) => {
      const size = sizes[i]!;
      const bind = STB.GLOBAL;
      this.#maps.set(map.name, this.#elf.symbol({ name: map.name, section, value, size, bind, type: STT.OBJECT }));
      value += size;
    });
  }

  #addLicense(): void {
    const content = encodeUtf8(`${this.#spec.license}\0`);
    const flags = SHF.ALLOC | SHF.WRITE;
    const section = this.#elf.section({ name: SECTION.LICENSE, type: SHT.PROGBITS, flags, align: 1, content });
    const name = licenseSymbol(this.#spec.btf);
    this.#elf.symbol({ name, section, value: 0, size: content.length, bind: STB.GLOBAL, type: STT.OBJECT });
  }

  #fillCode(section: CodeSection, content: Uint8Array): void {
    for (const placed of section.functions) {
      const insns = [...placed.func.insns];
      for (const ref of placed.func.refs) this.#relocate(insns, placed, ref);
      content.set(encodeInsns(insns), placed.offset * INSN_SIZE);
    }
  }

  /** Makes the instruction what the file holds and adds the relocation that it needs. */
  #relocate(insns: Insn[], from: PlacedFunction, ref: Ref): void {
    const here = this.#functions.get(from.func.name)!;
    const at = (here.offset + ref.insn) * INSN_SIZE;
    const set = (change: Partial<Insn>) => {
      insns[ref.insn] = { ...insns[ref.insn]!, ...change };
    };
    const load = (symbol: SymbolDesc, addend: number) => {
      set({ src: 0, imm: addend });
      insns[ref.insn + 1] = { ...insns[ref.insn + 1]!, imm: 0 };
      this.#elf.relocation(here.section, at, symbol, R_BPF.R64_64);
    };
    switch (ref.kind) {
      case "kfunc":
      case "extern":
        throw new InputError(`function ${from.func.name}: externs cannot be written yet`, { insn: ref.insn });
      case "map":
        load(this.#maps.get(ref.map)!, 0);
        return;
      case "data": {
        const variable = this.#variables.get(`${ref.section}+${ref.offset}`);
        const section = this.#dataSections.get(ref.section)!;
        if (variable !== undefined) load(variable, 0);
        else load(this.#elf.sectionSymbol(section), ref.offset);
        return;
      }
      case "func": {
        const target = this.#functions.get(ref.func)!;
        if (isGlobal(target.func)) load(target.symbol, 0);
        else load(this.#elf.sectionSymbol(target.section), target.offset * INSN_SIZE);
        return;
      }
      case "call": {
        const target = this.#functions.get(ref.func)!;
        if (isGlobal(target.func)) {
          set({ src: BPF_PSEUDO_CALL, imm: -1 });
          this.#elf.relocation(here.section, at, target.symbol, R_BPF.R64_32);
        } else if (target.section === here.section) {
          // Within a section the distance is known: no relocation, as clang does it.
          set({ src: BPF_PSEUDO_CALL, imm: target.offset - (here.offset + ref.insn) - 1 });
        } else {
          set({ src: BPF_PSEUDO_CALL, imm: target.offset - 1 });
          this.#elf.relocation(here.section, at, this.#elf.sectionSymbol(target.section), R_BPF.R64_32);
        }
      }
    }
  }
}

/** A plain loop: `.bss` may be large, and a callback per byte is slow. */
function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

function isGlobal(func: FunctionSpec): boolean {
  return func.linkage === "global";
}
