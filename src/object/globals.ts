// SPDX-License-Identifier: MIT
import { findMember, resolveId, resolveType, sizeOf } from "../btf/size.js";
import type { Btf, BtfType } from "../btf/types.js";
import type { DataSpec, DataVariable, ObjectSpec } from "../model/spec.js";
import { encodeUtf8 } from "../util/bytes.js";
import { InputError } from "../util/errors.js";

/** A place in a section of global data. */
interface Place {
  readonly section: DataSpec;
  /** Bytes from the section's start. */
  readonly offset: number;
  /** Id in the object's BTF, 0 when untyped. */
  readonly type: number;
  readonly size: number;
}

/** One step into a value: a member's name or an element's index. */
const STEP = /\.([A-Za-z_]\w*)|\[(\d+)\]/y;

/**
 * The object with a global variable's initial value replaced, as `NAME=VALUE` says. The name may go into structs and
 * arrays (`config.ports[2]`); the value is a number (decimal or 0x…), `true` or `false`, an enumerator's name, or the
 * text of a char array.
 * @throws InputError when there is no such variable, or the value does not fit it
 */
export function setGlobal(spec: ObjectSpec, assignment: string): ObjectSpec {
  const equals = assignment.indexOf("=");
  if (equals <= 0) throw new InputError(`${assignment}: expected NAME=VALUE`);
  const path = assignment.slice(0, equals).trim();
  const text = assignment.slice(equals + 1).trim();
  const place = findPlace(spec, path);
  const content = place.section.content.slice();
  content.set(encodeValue(spec.btf, place, text, path), place.offset);
  const data = spec.data.map((section) => (section === place.section ? { ...section, content } : section));
  return { ...spec, data };
}

function findVariable(spec: ObjectSpec, name: string): { section: DataSpec; variable: DataVariable } {
  for (const section of spec.data) {
    const variable = section.variables.find((one) => one.name === name);
    if (variable !== undefined) return { section, variable };
  }
  const names = spec.data.flatMap(({ variables }) => variables.map((one) => one.name)).filter((one) => one !== "");
  const known = names.length === 0 ? "the object has none" : `the object has ${names.slice(0, 20).join(", ")}`;
  throw new InputError(`no global variable ${name}; ${known}`);
}

function findPlace(spec: ObjectSpec, path: string): Place {
  const name = /^[A-Za-z_][\w$]*/.exec(path)?.[0] ?? path;
  const { section, variable } = findVariable(spec, name);
  const declared = spec.btf?.types[variable.btfVarId];
  let type = declared?.kind === "var" ? declared.type : 0;
  let offset = variable.offset;
  let size = variable.size;
  STEP.lastIndex = name.length;
  while (STEP.lastIndex < path.length) {
    const from = STEP.lastIndex;
    const step = STEP.exec(path);
    if (step === null) throw new InputError(`${path}: expected .member or [index] at character ${from + 1}`);
    if (spec.btf === null || type === 0) throw new InputError(`${path}: the type of ${name} is not known`);
    const inner = step[1] === undefined ? element(spec.btf, type, Number(step[2]), path) : null;
    const into = inner ?? member(spec.btf, type, step[1]!, path);
    type = into.type;
    offset += into.offset;
    size = sizeOf(spec.btf, type);
  }
  if (offset + size > section.content.length) throw new InputError(`${path} lies beyond section ${section.section}`);
  return { section, offset, type, size };
}

function member(btf: Btf, type: number, name: string, path: string): { type: number; offset: number } {
  const found = findMember(btf, resolveId(btf, type), name);
  if (found === undefined) throw new InputError(`${path}: there is no member ${name}`);
  if (found.member.bitSize !== 0) throw new InputError(`${path}: ${name} is a bit field`);
  return { type: found.member.type, offset: found.bitOffset / 8 };
}

function element(btf: Btf, type: number, index: number, path: string): { type: number; offset: number } {
  const array = resolveType(btf, type);
  if (array.kind !== "array") throw new InputError(`${path}: what is indexed is no array`);
  if (index >= array.nelems) throw new InputError(`${path}: the array has ${array.nelems} elements`);
  return { type: array.type, offset: index * sizeOf(btf, array.type) };
}

function encodeValue(btf: Btf | null, { type, size }: Place, text: string, path: string): Uint8Array {
  const resolved = btf === null || type === 0 ? null : resolveType(btf, type);
  if (btf !== null && resolved?.kind === "array") return encodeText(btf, resolved, size, text, path);
  if (resolved?.kind === "struct" || resolved?.kind === "union") {
    throw new InputError(`${path} is a ${resolved.kind}: name one of its members`);
  }
  const value = parseNumber(resolved, text);
  if (value === null) throw new InputError(`${path}: ${text} is no value for it${expected(resolved)}`);
  const bits = BigInt(size * 8);
  if (value >= 1n << bits || value < -(1n << (bits - 1n))) {
    throw new InputError(`${path}: ${text} does not fit into ${size} bytes`);
  }
  return Uint8Array.from({ length: size }, (_, i) => Number(BigInt.asUintN(8, value >> BigInt(8 * i))));
}

function encodeText(btf: Btf, array: BtfType & { kind: "array" }, size: number, text: string, path: string) {
  if (sizeOf(btf, array.type) !== 1) throw new InputError(`${path} is an array: name one of its elements`);
  const bytes = encodeUtf8(text.replace(/^"(.*)"$/s, "$1"));
  if (bytes.length >= size) throw new InputError(`${path}: ${bytes.length} bytes and a NUL do not fit into ${size}`);
  const padded = new Uint8Array(size);
  padded.set(bytes);
  return padded;
}

function parseNumber(type: BtfType | null, text: string): bigint | null {
  if (/^-?(\d+|0[xX][0-9a-fA-F]+)$/.test(text)) {
    return text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text);
  }
  if (type?.kind === "enum" || type?.kind === "enum64") {
    const found = type.values.find(({ name }) => name === text);
    return found === undefined ? null : BigInt(found.value);
  }
  return text === "true" ? 1n : text === "false" ? 0n : null;
}

function expected(type: BtfType | null): string {
  if (type?.kind !== "enum" && type?.kind !== "enum64") return ": expected a number, true or false";
  return `: expected a number or one of ${type.values
    .slice(0, 10)
    .map(({ name }) => name)
    .join(", ")}`;
}
