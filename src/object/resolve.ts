// SPDX-License-Identifier: MIT
import { CoreRelocator, type CoreTarget } from "../btf/core/relocate.js";
import { coreTypes } from "../btf/core/source.js";
import { formatSpec } from "../btf/core/spec.js";
import { encodeFuncInfo, encodeLineInfo } from "../btf/ext.js";
import { FUNC_INFO_SIZE, LINE_INFO_SIZE } from "../btf/format.js";
import { dataSectionKind, SECTION } from "../elf/format.js";
import { funcInfoOf, lineInfoOf } from "../elf/object-btf.js";
import { checkObject } from "../elf/object-layout.js";
import { type ParsedSection, parseSection, type SectionDef } from "../kernel/sections.js";
import { AttachType, MapType, ProgType } from "../kernel/uapi.js";
import type { InfoRecords, MapLoad, ProgramLoad } from "../model/load.js";
import type { DataVariable, FunctionSpec, MapSpec, ObjectSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { type AttachTarget, attachTarget } from "./attach-target.js";
import { CodeLinker, type CodeMap, KCONFIG_MAP, type Placed, type RelocatedCode } from "./code.js";
import { type ResolvedExterns, resolveExterns } from "./externs.js";
import { kconfigContent } from "./kconfig.js";
import { type KernelBtf, kernelBtf } from "./kernel-btf.js";
import { dataMapLoad, kernelName, mapLoad } from "./maps.js";
import type { MissingRef } from "./missing.js";
import type { MapEnvironment, ProgramKind, ResolveOptions } from "./options.js";
import { type ResolvedStructOps, resolveStructOps, type StructOps } from "./struct-ops.js";

/** A map of the object and what BPF_MAP_CREATE gets for it. */
export interface ResolvedMap {
  /** Name in the object: the map's, or the section's for global data. Not cut. */
  readonly name: string;
  /** Null for a section of global data. */
  readonly spec: MapSpec | null;
  readonly load: MapLoad;
  /** What lies in a section of global data. */
  readonly variables: readonly DataVariable[];
}

/** A program of the object and what BPF_PROG_LOAD gets for it. */
export interface ResolvedProgram {
  /** Name in the object, not cut. */
  readonly name: string;
  /** SEC name. */
  readonly section: string;
  /** Null for a program whose type {@link ResolveOptions.programTypes} says. */
  readonly def: SectionDef | null;
  /** What the SEC name says behind its slash, e.g. `syscalls/sys_enter_execve`. */
  readonly target: string | null;
  /** False when the SEC name asks for loading on demand only (`?`). */
  readonly autoload: boolean;
  readonly load: ProgramLoad;
  /** Instructions that refer to what the kernel lacks: see {@link explainMissing}. */
  readonly missing: readonly MissingRef[];
}

/** A program that cannot be brought to this kernel. */
export interface RefusedProgram {
  readonly name: string;
  readonly section: string;
  readonly error: InputError;
}

/** An object whose references are resolved. */
export interface ResolvedObject {
  /**
   * Every map, in the order of creation. The `maps` of each program are some of these `load`s, the very
   * same objects, so that a map that programs share is created once.
   */
  readonly maps: readonly ResolvedMap[];
  readonly programs: readonly ResolvedProgram[];
  /** Maps that make the kernel call programs: they are filled when those are loaded. */
  readonly structOps: readonly ResolvedStructOps[];
  /** Programs left out, when {@link ResolveOptions.keepGoing} is set; those on demand only, always. */
  readonly refused: readonly RefusedProgram[];
  /** The blob for BPF_BTF_LOAD; null without types, and when the kernel refuses them. */
  readonly btf: Uint8Array | null;
  /** Why the kernel refuses the object's types, so that all of it does without; else null. */
  readonly btfFault: string | null;
}

/**
 * Makes of an object what the kernel takes, as libbpf 1.5 does: externs and CO-RE accesses are looked up in the
 * kernel's types, subprograms are appended behind each program that calls them, data sections become array
 * maps, references become indices into the program's maps.
 * @throws InputError when the object contradicts itself, a SEC name is not known, or this kernel lacks what the
 *   object needs.
 */
export function resolveObject(spec: ObjectSpec, options: ResolveOptions = {}): ResolvedObject {
  checkObject(spec);
  if (spec.endianness === "big") {
    throw new InputError("the object is for big-endian machines, and the kernels known here are little-endian");
  }
  const resolver = new Resolver(spec, options);
  if (options.keepGoing !== true) resolver.relocateAll();
  const fault = options.keepGoing === true ? resolver.subprogramFault() : null;
  const programs: ResolvedProgram[] = [];
  const refused: RefusedProgram[] = [];
  for (const func of spec.functions) {
    if (func.section === SECTION.TEXT) continue;
    if (options.wanted !== undefined && !options.wanted(func.name, func.section)) continue;
    try {
      if (fault !== null) throw fault;
      programs.push(resolver.program(func));
    } catch (error) {
      const onDemand = func.section.startsWith("?") && options.wanted === undefined;
      if (!(error instanceof InputError) || !(options.keepGoing === true || onDemand)) throw error;
      refused.push({ name: func.name, section: func.section, error });
    }
  }
  const { maps, structOps, btf, btfFault } = resolver;
  return { maps, programs, structOps: structOps.maps, refused, btf: btf?.blob ?? null, btfFault };
}

/** What the programs of one object share. */
class Resolver {
  readonly maps: ResolvedMap[] = [];
  readonly structOps: StructOps;
  /** Null also when the kernel refuses it. */
  readonly btf: KernelBtf | null;
  readonly btfFault: string | null;
  readonly #spec: ObjectSpec;
  readonly #options: ResolveOptions;
  readonly #linker: CodeLinker;

  constructor(spec: ObjectSpec, options: ResolveOptions) {
    this.#spec = spec;
    this.#options = options;
    for (const func of spec.functions) {
      if (func.section !== SECTION.TEXT && func.linkage === "static" && func.visibility === "default") {
        throw new InputError(`program ${func.name} is static`, { section: func.section });
      }
    }
    const externs = resolveExterns(spec, options);
    const types = kernelBtf(spec, externs.kconfig.places, externs.kconfig.size);
    this.btfFault = types === null ? null : (options.btfFault?.(types.blob) ?? null);
    if (this.btfFault !== null && spec.structOps.length > 0) {
      throw new InputError(`the kernel refuses the object's BTF, which struct_ops needs: ${this.btfFault}`);
    }
    this.btf = this.btfFault === null ? types : null;
    this.structOps = resolveStructOps(spec, options);
    const { codeMaps, dataMaps } = this.#addMaps(externs, types);
    this.#linker = new CodeLinker(spec, { maps: codeMaps, dataMaps, externs, relocated: this.#relocator() });
  }

  /** Maps come in libbpf's order: the declared ones, sections of data, configuration. */
  #addMaps(
    externs: ResolvedExterns,
    types: KernelBtf | null,
  ): { codeMaps: Map<string, CodeMap>; dataMaps: Map<string, string> } {
    const typed = this.btf !== null;
    const options = this.#options;
    const env: MapEnvironment = {
      pageSize: options.pageSize ?? 4096,
      possibleCpus: options.possibleCpus ?? 0,
      mmapableArrays: options.mmapableArrays ?? true,
    };
    const codeMaps = new Map<string, CodeMap>();
    const dataMaps = new Map<string, string>();
    const add = (name: string, spec: MapSpec | null, load: MapLoad, variables: readonly DataVariable[] = []) => {
      const created = options.withoutMaps?.has(name) !== true;
      codeMaps.set(name, { load, index: codeMaps.size, created });
      if (created) this.maps.push({ name, spec, load, variables });
    };
    const global = (section: string, content: Uint8Array): MapLoad => {
      const load = dataMapLoad(this.#spec.name, section, content, types, env);
      return typed ? load : { ...load, btf: null, btfValueTypeId: 0 };
    };
    const arena = this.#spec.data.find(({ section }) => dataSectionKind(section) === "arena");
    for (const map of this.#spec.maps) {
      const load = mapLoad(map, this.btf?.btf ?? null, env);
      const value = map.type === MapType.ARENA ? (arena?.content ?? null) : null;
      add(map.name, map, value === null ? load : { ...load, value });
    }
    for (const { section, content, variables } of this.#spec.data) {
      if (content.length === 0) continue;
      if (dataSectionKind(section) === "arena") {
        dataMaps.set(section, this.#arena(section));
        continue;
      }
      dataMaps.set(section, section);
      add(section, null, global(section, content), variables);
    }
    const { places, size } = externs.kconfig;
    if (size > 0) {
      const content = kconfigContent(places, size, {
        btf: this.#spec.btf!,
        kernVersion: options.kernVersion ?? 0,
        features: options.features ?? {},
        config: options.kconfig ?? (() => null),
      });
      add(KCONFIG_MAP, null, global(SECTION.KCONFIG, content));
    }
    return { codeMaps, dataMaps };
  }

  /** Name of the map that holds a section of arena variables. */
  #arena(section: string): string {
    const arena = this.#spec.maps.find(({ type }) => type === MapType.ARENA);
    if (arena === undefined) throw new InputError("variables of an arena need a map that is one", { section });
    return arena.name;
  }

  /** CO-RE relocation of whole functions, before they are put together. */
  #relocator(): (func: FunctionSpec) => RelocatedCode {
    const { btf } = this.#spec;
    let relocator: CoreRelocator | undefined;
    return (func) => {
      if (func.core.length === 0) return { insns: func.insns, missing: [] };
      if (btf === null) throw new InputError(`function ${func.name}: CO-RE relocations without types`);
      relocator ??= new CoreRelocator(btf, this.#coreTarget(), { littleEndian: this.#spec.endianness === "little" });
      const { insns, results } = relocator.relocate(func);
      const missing = results
        .filter(({ patch }) => patch.kind === "poison")
        .map(({ relo, local }): MissingRef => ({ insn: relo.insn, kind: "core", what: formatSpec(local) }));
      return { insns, missing };
    };
  }

  #coreTarget(): CoreTarget | null {
    const { coreTypes: given, coreModules, kernelTypes, modules } = this.#options;
    const base = given === undefined ? (kernelTypes?.() ?? null) : given();
    if (base === null) return null;
    const firstId = base.types.length;
    const theirs = given === undefined ? modules : coreModules;
    const moduleTypes = () => (theirs?.() ?? []).map(({ name, btf }) => ({ name, types: coreTypes(btf, { firstId }) }));
    return { name: given === undefined ? "vmlinux" : "the given types", types: coreTypes(base), modules: moduleTypes };
  }

  /**
   * Relocates every function that libbpf would, in the object's order: one that cannot be relocated ends the
   * object even when nothing calls it, and which candidates are left for the later ones depends on the earlier.
   */
  relocateAll(): void {
    const { wanted } = this.#options;
    for (const func of this.#spec.functions) {
      const loads = wanted === undefined ? !func.section.startsWith("?") : wanted(func.name, func.section);
      if (func.core.length > 0 && (func.section === SECTION.TEXT || loads)) this.#linker.relocate(func);
    }
  }

  /** Why no program of the object can be loaded: subprograms are relocated whoever calls them. */
  subprogramFault(): InputError | null {
    try {
      for (const func of this.#spec.functions) {
        if (func.core.length > 0 && func.section === SECTION.TEXT) this.#linker.relocate(func);
      }
      return null;
    } catch (error) {
      if (error instanceof InputError) return error;
      throw error;
    }
  }

  program(main: FunctionSpec): ResolvedProgram {
    const section = parseSection(main.section, this.#options.sections);
    const autoload = section?.autoload ?? !main.section.startsWith("?");
    const forced = this.#options.programTypes?.get(main.name);
    if (forced !== undefined) {
      const loaded = this.#load(main, { ...forced, progFlags: 0, attachBtfId: 0 });
      return {
        name: main.name,
        section: main.section,
        def: null,
        target: section?.target ?? null,
        autoload,
        ...loaded,
      };
    }
    if (section === undefined) {
      throw new InputError(`program ${main.name}: no program type is known for this SEC name`, {
        section: main.section,
      });
    }
    const { def, target } = section;
    const loaded = this.#load(main, {
      ...this.#kind(main, section),
      progFlags: def.progFlags,
    });
    return { name: main.name, section: main.section, def, target, autoload, ...loaded };
  }

  #kind(main: FunctionSpec, section: ParsedSection): ProgramKind & AttachTarget {
    const { progType, attachType, attach } = section.def;
    if (progType === ProgType.STRUCT_OPS) {
      const aim = this.structOps.targets.get(main.name);
      if (aim === undefined) throw new InputError(`program ${main.name}: no struct_ops variable uses it`);
      const { member, btfId, btf } = aim;
      return { progType, attachType: member, attachBtfId: btfId, ...(btf && { attachBtf: btf }) };
    }
    const multi = attach === "usdt" && this.#options.features?.uprobeMulti !== false;
    return {
      progType,
      attachType: multi ? AttachType.TRACE_UPROBE_MULTI : attachType,
      ...attachTarget(main.name, section, this.#options),
    };
  }

  #load(
    main: FunctionSpec,
    kind: ProgramKind & AttachTarget & { readonly progFlags: number },
  ): Pick<ResolvedProgram, "load" | "missing"> {
    const placed = this.#linker.place(main);
    const { insns, maps, fdArray, moduleBtfs, missing } = this.#linker.link(placed);
    const load: ProgramLoad = {
      name: kernelName(main.symbol),
      progType: kind.progType,
      expectedAttachType: kind.attachType,
      progFlags: kind.progFlags,
      progIfindex: 0,
      kernVersion: this.#spec.version || (this.#options.kernVersion ?? 0),
      license: this.#spec.license,
      attachBtfId: kind.attachBtfId,
      ...(kind.attachBtf && { attachBtf: kind.attachBtf }),
      insns,
      maps,
      badMapInsns: [],
      fdArray,
      ...(moduleBtfs.length > 0 && { moduleBtfs }),
      btf: this.btf?.blob ?? null,
      funcInfo: this.#funcInfo(placed),
      lineInfo: this.#lineInfo(placed),
    };
    return { load, missing };
  }

  /** Nothing when the program itself has no record. @throws InputError when a subprogram then has none */
  #funcInfo(placed: readonly Placed[]): InfoRecords | null {
    if (this.btf === null) return null;
    if (!isDescribed(placed, "function information", ({ btfFuncId }) => btfFuncId !== 0)) return null;
    const records = placed.flatMap(({ func, offset }) => funcInfoOf(func, offset));
    return { bytes: encodeFuncInfo(records), recSize: FUNC_INFO_SIZE, count: records.length };
  }

  /** As {@link #funcInfo}: the kernel wants a record for the first instruction of every function or none at all. */
  #lineInfo(placed: readonly Placed[]): InfoRecords | null {
    if (this.btf === null) return null;
    if (!isDescribed(placed, "line information", ({ lines }) => lines.length > 0)) return null;
    const records = placed.flatMap(({ func, offset }) => lineInfoOf(func, offset, 1));
    const bytes = encodeLineInfo(records, this.btf.strings);
    return { bytes, recSize: LINE_INFO_SIZE, count: records.length };
  }
}

/**
 * Whether debug information describes a program and what it calls: the program itself decides (libbpf:
 * reloc_prog_func_and_line_info()). gcc gives parts of functions that it splits off none.
 * @throws InputError when the program has what a subprogram lacks.
 */
function isDescribed(placed: readonly Placed[], what: string, has: (func: FunctionSpec) => boolean): boolean {
  const [main, ...others] = placed;
  if (main === undefined || !has(main.func)) return false;
  const lacking = others.find(({ func }) => !has(func));
  if (lacking === undefined) return true;
  const { name } = lacking.func;
  throw new InputError(`program ${main.func.name} has ${what}, but its subprogram ${name} has none`);
}
