// SPDX-License-Identifier: MIT
import { BtfBuilder } from "../btf/builder.js";
import { licenseIsGplCompatible } from "../kernel/license.js";
import { functionSpec, objectSpec } from "../model/make.js";
import type { CoreReloSpec, ExternSpec, FunctionSpec, LineSpec, MapSpec, ObjectSpec, Ref } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import type { Surroundings } from "./code.js";
import { type Emitted, emitRoutine, StackOverflow, UndefinedValue } from "./codegen/emit.js";
import type { Routine } from "./codegen/ir.js";
import type { ContextType } from "./context-btf.js";
import { GlobalData } from "./data.js";
import { Extern } from "./externs.js";
import type { GlobalValue } from "./globals.js";
import { MAP } from "./internals.js";
import { accessString, markUsed } from "./kernel-types.js";
import { AnyMap } from "./maps.js";
import { errorAt, mapPosition, type Position, type SourceMapper, shortPlace } from "./position.js";
import type { ProgramDecl } from "./programs.js";
import type { TracepointResolver } from "./tracepoint-context.js";

/** What an object is made of. */
export interface ObjectParts {
  /** Names the object file and the maps of its constant data. */
  readonly name: string;
  /** The licence as the kernel sees it; most tracing helpers need `GPL`. */
  readonly license: string;
  readonly programs: readonly ProgramDecl[];
  /** Maps that no program uses; those that programs use are found. */
  readonly maps?: readonly AnyMap[];
}

/** What building may know besides the declaration. The same options give the same object. */
export interface BuildOptions {
  /** Leads positions of the running JavaScript back to the user's source. */
  readonly sources?: SourceMapper;
  /** The records of the tracepoints of the machine that the object is for. */
  readonly tracepoints?: TracepointResolver;
  /** Values of constants in place of those that they are declared with: `[limit.with(5)]`. */
  readonly globals?: readonly GlobalValue[];
}

/** An object, declared. */
export interface ObjectDecl {
  readonly name: string;
  readonly license: string;
  readonly programs: readonly ProgramDecl[];
  /**
   * Runs the programs' callbacks and gives what they wrote.
   * @throws InputError at the user's line for whatever is wrong with the programs.
   */
  build(options?: BuildOptions): ObjectSpec;
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_.-]*$/;

/** A program whose code is written. */
interface Written {
  readonly program: ProgramDecl;
  readonly emitted: Emitted;
  readonly contextType: ContextType;
}

/** One build of an object. */
class ObjectBuild {
  readonly #parts: ObjectParts;
  readonly #options: BuildOptions;
  readonly #btf = new BtfBuilder();
  readonly #data: GlobalData;
  readonly #maps = new Map<string, AnyMap>();
  readonly #externs = new Map<string, Extern>();

  constructor(parts: ObjectParts, options: BuildOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#data = new GlobalData(options.globals ?? []);
  }

