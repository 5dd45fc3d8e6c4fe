// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import type { BtfIndex } from "../lazy.js";
import { MAX_NESTING, TextLimit } from "../limits.js";
import type { BtfType } from "../types.js";
import { CACHELINE_SIZE, type Layouts, type MemberLayout, type StructLayout } from "./layout.js";
import { Packing } from "./packing.js";
import { enumText, TypeNames } from "./type-name.js";

/** How a layout is written. */
export interface LayoutTextOptions {
  /** Writes out the structs, unions and typedefs of members, not only anonymous ones. */
  readonly expand?: boolean;
}

/** Columns for the type, and for name and comment behind it. */
const TYPE_COLUMNS = 26;
const NAME_COLUMNS = 23;
const UNION_NAME_COLUMNS = 21;
const EXPANDED_NAME_COLUMNS = 55;
/** Columns that a level of indentation takes away. */
const INDENT_COLUMNS = 8;
const MAX_TABS = 16;

/** Where in the outermost struct a text is, and how it is laid out there. */
interface Context {
  readonly indent: number;
  readonly typeColumns: number;
  readonly nameColumns: number;
  /** Bytes from the start of the outermost struct. */
  readonly base: number;
  /** Inside of what a pointer points to: offsets begin anew. */
  readonly behindPointer: boolean;
  /** Directly or in a struct of it. */
  readonly inUnion: boolean;
  readonly isFirst: boolean;
  readonly isLast: boolean;
  readonly depth: number;
}

const tabs = (count: number): string => "\t".repeat(Math.min(count, MAX_TABS));
const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;

/** Writes layouts as pahole 1.24 does: members with offsets and sizes, holes, cache lines, totals. */
export class LayoutText {
  readonly #layouts: Layouts;
  readonly #btf: BtfIndex;
  readonly #packing: Packing;
  readonly #expand: boolean;
  readonly #limit: TextLimit;
  readonly #names: TypeNames;
  #text = "";
  /** Cache line of the member that was written last. */
  #cacheline = 0;
  /** Structs that are being written out, so that none is within itself. */
  readonly #open = new Set<number>();

  constructor(layouts: Layouts, { expand = false }: LayoutTextOptions = {}) {
    this.#layouts = layouts;
    this.#btf = layouts.btf;
    this.#packing = new Packing(layouts);
    this.#expand = expand;
    this.#limit = new TextLimit(this.#btf.byteLength, "the layout");
    this.#names = new TypeNames(this.#btf, this.#limit);
  }

  /**
   * The layout of a struct or union, ending with a line end.
   * @param alias name of a typedef, for an anonymous one.
   * @throws InputError when the type is neither, or types are nested too deep or written out would be too long.
   */
  write(id: number, alias?: string): string {
    const { kind } = this.#layouts.of(id);
    this.#limit.begin(id);
    this.#text = alias === undefined ? "" : "typedef ";
    this.#cacheline = 0;
    const context: Context = {
      indent: 0,
      typeColumns: TYPE_COLUMNS,
      nameColumns: this.#expand ? EXPANDED_NAME_COLUMNS : kind === "union" ? UNION_NAME_COLUMNS : NAME_COLUMNS,
      base: 0,
      behindPointer: false,
      inUnion: false,
      isFirst: false,
      isLast: false,
      depth: 0,
    };
    this.#aggregate(id, context, alias, true);
    return `${this.#text};\n`;
  }

