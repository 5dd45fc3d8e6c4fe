// SPDX-License-Identifier: MIT
import { encodeInsns, INSN_SIZE, type Insn } from "../asm/insn.js";
import { isSubprogCall } from "../asm/isa.js";
import { BPF_PSEUDO_CALL } from "../asm/opcode.js";
import { findType } from "../btf/size.js";
import type { DataRef, DataSpec, ExternSpec, FunctionSpec, ObjectSpec, Ref, StructOpsSpec } from "../model/spec.js";
import { ByteWriter, encodeUtf8 } from "../util/bytes.js";
import { InputError, invariant } from "../util/errors.js";
import { dataSectionKind, R_BPF, SECTION, SHF, SHN, SHT, STB, STT, STV } from "./format.js";
import { ELF_LIMITS } from "./limits.js";
import { POINTER_SIZE } from "./map-def.js";
import { encodeObjectBtf, type ObjectBtf } from "./object-btf.js";
import { groupBySection } from "./object-datasecs.js";
import { type CodeSection, checkObject, layoutFunctions, type PlacedFunction } from "./object-layout.js";
import { ElfWriter, type SymbolDesc } from "./write-elf.js";

/**
 * Writes an object file as clang's BPF target does, so that libbpf, bpftool and the LLVM tools read it:
 * one section per SEC name, data sections, `.maps`, struct_ops sections, `license`, `.BTF` and `.BTF.ext`.
 * The same spec gives the same bytes, and reading them gives the same spec.
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
    if (func.section !== SECTION.TEXT && isLocal(func)) {
      throw new InputError(`program ${func.name} is static; libbpf takes global programs only`);
    }
    const referred = new Set(func.refs.map((ref) => ref.insn));
    const loose = func.insns.findIndex((insn, i) => isSubprogCall(insn) && !referred.has(i));
    if (loose >= 0) throw new InputError(`function ${func.name}: call without a reference`, { insn: loose });
  }
}

/** What takes part in linking; a hidden definition is static to the verifier and to user space. */
type Definition = Pick<FunctionSpec, "linkage" | "weak" | "visibility">;

/** Whether no other object can refer to it. */
function isLocal(definition: Definition): boolean {
  return definition.linkage === "static" && definition.visibility === "default" && !definition.weak;
}

const VISIBILITY = {
  default: STV.DEFAULT,
  internal: STV.INTERNAL,
  hidden: STV.HIDDEN,
  protected: STV.PROTECTED,
} as const;

function bindingOf(definition: Definition): Pick<SymbolDesc, "bind" | "visibility"> {
  if (isLocal(definition)) return { bind: STB.LOCAL };
  return { bind: definition.weak ? STB.WEAK : STB.GLOBAL, visibility: VISIBILITY[definition.visibility] };
}

interface FunctionPlace extends PlacedFunction {
  readonly section: number;
  readonly symbol: SymbolDesc;
}

/** Distance of a call that leads to no function. */
const NOWHERE = 0x7fffffff;
/** Flags of sections that programs and loaders write to. */
const WRITABLE = SHF.ALLOC | SHF.WRITE;

class ObjectWriter {
  readonly #elf: ElfWriter;
  readonly #littleEndian: boolean;
  readonly #spec: ObjectSpec;
  readonly #layout: readonly CodeSection[];
  readonly #btf: ObjectBtf | null;
  readonly #functions = new Map<string, FunctionPlace>();
  readonly #maps = new Map<string, SymbolDesc>();
  readonly #externs = new Map<string, SymbolDesc>();
  readonly #dataSections = new Map<string, number>();
  /** Symbols of global variables by section and offset. */
  readonly #variables = new Map<string, SymbolDesc>();
  /** Names of the sections that the file holds. */
  readonly #written = new Set<string>();

  constructor(spec: ObjectSpec, layout: readonly CodeSection[], btf: ObjectBtf | null) {
    this.#spec = spec;
    this.#layout = layout;
    this.#btf = btf;
    this.#littleEndian = spec.endianness === "little";
    this.#elf = new ElfWriter(this.#littleEndian);
  }

