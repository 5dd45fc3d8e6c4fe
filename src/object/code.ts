// SPDX-License-Identifier: MIT
import { encodeInsns, INSN_SIZE, type Insn } from "../asm/insn.js";
import {
  BPF_CALL,
  BPF_JMP,
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_VALUE,
} from "../asm/opcode.js";
import type { Btf } from "../btf/types.js";
import { ELF_LIMITS } from "../elf/limits.js";
import type { FdArrayEntry, MapLoad } from "../model/load.js";
import type { FunctionSpec, ObjectSpec, Ref } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import type { ResolvedExterns } from "./externs.js";
import type { MissingRef } from "./missing.js";
import type { ModuleTypes } from "./options.js";

/** A function at its place in a program. */
export interface Placed {
  readonly func: FunctionSpec;
  /** Slots from the program's start. */
  readonly offset: number;
}

/** A map that instructions may refer to. */
export interface CodeMap {
  readonly load: MapLoad;
  /** Place among all maps of the object, in libbpf's order. */
  readonly index: number;
  /** False when it is not to be created. */
  readonly created: boolean;
}

/** What the references of instructions lead to. */
export interface CodeTargets {
  readonly maps: ReadonlyMap<string, CodeMap>;
  /** Name of the map that holds a section of data. */
  readonly dataMaps: ReadonlyMap<string, string>;
  readonly externs: ResolvedExterns;
  /** A function's instructions after CO-RE relocation, and those that could not be relocated. */
  readonly relocated: (func: FunctionSpec) => RelocatedCode;
}

/** A function's instructions after CO-RE relocation. */
export interface RelocatedCode {
  readonly insns: readonly Insn[];
  readonly missing: readonly MissingRef[];
}

/** The instructions of a program and what they refer to by index. */
export interface LinkedCode {
  readonly insns: Uint8Array;
  readonly maps: MapLoad[];
  readonly fdArray: FdArrayEntry[] | null;
  readonly moduleBtfs: Uint8Array[];
  /** In ascending order of the instructions. */
  readonly missing: MissingRef[];
}

/** Name of the map of configuration values among {@link CodeTargets.maps}. */
export const KCONFIG_MAP = ".kconfig";

/**
 * What stands in place of an instruction that can never work: a call of a helper that no kernel has. The number
 * tells what was meant, and libbpf's own tools read it so.
 */
const POISON = { map: 2_001_000_000, kfunc: 2_002_000_000 } as const;
/** Decl tag of a program that names its exception callback. */
const EXCEPTION_CALLBACK = "exception_callback:";

const LOW_32 = 0xffff_ffffn;
/** Slots of all programs of an object together: what subprograms are appended to must not grow without bound. */
const MAX_SLOTS = 2 * ELF_LIMITS.insns;

/** Puts programs together out of the functions of one object. */
export class CodeLinker {
  readonly #functions: ReadonlyMap<string, FunctionSpec>;
  readonly #btf: Btf | null;
  readonly #targets: CodeTargets;
  /** Instructions of each function, references not filled in. */
  readonly #code = new Map<FunctionSpec, { readonly bytes: Uint8Array; readonly missing: readonly MissingRef[] }>();
  #callbacks: ReadonlyMap<string, readonly string[]> | undefined;
  #slots = 0;

  constructor(spec: ObjectSpec, targets: CodeTargets) {
    this.#functions = new Map(spec.functions.map((func) => [func.name, func]));
    this.#btf = spec.btf;
    this.#targets = targets;
  }

