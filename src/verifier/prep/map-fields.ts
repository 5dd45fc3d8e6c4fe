// SPDX-License-Identifier: GPL-2.0-only
import type { Btf, BtfType } from "../../btf/types.js";
import { Limit } from "../../kernel/limits.js";
import type { VerifierRules } from "../../kernel/rules.js";
import type { BtfFieldKind } from "../kinds/btf-record.js";
import {
  FIELDS_BY_NAME,
  type FieldFacts,
  POINTER_FIELD,
  POINTER_TAGS,
  REPEATABLE_FIELDS,
} from "../kinds/field-facts.js";

/*
 * Which fields of a map's value are the kernel's own. Where the type says something that the kernel takes for a mistake,
 * the whole value counts as plain memory: the map is made all the same.
 */

/** A special field of a map's value. */
export interface ValueField {
  readonly offset: number;
  readonly size: number;
  readonly kind: BtfFieldKind;
}

/** Kinds that 6.12 does not know. */
const NEW_KINDS: ReadonlySet<BtfFieldKind> = new Set<BtfFieldKind>(["resSpinLock", "taskWork", "uptr"]);

const { BTF_FIELDS_MAX, MAX_RESOLVE_DEPTH } = Limit;

/** What the kernel takes for a mistake in the type. */
class InvalidFields extends Error {}

function skipModifiers(btf: Btf, id: number): { readonly type: BtfType | undefined; readonly id: number } {
  let type = btf.types[id];
  // The kernel goes on for ever; types that were checked before do not lead in a circle.
  let left = btf.types.length;
  while (
    left-- > 0 &&
    (type?.kind === "typedef" ||
      type?.kind === "const" ||
      type?.kind === "volatile" ||
      type?.kind === "restrict" ||
      type?.kind === "typeTag")
  ) {
    id = type.type;
    type = btf.types[id];
  }
  return { type, id };
}

function nameOf(type: BtfType): string {
  return "name" in type ? type.name : "";
}

/**
 * Finds the fields of one type.
 *
 * The kernel walks a struct again wherever it is nested, two to the power of the depth times if each holds the next one
 * twice. Its counts end that where there are fields. Where there are none, one walk says all about the next.
 */
class FieldFinder {
  /** Structs without fields, and how many levels are nested in them. */
  private readonly plain = new Map<number, number>();
  /** The deepest level so far of the struct that is being walked. */
  private deepest = 0;
  /** Fields met of which there may be one only. */
  private uniqueMet = 0;
  private readonly btf: Btf;
  private readonly rules: VerifierRules;

  constructor(btf: Btf, rules: VerifierRules) {
    this.btf = btf;
    this.rules = rules;
  }

  /** Mirrors btf_find_field(). */
  find(id: number): ValueField[] {
    const type = this.btf.types[id];
    if (type?.kind === "struct") return this.ofStruct(id, 0, new Set());
    if (type?.kind === "datasec") return this.ofDatasec(type);
    throw new InvalidFields();
  }

  /** List and tree nodes are special in objects only. */
  private knows(kind: BtfFieldKind): boolean {
    if (kind === "listNode" || kind === "rbNode") return false;
    return this.rules.newMapFields || !NEW_KINDS.has(kind);
  }

  /** Mirrors btf_find_struct_field(). */
  private ofStruct(id: number, level: number, seen: Set<BtfFieldKind>): ValueField[] {
    const type = this.btf.types[id];
    const out: ValueField[] = [];
    if (type?.kind !== "struct") return out;
    const height = this.plain.get(id);
    if (height !== undefined) {
      if (level + height >= MAX_RESOLVE_DEPTH) throw new InvalidFields();
      this.deepest = Math.max(this.deepest, level + height);
      return out;
    }
    const { deepest, uniqueMet } = this;
    this.deepest = level;
    for (const [i, member] of type.members.entries()) {
      if (member.bitOffset % 8 !== 0) throw new InvalidFields();
      this.add(out, this.ofOne(id, member.type, i, member.bitOffset / 8, 0, seen, level));
    }
    // Where unique fields are counted for the whole value, even one that comes to nothing makes the next a mistake.
    const tellsNothing = this.rules.fieldsCountedByStruct || this.uniqueMet === uniqueMet;
    if (out.length === 0 && tellsNothing) this.plain.set(id, this.deepest - level);
    this.deepest = Math.max(this.deepest, deepest);
    return out;
  }

  /** Mirrors btf_find_datasec_var(). */
  private ofDatasec(type: BtfType & { readonly kind: "datasec" }): ValueField[] {
    const out: ValueField[] = [];
    const seen = new Set<BtfFieldKind>();
    for (const { type: id, offset, size } of type.vars) {
      const variable = this.btf.types[id];
      if (variable?.kind === "var") this.add(out, this.ofOne(id, variable.type, -1, offset, size, seen, 0));
    }
    return out;
  }

  private add(out: ValueField[], found: readonly ValueField[]): void {
    out.push(...found);
    if (out.length > BTF_FIELDS_MAX) throw new InvalidFields();
  }