  #put(text: string): void {
    this.#text += this.#limit.add(text);
  }

  #aggregate(id: number, context: Context, suffix: string | undefined, withTotals: boolean): void {
    if (context.depth > MAX_NESTING) throw new InputError(`BTF type id ${id} is nested deeper than ${MAX_NESTING}`);
    const layout = this.#layouts.of(id);
    this.#open.add(id);
    if (layout.kind === "struct") this.#struct(layout, context, suffix, withTotals);
    else this.#union(layout, context, suffix);
    this.#open.delete(id);
  }

  #union(layout: StructLayout, context: Context, suffix: string | undefined): void {
    this.#put(`${head(layout)} {\n`);
    this.#packing.lookInto(layout.id);
    // Every member begins where the union does.
    const cacheline = this.#cacheline;
    const inside = { ...context, indent: context.indent + 1, depth: context.depth + 1, inUnion: true };
    for (const member of layout.members) {
      this.#put(tabs(inside.indent));
      this.#member(member, inside, true);
      this.#put("\n");
      this.#cacheline = cacheline;
    }
    this.#put(`${tabs(context.indent)}}${suffix === undefined ? "" : ` ${suffix}`}`);
  }

  #struct(layout: StructLayout, context: Context, suffix: string | undefined, withTotals: boolean): void {
    const packed = this.#packing.isPacked(layout.id);
    const indent = tabs(context.indent + 1);
    this.#put(`${head(layout)} {\n`);
    const paddings = this.#members(layout, { ...context, indent: context.indent + 1, depth: context.depth + 1 });
    if (withTotals)
      for (const line of totals(layout, paddings, context.base))
        this.#put(line === "" ? "\n" : `${indent}/* ${line} */\n`);
    this.#put(`${tabs(context.indent)}}`);
    if (packed) this.#put(" __attribute__((__packed__))");
    if (suffix !== undefined) this.#put(` ${suffix}`);
    if (!packed && layout.alignment !== 0) this.#put(` ${alignedAttribute(layout.alignment)}`);
  }

  /** Writes the members of a struct with what lies between them, and gives the paddings at the ends of structs. */
  #members(layout: StructLayout, context: Context): number[] {
    const indent = tabs(context.indent);
    const paddings: number[] = [];
    const notes: string[] = holeNotes(layout.preHole, layout.preBitHole);
    if (notes.length > 0) this.#put(`\n${notes.map((note) => `${indent}/* ${note} */\n`).join("")}`);
    let needsLine = notes.length > 0;
    let last: MemberLayout | undefined;
    /** Size of the integer that the bit fields at this offset share, or of the member. */
    let lastSize = 0;
    layout.members.forEach((member, i) => {
      if (last !== undefined && lastSize !== 0) {
        this.#explicitGap(last, member, context);
        const combined = combination(last, member, lastSize);
        if (combined !== undefined) {
          if (!needsLine) this.#put("\n");
          this.#put(`${indent}/* Bitfield combined with ${combined} fields */\n`);
          needsLine = true;
        }
      }
      if (needsLine) this.#put("\n");
      this.#put(indent);
      const place = { isFirst: i === 0, isLast: i === layout.members.length - 1 };
      this.#member(member, { ...context, ...place });
      const behind = holeNotes(member.hole, member.bitHole);
      const padding = this.#paddingOf(member);
      if (padding > 0) {
        paddings.push(padding);
        behind.unshift(`XXX last struct has ${plural(padding, "byte")} of padding`);
      }
      needsLine = behind.length > 0;
      if (needsLine) this.#put("\n");
      this.#put(`${behind.map((note) => `\n${indent}/* ${note} */`).join("")}\n`);
      const isNewPlace = last === undefined || lastSize === 0 || last.offset !== member.offset;
      if (isNewPlace || (last?.bitSize === 0 && member.bitSize !== 0)) lastSize = member.size;
      last = member;
    });
    return paddings;
  }

  /** Unnamed bit fields, which the source must have had between these two. */
  #explicitGap(last: MemberLayout, member: MemberLayout, context: Context): void {
    if (last.bitHole === 0 || member.bitSize === 0) return;
    const indent = tabs(context.indent);
    const moved = last.offset !== member.offset;
    if (moved) this.#put(`\n${indent}/* Force alignment to the next boundary: */\n`);
    this.#put(indent);
    this.#typed(member.type, "", context);
    this.#put(`:${moved ? 0 : last.bitHole};\n`);
  }

  /** Padding at the end of a member that is a struct (not behind a typedef). */
  #paddingOf(member: MemberLayout): number {
    if (this.#btf.kindById(member.type) !== "struct") return 0;
    this.#packing.isPacked(member.type);
    return this.#layouts.of(member.type).padding;
  }

  #member(member: MemberLayout, context: Context, ofUnion = false): void {
    const offset = context.behindPointer ? member.offset : context.base + member.offset;
    const inside: Context = context.behindPointer || ofUnion ? context : { ...context, base: offset };
    this.#cachelineNote(offset, context);
    const from = this.#text.length;
    const type = this.#btf.typeById(member.type);
    const isTagged = isTaggedKind(type);
    if (isTagged) {
      this.#typed(member.type, undefined, inside);
      this.#put(`${type.name === "" && member.name !== "" ? " " : ""}${member.name}`);
    } else {
      this.#typed(member.type, member.name, inside);
    }
    if (member.bitSize !== 0) this.#put(`:${member.bitSize}`);
    const attribute = member.alignment === 0 ? "" : ` ${alignedAttribute(member.alignment)}`;
    this.#put(`${attribute};`);
    let columns = context.typeColumns + context.nameColumns;
    if (isTagged && type.name === "") {
      // Written out over several lines: what stands on the last one counts.
      const packed = type.kind === "struct" && this.#packing.isPacked(member.type);
      const name = member.name === "" ? -1 : member.name.length;
      columns -= attribute.length + name + (packed ? " __attribute__((__packed__))".length : 0) + 3;
      columns = Math.abs(columns);
    } else {
      columns -= this.#text.length - from;
    }
    this.#put(`${" ".repeat(Math.max(1, columns))}/* ${String(offset).padStart(5)}`);
    if (member.bitSize === 0) this.#put(` ${String(member.size).padStart(5)} */`);
    else this.#put(`:${String(member.bitOffset).padStart(2)} ${String(member.size).padStart(2)} */`);
  }

  #cachelineNote(offset: number, context: Context): void {
    const cacheline = Math.floor(offset / CACHELINE_SIZE);
    if (cacheline <= this.#cacheline) return;
    const past = offset % CACHELINE_SIZE;
    const ago = past === 0 ? "" : ` was ${plural(past, "byte")} ago`;
    this.#put(`/* --- cacheline ${cacheline} boundary (${offset - past} bytes)${ago} --- */\n${tabs(context.indent)}`);
    this.#cacheline = cacheline;
  }

  /** A declaration in columns: type, then name; `undefined` for a type that the name follows later. */
  #typed(id: number, name: string | undefined, context: Context, dims = ""): void {
    if (context.depth > MAX_NESTING) throw new InputError(`BTF type id ${id} is nested deeper than ${MAX_NESTING}`);
    const depth = context.depth + 1;
    const type = this.#btf.typeById(id);
    const columns = context.typeColumns;
    const named = `${name ?? ""}${dims}`;
    switch (type.kind) {
      case "typedef":
        if (this.#expand && this.#expandTypedef(id, named, context)) return;
        break;
      case "ptr":
        if (this.#pointer(type.type, named, context)) return;
        break;
      case "funcProto":
        this.#put(this.#names.prototype(id, { name: named, isPointer: false, columns }));
        return;
      case "const":
        if (type.type === 0) break;
        this.#put("const ");
        if (this.#isAnonymousStruct(type.type)) {
          const inside = { ...context, typeColumns: columns - "const ".length - INDENT_COLUMNS };
          this.#aggregate(type.type, inside, named === "" ? undefined : named, true);
          return;
        }
        this.#typed(type.type, name, { ...context, depth, typeColumns: columns - "const ".length }, dims);
        return;
      case "array": {
        const element = this.#btf.typeById(type.type);
        const isOpen = type.nelems === 0 && context.isLast && !context.isFirst && !context.inUnion;
        const dim = isOpen ? "[]" : `[${type.nelems}]`;
        const of = type.nelems === 0 && element.kind === "const" ? element.type : type.type;
        this.#typed(of, name ?? "", { ...context, depth }, `${dims}${dim}`);
        return;
      }
      case "struct":
      case "union":
        if (type.name === "" || (this.#expand && !this.#open.has(id))) {
          this.#aggregate(
            id,
            { ...context, typeColumns: columns - INDENT_COLUMNS },
            named === "" ? undefined : named,
            false,
          );
          return;
        }
        break;
      case "enum":
      case "enum64":
        if (type.name === "") {
          this.#put(`${enumText(type, context.indent)}${named === "" ? "" : ` ${named}`}`);
          return;
        }
    }
    this.#put(`${columnText(type, this.#names.of(id), columns)} ${named}`);
  }

  #isAnonymousStruct(id: number): boolean {
    const type = this.#btf.typeById(id);
    return type.kind === "struct" && type.name === "";
  }

  /** A pointer that is not just a type's name with an asterisk: to a function, or to a type without a name. */
  #pointer(target: number, name: string, context: Context): boolean {
    const type = this.#btf.typeById(target);
    if (type.kind === "funcProto") {
      this.#put(this.#names.prototype(target, { name, isPointer: true, columns: context.typeColumns }));
      return true;
    }
    if (!isTaggedKind(type) || type.name !== "" || this.#open.has(target)) return false;
    const inside = { ...context, behindPointer: true, typeColumns: context.typeColumns - INDENT_COLUMNS };
    this.#typed(target, `* ${name}`, inside);
    return true;
  }

  /** Says what a typedef stands for and writes that out; false when it is no struct or union. */
  #expandTypedef(id: number, name: string, context: Context): boolean {
    const names: string[] = [];
    let at = id;
    for (let type = this.#btf.typeById(at); type.kind === "typedef"; type = this.#btf.typeById(at)) {
      names.push(type.name);
      if (names.length > MAX_NESTING) throw new InputError(`BTF type id ${id}: chain longer than ${MAX_NESTING}`);
      at = type.type;
    }
    this.#put(`/* typedef ${names.join(" -> ")} */ `);
    this.#typed(at, name, context);
    return true;
  }
}

