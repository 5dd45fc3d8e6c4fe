// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import type { BtfIndex } from "../lazy.js";
import { MAX_NESTING, StepLimit, TextLimit } from "../limits.js";
import type { BtfType } from "../types.js";
import { CNames } from "./c-names.js";
import { padding } from "./c-pad.js";
import { Measure } from "./measure.js";

type Aggregate = Extract<BtfType, { kind: "struct" | "union" }>;
type Enumeration = Extract<BtfType, { kind: "enum" | "enum64" }>;
type Prototype = Extract<BtfType, { kind: "funcProto" }>;

const NOT_EMITTED = 0;
const EMITTING = 1;
const EMITTED = 2;

/** Base types that gcc names and other compilers lack. */
const MISSING_BASE_TYPES: { readonly [name: string]: string | undefined } = {
  __Poly8_t: "unsigned char",
  __Poly16_t: "unsigned short",
  __Poly64_t: "unsigned long long",
  __Poly128_t: "unsigned __int128",
};

/** Deepest indentation that libbpf writes. */
const MAX_TABS = 13;
const tabs = (level: number): string => "\t".repeat(Math.min(level, MAX_TABS));

/** Writes definitions in C, with the forward declarations that they need; texts as libbpf's btf_dump has them. */
export class CEmitter {
  readonly #btf: BtfIndex;
  readonly #measure: Measure;
  readonly #names = new CNames();
  readonly #state: Uint8Array;
  readonly #forwarded: Uint8Array;
  readonly #limit: TextLimit;
  readonly #visits: StepLimit;
  #text = "";

  constructor(btf: BtfIndex) {
    this.#btf = btf;
    this.#measure = new Measure(btf);
    this.#state = new Uint8Array(btf.types.length);
    this.#state[0] = EMITTED;
    this.#forwarded = new Uint8Array(btf.types.length);
    this.#limit = new TextLimit(btf.byteLength, "the C header");
    this.#visits = new StepLimit(btf.types.length, "writing definitions");
  }

  /**
   * The definition of a type, with what must stand before it; empty when it was given before.
   * @throws InputError for types that are nested too deep, or written out would be too long.
   */
  definition(id: number): string {
    this.#limit.begin(id);
    this.#emit(id, 0, 0);
    return this.#taken();
  }

  /**
   * A declaration: `int *name[3]`.
   * @throws InputError for types that are nested too deep, or written out would be too long.
   */
  declaration(id: number, name: string): string {
    this.#limit.begin(id);
    this.#declare(id, name, 0);
    return this.#taken();
  }

