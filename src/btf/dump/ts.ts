// SPDX-License-Identifier: MIT

import { InputError } from "../../util/errors.js";
import { NETWORK_ORDER } from "../builder.js";
import { type BtfIndex, indexBtf } from "../lazy.js";
import { MAX_NESTING, TextLimit } from "../limits.js";
import { isSignedInt } from "../size.js";
import type { Btf, BtfMember, BtfParam, BtfType } from "../types.js";
import { nameTypes } from "./ts-names.js";

/** What a module of declarations holds. */
export interface TsDumpOptions {
  /** Only these types and what they refer to. */
  readonly roots?: readonly number[];
}

type Aggregate = Extract<BtfType, { kind: "struct" | "union" }>;

const HEAD = `// Types of a kernel or program as TypeScript sees them: what BTF says but for places and sizes of structs, which
// differ from kernel to kernel and are found when a program is loaded (CO-RE). \`btfTypes<Types>(btf)\` of bpfsmith gives them to
// programs. What stands under "~c" is for the compiler only.

/** An integer of so many bytes: a bigint where a number would not hold it. */
export type CInt<Size extends number, Signed extends boolean> = (Size extends 1 | 2 | 4 ? number : bigint) & {
  readonly "~c"?: { readonly int: Size; readonly signed: Signed };
};
/** An integer in network order. Programs read it in the machine's. */
export type CNet<Size extends number> = (Size extends 8 ? bigint : number) & { readonly "~c"?: { readonly net: Size } };
export type CBool = boolean & { readonly "~c"?: { readonly bool: true } };
export type CFloat<Size extends number> = number & { readonly "~c"?: { readonly float: Size } };
/** An enum: its enumerators and their values here, which may differ elsewhere. */
export type CEnum<Size extends number, Values> = (Size extends 8 ? bigint : number) & {
  readonly "~c"?: { readonly enum: Size; readonly values: Values };
};
/** A member that is a bit field of so many bits. */
export type CBits<T, Width extends number> = T & { readonly "~c"?: { readonly bits: Width } };
/** An address; what is there has to be read. */
export interface CPtr<T> {
  readonly "~c": { readonly pointsTo: T };
}
/** An array; 0 elements also stand for as many as there are. */
export interface CArray<T, Length extends number> {
  readonly "~c": { readonly element: T };
  readonly length: Length;
  readonly [index: number]: T;
}
/** A type with a tag of btf_type_tag(), as \`rcu\` and \`user\`. */
export type CTag<T, Tag extends string> = T & { readonly "~c"?: { readonly tag: Tag } };
/** A struct or union that is only known by name. */
export interface COpaque<Name extends string> {
  readonly "~c": { readonly opaque: Name };
}
`;

/**
 * The types as a module of TypeScript declarations, in pieces: an interface for each struct and union (members of
 * anonymous ones stand in the one around them), an alias for each typedef, enum and base type, and \`Types\`, which
 * leads from C's names (\`struct task_struct\`) to them.
 * @throws InputError for types that are nested too deep, or written out would be too long.
 */
export function* dumpTs(btf: Btf, { roots }: TsDumpOptions = {}): Generator<string> {
  const types = indexBtf(btf);
  const wanted = roots === undefined ? undefined : reachable(types, roots);
  const names = nameTypes(types, wanted);
  const writer = new Declarations(types, names);
  yield HEAD;
  for (const id of names.keys()) yield `\n${writer.declare(id)}`;
  yield "\n/** All types by the names that C has for them. */\nexport interface Types {\n";
  const told = new Set<string>();
  for (const [id, name] of names) {
    const key = cName(types.typeById(id));
    // Of several with one name the first one has it.
    if (told.has(key)) continue;
    told.add(key);
    yield `  readonly ${JSON.stringify(key)}: ${name};\n`;
  }
  yield "}\n";
}

/** The name with which C source refers to a type. */
function cName(type: BtfType): string {
  const name = "name" in type ? type.name : "";
  switch (type.kind) {
    case "struct":
    case "union":
      return `${type.kind} ${name}`;
    case "fwd":
      return `${type.isUnion ? "union" : "struct"} ${name}`;
    case "enum":
    case "enum64":
      return `enum ${name}`;
    default:
      return name;
  }
}

/** The types that these refer to, themselves included. */
function reachable(btf: BtfIndex, roots: readonly number[]): Set<number> {
  const found = new Set<number>();
  const todo = [...roots];
  for (let id = todo.pop(); id !== undefined; id = todo.pop()) {
    if (found.has(id)) continue;
    found.add(id);
    const type = btf.typeById(id);
    if ("type" in type) todo.push(type.type);
    if ("members" in type) for (const member of type.members) todo.push(member.type);
    if ("vars" in type) for (const info of type.vars) todo.push(info.type);
    if (type.kind === "funcProto") {
      todo.push(type.returnType);
      for (const param of type.params) todo.push(param.type);
    }
  }
  return found;
}

/** Names that parameters must not have. */
const RESERVED_PARAMS = new Set(
  `arguments await break case catch class const continue debugger default delete do else enum eval export extends
  false finally for function if implements import in instanceof interface let new null package private protected
  public return static super switch this throw true try typeof var void while with yield`.split(/\s+/),
);

class Declarations {
  readonly #btf: BtfIndex;
  readonly #names: ReadonlyMap<number, string>;
  readonly #limit: TextLimit;

  constructor(btf: BtfIndex, names: ReadonlyMap<number, string>) {
    this.#btf = btf;
    this.#names = names;
    this.#limit = new TextLimit(btf.byteLength, "the TypeScript declarations");
  }