  /**
   * The program followed by the subprograms that it reaches. Each one is appended where it is first called,
   * and its own callees right behind it (libbpf: bpf_object__reloc_code()).
   * @throws InputError for an exception callback that the object does not have.
   */
  place(main: FunctionSpec): Placed[] {
    const placed: Placed[] = [{ func: main, offset: 0 }];
    const count = (func: FunctionSpec) => {
      this.#slots += func.insns.length;
      if (this.#slots > MAX_SLOTS) {
        throw new InputError(`the programs with their subprograms have more than ${MAX_SLOTS} instructions together`);
      }
    };
    count(main);
    const seen = new Set([main]);
    let size = main.insns.length;
    const append = (func: FunctionSpec): boolean => {
      if (seen.has(func)) return false;
      seen.add(func);
      count(func);
      placed.push({ func, offset: size });
      size += func.insns.length;
      return true;
    };
    const reach = (start: FunctionSpec) => {
      // A stack of its own: chains of calls may be longer than JavaScript's.
      const open: { refs: readonly Ref[]; next: number }[] = [{ refs: start.refs, next: 0 }];
      for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
        const ref = top.refs[top.next++];
        if (ref === undefined) open.pop();
        else if (ref.kind === "call" || ref.kind === "func") {
          const func = this.#functions.get(ref.func)!;
          if (append(func)) open.push({ refs: func.refs, next: 0 });
        }
      }
    };
    reach(main);
    const callback = this.#exceptionCallback(main);
    if (callback !== undefined && append(callback)) reach(callback);
    return placed;
  }

  /** Copies the functions together and fills their references in; `maps` come in order of use. */
  link(placed: readonly Placed[]): LinkedCode {
    const last = placed.at(-1)!;
    const insns = new Uint8Array((last.offset + last.func.insns.length) * INSN_SIZE);
    const patcher = new Patcher(insns, new Map(placed.map(({ func, offset }) => [func.name, offset])), this.#targets);
    for (const { func, offset } of placed) {
      const { bytes, missing } = this.#codeOf(func);
      insns.set(bytes, offset * INSN_SIZE);
      for (const ref of missing) patcher.missing.push({ ...ref, insn: offset + ref.insn });
    }
    for (const { func, offset } of placed) {
      for (const ref of func.refs) patcher.patch(ref, offset + ref.insn);
    }
    const { maps, fdArray, moduleBtfs, missing } = patcher;
    return { insns, maps, fdArray, moduleBtfs, missing: missing.sort((a, b) => a.insn - b.insn) };
  }

  /** Does the function's CO-RE relocations now. @throws InputError when they cannot be done. */
  relocate(func: FunctionSpec): void {
    this.#codeOf(func);
  }

  #codeOf(func: FunctionSpec) {
    let code = this.#code.get(func);
    if (code === undefined) {
      const { insns, missing } = this.#targets.relocated(func);
      code = { bytes: encodeInsns(insns), missing };
      this.#code.set(func, code);
    }
    return code;
  }

  /** libbpf: bpf_prog_assign_exc_cb(). */
  #exceptionCallback(main: FunctionSpec): FunctionSpec | undefined {
    this.#callbacks ??= exceptionCallbacks(this.#btf);
    const names = this.#callbacks.get(main.symbol);
    // Several callbacks for one program are the verifier's to refuse.
    if (names === undefined || names.length > 1) return undefined;
    const name = names[0]!;
    const found = [...this.#functions.values()].filter((func) => func.symbol === name && func.section === ".text");
    const [callback] = found;
    if (callback === undefined) throw new InputError(`program ${main.name}: there is no exception callback ${name}`);
    if (found.length > 1 || callback.linkage !== "global" || callback.visibility === "hidden") {
      throw new InputError(`program ${main.name}: exception callback ${name} must be one global function, not hidden`);
    }
    return callback;
  }
}

/** Names of exception callbacks by the name of the program that they are for. */
function exceptionCallbacks(btf: Btf | null): Map<string, string[]> {
  const callbacks = new Map<string, string[]>();
  for (const type of btf?.types ?? []) {
    if (type.kind !== "declTag" || type.componentIdx !== -1 || !type.name.startsWith(EXCEPTION_CALLBACK)) continue;
    const target = btf!.types[type.type];
    if (target?.kind !== "func" || target.linkage !== "global") {
      throw new InputError(`the tag ${type.name} is on no program`);
    }
    const name = type.name.slice(EXCEPTION_CALLBACK.length);
    if (name === "") throw new InputError(`program ${target.name}: its exception callback has no name`);
    const known = callbacks.get(target.name);
    if (known === undefined) callbacks.set(target.name, [name]);
    else known.push(name);
  }
  return callbacks;
}

/** Fills references in. */
class Patcher {
  readonly maps: MapLoad[] = [];
  readonly missing: MissingRef[] = [];
  readonly moduleBtfs: Uint8Array[] = [];
  fdArray: FdArrayEntry[] | null = null;
  readonly #view: DataView;
  readonly #offsets: ReadonlyMap<string, number>;
  readonly #targets: CodeTargets;

  constructor(insns: Uint8Array, offsets: ReadonlyMap<string, number>, targets: CodeTargets) {
    this.#view = new DataView(insns.buffer);
    this.#offsets = offsets;
    this.#targets = targets;
  }

