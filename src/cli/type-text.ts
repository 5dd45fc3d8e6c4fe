// SPDX-License-Identifier: MIT
import type { Btf, BtfType } from "../btf/types.js";

/** Deeper than this no type is written out. */
const MAX_DEPTH = 16;
/** Nor are more types than this in one text: parameters that are functions of functions soon come to millions. */
const MAX_TYPES = 1000;

/** A type in C's words, short: `unsigned int`, `struct event *`, `char[16]`. */
export function typeText(btf: Btf | null, id: number): string {
  return textOf(btf, id, 0, { types: MAX_TYPES });
}

function textOf(btf: Btf | null, id: number, depth: number, left: { types: number }): string {
  const type = btf?.types[id];
  if (type === undefined || depth > MAX_DEPTH || --left.types < 0) return "?";
  const inner = (of: number): string => textOf(btf, of, depth + 1, left);
  switch (type.kind) {
    case "void":
      return "void";
    case "ptr":
      return `${inner(type.type)} *`.replace(/\* \*$/, "**");
    case "array":
      return `${inner(type.type)}[${type.nelems}]`;
    case "const":
    case "volatile":
    case "restrict":
      return `${type.kind} ${inner(type.type)}`;
    case "typeTag":
    case "var":
      return inner(type.type);
    case "funcProto": {
      const params: string[] = [];
      for (const param of type.params) {
        params.push(left.types > 0 ? inner(param.type) : "…");
        if (left.types <= 0) break;
      }
      return `${inner(type.returnType)} (${params.length === 0 ? "void" : params.join(", ")})`;
    }
    default:
      return named(type, inner);
  }
}

function named(type: BtfType, inner: (id: number) => string): string {
  switch (type.kind) {
    case "struct":
    case "union":
    case "enum":
      return `${type.kind} ${type.name === "" ? "{…}" : type.name}`;
    case "enum64":
      return `enum ${type.name === "" ? "{…}" : type.name}`;
    case "fwd":
      return `${type.isUnion ? "union" : "struct"} ${type.name}`;
    case "func":
      return inner(type.type);
    default:
      return "name" in type ? type.name : "?";
  }
}
