// SPDX-License-Identifier: MIT
import { encodeInsns, type Insn } from "../asm/insn.js";
import { BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE } from "../asm/opcode.js";
import { encodeFuncInfo, encodeLineInfo } from "../btf/ext.js";
import { FUNC_INFO_SIZE, LINE_INFO_SIZE } from "../btf/format.js";
import { SECTION } from "../elf/format.js";
import { encodeObjectBtf, funcInfoOf, lineInfoOf, type ObjectBtf } from "../elf/object-btf.js";
import { checkObject, layoutFunctions } from "../elf/object-layout.js";
import { parseSection, type SectionDef } from "../kernel/sections.js";
import type { InfoRecords, MapLoad, ProgramLoad } from "../model/load.js";
import type { FunctionSpec, MapSpec, ObjectSpec, Ref } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { dataMapLoad, kernelName, type MapEnvironment, mapLoad } from "./maps.js";

/** What resolving depends on besides the object. Nothing is asked of the running kernel. */
export interface ResolveOptions extends Partial<MapEnvironment> {
  /** `kern_version` of BPF_PROG_LOAD; kernels since 5.0 do not look at it. Default 0. */
  readonly kernVersion?: number;
}

/** A map of the object and what BPF_MAP_CREATE gets for it. */
export interface ResolvedMap {
  /** Name in the object: the map's, or the section's for global data. Not cut. */
  readonly name: string;
  /** Null for a section of global data. */
  readonly spec: MapSpec | null;
  readonly load: MapLoad;
}

/** A program of the object and what BPF_PROG_LOAD gets for it. */
export interface ResolvedProgram {
  /** Name in the object, not cut. */
  readonly name: string;
  /** SEC name. */
  readonly section: string;
  readonly def: SectionDef;
  /** What the SEC name says behind its slash, e.g. `syscalls/sys_enter_execve`. */
  readonly target: string | null;
  /** False when the SEC name asks for loading on demand only (`?`). */
  readonly autoload: boolean;
  readonly load: ProgramLoad;
}

/** An object whose references are resolved. */
export interface ResolvedObject {
  /**
   * Every map, in the order of creation. The `maps` of each program are some of these `load`s, the very
   * same objects, so that a map that programs share is created once.
   */
  readonly maps: readonly ResolvedMap[];
  readonly programs: readonly ResolvedProgram[];
  /** The blob for BPF_BTF_LOAD; null without types. */
  readonly btf: Uint8Array | null;
}

/**
 * Makes of an object what the kernel takes, as libbpf does: subprograms are appended behind each program
 * that calls them, data sections become array maps, references become indices into the program's maps.
 * `attachBtfId` stays 0: which type the target is, only a kernel can say.
 * @throws InputError when the object contradicts itself or a SEC name is not known.
 */
export function resolveObject(spec: ObjectSpec, options: ResolveOptions = {}): ResolvedObject {
  checkObject(spec);
  const env: MapEnvironment = {
    pageSize: options.pageSize ?? 4096,
    possibleCpus: options.possibleCpus ?? 0,
    mmapableArrays: options.mmapableArrays ?? true,
  };
  const btf = spec.btf === null ? null : encodeObjectBtf(spec, layoutFunctions(spec.functions));
  const maps: ResolvedMap[] = spec.maps.map((map) => ({
    name: map.name,
    spec: map,
    load: mapLoad(map, btf !== null, env),
  }));
  for (const data of spec.data) {
    if (data.content.length === 0) continue;
    maps.push({ name: data.section, spec: null, load: dataMapLoad(spec.name, data, btf, env) });
  }
  const linker = new Linker(spec, maps, btf, options.kernVersion ?? 0);
  const programs = spec.functions.filter((func) => func.section !== SECTION.TEXT).map((func) => linker.program(func));
  return { maps, programs, btf: btf?.blob ?? null };
}

/** A function at its place in a program under construction. */
interface Placed {
  readonly func: FunctionSpec;
  /** Slots from the program's start. */
  readonly offset: number;
}

class Linker {
  readonly #spec: ObjectSpec;
  readonly #maps: ReadonlyMap<string, MapLoad>;
  readonly #functions: ReadonlyMap<string, FunctionSpec>;
  readonly #btf: ObjectBtf | null;
  readonly #kernVersion: number;

  constructor(spec: ObjectSpec, maps: readonly ResolvedMap[], btf: ObjectBtf | null, kernVersion: number) {
    this.#spec = spec;
    // Section names begin with a dot, which no map's name does.
    this.#maps = new Map(maps.map((map) => [map.name, map.load]));
    this.#functions = new Map(spec.functions.map((func) => [func.name, func]));
    this.#btf = btf;
    this.#kernVersion = kernVersion;
  }

