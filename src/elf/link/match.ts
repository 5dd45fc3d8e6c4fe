// SPDX-License-Identifier: MIT
import { resolveType, typeById } from "../../btf/size.js";
import type { Btf, BtfType } from "../../btf/types.js";
import type { MapSpec } from "../../model/spec.js";
import { InputError } from "../../util/errors.js";
import { readMapDef } from "../map-def.js";

/** A type in the BTF of an object. */
export interface TypeAt {
  readonly btf: Btf;
  readonly id: number;
}

/** Pairs of types that may be compared for one symbol; only malicious types need more. */
const MAX_PAIRS = 1 << 16;

/** BTF_KIND_* that have names which must be the same. */
type Named = Extract<BtfType, { name: string }>;
const SAME_NAMES: ReadonlySet<BtfType["kind"]> = new Set<BtfType["kind"]>([
  "struct",
  "union",
  "enum",
  "enum64",
  "fwd",
  "func",
  "var",
]);

/**
 * Checks that two objects mean the same by a global name: variables or functions of types that agree, where what
 * is behind pointers needs only the same names (libbpf: glob_sym_btf_matches()).
 * @throws InputError saying in what they differ.
 */
export function checkTypesMatch(name: string, a: TypeAt, b: TypeAt): void {
  const fail = (what: string): never => {
    throw new InputError(`global ${name}: ${what}`);
  };
  const todo: { a: number; b: number; exact: boolean }[] = [{ a: a.id, b: b.id, exact: true }];
  const seen = new Set<string>();
  for (let pair = todo.pop(); pair !== undefined; pair = todo.pop()) {
    const key = `${pair.a} ${pair.b} ${pair.exact}`;
    if (seen.has(key)) continue;
    seen.add(key);
    if (seen.size > MAX_PAIRS) fail("its type is too large to be compared");
    const x = resolveType(a.btf, pair.a);
    const y = resolveType(b.btf, pair.b);
    const { exact } = pair;
    if (!exact && (x.kind === "fwd") !== (y.kind === "fwd")) checkDeclaration(x, y, fail);
    else for (const next of checkPair(x, y, exact, fail).reverse()) todo.push(next);
  }
}

/** Checks a forward declaration against what it is to declare. */
function checkDeclaration(x: BtfType, y: BtfType, fail: (what: string) => never): void {
  const [fwd, other] = x.kind === "fwd" ? [x, y] : [y, x];
  const nameOf = (type: BtfType) => ("name" in type ? type.name : "");
  if (nameOf(fwd) !== nameOf(other)) fail(`declared ${nameOf(fwd)}, but is ${nameOf(other)}`);
  const declared = fwd.kind === "fwd" && fwd.isUnion ? "union" : "struct";
  if (other.kind !== declared) fail(`${nameOf(fwd)} is declared as ${declared}, but is ${other.kind}`);
}

/** Checks two types and gives the pairs that must match too. */
function checkPair(
  x: BtfType,
  y: BtfType,
  exact: boolean,
  fail: (what: string) => never,
): { a: number; b: number; exact: boolean }[] {
  if (x.kind !== y.kind) fail(`incompatible BTF kinds ${x.kind} and ${y.kind}`);
  if (SAME_NAMES.has(x.kind) && (x as Named).name !== (y as Named).name) {
    fail(`incompatible ${x.kind} names ${(x as Named).name} and ${(y as Named).name}`);
  }
  switch (x.kind) {
    case "void":
    case "fwd":
      return [];
    case "int":
    case "float":
    case "enum":
    case "enum64":
      if (y.kind === x.kind && x.size !== y.size)
        fail(`incompatible ${x.kind} ${x.name} sizes ${x.size} and ${y.size}`);
      return [];
    case "ptr":
      return y.kind === "ptr" ? [{ a: x.type, b: y.type, exact: false }] : [];
    case "array":
      return y.kind === "array" ? [{ a: x.type, b: y.type, exact }] : [];
    case "func":
    case "var":
      if (y.kind !== x.kind) return [];
      if ((x.linkage === "static") !== (y.linkage === "static")) fail(`incompatible ${x.kind} linkage`);
      return [{ a: x.type, b: y.type, exact }];
    case "struct":
    case "union":
      if (!exact || y.kind !== x.kind) return [];
      if (x.members.length !== y.members.length) {
        fail(`incompatible number of ${x.kind} fields ${x.members.length} and ${y.members.length}`);
      }
      return x.members.map((member, i) => {
        const other = y.members[i]!;
        if (member.name !== other.name) fail(`incompatible field #${i} names ${member.name} and ${other.name}`);
        if (member.bitOffset !== other.bitOffset || member.bitSize !== other.bitSize) {
          fail(`incompatible field #${i} (${member.name}) offsets`);
        }
        return { a: member.type, b: other.type, exact };
      });
    case "funcProto":
      if (y.kind !== "funcProto") return [];
      if (x.params.length !== y.params.length) {
        fail(`incompatible number of parameters ${x.params.length} and ${y.params.length}`);
      }
      return [
        ...x.params.map((param, i) => ({ a: param.type, b: y.params[i]!.type, exact })),
        { a: x.returnType, b: y.returnType, exact },
      ];
    default:
      return fail(`unsupported BTF kind ${x.kind}`);
  }
}

/**
 * Checks that two objects define the same map (libbpf: glob_map_defs_match()).
 * @throws InputError saying in what they differ.
 */
export function checkMapsMatch(name: string, a: TypeAt, b: TypeAt): void {
  for (const { btf, id } of [a, b]) {
    if (typeById(btf, id).kind !== "var") throw new InputError(`map ${name}: its definition is no variable`);
  }
  checkDefs(name, a.btf, readMapDef(a.btf, a.id), b.btf, readMapDef(b.btf, b.id));
}

function checkDefs(name: string, btfA: Btf, a: MapSpec, btfB: Btf, b: MapSpec): void {
  const mismatch = (what: string): never => {
    throw new InputError(`global ${name}: map ${what} mismatch`);
  };
  const checkType = (what: string, idA: number, idB: number): void => {
    if ((idA === 0) !== (idB === 0)) mismatch(what);
    if (idA !== 0) checkTypesMatch(`${name} (${what})`, { btf: btfA, id: idA }, { btf: btfB, id: idB });
  };
  if (a.type !== b.type) mismatch("type");
  if (a.keySize !== b.keySize) mismatch("key_size");
  checkType("key type", a.keyTypeId, b.keyTypeId);
  if (a.valueSize !== b.valueSize) mismatch("value_size");
  checkType("value type", a.valueTypeId, b.valueTypeId);
  if (a.maxEntries !== b.maxEntries) mismatch("max_entries");
  if (a.flags !== b.flags) mismatch("map_flags");
  if (a.numaNode !== b.numaNode) mismatch("numa_node");
  if (a.pinning !== b.pinning) mismatch("pinning");
  if ((a.inner === null) !== (b.inner === null)) mismatch("inner map");
  if (a.inner !== null && b.inner !== null) checkDefs(`${name}.inner`, btfA, a.inner, btfB, b.inner);
}