  /** Mirrors btf_find_field_one(): member or variable `owner`.`index` of type `id` at `off`. */
  private ofOne(
    owner: number,
    id: number,
    index: number,
    off: number,
    expectedSize: number,
    seen: Set<BtfFieldKind>,
    level: number,
  ): readonly ValueField[] {
    let count = 1;
    let type = this.btf.types[id];
    for (let depth = 0; type?.kind === "array"; depth++) {
      if (depth === MAX_RESOLVE_DEPTH) throw new InvalidFields();
      count *= type.nelems;
      id = type.type;
      type = this.btf.types[id];
    }
    if (count === 0 || type === undefined) return [];
    const named = FIELDS_BY_NAME.get(nameOf(type));
    const facts = named && this.knows(named.kind) ? named : type.kind === "struct" ? null : POINTER_FIELD;
    if (facts === null) {
      const size = type.kind === "struct" ? type.size : 0;
      if (expectedSize !== 0 && expectedSize !== size * count) return [];
      if (level + 1 >= MAX_RESOLVE_DEPTH) throw new InvalidFields();
      const inside = this.rules.fieldsCountedByStruct ? new Set<BtfFieldKind>() : seen;
      const nested = this.ofStruct(id, level + 1, inside).map((f) => ({ ...f, offset: f.offset + off }));
      return repeat(nested, count, size);
    }
    if (facts.unique && seen.has(facts.kind)) throw new InvalidFields();
    seen.add(facts.kind);
    if (facts.unique) this.uniqueMet++;
    if ((expectedSize !== 0 && expectedSize !== facts.size * count) || off % facts.align !== 0) return [];
    const kind = facts === POINTER_FIELD ? this.pointerKind(type) : this.structKind(type, facts, owner, index);
    return kind === null ? [] : repeat([{ offset: off, size: facts.size, kind }], count, facts.size);
  }

  /** Mirrors btf_find_struct() and btf_find_graph_root(). */
  private structKind(type: BtfType, facts: FieldFacts, owner: number, index: number): BtfFieldKind | null {
    if (type.kind !== "struct" || type.size !== facts.size) return null;
    if (facts.kind === "listHead") this.checkRoot(owner, index, "bpf_list_node");
    if (facts.kind === "rbRoot") this.checkRoot(owner, index, "bpf_rb_node");
    return facts.kind;
  }

  /** A tag says what a list or tree holds and by which of its members. Mirrors btf_parse_graph_root() too. */
  private checkRoot(owner: number, index: number, nodeType: string): void {
    const { types } = this.btf;
    const tags = types.flatMap((t) =>
      t.kind === "declTag" && t.type === owner && t.componentIdx === index && t.name.startsWith("contains:")
        ? [t.name.slice("contains:".length)]
        : [],
    );
    const [struct, ...rest] = (tags[0] ?? "").split(":");
    const node = rest.join(":");
    const value = types.find((t) => t.kind === "struct" && t.name === struct);
    if (tags.length !== 1 || node === "" || value?.kind !== "struct") throw new InvalidFields();
    const members = value.members.filter((m) => m.name === node);
    const member = members[0];
    const memberType = member && types[member.type];
    if (members.length !== 1 || member!.bitOffset % 64 !== 0) throw new InvalidFields();
    if (memberType?.kind !== "struct" || memberType.name !== nodeType) throw new InvalidFields();
  }

  /** Mirrors btf_find_kptr(). */
  private pointerKind(type: BtfType): BtfFieldKind | null {
    const pointer = type.kind === "volatile" ? this.btf.types[type.type] : type;
    if (pointer?.kind !== "ptr") return null;
    const tag = this.btf.types[pointer.type];
    if (tag?.kind !== "typeTag") return null;
    const kind = POINTER_TAGS.get(tag.name);
    if (kind === undefined || !this.knows(kind) || this.btf.types[tag.type]?.kind === "typeTag")
      throw new InvalidFields();
    if (skipModifiers(this.btf, tag.type).type?.kind !== "struct") throw new InvalidFields();
    return kind;
  }
}

/** Mirrors btf_repeat_fields(). */
function repeat(fields: readonly ValueField[], count: number, elemSize: number): readonly ValueField[] {
  if (count === 1 || fields.length === 0) return fields;
  if (fields.some((f) => !REPEATABLE_FIELDS.has(f.kind)) || fields.length * count > BTF_FIELDS_MAX)
    throw new InvalidFields();
  return Array.from({ length: count }, (_, i) => fields.map((f) => ({ ...f, offset: f.offset + i * elemSize }))).flat();
}

/** What single fields ask of the others. The second half of btf_parse_fields(). */
function checkTogether(fields: readonly ValueField[], valueSize: number): void {
  let next = 0;
  for (const { offset, size } of fields) {
    if (offset + size > valueSize || offset < next) throw new InvalidFields();
    next = offset + size;
  }
  const has = (kind: BtfFieldKind): boolean => fields.some((f) => f.kind === kind);
  if (has("spinLock") && has("resSpinLock")) throw new InvalidFields();
  if ((has("listHead") || has("rbRoot")) && !has("spinLock") && !has("resSpinLock")) throw new InvalidFields();
}

/**
 * The special fields of a map's value of type `id`, in ascending order; null when it has none that the kernel knows of.
 * Mirrors btf_parse_fields() as map_check_btf() calls it.
 */
export function btfParseFields(
  btf: Btf,
  id: number,
  valueSize: number,
  rules: VerifierRules,
): readonly ValueField[] | null {
  try {
    const fields = new FieldFinder(btf, rules).find(skipModifiers(btf, id).id);
    checkTogether(fields, valueSize);
    return fields.length === 0 ? null : fields;
  } catch (error) {
    if (error instanceof InvalidFields) return null;
    throw error;
  }
}
