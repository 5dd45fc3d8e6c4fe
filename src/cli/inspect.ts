// SPDX-License-Identifier: MIT
import {
  CORE_POISON_HELPER,
  type CorePatch,
  CoreRelocator,
  type CoreReloResult,
  coreReloKindName,
  coreTypes,
  formatSpec,
  parseSpec,
} from "../btf/core/index.js";
import type { Btf } from "../btf/types.js";
import { parseSection } from "../kernel/sections.js";
import { MapFlag, mapTypeName, progTypeName } from "../kernel/uapi.js";
import { kernelTypes } from "../load/vmlinux.js";
import type { CoreReloSpec, DataSpec, FunctionSpec, MapSpec, ObjectSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import { readInput } from "./input.js";
import { ExitCode, print } from "./output.js";
import { typeText } from "./type-text.js";

/** Options of `inspect`. */
export interface InspectOptions {
  readonly json?: boolean;
  /** File with the types to try the CO-RE relocations against. */
  readonly btf?: string;
}

interface CoreFacts {
  readonly insn: number;
  /** What the program asks for. */
  readonly local: string;
  /** What that is in the types given; null when they have nothing of the kind, absent without types. */
  readonly target?: string | null;
  /** What the instruction holds then. */
  readonly value?: string;
}

/** What stands in an object, as plain data. */
interface Facts {
  readonly name: string;
  readonly license: string;
  readonly endianness: string;
  readonly functions: readonly {
    readonly name: string;
    readonly section: string;
    /** BPF_PROG_TYPE_ name in small letters; null for a subprogram. */
    readonly type: string | null;
    readonly linkage: string;
    readonly insns: number;
    readonly refs: readonly string[];
    readonly core: readonly CoreFacts[];
  }[];
  readonly maps: readonly object[];
  readonly data: readonly {
    readonly section: string;
    readonly size: number;
    readonly variables: readonly {
      readonly name: string;
      readonly type: string;
      readonly offset: number;
      readonly size: number;
    }[];
  }[];
  readonly externs: readonly {
    readonly name: string;
    readonly section: string;
    readonly type: string;
    readonly weak: boolean;
  }[];
  readonly structOps: readonly { readonly name: string; readonly type: string; readonly programs: readonly string[] }[];
  /** Number of types; null without BTF. */
  readonly types: number | null;
}

function flagNames(flags: number): string[] {
  const names = Object.entries(MapFlag).filter(([, bit]) => (flags & bit) !== 0);
  return names.map(([name]) => name);
}

function mapFacts(spec: ObjectSpec, map: MapSpec): object {
  const { name, type, maxEntries, keySize, valueSize, flags, extra, numaNode, pinning, inner, initial } = map;
  const optional = {
    ...(flags === 0 ? {} : { flags: flagNames(flags) }),
    ...(extra === 0n ? {} : { map_extra: `0x${extra.toString(16)}` }),
    ...(numaNode === 0 ? {} : { numa_node: numaNode }),
    ...(pinning === "none" ? {} : { pinning: "by name" }),
    ...(inner === null ? {} : { inner: mapFacts(spec, inner) }),
    ...(initial.length === 0 ? {} : { values: Object.fromEntries(initial.map((one) => [one.index, one.name])) }),
  };
  return {
    name,
    type: mapTypeName(type) ?? type,
    key: map.keyTypeId === 0 ? keySize : typeText(spec.btf, map.keyTypeId),
    key_size: keySize,
    value: map.valueTypeId === 0 ? valueSize : typeText(spec.btf, map.valueTypeId),
    value_size: valueSize,
    max_entries: maxEntries,
    ...optional,
  };
}

/** Names of what a function refers to, each once. */
function refNames(func: FunctionSpec): string[] {
  const names = func.refs.map((ref) => {
    switch (ref.kind) {
      case "map":
        return ref.map;
      case "data":
        return ref.section;
      case "nowhere":
        return "nowhere";
      case "kfunc":
      case "extern":
        return ref.extern;
      default:
        return ref.func;
    }
  });
  return [...new Set(names)];
}

function dataFacts(spec: ObjectSpec, { section, content, variables }: DataSpec): Facts["data"][number] {
  return {
    section,
    size: content.length,
    variables: variables.map(({ name, offset, size, btfVarId }) => ({
      name,
      type: typeText(spec.btf, btfVarId),
      offset,
      size,
    })),
  };
}

/** Says what a relocation asks for, and what it comes to where there are types to try. */
class CoreReader {
  readonly #relocator: CoreRelocator | null;
  readonly #local: ReturnType<typeof coreTypes> | null;

  constructor(spec: ObjectSpec, target: { name: string; btf: Btf } | null) {
    this.#local = spec.btf === null ? null : coreTypes(spec.btf, { pointerSize: 8 });
    this.#relocator =
      spec.btf === null || target === null
        ? null
        : new CoreRelocator(
            spec.btf,
            { name: target.name, types: coreTypes(target.btf) },
            { littleEndian: spec.endianness === "little" },
          );
  }

  facts(func: FunctionSpec, relo: CoreReloSpec): CoreFacts {
    const { insn } = relo;
    let local = `<${coreReloKindName(relo.kind)}> [${relo.typeId}] + ${relo.access}`;
    try {
      if (this.#local !== null) local = formatSpec(parseSpec(this.#local, relo));
      if (this.#relocator === null) return { insn, local };
      const { results } = this.#relocator.relocate({ ...func, core: [relo] });
      return { insn, local, ...outcome(results[0]!) };
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      return { insn, local, value: `refused: ${error.message}` };
    }
  }
}

function outcome({ chosen, patch }: CoreReloResult): Pick<CoreFacts, "target" | "value"> {
  return { target: chosen === null ? null : formatSpec(chosen.spec), value: patchWords(patch) };
}

function patchWords(patch: CorePatch): string {
  if (patch.kind !== "poison") return `${patch.after}${patch.size === null ? "" : `, ${patch.size.after} bytes wide`}`;
  const cause = patch.cause === "resized" ? ", for the field has another size" : "";
  return `an invalid call (unknown#${CORE_POISON_HELPER})${cause}`;
}

function factsOf(spec: ObjectSpec, core: CoreReader): Facts {
  const { btf } = spec;
  return {
    name: spec.name,
    license: spec.license,
    endianness: spec.endianness,
    functions: spec.functions.map((func) => ({
      name: func.name,
      section: func.section,
      type: programType(func.section),
      linkage: func.weak ? `${func.linkage}, weak` : func.linkage,
      insns: func.insns.length,
      refs: refNames(func),
      core: func.core.map((relo) => core.facts(func, relo)),
    })),
    maps: spec.maps.map((map) => mapFacts(spec, map)),
    data: spec.data.map((data) => dataFacts(spec, data)),
    externs: spec.externs.map(({ name, section, btfId, weak }) => ({
      name,
      section,
      type: typeText(btf, btfId),
      weak,
    })),
    structOps: spec.structOps.map(({ name, typeId, refs }) => ({
      name,
      type: typeText(btf, typeId),
      programs: refs.map(({ func }) => func),
    })),
    types: btf === null ? null : btf.types.length - 1,
  };
}

function programType(section: string): string | null {
  const parsed = parseSection(section);
  return parsed === undefined ? null : (progTypeName(parsed.def.progType) ?? null);
}

/** Rows with columns of one width. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd());
}

function* paragraph(title: string, rows: readonly (readonly string[])[]): Generator<string> {
  if (rows.length === 0) return;
  yield "";
  yield `${title} (${rows.length})`;
  yield* table(rows);
}

function mapWords(map: Record<string, unknown>): string {
  const { name: _name, type: _type, key, key_size: _k, value, value_size: _v, max_entries, ...rest } = map;
  const more = Object.entries(rest).map(
    ([what, that]) => `${what} ${typeof that === "string" ? that : JSON.stringify(that)}`,
  );
  return [`${key} → ${value}`, `max_entries ${max_entries}`, ...more].join(", ");
}

function coreWords({ local, target, value }: CoreFacts): string {
  const found = target === undefined ? "" : target === null ? ", which the types do not have" : ` is ${target}`;
  return `${local}${found}${value === undefined ? "" : `: ${value}`}`;
}

function* textOf(facts: Facts): Generator<string> {
  const licence = facts.license === "" ? "no licence" : `licence ${facts.license}`;
  const types = facts.types === null ? "no BTF" : `${facts.types} types`;
  yield `${facts.name}: ${facts.endianness}-endian BPF object, ${licence}, ${types}`;
  yield* paragraph(
    "functions",
    facts.functions.map(({ name, section, type, linkage, insns, refs }) => [
      name,
      section,
      type ?? "subprogram",
      linkage,
      `${insns} insns`,
      refs.length === 0 ? "" : `uses ${refs.join(", ")}`,
    ]),
  );
  const maps = facts.maps as readonly Record<string, unknown>[];
  yield* paragraph(
    "maps",
    maps.map((map) => [String(map.name), String(map.type), mapWords(map)]),
  );
  yield* paragraph(
    "global variables",
    facts.data.flatMap(({ section, variables }) =>
      variables.map(({ name, type, offset, size }) => [`${section}+${offset}`, name, type, `${size} bytes`]),
    ),
  );
  yield* paragraph(
    "externs",
    facts.externs.map(({ name, section, type, weak }) => [name, section, type, weak ? "weak" : ""]),
  );
  yield* paragraph(
    "struct_ops",
    facts.structOps.map(({ name, type, programs }) => [name, type, programs.join(", ")]),
  );
  yield* paragraph(
    "CO-RE relocations",
    facts.functions.flatMap(({ name, core }) => core.map((relo) => [name, `insn ${relo.insn}`, coreWords(relo)])),
  );
}

/** `bpfsmith inspect FILE` */
export async function inspectCommand(file: string, options: InspectOptions): Promise<number> {
  const { spec } = await readInput(file);
  const target = options.btf === undefined ? null : { name: options.btf, btf: kernelTypes(options.btf)()! };
  const facts = factsOf(spec, new CoreReader(spec, target));
  if (options.json) print(JSON.stringify(facts));
  else for (const line of textOf(facts)) print(line);
  return ExitCode.OK;
}
