// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import { MAX_NESTING } from "../dump/measure.js";
import type { BtfIndex } from "../lazy.js";
import type { BtfType } from "../types.js";

/**
 * A type's name as pahole writes it before a member's: `struct task_struct *`, `const struct cred  *`.
 * @throws InputError for nesting beyond reason.
 */
export function typeName(btf: BtfIndex, id: number, depth = 0): string {
  if (depth > MAX_NESTING) throw new InputError(`BTF type id ${id} is nested deeper than ${MAX_NESTING}`);
  const type = btf.typeById(id);
  switch (type.kind) {
    case "void":
      return "void";
    case "ptr":
      return pointerName(btf, type.type, depth + 1);
    case "volatile":
    case "const":
      return `${type.kind} ${typeName(btf, type.type, depth + 1)} `;
    case "restrict":
      return `${typeName(btf, type.type, depth + 1)} restrict `;
    case "typeTag":
    case "array":
      return typeName(btf, type.type, depth + 1);
    case "funcProto":
      return prototypeText(btf, id, { name: "", isPointer: false, columns: 0 }, depth + 1);
    case "struct":
    case "union":
      return `${type.kind} ${type.name}`;
    case "fwd":
      return `${type.isUnion ? "union" : "struct"} ${type.name}`;
    case "enum":
    case "enum64":
      return `enum ${type.name}`;
    default:
      return type.name;
  }
}

function pointerName(btf: BtfIndex, target: number, depth: number): string {
  const type = btf.typeById(target);
  if (type.kind === "const" && btf.kindById(type.type) === "ptr") return `${typeName(btf, type.type, depth)} const *`;
  return `${typeName(btf, target, depth)} *`;
}

/** How the declaration of a function, or of a pointer to one, is written. */
interface PrototypeText {
  readonly name: string;
  readonly isPointer: boolean;
  /** Columns for the type that is returned. */
  readonly columns: number;
}

/**
 * A function's prototype: `int  (*name)(struct file *, ...)`.
 * @throws InputError for nesting beyond reason, or when the type is no prototype.
 */
export function prototypeText(
  btf: BtfIndex,
  id: number,
  { name, isPointer, columns }: PrototypeText,
  depth = 0,
): string {
  const type = btf.typeById(id);
  if (type.kind !== "funcProto") throw new InputError(`BTF type id ${id} is no function prototype but ${type.kind}`);
  const returned = typeName(btf, type.returnType, depth + 1).padEnd(Math.abs(columns));
  const params = type.params.filter((param) => param.type !== 0).map((param) => paramText(btf, param, depth + 1));
  const list =
    params.length === 0 ? "void" : params.length < type.params.length ? `${params.join(", ")}, ...` : params.join(", ");
  return `${returned} (${isPointer ? "*" : ""}${name})(${list})`;
}

function paramText(btf: BtfIndex, param: { readonly name: string; readonly type: number }, depth: number): string {
  const type = btf.typeById(param.type);
  const target = type.kind === "ptr" ? type.type : param.type;
  if (btf.kindById(target) === "funcProto") {
    return prototypeText(btf, target, { name: param.name, isPointer: type.kind === "ptr", columns: 0 }, depth);
  }
  const text = typeName(btf, param.type, depth);
  return param.name === "" ? text : `${text} ${param.name}`;
}

/** An enum without a name, written out. */
export function enumText(type: Extract<BtfType, { kind: "enum" | "enum64" }>, indent: number): string {
  if (type.values.length === 0) return "enum";
  const tabs = "\t".repeat(indent);
  const width = Math.max(...type.values.map(({ name }) => name.length));
  const values = type.values.map(({ name, value }) => {
    // pahole does not know of signs here.
    const unsigned = typeof value === "bigint" ? BigInt.asUintN(64, value) : value >>> 0;
    return `${tabs}\t${name.padEnd(width)} = ${unsigned},\n`;
  });
  const packed = type.size === 4 ? "" : " __attribute__((__packed__))";
  return `enum {\n${values.join("")}${tabs}}${packed}`;
}