  run(): ObjectSpec {
    const { name, license, programs, maps } = this.#parts;
    const written = programs.map((program) => this.#write(program));
    const functions = written.map((each) => this.#function(each));
    for (const map of maps ?? []) this.#useMap(map, (message) => new InputError(message));
    const mapSpecs = [...this.#maps.values()].map((map) => this.#map(map));
    const data = this.#data.spec(this.#btf);
    const externs = this.#externSpecs();
    return objectSpec({ name, license, functions, maps: mapSpecs, data, externs, btf: this.#btf.build() });
  }

  /** What is extern, with the sections of the BTF that say where to look for it. */
  #externSpecs(): ExternSpec[] {
    const specs = [...this.#externs.values()].map((extern) => extern.spec(this.#btf));
    for (const section of new Set(specs.map((spec) => spec.section))) {
      const own = specs.filter((spec) => spec.section === section);
      const infos = own.map(({ btfId, size }) => ({ type: btfId, offset: 0, size }));
      this.#btf.datasec(section, 0, infos);
    }
    return specs;
  }

  #useExtern(extern: unknown, fail: (message: string) => InputError): string {
    if (!(extern instanceof Extern)) throw fail("this is nothing of the kernel's");
    const known = this.#externs.get(extern.name);
    if (known !== undefined && known !== extern) throw fail(`${extern.name} is declared extern twice`);
    this.#externs.set(extern.name, extern);
    return extern.name;
  }

  #useMap(map: unknown, fail: (message: string) => InputError): string {
    if (!(map instanceof AnyMap)) throw fail("this is no map");
    const known = this.#maps.get(map.name);
    if (known !== undefined && known !== map) throw fail(`two maps are named ${map.name}`);
    // libbpf makes maps in this order: what a map holds from the start must be there before it.
    for (const inner of Object.values(map.parts.initial ?? {})) this.#useMap(inner, fail);
    this.#maps.set(map.name, map);
    return map.name;
  }

  /** Writes a program's code. Types follow when all code is known. */
  #write(program: ProgramDecl): Written {
    const surroundings: Surroundings = {
      mapper: this.#options.sources,
      gpl: licenseIsGplCompatible(this.#parts.license),
      useMap: (map, fail) => this.#useMap(map, fail),
      useExtern: (extern, fail) => this.#useExtern(extern, fail),
      useString: (name, text) => this.#data.string(name, text),
      useGlobal: (variable, fail) => this.#data.variable(variable, fail),
    };
    const { routine, contextType } = program.write(surroundings, this.#options.tracepoints);
    const at = routine.blocks[0]?.body[0]?.at ?? null;
    const emitted = this.#emit(program.name, routine, at);
    for (const { value } of emitted.core) markUsed(this.#btf, value);
    return { program, emitted, contextType };
  }

  #function({ program, emitted, contextType }: Written): FunctionSpec {
    const { insns, refs, core, lines } = emitted;
    return functionSpec({
      name: program.name,
      section: program.section,
      linkage: "global",
      insns,
      refs: refs.map(({ insn, value }): Ref => ({ ...value, insn })),
      lines: lines.map(({ insn, value }): LineSpec => ({ ...mapPosition(value, this.#options.sources), insn })),
      core: core.map(
        ({ insn, value: { relo, root, steps } }): CoreReloSpec => ({
          insn,
          typeId: root.toBtf(this.#btf),
          access: accessString(this.#btf, root, steps),
          kind: relo,
        }),
      ),
      btfFuncId: this.#btfFunc(program.name, contextType),
    });
  }

  #emit(name: string, routine: Routine, at: Position | null): Emitted {
    const { sources } = this.#options;
    try {
      return emitRoutine(routine);
    } catch (error) {
      if (error instanceof UndefinedValue) {
        const { at: used, definedAt } = error.read;
        const where = definedAt === null ? "elsewhere" : `at ${shortPlace(definedAt, sources)}`;
        throw errorAt(
          `this uses a value that was computed ${where} inside of a callback (p.if, p.ifNotNull, p.for) that may not have ` +
            "run: keep it in a variable made before, with p.let",
          used,
          sources,
          { cause: error },
        );
      }
      if (!(error instanceof StackOverflow)) throw error;
      const largest = error.slots.slice(0, 3).map((slot) => `${slot.what} (${slot.size} bytes)`);
      throw errorAt(
        `program ${name} needs ${error.bytes} bytes of stack, but there are 512. The largest objects: ${largest.join(", ")}. ` +
          "Keep large objects in a per-CPU array or in a ring buffer's record",
        at,
        sources,
        { cause: error },
      );
    }
  }

  #btfFunc(name: string, contextType: ContextType): number {
    const btf = this.#btf;
    const proto = btf.funcProto(btf.int("int"), [{ name: "ctx", type: btf.ptr(contextType(btf)) }]);
    return btf.func(name, proto, "global");
  }

  #map(map: AnyMap): MapSpec {
    const { key, value } = map[MAP];
    const { inner, initial = {} } = map.parts;
    return {
      ...map.spec,
      keyTypeId: key?.toBtf(this.#btf) ?? 0,
      // The values of a map of maps have no type: they are the kernel's.
      valueTypeId: inner === undefined ? (value?.toBtf(this.#btf) ?? 0) : 0,
      inner: inner === undefined ? null : this.#map(inner),
      initial: Object.entries(initial).map(([index, { name }]) => ({ index: Number(index), kind: "map", name })),
    };
  }
}

function checkParts({ name, programs }: ObjectParts): void {
  if (!IDENTIFIER.test(name)) throw new InputError(`"${name}" cannot name an object`);
  if (programs.length === 0) throw new InputError(`object ${name} has no programs`);
  const seen = new Set<string>();
  for (const program of programs) {
    if (seen.has(program.name)) throw new InputError(`object ${name} has two programs named ${program.name}`);
    seen.add(program.name);
  }
}

/**
 * Declares an object: programs, the maps they use, and a licence.
 * @throws InputError when two programs share a name, or there is none.
 */
export function object(parts: ObjectParts): ObjectDecl {
  checkParts(parts);
  const { name, license, programs } = parts;
  return { name, license, programs, build: (options = {}) => new ObjectBuild(parts, options).run() };
}