  declare(id: number): string {
    this.#limit.begin(id);
    const type = this.#btf.typeById(id);
    const name = this.#counted(this.#names.get(id)!);
    switch (type.kind) {
      case "struct":
      case "union":
        return `export interface ${name} ${this.#body(type)}\n`;
      case "fwd":
        return `export type ${name} = COpaque<${JSON.stringify(type.name)}>;\n`;
      case "enum":
      case "enum64": {
        const suffix = type.kind === "enum" ? "" : "n";
        const values = type.values.map(({ name, value }) => this.#counted(`  ${key(name)}: ${value}${suffix};\n`));
        return `export type ${name} = CEnum<${type.size}, {\n${values.join("")}}>;\n`;
      }
      case "int": {
        const size = Math.max(1, type.size);
        const text = type.encoding === "bool" ? "CBool" : `CInt<${size}, ${isSignedInt(type)}>`;
        return `export type ${name} = ${text};\n`;
      }
      case "float":
        return `export type ${name} = CFloat<${type.size}>;\n`;
      case "typedef": {
        const target = this.#btf.typeById(type.type);
        // An interface of its own, as a named struct has: it may refer to itself.
        if ((target.kind === "struct" || target.kind === "union") && target.name === "") {
          return `export interface ${name} ${this.#body(target)}\n`;
        }
        if (NETWORK_ORDER.test(type.name)) return `export type ${name} = CNet<${Number(type.name.slice(4)) / 8}>;\n`;
        return `export type ${name} = ${this.#type(type.type, "", 0)};\n`;
      }
      default:
        throw new InputError(`BTF type id ${id} (${type.kind}) is no declaration of its own`);
    }
  }

  #counted(text: string): string {
    return this.#limit.add(text);
  }

  #body(type: Aggregate, indent = "", depth = 0): string {
    const members = new Map<string, string>();
    this.#addMembers(members, type, indent, depth);
    return members.size === 0 ? "{}" : `{\n${[...members.values()].join("")}${indent}}`;
  }

  /** Adds the members of a type with those of the anonymous ones in it. */
  #addMembers(members: Map<string, string>, type: Aggregate, indent: string, depth: number): void {
    if (depth > MAX_NESTING) throw new InputError(`BTF: types nested deeper than ${MAX_NESTING}`);
    for (const member of type.members) {
      this.#counted("");
      const inner = member.name === "" ? this.#anonymous(member.type, depth) : undefined;
      if (inner !== undefined) this.#addMembers(members, inner, indent, depth + 1);
      else if (member.name !== "" && !members.has(member.name)) {
        const text = this.#memberType(member, `${indent}  `, depth + 1);
        members.set(member.name, this.#counted(`${indent}  readonly ${key(member.name)}: ${text};\n`));
      }
    }
  }

  /** The struct or union of a member without name. */
  #anonymous(id: number, depth: number): Aggregate | undefined {
    if (depth > MAX_NESTING) throw new InputError(`BTF type id ${id} is nested deeper than ${MAX_NESTING}`);
    const type = this.#btf.typeById(id);
    switch (type.kind) {
      case "struct":
      case "union":
        return type;
      case "const":
      case "volatile":
      case "restrict":
      case "typeTag":
        return this.#anonymous(type.type, depth + 1);
      default:
        return undefined;
    }
  }

  #memberType(member: BtfMember, indent: string, depth: number): string {
    const text = this.#type(member.type, indent, depth);
    return member.bitSize === 0 ? text : `CBits<${text}, ${member.bitSize}>`;
  }

  #type(id: number, indent: string, depth: number): string {
    if (depth > MAX_NESTING) throw new InputError(`BTF type id ${id} is nested deeper than ${MAX_NESTING}`);
    const name = this.#names.get(id);
    this.#counted(name ?? "");
    if (name !== undefined) return name;
    const type = this.#btf.typeById(id);
    switch (type.kind) {
      case "ptr":
        return this.#counted(`CPtr<${this.#type(type.type, indent, depth + 1)}>`);
      case "array":
        return this.#counted(`CArray<${this.#type(type.type, indent, depth + 1)}, ${type.nelems}>`);
      case "const":
      case "volatile":
      case "restrict":
        return this.#type(type.type, indent, depth + 1);
      case "typeTag":
        return this.#counted(`CTag<${this.#type(type.type, indent, depth + 1)}, ${JSON.stringify(type.name)}>`);
      case "struct":
      case "union":
        return this.#counted(this.#body(type, indent, depth + 1));
      case "enum":
        return this.#counted(
          `CEnum<${type.size}, { ${type.values.map((v) => `${key(v.name)}: ${v.value}`).join("; ")} }>`,
        );
      case "enum64":
        return this.#counted(
          `CEnum<${type.size}, { ${type.values.map((v) => `${key(v.name)}: ${v.value}n`).join("; ")} }>`,
        );
      case "funcProto":
        return this.#counted(
          `((${this.#params(type.params, indent, depth + 1)}) => ${this.#type(type.returnType, indent, depth + 1)})`,
        );
      case "void":
        return "void";
      default:
        return "unknown";
    }
  }

  #params(params: readonly BtfParam[], indent: string, depth: number): string {
    const taken = new Set<string>();
    const texts = params.map((param, i) => {
      if (param.type === 0) return i === params.length - 1 && i > 0 ? "...rest: unknown[]" : undefined;
      const plain = RESERVED_PARAMS.has(param.name) ? `${param.name}_` : param.name;
      const name = plain === "" || plain === "rest" || taken.has(plain) || !IDENTIFIER.test(plain) ? `arg${i}` : plain;
      taken.add(name);
      return `${name}: ${this.#type(param.type, indent, depth)}`;
    });
    return texts.filter((text) => text !== undefined).join(", ");
  }
}

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

/** A name as a property's: quoted where it is no identifier. */
const key = (name: string): string => (IDENTIFIER.test(name) ? name : JSON.stringify(name));
