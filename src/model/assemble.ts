// SPDX-License-Identifier: MIT
import { assemble } from "../asm/text/assemble.js";
import type { AsmOptions } from "../asm/text/assemble-code.js";
import type { AsmData, AsmExtern, AsmFunction, AsmMap, AsmRef, AsmType, AsmUnit } from "../asm/text/unit.js";
import { BtfBuilder, type KernelIntName } from "../btf/builder.js";
import { InputError } from "../util/errors.js";
import { dataSpec, dataVariable, functionSpec, mapSpec, objectSpec } from "./make.js";
import type { DataSpec, ExternSpec, FunctionSpec, MapSpec, ObjectSpec, Ref } from "./spec.js";

/** How a text becomes an object. */
export interface AssembleObjectOptions extends AsmOptions {
  /** The object's name, which names the maps of its data; `file` without directory and ending when left out. */
  readonly name?: string;
}

/**
 * Assembles a text (see `assemble()` of bpfsmith/asm) into an object: its functions and variables get types (BTF) by
 * their sizes, its instructions the lines of the text as their source.
 * @throws InputError with line, column and what was expected.
 */
export function assembleObject(text: string, options: AssembleObjectOptions = {}): ObjectSpec {
  const file = options.file ?? "text";
  const name = options.name ?? /([^/.]+)[^/]*$/.exec(file)?.[1] ?? "text";
  return objectOf(assemble(text, options), name, file);
}

/**
 * Makes an object of an assembled text.
 * @param file what its line records call the text
 */
export function objectOf(unit: AsmUnit, name: string, file: string): ObjectSpec {
  const btf = new BtfBuilder();
  // What a global subprogram takes only its C prototype would say; without types it is verified like a static one.
  const typed = unit.functions.every(
    ({ section, linkage, hidden }) => section !== TEXT || linkage === "static" || hidden,
  );
  const functions = unit.functions.map((func) => functionOf(func, typed ? btf : undefined, file));
  const data = unit.data.map((section) => dataOf(section, btf));
  const maps = unit.maps.map((map) => mapOf(map, unit.maps, btf));
  const externs = unit.externs.map((one) => externOf(one, btf));
  const { license, version } = unit;
  return objectSpec({ name, license, version, functions, maps, data, externs, btf: btf.build() });
}

const TEXT = ".text";

function functionOf(func: AsmFunction, btf: BtfBuilder | undefined, file: string): FunctionSpec {
  const { name, section, linkage, weak, hidden, insns, refs, lines } = func;
  return functionSpec({
    name,
    section,
    linkage: section === TEXT && hidden ? "static" : linkage,
    weak,
    visibility: hidden ? "hidden" : "default",
    insns,
    refs: refs.map(({ insn, value }: { insn: number; value: AsmRef }): Ref => ({ ...value, insn })),
    lines: btf === undefined ? [] : lines.map(({ insn, value }) => ({ insn, file, ...value })),
    btfFuncId: btf === undefined ? 0 : funcType(btf, name, section === TEXT ? "static" : "global"),
  });
}

function funcType(btf: BtfBuilder, name: string, linkage: "static" | "global"): number {
  const proto = btf.funcProto(btf.int("int"), [{ name: "ctx", type: btf.ptr(0) }]);
  return btf.func(name, proto, linkage);
}

/** An integer of that many bytes, or so many of them. */
function typeOfSize(btf: BtfBuilder, size: number): number {
  switch (size) {
    case 1:
      return btf.kernelInt("__u8");
    case 2:
      return btf.kernelInt("__u16");
    case 4:
      return btf.kernelInt("__u32");
    case 8:
      return btf.kernelInt("__u64");
    default:
      return btf.array(btf.int("char"), size);
  }
}

function dataOf({ section, content, align, variables, refs }: AsmData, btf: BtfBuilder): DataSpec {
  const isConstant = section.startsWith(".rodata");
  const typed = variables.map((variable) => {
    const { name, offset, size, linkage, weak, hidden } = variable;
    const plain = typeOfSize(btf, size);
    const type = isConstant ? btf.modifier("const", plain) : plain;
    const btfVarId = size === 0 ? 0 : btf.var(name, type, linkage);
    return dataVariable({ name, offset, size, linkage, weak, visibility: hidden ? "hidden" : "default", btfVarId });
  });
  const infos = typed
    .filter(({ btfVarId }) => btfVarId !== 0)
    .map(({ btfVarId, offset, size }) => ({ type: btfVarId, offset, size }));
  const btfDatasecId = infos.length === 0 ? 0 : btf.datasec(section, content.length, infos);
  return dataSpec({ section, content, align, variables: typed, refs, btfDatasecId });
}

function sizeAndType(type: AsmType, btf: BtfBuilder): { readonly size: number; readonly typeId: number } {
  if (typeof type === "number") return { size: type, typeId: 0 };
  const name = `__${type}` as KernelIntName;
  return { size: Number(type.slice(1)) / 8, typeId: btf.kernelInt(name) };
}

function mapOf(map: AsmMap, all: readonly AsmMap[], btf: BtfBuilder, isInner = false): MapSpec {
  const key = sizeAndType(map.key, btf);
  const value = sizeAndType(map.value, btf);
  const template = all.find(({ name }) => name === map.inner);
  if (template !== undefined && isInner) throw new InputError(`map ${map.name}: the inner map cannot hold maps itself`);
  return mapSpec({
    name: isInner ? "" : map.name,
    type: map.type,
    keySize: key.size,
    valueSize: value.size,
    keyTypeId: key.typeId,
    valueTypeId: value.typeId,
    maxEntries: map.maxEntries,
    flags: map.flags,
    extra: map.extra,
    numaNode: map.numaNode,
    pinning: map.pinned ? "byName" : "none",
    inner: template === undefined ? null : mapOf(template, all, btf, true),
    initial: isInner ? [] : map.entries,
    weak: map.weak,
    visibility: map.hidden ? "hidden" : "default",
  });
}

/** Without prototypes, functions are looked up by their names only. */
function externOf({ name, section, kind, weak }: AsmExtern, btf: BtfBuilder): ExternSpec {
  const isKsym = section === ".ksyms" && kind === "var";
  const btfId = isKsym ? btf.var(name, 0, "extern") : 0;
  return { name, section, kind, weak, visibility: "default", btfId, size: 0, align: 1 };
}