type Tagged = Extract<BtfType, { kind: "struct" | "union" | "enum" | "enum64" }>;

function isTaggedKind(type: BtfType): type is Tagged {
  return type.kind === "struct" || type.kind === "union" || type.kind === "enum" || type.kind === "enum64";
}

/**
 * A type's name in its columns. The deeper a struct is nested the fewer they are; below zero, printf() takes their
 * number for positive again, and so must the text that is to be the same.
 */
function columnText({ kind }: BtfType, name: string, columns: number): string {
  const keyword = TAG_KEYWORDS[kind];
  if (keyword === undefined || !name.startsWith(keyword)) return name.padEnd(Math.abs(columns));
  return keyword + name.slice(keyword.length).padEnd(Math.abs(columns - keyword.length));
}

const TAG_KEYWORDS: { readonly [kind in BtfType["kind"]]?: string } = {
  struct: "struct ",
  union: "union ",
  enum: "enum ",
  enum64: "enum ",
};

const head = ({ kind, name }: StructLayout): string => (name === "" ? kind : `${kind} ${name}`);
const alignedAttribute = (alignment: number): string => `__attribute__((__aligned__(${alignment})))`;

function holeNotes(hole: number, bitHole: number): string[] {
  const notes: string[] = [];
  if (bitHole !== 0) notes.push(`XXX ${plural(bitHole, "bit")} hole, try to pack`);
  if (hole > 0) notes.push(`XXX ${plural(hole, "byte")} hole, try to pack`);
  return notes;
}