  program(main: FunctionSpec): ResolvedProgram {
    const section = parseSection(main.section);
    if (section === undefined) {
      throw new InputError(`program ${main.name}: no program type is known for this SEC name`, {
        section: main.section,
      });
    }
    const { def, target, autoload } = section;
    const placed = this.#place(main);
    const maps: MapLoad[] = [];
    const insns = this.#link(placed, maps);
    const load: ProgramLoad = {
      name: kernelName(main.name),
      progType: def.progType,
      expectedAttachType: def.attachType,
      progFlags: def.progFlags,
      progIfindex: 0,
      kernVersion: this.#kernVersion,
      license: this.#spec.license,
      attachBtfId: 0,
      insns: encodeInsns(insns),
      maps,
      badMapInsns: [],
      fdArray: null,
      btf: this.#btf?.blob ?? null,
      funcInfo: this.#funcInfo(placed),
      lineInfo: this.#lineInfo(placed),
    };
    return { name: main.name, section: main.section, def, target, autoload, load };
  }

  /**
   * The program followed by the subprograms that it reaches. Each one is appended where it is first called,
   * and its own callees right behind it, as libbpf orders them.
   */
  #place(main: FunctionSpec): Placed[] {
    const placed: Placed[] = [{ func: main, offset: 0 }];
    const seen = new Set([main.name]);
    let size = main.insns.length;
    // A stack of its own: chains of calls may be longer than JavaScript's.
    const open: { refs: readonly Ref[]; next: number }[] = [{ refs: main.refs, next: 0 }];
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const ref = top.refs[top.next++];
      if (ref === undefined) {
        open.pop();
      } else if ((ref.kind === "call" || ref.kind === "func") && !seen.has(ref.func)) {
        seen.add(ref.func);
        const func = this.#functions.get(ref.func)!;
        placed.push({ func, offset: size });
        size += func.insns.length;
        open.push({ refs: func.refs, next: 0 });
      }
    }
    return placed;
  }

  /** Copies the functions together and fills their references in; `maps` gathers the maps in order of use. */
  #link(placed: readonly Placed[], maps: MapLoad[]): Insn[] {
    const offsets = new Map(placed.map(({ func, offset }) => [func.name, offset]));
    const insns = placed.flatMap(({ func }) => func.insns);
    const indexOf = (name: string): number => {
      const map = this.#maps.get(name);
      if (map === undefined) throw new InputError(`section ${name} is referred to but has no content`);
      const index = maps.indexOf(map);
      return index >= 0 ? index : maps.push(map) - 1;
    };
    for (const { func, offset } of placed) {
      for (const ref of func.refs) {
        const at = offset + ref.insn;
        const set = (i: number, change: Partial<Insn>) => {
          insns[i] = { ...insns[i]!, ...change };
        };
        switch (ref.kind) {
          case "map":
            set(at, { src: BPF_PSEUDO_MAP_FD, imm: indexOf(ref.map) });
            set(at + 1, { imm: 0 });
            break;
          case "data":
            set(at, { src: BPF_PSEUDO_MAP_VALUE, imm: indexOf(ref.section) });
            set(at + 1, { imm: ref.offset });
            break;
          case "call":
            set(at, { src: BPF_PSEUDO_CALL, imm: offsets.get(ref.func)! - at - 1 });
            break;
          case "func":
            set(at, { src: BPF_PSEUDO_FUNC, imm: offsets.get(ref.func)! - at - 1 });
            set(at + 1, { imm: 0 });
            break;
          case "kfunc":
          case "extern":
            throw new InputError(`function ${func.name}: externs are not resolved yet`, { insn: ref.insn });
        }
      }
    }
    return insns;
  }

  /** The kernel wants a record for every function or none at all. */
  #funcInfo(placed: readonly Placed[]): InfoRecords | null {
    if (this.#btf === null) return null;
    const records = placed.flatMap(({ func, offset }) => funcInfoOf(func, offset));
    if (records.length < placed.length) return null;
    return { bytes: encodeFuncInfo(records), recSize: FUNC_INFO_SIZE, count: records.length };
  }

  /** The kernel wants a record for the first instruction of every function or none at all. */
  #lineInfo(placed: readonly Placed[]): InfoRecords | null {
    if (this.#btf === null || placed.some(({ func }) => func.lines.length === 0)) return null;
    const records = placed.flatMap(({ func, offset }) => lineInfoOf(func, offset, 1));
    const bytes = encodeLineInfo(records, this.#btf.strings);
    return { bytes, recSize: LINE_INFO_SIZE, count: records.length };
  }
}
