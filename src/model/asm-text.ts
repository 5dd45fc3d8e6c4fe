// SPDX-License-Identifier: MIT
import { mapTypeWord } from "../asm/text/map-text.js";
import { type AsmDialect, codeLines, stringText, symbolText } from "../asm/text/print.js";
import type { DataRef, DataSpec, ExternSpec, FunctionSpec, MapSpec, ObjectSpec, Ref } from "./spec.js";

/*
 * An object as text that assembles to the same code, maps and data again. Types (BTF), CO-RE relocations and struct_ops
 * variables have no text; a comment says where they were.
 */

/** The text of an object in one of the dialects. */
export function objectText(spec: ObjectSpec, dialect: AsmDialect): string {
  const lines: string[] = [];
  if (spec.license !== "") lines.push(`.license ${stringText(spec.license)}`);
  if (spec.version !== 0) lines.push(`.version ${spec.version}`);
  for (const one of spec.externs) lines.push(externLine(one));
  for (const map of spec.maps) lines.push(...mapLines(map));
  for (const { name, section } of spec.structOps) lines.push(`; struct_ops variable ${name} in ${section} has no text`);
  const taken = takenNames(spec);
  for (const data of spec.data) lines.push("", ...dataLines(data, taken));
  let section: string | undefined;
  for (const func of spec.functions) {
    lines.push("");
    if (func.section !== section) lines.push(`.section ${stringText(func.section)}`);
    section = func.section;
    lines.push(...functionLines(func, dialect));
  }
  return `${lines.join("\n")}\n`;
}

function externLine({ name, section, kind, weak }: ExternSpec): string {
  const directive = section === ".ksyms" ? ".ksym" : section === ".kconfig" ? ".kconfig" : ".extern";
  return `${directive} ${symbolText(name)}, ${kind}${weak ? ", weak" : ""}`;
}

function mapLines(map: MapSpec): string[] {
  const { name, type, keySize, valueSize, maxEntries, flags, extra, numaNode, pinning, inner } = map;
  const numbers = {
    key: keySize,
    value: inner === null ? valueSize : 0,
    max_entries: maxEntries,
    flags,
    extra,
    numa_node: numaNode,
  };
  const attributes = Object.entries(numbers)
    .filter(([, value]) => value !== 0 && value !== 0n)
    .map(([attribute, value]) => ` ${attribute}=${attribute === "flags" ? `0x${value.toString(16)}` : value}`);
  const lines: string[] = [];
  const template = `${name}.inner`;
  if (inner !== null) lines.push(...mapLines({ ...inner, name: template }));
  const rest = `${inner === null ? "" : ` inner=${symbolText(template)}`}${pinning === "byName" ? " pinned" : ""}`;
  lines.push(`.map ${symbolText(name)} ${mapTypeWord(type) ?? type}${attributes.join("")}${rest}`);
  if (map.weak) lines.push(`.weak ${symbolText(name)}`);
  if (map.visibility === "hidden") lines.push(`.hidden ${symbolText(name)}`);
  for (const entry of map.initial) lines.push(`.entry ${symbolText(name)}, ${entry.index}, ${symbolText(entry.name)}`);
  return lines;
}

function functionLines(func: FunctionSpec, dialect: AsmDialect): string[] {
  const name = symbolText(func.name);
  const lines = [`${bindingOf(func, ".func")} ${name}`];
  if (func.visibility === "hidden") lines.push(`.hidden ${name}`);
  lines.push(`${name}:`);
  const refs = new Map(func.refs.map((ref) => [ref.insn, ref]));
  if (func.core.length > 0) lines.push(`    ; ${func.core.length} CO-RE relocations have no text`);
  const code = codeLines(func.insns, dialect, { reference: (slot) => referenceOf(refs.get(slot)) });
  for (const line of code) lines.push(`    ${line}`);
  return lines;
}

function bindingOf({ linkage, weak }: Pick<FunctionSpec, "linkage" | "weak">, other: string): string {
  return weak ? ".weak" : linkage === "global" ? ".globl" : other;
}

function referenceOf(ref: Ref | undefined): { readonly name: string; readonly offset: number } | undefined {
  switch (ref?.kind) {
    case "map":
      return { name: ref.map, offset: 0 };
    case "data":
      return { name: ref.section, offset: ref.offset };
    case "call":
    case "func":
      return { name: ref.func, offset: 0 };
    case "kfunc":
    case "extern":
      return { name: ref.extern, offset: 0 };
    default:
      return undefined;
  }
}

/** Bytes that a line of data shows. */
const BYTES_A_LINE = 16;

function dataLines({ section, content, align, variables, refs }: DataSpec, taken: Set<string>): string[] {
  const lines = [`.section ${stringText(section)}`];
  if (align > 1) lines.push(`.balign ${align}`);
  const breaks = new Set<number>([0, content.length]);
  for (const { offset } of variables) breaks.add(offset);
  const addresses = new Map(refs.map((ref) => [ref.offset, ref]));
  for (const { offset, size } of refs) breaks.add(offset).add(offset + size);
  const places = [...breaks].sort((a, b) => a - b);
  places.forEach((from, i) => {
    for (const variable of variables.filter(({ offset }) => offset === from)) {
      // Several local variables may share a name; one of them keeps it.
      if (taken.has(variable.name) || variable.size === 0) continue;
      taken.add(variable.name);
      const name = symbolText(variable.name);
      if (variable.linkage === "global" || variable.weak) lines.push(`${bindingOf(variable, "")} ${name}`);
      if (variable.visibility === "hidden") lines.push(`.hidden ${name}`);
      lines.push(`${name}:`);
    }
    const ref = addresses.get(from);
    if (ref !== undefined) lines.push(`    ${ref.size === 8 ? ".quad" : ".long"} ${addressText(ref)}`);
    else lines.push(...byteLines(content.subarray(from, places[i + 1] ?? from)));
  });
  return lines;
}

/** Names of everything that is no variable. */
function takenNames({ functions, maps, externs }: ObjectSpec): Set<string> {
  return new Set([...functions, ...maps, ...externs].map(({ name }) => name));
}

function addressText(ref: DataRef): string {
  switch (ref.kind) {
    case "data":
      return ref.target === 0 ? symbolText(ref.section) : `${symbolText(ref.section)} + ${ref.target}`;
    case "func":
      return symbolText(ref.func);
    case "map":
      return symbolText(ref.map);
    case "extern":
      return symbolText(ref.extern);
  }
}

function byteLines(bytes: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    let zeros = at;
    while (zeros < bytes.length && bytes[zeros] === 0) zeros++;
    if (zeros - at >= BYTES_A_LINE || zeros === bytes.length) {
      lines.push(`    .zero ${zeros - at}`);
      at = zeros;
      continue;
    }
    lines.push(`    .byte ${[...bytes.subarray(at, at + BYTES_A_LINE)].join(", ")}`);
    at += BYTES_A_LINE;
  }
  return lines;
}