  /** @param slot the instruction's place in the program. */
  patch(ref: Ref, slot: number): void {
    switch (ref.kind) {
      case "map":
        this.#loadMap(slot, ref.map, BPF_PSEUDO_MAP_FD, 0);
        return;
      case "data":
        this.#loadMap(slot, this.#dataMap(ref.section), BPF_PSEUDO_MAP_VALUE, ref.offset);
        return;
      case "call":
        this.#set(slot, { src: BPF_PSEUDO_CALL, imm: this.#offsets.get(ref.func)! - slot - 1 });
        return;
      case "nowhere":
        throw new InputError("a call leads to no function of section .text", { insn: slot });
      case "func":
        this.#set(slot, { src: BPF_PSEUDO_FUNC, imm: this.#offsets.get(ref.func)! - slot - 1 });
        this.#set(slot + 1, { imm: 0 });
        return;
      case "kfunc":
        this.#callKernel(slot, ref.extern);
        return;
      case "extern":
        this.#loadExtern(slot, ref.extern);
        return;
    }
  }

  #dataMap(section: string): string {
    const name = this.#targets.dataMaps.get(section);
    if (name === undefined) throw new InputError(`section ${section} is referred to but has no content`);
    return name;
  }

  #loadMap(slot: number, name: string, src: number, offset: number): void {
    const map = this.#targets.maps.get(name);
    if (map === undefined) throw new InputError(`there is no map ${name}`);
    if (!map.created) {
      for (const at of [slot, slot + 1]) this.#poison(at, POISON.map + map.index);
      this.missing.push({ insn: slot, kind: "map", what: name });
      return;
    }
    let index = this.maps.indexOf(map.load);
    if (index < 0) index = this.maps.push(map.load) - 1;
    this.#set(slot, { src, imm: index });
    this.#set(slot + 1, { imm: offset });
  }

  #loadExtern(slot: number, name: string): void {
    const value = this.#targets.externs.values.get(name)!;
    switch (value.kind) {
      case "kconfig":
        this.#loadMap(slot, KCONFIG_MAP, BPF_PSEUDO_MAP_VALUE, value.offset);
        return;
      case "type":
        this.#set(slot, { src: BPF_PSEUDO_BTF_ID, imm: value.id });
        this.#set(slot + 1, { imm: value.module === null ? 0 : this.#moduleBtf(value.module.blob) });
        return;
      case "address":
        this.#set(slot, { imm: Number(value.address & LOW_32) });
        this.#set(slot + 1, { imm: Number(value.address >> 32n) });
        return;
      case "missing":
        this.#set(slot, { imm: 0 });
        this.#set(slot + 1, { imm: 0 });
        return;
    }
  }

  #callKernel(slot: number, name: string): void {
    const { values, indices } = this.#targets.externs;
    const value = values.get(name)!;
    if (value.kind === "type") {
      const off = this.#fdIndex(value.module);
      this.#set(slot, { src: BPF_PSEUDO_KFUNC_CALL, off, imm: value.id });
    } else {
      this.#poison(slot, POISON.kfunc + indices.get(name)!);
      this.missing.push({ insn: slot, kind: "kfunc", what: name });
    }
  }

  /** Index of the BTF in `fd_array`, whose first place stands for vmlinux; it has as many as this program needs. */
  #fdIndex(module: ModuleTypes | null): number {
    const { calledModules } = this.#targets.externs;
    const index = module === null ? 0 : calledModules.indexOf(module) + 1;
    if (calledModules.length > 0) {
      this.fdArray ??= [{ kind: "fd", fd: 0 }];
      for (const { blob } of calledModules.slice(this.fdArray.length - 1, index)) {
        this.fdArray.push({ kind: "btf", btf: blob });
      }
    }
    return index;
  }

  /** Place of the module's BTF among those of its variables, plus 1. */
  #moduleBtf(blob: Uint8Array): number {
    const index = this.moduleBtfs.indexOf(blob);
    return index < 0 ? this.moduleBtfs.push(blob) : index + 1;
  }

  #poison(slot: number, imm: number): void {
    const at = slot * INSN_SIZE;
    this.#view.setUint32(at, BPF_JMP | BPF_CALL, true);
    this.#view.setInt32(at + 4, imm, true);
  }

  #set(slot: number, fields: { readonly src?: number; readonly off?: number; readonly imm: number }): void {
    const at = slot * INSN_SIZE;
    if (fields.src !== undefined) this.#view.setUint8(at + 1, (this.#view.getUint8(at + 1) & 0xf) | (fields.src << 4));
    if (fields.off !== undefined) this.#view.setInt16(at + 2, fields.off, true);
    this.#view.setInt32(at + 4, fields.imm, true);
  }
}