  write(): Uint8Array {
    const { name, data, structOps, externs } = this.#spec;
    this.#elf.symbol({ name, section: SHN.ABS, value: 0, size: 0, bind: STB.LOCAL, type: STT.FILE });
    // The code sections come first, as clang has them, but their relocations need every symbol.
    const code = this.#layout.map((section) => new Uint8Array(section.size * INSN_SIZE));
    this.#layout.forEach((section, i) => {
      this.#addCodeSection(section, code[i]!);
    });
    const contents = data.map((one) => this.#addData(one));
    const maps = this.#addMaps();
    const opsSections = [...groupBySection(structOps)].map(([section, list]) => this.#addStructOps(section, list));
    this.#addLicense();
    this.#addVersion();
    for (const one of externs) this.#addExtern(one);
    this.#addForeignVariables();
    if (this.#btf !== null) {
      const debug = { type: SHT.PROGBITS, flags: 0, align: 4 };
      this.#elf.section({ ...debug, name: SECTION.BTF, content: this.#btf.blob });
      const { ext } = this.#btf;
      if (ext !== null) this.#elf.section({ ...debug, name: SECTION.BTF_EXT, content: ext });
    }
    this.#layout.forEach((section, i) => {
      this.#fillCode(section, code[i]!);
    });
    data.forEach((one, i) => {
      for (const ref of one.refs) this.#relocateData(one, contents[i], ref);
    });
    if (maps !== undefined) this.#fillMaps(maps);
    for (const fill of opsSections) fill();
    return this.#elf.finish();
  }

  /** Adds a section that holds variables. */
  #section(name: string, content: Uint8Array | number, flags: number = WRITABLE, align = 8): number {
    this.#written.add(name);
    const type = typeof content === "number" ? SHT.NOBITS : SHT.PROGBITS;
    return this.#elf.section({ name, type, flags, align, content });
  }

  #addCodeSection(section: CodeSection, content: Uint8Array): void {
    const flags = SHF.ALLOC | SHF.EXECINSTR;
    const index = this.#elf.section({ name: section.name, type: SHT.PROGBITS, flags, align: 8, content });
    for (const placed of section.functions) {
      const { func, offset } = placed;
      const symbol = this.#elf.symbol({
        name: func.symbol,
        section: index,
        value: offset * INSN_SIZE,
        size: func.insns.length * INSN_SIZE,
        ...bindingOf(func),
        type: STT.FUNC,
      });
      this.#functions.set(func.name, { ...placed, section: index, symbol });
    }
  }

  /** Gives the section's bytes, which stay writable until the file is finished; undefined when it has none. */
  #addData(data: DataSpec): Uint8Array | undefined {
    const kind = dataSectionKind(data.section);
    const zero = kind === "bss";
    if (zero && !isZero(data.content)) {
      throw new InputError("variables in .bss must start as zero", { section: data.section });
    }
    const content = zero ? undefined : data.refs.length > 0 ? data.content.slice() : data.content;
    const flags = kind === "rodata" ? SHF.ALLOC : WRITABLE;
    const index = this.#section(data.section, content ?? data.content.length, flags, data.align);
    this.#dataSections.set(data.section, index);
    for (const variable of data.variables) {
      const symbol = this.#elf.symbol({
        name: variable.name,
        section: index,
        value: variable.offset,
        size: variable.size,
        ...bindingOf(variable),
        type: STT.OBJECT,
      });
      if (symbol.bind !== STB.LOCAL) this.#variables.set(`${data.section}+${variable.offset}`, symbol);
    }
    return content;
  }

  #addMaps(): number | undefined {
    const { maps } = this.#spec;
    if (maps.length === 0) return undefined;
    invariant(this.#btf !== null, "an object with maps has BTF");
    const { size, places } = this.#btf.maps;
    if (size > ELF_LIMITS.dataSize) throw new InputError(`map definitions of ${size} bytes`, { section: SECTION.MAPS });
    const section = this.#section(SECTION.MAPS, new Uint8Array(size));
    maps.forEach((map, i) => {
      const { offset: value, size } = places[i]!;
      const binding = bindingOf({ ...map, linkage: "global" });
      this.#maps.set(
        map.name,
        this.#elf.symbol({ name: map.name, section, value, size, ...binding, type: STT.OBJECT }),
      );
    });
    return section;
  }

  /** What the maps hold from the start. */
  #fillMaps(section: number): void {
    this.#spec.maps.forEach((map, i) => {
      const { offset, valuesOffset } = this.#btf!.maps.places[i]!;
      for (const { index, kind, name } of map.initial) {
        const symbol = kind === "map" ? this.#maps.get(name)! : this.#functions.get(name)!.symbol;
        this.#elf.relocation(section, offset + valuesOffset + index * POINTER_SIZE, symbol, R_BPF.ABS64);
      }
    });
  }

  /** Adds a section of struct_ops variables; what it returns fills the references in. */
  #addStructOps(name: string, variables: readonly StructOpsSpec[]): () => void {
    const datasec = this.#datasec(name);
    const size = variables.reduce((most, one) => Math.max(most, one.offset + one.content.length), datasec?.size ?? 0);
    if (size > ELF_LIMITS.dataSize) throw new InputError(`variables of ${size} bytes`, { section: name });
    const content = new Uint8Array(size);
    const section = this.#section(name, content);
    for (const one of variables) {
      content.set(one.content, one.offset);
      const type = this.#btf?.btf.types[one.btfVarId];
      const bind = type?.kind === "var" && type.linkage === "static" ? STB.LOCAL : STB.GLOBAL;
      const place = { section, value: one.offset, size: one.content.length };
      this.#elf.symbol({ name: one.name, ...place, bind, type: STT.OBJECT });
    }
    return () => {
      for (const one of variables) {
        for (const { offset, func } of one.refs) {
          this.#elf.relocation(section, one.offset + offset, this.#functions.get(func)!.symbol, R_BPF.ABS64);
        }
      }
    };
  }

  #datasec(name: string): { readonly size: number; readonly variable: string | undefined } | undefined {
    const btf = this.#btf?.btf;
    const type = btf?.types[findType(btf, "datasec", name) ?? 0];
    if (btf === undefined || type?.kind !== "datasec") return undefined;
    const variable = btf.types[type.vars[0]?.type ?? 0];
    return { size: type.size, variable: variable?.kind === "var" ? variable.name : undefined };
  }

  #addLicense(): void {
    const { license } = this.#spec;
    if (license === "" && this.#datasec(SECTION.LICENSE) === undefined) return;
    this.#addSingle(SECTION.LICENSE, encodeUtf8(`${license}\0`), "_license", 1);
  }

  #addVersion(): void {
    const { version } = this.#spec;
    if (version === 0 && this.#datasec(SECTION.VERSION) === undefined) return;
    const content = new ByteWriter({ littleEndian: this.#littleEndian }).u32(version).finish();
    this.#addSingle(SECTION.VERSION, content, "_version", 4);
  }

  /** A section of one variable; BTF may say its name. */
  #addSingle(name: string, content: Uint8Array, variable: string, align: number): void {
    const section = this.#section(name, content, WRITABLE, align);
    const symbol = this.#datasec(name)?.variable ?? variable;
    const place = { section, value: 0, size: content.length };
    this.#elf.symbol({ name: symbol, ...place, bind: STB.GLOBAL, type: STT.OBJECT });
  }

  #addExtern(one: ExternSpec): void {
    const { bind, visibility } = bindingOf({ ...one, linkage: "global" });
    const place = { section: SHN.UNDEF, value: 0, size: 0 };
    const symbol = this.#elf.symbol({ name: one.name, ...place, bind, visibility, type: STT.NOTYPE });
    this.#externs.set(one.name, symbol);
  }

  /**
   * libbpf looks up the symbol of every global variable that BTF describes, also of sections that it passes over and
   * that are not kept: these symbols have a value only.
   */
  #addForeignVariables(): void {
    const btf = this.#btf?.btf;
    for (const type of btf?.types ?? []) {
      if (type.kind !== "datasec" || this.#written.has(type.name)) continue;
      if (type.name === SECTION.KCONFIG || type.name === SECTION.KSYMS) continue;
      for (const { type: id, offset: value, size } of type.vars) {
        const variable = btf?.types[id];
        if (variable?.kind !== "var" || variable.linkage !== "global") continue;
        const place = { section: SHN.ABS, value, size };
        this.#elf.symbol({ name: variable.name, ...place, bind: STB.GLOBAL, type: STT.OBJECT });
      }
    }
  }

  #fillCode(section: CodeSection, content: Uint8Array): void {
    for (const placed of section.functions) {
      const insns = [...placed.func.insns];
      for (const ref of placed.func.refs) this.#relocate(insns, placed, ref);
      content.set(encodeInsns(insns, this.#littleEndian), placed.offset * INSN_SIZE);
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
    const call = (symbol: SymbolDesc, imm: number) => {
      set({ src: BPF_PSEUDO_CALL, imm });
      this.#elf.relocation(here.section, at, symbol, R_BPF.R64_32);
    };
    switch (ref.kind) {
      case "map":
        load(this.#maps.get(ref.map)!, 0);
        return;
      case "extern":
        load(this.#externs.get(ref.extern)!, 0);
        return;
      case "kfunc":
        call(this.#externs.get(ref.extern)!, -1);
        return;
      case "data": {
        const { symbol, addend } = this.#dataSymbol(ref.section, ref.offset);
        load(symbol, addend);
        return;
      }
      case "func": {
        const target = this.#functions.get(ref.func)!;
        if (isLocal(target.func)) load(this.#elf.sectionSymbol(target.section), target.offset * INSN_SIZE);
        else load(target.symbol, 0);
        return;
      }
      case "nowhere":
        // As far as a call goes: no section is so long.
        set({ src: BPF_PSEUDO_CALL, imm: NOWHERE });
        return;
      case "call": {
        const target = this.#functions.get(ref.func)!;
        if (!isLocal(target.func)) call(target.symbol, -1);
        // Within a section the distance is known: no relocation, as clang does it.
        else if (target.section === here.section) {
          set({ src: BPF_PSEUDO_CALL, imm: target.offset - (here.offset + ref.insn) - 1 });
        } else call(this.#elf.sectionSymbol(target.section), target.offset - 1);
      }
    }
  }

  /** The variable that begins there, else the section and the way from its start. */
  #dataSymbol(section: string, offset: number): { readonly symbol: SymbolDesc; readonly addend: number } {
    const symbol = this.#variables.get(`${section}+${offset}`);
    if (symbol !== undefined) return { symbol, addend: 0 };
    return { symbol: this.#elf.sectionSymbol(this.#dataSections.get(section)!), addend: offset };
  }

  /** Adds the relocation of an address in data, whose place holds what is added to the symbol's value. */
  #relocateData(data: DataSpec, content: Uint8Array | undefined, ref: DataRef): void {
    if (content === undefined) throw new InputError("addresses cannot stand in .bss", { section: data.section });
    const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
    const standing =
      ref.size === 8
        ? Number(view.getBigInt64(ref.offset, this.#littleEndian))
        : view.getInt32(ref.offset, this.#littleEndian);
    // There may be several ways to say the same address: one for which the content can stay goes first.
    const ways = this.#addressesOf(ref, standing);
    const { symbol, addend } = ways.find((way) => way.addend === standing) ?? ways[0]!;
    if (addend !== standing && ref.kind !== "extern") {
      if (ref.size === 8) view.setBigInt64(ref.offset, BigInt(addend), this.#littleEndian);
      else view.setInt32(ref.offset, addend, this.#littleEndian);
    }
    const type = ref.size === 8 ? R_BPF.ABS64 : R_BPF.ABS32;
    this.#elf.relocation(this.#dataSections.get(data.section)!, ref.offset, symbol, type);
  }

  #addressesOf(ref: DataRef, standing: number): { readonly symbol: SymbolDesc; readonly addend: number }[] {
    switch (ref.kind) {
      case "data": {
        const section = this.#elf.sectionSymbol(this.#dataSections.get(ref.section)!);
        const ways = [this.#dataSymbol(ref.section, ref.target), { symbol: section, addend: ref.target }];
        // A place inside of a variable, or beside it.
        const variable = this.#variables.get(`${ref.section}+${ref.target - standing}`);
        return variable === undefined ? ways : [...ways, { symbol: variable, addend: standing }];
      }
      case "func": {
        const { func, symbol, section, offset } = this.#functions.get(ref.func)!;
        const relative = { symbol: this.#elf.sectionSymbol(section), addend: offset * INSN_SIZE };
        return isLocal(func) ? [relative] : [{ symbol, addend: 0 }, relative];
      }
      case "map":
        return [{ symbol: this.#maps.get(ref.map)!, addend: 0 }];
      case "extern":
        return [{ symbol: this.#externs.get(ref.extern)!, addend: 0 }];
    }
  }
}

/** A plain loop: `.bss` may be large, and a callback per byte is slow. */
function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}