/** Whether a bit field shares bytes with the members before or behind it, as packing makes them. */
function combination(last: MemberLayout, member: MemberLayout, lastSize: number): "previous" | "next" | undefined {
  const step = member.offset - last.offset;
  if (step < 0 || (step === 0 && last.bitSize === 0 && member.bitSize !== 0)) return "previous";
  return step > 0 && step < lastSize ? "next" : undefined;
}

/** The lines below the members; an empty one stands for an empty line. */
function totals(layout: StructLayout, paddings: readonly number[], base: number): string[] {
  const lines = ["", `size: ${layout.size}, cachelines: ${layout.cachelines}, members: ${layout.members.length}`];
  const { sumMembers, sumHoles, sumBits, sumBitHoles, padding, bitPadding } = layout;
  if (sumHoles > 0 || sumBitHoles > 0) {
    if (sumMembers > 0) {
      lines.push(`sum members: ${sumMembers}${sumHoles > 0 ? `, holes: ${layout.holes}, sum holes: ${sumHoles}` : ""}`);
    }
    if (sumBits > 0) {
      const rest =
        sumBitHoles > 0
          ? `, bit holes: ${layout.bitHoles}, sum bit holes: ${sumBitHoles} bits`
          : ` (${Math.floor(sumBits / 8)} bytes)`;
      lines.push(`sum bitfield members: ${sumBits} bits${rest}`);
    }
  }
  if (padding > 0) lines.push(`padding: ${padding}`);
  if (paddings.length > 0) {
    lines.push(`paddings: ${paddings.length}, sum paddings: ${paddings.reduce((sum, bytes) => sum + bytes, 0)}`);
  }
  if (bitPadding > 0) lines.push(`bit_padding: ${bitPadding} bits`);
  const forced = layout.members.flatMap(({ alignment }, i) =>
    alignment === 0 ? [] : [layout.members[i - 1]?.hole ?? layout.preHole],
  );
  if (forced.length > 0) {
    const holes = forced.filter((hole) => hole !== 0);
    const sum = holes.reduce((total, hole) => total + hole, 0);
    const ofHoles = holes.length === 0 ? "" : `, forced holes: ${holes.length}, sum forced holes: ${sum}`;
    lines.push(`forced alignments: ${forced.length}${ofHoles}`);
  }
  const rest = (base + layout.size) % CACHELINE_SIZE;
  if (rest !== 0) lines.push(`last cacheline: ${rest} bytes`);
  return lines;
}