  #taken(): string {
    const text = this.#text;
    this.#text = "";
    return text;
  }

  #write(text: string): void {
    this.#text += this.#limit.add(text);
  }

  /** Emits a type, or what has to stand before `container`, which refers to it. */
  #emit(id: number, container: number, depth: number): void {
    if (this.#state[id] === EMITTED) return;
    if (depth > MAX_NESTING) throw new InputError(`BTF type id ${id} is nested deeper than ${MAX_NESTING}`);
    this.#visits.step();
    const type = this.#btf.typeById(id);
    if (this.#state[id] === EMITTING) {
      this.#emitInside(id, type, container);
      return;
    }
    switch (type.kind) {
      case "int": {
        // Asked even where no alias is missing: it takes the name.
        const name = this.#names.tag(id, type);
        const alias = MISSING_BASE_TYPES[name];
        if (alias !== undefined && Object.hasOwn(MISSING_BASE_TYPES, name))
          this.#write(`typedef ${alias} ${name};\n\n`);
        this.#state[id] = EMITTED;
        return;
      }
      case "enum":
      case "enum64":
        if (container === 0) {
          this.#enumeration(id, type, 0);
          this.#write(";\n\n");
        }
        this.#state[id] = EMITTED;
        return;
      case "ptr":
      case "volatile":
      case "const":
      case "restrict":
      case "typeTag":
      case "array":
        this.#emit(type.type, container, depth + 1);
        return;
      case "fwd":
        this.#write(`${type.isUnion ? "union" : "struct"} ${this.#names.tag(id, type)};\n\n`);
        this.#state[id] = EMITTED;
        return;
      case "typedef":
        this.#state[id] = EMITTING;
        this.#emit(type.type, id, depth + 1);
        if (this.#forwarded[id] === 0) this.#typedef(id, type);
        this.#state[id] = EMITTED;
        return;
      case "struct":
      case "union":
        this.#emitAggregate(id, type, container, depth);
        return;
      case "funcProto":
        this.#visits.step(type.params.length);
        this.#emit(type.returnType, container, depth + 1);
        for (const param of type.params) this.#emit(param.type, container, depth + 1);
    }
  }

  /** A reference to a type from inside of its own definition: a forward declaration must do. */
  #emitInside(id: number, type: BtfType, container: number): void {
    if (this.#forwarded[id] !== 0) return;
    switch (type.kind) {
      case "struct":
      case "union":
        if (id === container || type.name === "") return;
        this.#write(`${this.#aggregateHead(id, type)};\n\n`);
        this.#forwarded[id] = 1;
        return;
      case "typedef":
        // The definition itself is forward declaration enough for pointers.
        this.#typedef(id, type);
        this.#forwarded[id] = 1;
    }
  }

  #emitAggregate(id: number, type: Aggregate, container: number, depth: number): void {
    this.#state[id] = EMITTING;
    if (container === 0 || type.name === "") {
      const inside = type.name === "" ? container : id;
      this.#visits.step(type.members.length);
      for (const member of type.members) this.#emit(member.type, inside, depth + 1);
    } else if (this.#forwarded[id] === 0 && id !== container) {
      this.#write(`${this.#aggregateHead(id, type)};\n\n`);
      this.#forwarded[id] = 1;
    }
    if (container !== 0) {
      this.#state[id] = NOT_EMITTED;
      return;
    }
    this.#aggregate(id, type, 0, depth);
    this.#write(";\n\n");
    this.#state[id] = EMITTED;
  }

  #typedef(id: number, type: Extract<BtfType, { kind: "typedef" }>): void {
    // A compiler's own.
    if (type.name === "__builtin_va_list") return;
    const name = this.#names.typedef(id, type);
    if (type.type === 0 && name === "__gnuc_va_list") {
      // Old versions of gcc say void for it.
      this.#write("typedef __builtin_va_list __gnuc_va_list;\n\n");
      return;
    }
    this.#write("typedef ");
    this.#declare(type.type, name, 0);
    this.#write(";\n\n");
  }

  #aggregateHead(id: number, type: Aggregate): string {
    return type.name === "" ? type.kind : `${type.kind} ${this.#names.tag(id, type)}`;
  }

  #aggregate(id: number, type: Aggregate, level: number, depth: number): void {
    const isStruct = type.kind === "struct";
    const align = this.#measure.alignOf(id);
    const packed = isStruct && this.#measure.isPacked(type);
    const indent = tabs(level + 1);
    this.#write(`${this.#aggregateHead(id, type)} {`);
    let end = 0;
    let afterBitField = false;
    const pad = (to: number, align: number, inBitField: boolean) => {
      if (end >= to) return;
      for (const line of padding({ from: end, to, align, inBitField }, this.#measure.pointerSize)) {
        this.#write(`\n${indent}${line}`);
      }
    };
    for (const member of type.members) {
      const isBitField = member.bitSize !== 0;
      pad(member.bitOffset, packed ? 1 : this.#measure.alignOf(member.type), afterBitField && isBitField);
      this.#write(`\n${indent}`);
      this.#declare(member.type, member.name, level + 1, depth + 1);
      this.#write(isBitField ? `: ${member.bitSize};` : ";");
      end = member.bitOffset + (isBitField ? member.bitSize : (this.#measure.sizeOf(member.type) ?? 0) * 8);
      afterBitField = isBitField;
    }
    if (isStruct) pad(type.size * 8, align, false);
    // An empty one stays on its line.
    this.#write(type.members.length > 0 || type.size > 0 ? `\n${tabs(level)}}` : "}");
    if (packed) this.#write(" __attribute__((packed))");
  }

  #enumeration(id: number, type: Enumeration, level: number): void {
    this.#write(type.name === "" ? "enum" : `enum ${this.#names.tag(id, type)}`);
    if (type.values.length === 0) return;
    const suffix = type.kind === "enum" ? "" : type.signed ? "LL" : "ULL";
    this.#write(" {");
    for (const { name, value } of type.values) {
      this.#write(`\n${tabs(level + 1)}${this.#names.enumerator(name)} = ${value}${suffix},`);
    }
    this.#write(`\n${tabs(level)}}`);
    if (type.size === 1) this.#write(" __attribute__((mode(byte)))");
    else if (type.size === 8 && this.#measure.pointerSize === 8 && !isWide(type)) {
      this.#write(" __attribute__((mode(word)))");
    }
  }

  /**
   * A declaration of `name`. C writes them inside out, so the types from the outermost to the one that ends the
   * chain are stacked up first and then taken from the top.
   */
  #declare(id: number, name: string, level: number, depth = 0): void {
    if (depth > MAX_NESTING) throw new InputError(`BTF type id ${id} is nested deeper than ${MAX_NESTING}`);
    const chain: number[] = [];
    for (let at = id; ; ) {
      if (chain.length > MAX_NESTING) throw new InputError(`BTF type id ${id}: chain longer than ${MAX_NESTING}`);
      chain.push(at);
      const type = this.#btf.typeById(at);
      if (type.kind === "funcProto") at = type.returnType;
      else if (isLink(type)) at = type.type;
      else break;
    }
    this.#visits.step(chain.length);
    this.#chain(chain, name, level, depth);
  }

  /** Takes the types of a declaration from the top of the stack. */
  #chain(chain: number[], name: string, level: number, depth: number): void {
    // Whether an asterisk stands last, after which a name follows without space. A chain of its own, in
    // parentheses, begins like that.
    let afterPtr = true;
    for (let id = chain.pop(); id !== undefined; id = chain.pop()) {
      const type = this.#btf.typeById(id);
      switch (type.kind) {
        case "void":
          this.#write(`${this.#modifiers(chain)}void`);
          break;
        case "int":
        case "float":
          this.#write(`${this.#modifiers(chain)}${type.name}`);
          break;
        case "struct":
        case "union":
          this.#write(this.#modifiers(chain));
          if (type.name === "") this.#aggregate(id, type, level, depth + 1);
          else this.#write(this.#aggregateHead(id, type));
          break;
        case "enum":
        case "enum64":
          this.#write(this.#modifiers(chain));
          if (type.name === "") this.#enumeration(id, type, level);
          else this.#write(`enum ${this.#names.tag(id, type)}`);
          break;
        case "fwd":
          this.#write(`${this.#modifiers(chain)}${type.isUnion ? "union" : "struct"} ${type.name}`);
          break;
        case "typedef":
          this.#write(`${this.#modifiers(chain)}${this.#names.typedef(id, type)}`);
          break;
        case "ptr":
          this.#write(afterPtr ? "*" : " *");
          break;
        case "volatile":
        case "const":
        case "restrict":
          this.#write(` ${type.kind}`);
          break;
        case "typeTag": {
          const attribute = type.kindFlag ? type.name : `btf_type_tag("${type.name}")`;
          this.#write(`${this.#modifiers(chain)} __attribute__((${attribute}))`);
          break;
        }
        case "array":
          this.#array(type.nelems, chain, name, level, depth, afterPtr);
          return;
        case "funcProto":
          this.#prototype(type, chain, name, level, depth, afterPtr);
          return;
        default:
          // No declaration leads here; libbpf writes nothing either.
          return;
      }
      afterPtr = type.kind === "ptr";
    }
    this.#name(name, afterPtr);
  }

  #name(name: string, afterPtr: boolean): void {
    this.#write(name !== "" && !afterPtr ? ` ${name}` : name);
  }

  /** Takes const, volatile and restrict from the stack: before other types than pointers they stand in front. */
  #modifiers(chain: number[]): string {
    let text = "";
    for (;;) {
      const kind = this.#topKind(chain);
      if (kind !== "const" && kind !== "volatile" && kind !== "restrict") return text;
      text += `${kind} `;
      chain.pop();
    }
  }

  /** gcc gives arrays and noreturn functions modifiers that mean nothing there. */
  #dropModifiers(chain: number[]): void {
    for (;;) {
      const kind = this.#topKind(chain);
      if (kind !== "const" && kind !== "volatile" && kind !== "restrict" && kind !== "typeTag") return;
      chain.pop();
    }
  }

  #topKind(chain: readonly number[]): BtfType["kind"] | undefined {
    const top = chain[chain.length - 1];
    return top === undefined ? undefined : this.#btf.kindById(top);
  }

  #array(count: number, chain: number[], name: string, level: number, depth: number, afterPtr: boolean): void {
    this.#dropModifiers(chain);
    if (chain.length === 0) {
      this.#name(name, afterPtr);
    } else {
      const isNested = this.#topKind(chain) === "array";
      if (name !== "" && !afterPtr) this.#write(" ");
      if (!isNested) this.#write("(");
      this.#chain(chain, name, level, depth);
      if (!isNested) this.#write(")");
    }
    this.#write(`[${count}]`);
  }

  #prototype(
    { params }: Prototype,
    chain: number[],
    name: string,
    level: number,
    depth: number,
    afterPtr: boolean,
  ): void {
    this.#dropModifiers(chain);
    if (chain.length > 0) {
      this.#write(" (");
      this.#chain(chain, name, level, depth);
      this.#write(")");
    } else {
      this.#name(name, afterPtr);
    }
    this.#write("(");
    const isEmpty = params.length === 0 || (params.length === 1 && params[0]!.type === 0);
    if (isEmpty) this.#write("void");
    else {
      params.forEach((param, i) => {
        if (i > 0) this.#write(", ");
        if (i === params.length - 1 && param.type === 0) this.#write("...");
        else this.#declare(param.type, param.name, level, depth + 1);
      });
    }
    this.#write(")");
  }
}

/** Whether a type of a declaration's chain leads on to another. */
function isLink(type: BtfType): type is Extract<BtfType, { kind: "ptr" | "array" | "const" | "typeTag" }> {
  switch (type.kind) {
    case "ptr":
    case "array":
    case "volatile":
    case "const":
    case "restrict":
    case "typeTag":
      return true;
    default:
      return false;
  }
}

/** Whether a value makes the compiler take 64 bits by itself. */
function isWide(type: Enumeration): boolean {
  if (type.kind === "enum") return false;
  return type.values.some(({ value }) => BigInt.asUintN(64, value) >> 32n !== 0n);
}
