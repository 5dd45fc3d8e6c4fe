// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import type { BtfIndex } from "../lazy.js";
import { MAX_NESTING, type TextLimit } from "../limits.js";
import type { BtfType } from "../types.js";

/** How the declaration of a function, or of a pointer to one, is written. */
interface PrototypeText {
  readonly name: string;
  readonly isPointer: boolean;
  /** Columns for the type that is returned. */
  readonly columns: number;
}

/** Names of types as pahole writes them before a member's: `struct task_struct *`, `const struct cred  *`. */
export class TypeNames {
  readonly #btf: BtfIndex;
  readonly #limit: TextLimit;

  /** @param limit counts the names too. */
  constructor(btf: BtfIndex, limit: TextLimit) {
    this.#btf = btf;
    this.#limit = limit;
  }

  /** @throws InputError for nesting or length beyond reason. */
  of(id: number, depth = 0): string {
    if (depth > MAX_NESTING) throw new InputError(`BTF type id ${id} is nested deeper than ${MAX_NESTING}`);
    // A function's prototype names other types, so names may double with every level.
    return this.#limit.add(this.#name(id, depth + 1));
  }

  #name(id: number, depth: number): string {
    const type = this.#btf.typeById(id);
    switch (type.kind) {
      case "void":
        return "void";
      case "ptr":
        return this.#pointer(type.type, depth);
      case "volatile":
      case "const":
        return `${type.kind} ${this.of(type.type, depth)} `;
      case "restrict":
        return `${this.of(type.type, depth)} restrict `;
      case "typeTag":
      case "array":
        return this.of(type.type, depth);
      case "funcProto":
        return this.prototype(id, { name: "", isPointer: false, columns: 0 }, depth);
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

  #pointer(target: number, depth: number): string {
    const type = this.#btf.typeById(target);
    if (type.kind === "const" && this.#btf.kindById(type.type) === "ptr") return `${this.of(type.type, depth)} const *`;
    return `${this.of(target, depth)} *`;
  }

  /**
   * A function's prototype: `int  (*name)(struct file *, ...)`.
   * @throws InputError for nesting or length beyond reason, or when the type is no prototype.
   */
  prototype(id: number, { name, isPointer, columns }: PrototypeText, depth = 0): string {
    const type = this.#btf.typeById(id);
    if (type.kind !== "funcProto") throw new InputError(`BTF type id ${id} is no function prototype but ${type.kind}`);
    const returned = this.of(type.returnType, depth + 1).padEnd(Math.abs(columns));
    const params = type.params.filter((param) => param.type !== 0).map((param) => this.#param(param, depth + 1));
    const rest = params.length < type.params.length ? ", ..." : "";
    const list = params.length === 0 ? "void" : `${params.join(", ")}${rest}`;
    return `${returned} (${isPointer ? "*" : ""}${name})(${list})`;
  }

  #param(param: { readonly name: string; readonly type: number }, depth: number): string {
    if (depth > MAX_NESTING) throw new InputError(`BTF type id ${param.type} is nested deeper than ${MAX_NESTING}`);
    const type = this.#btf.typeById(param.type);
    const target = type.kind === "ptr" ? type.type : param.type;
    if (this.#btf.kindById(target) === "funcProto") {
      const text = { name: param.name, isPointer: type.kind === "ptr", columns: 0 };
      return this.#limit.add(this.prototype(target, text, depth));
    }
    const text = this.of(param.type, depth);
    return param.name === "" ? text : this.#limit.add(`${text} ${param.name}`);
  }
}

/** An enum without a name, written out. */
export function enumText(type: Extract<BtfType, { kind: "enum" | "enum64" }>, indent: number): string {
  if (type.values.length === 0) return "enum";
  const tabs = "\t".repeat(indent);
  const width = type.values.reduce((most, { name }) => Math.max(most, name.length), 0);
  const values = type.values.map(({ name, value }) => {
    // pahole does not know of signs here.
    const unsigned = typeof value === "bigint" ? BigInt.asUintN(64, value) : value >>> 0;
    return `${tabs}\t${name.padEnd(width)} = ${unsigned},\n`;
  });
  const packed = type.size === 4 ? "" : " __attribute__((__packed__))";
  return `enum {\n${values.join("")}${tabs}}${packed}`;
}
