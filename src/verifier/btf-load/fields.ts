// SPDX-License-Identifier: GPL-2.0-only
import { BTF_KIND } from "../../btf/format.js";
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import type { BtfFieldKind } from "../kinds/btf-record.js";
import {
  FIELDS_BY_NAME,
  type FieldFacts,
  POINTER_FIELD,
  POINTER_TAGS,
  REPEATABLE_FIELDS,
} from "../kinds/field-facts.js";
import type { LoadedBtf } from "./blob.js";

/* Special fields of structs: what programs may allocate, or keep in a map. */

const { BTF_FIELDS_MAX, MAX_RESOLVE_DEPTH } = Limit;

/** The kernel refuses the BTF because of special fields, of which its log says nothing. */
export class RefusedFields extends Error {
  /** Positive. */
  readonly errno: number;

  /** @param what The fault, in words of ours. */
  constructor(errno: number, what: string) {
    super(what);
    this.errno = errno;
  }
}

/** A special field. Mirrors struct btf_field_info. */
export interface Field {
  readonly kind: BtfFieldKind;
  readonly size: number;
  readonly offset: number;
  /** Of a pointer: the struct that it leads to. Of a list or tree: that of its elements. Else 0. */
  readonly type: number;
  /** Of a list or tree: by which of their members the elements hang together. */
  readonly node: string;
}

/** Kinds that matter when a BTF is loaded: the field_mask of btf_parse_struct_metas(). */
const WANTED: ReadonlySet<BtfFieldKind> = new Set<BtfFieldKind>([
  "spinLock",
  "resSpinLock",
  "listHead",
  "listNode",
  "rbRoot",
  "rbNode",
  "refcount",
  "kptrUnref",
  "kptrRef",
  "kptrPercpu",
]);

/** As {@link FIELDS_BY_NAME}, of the kinds wanted. */
const BY_NAME = [...FIELDS_BY_NAME].filter(([, { kind }]) => WANTED.has(kind));

const TAG_KEY = "contains:";

/** What was found in a struct, and how deep the structs in it go. */
interface Known {
  readonly fields: readonly Field[];
  readonly height: number;
}

/** Looks for special fields in the types of one BTF. */
export class FieldFinder {
  private readonly btf: LoadedBtf;
  private readonly known = new Map<number, Known>();
  /** How deep the walk came below the struct at hand. */
  private height = 0;
  private readonly facts = new Map<number, FieldFacts | null>();
  private tags: Map<number, number[]> | null = null;
  private structs: Map<string, number> | null = null;

  constructor(btf: LoadedBtf) {
    this.btf = btf;
  }

  /**
   * The fields of a struct, by ascending offset where types are sound. Mirrors btf_find_field().
   * @throws RefusedFields
   */
  ofStruct(id: number): readonly Field[] {
    return this.struct(id, 0, BTF_FIELDS_MAX);
  }

  /** The first struct of this name, or -1. Mirrors btf_find_by_name_kind(). */
  structNamed(name: string): number {
    if (this.structs === null) {
      const { btf } = this;
      const structs = new Map<string, number>();
      for (let id = 1; id < btf.count; id++) {
        if (btf.kind(id) !== BTF_KIND.struct) continue;
        const text = btf.text(btf.nameOff(id));
        if (!structs.has(text)) structs.set(text, id);
      }
      this.structs = structs;
    }
    return this.structs.get(name) ?? -1;
  }

  /**
   * The pointer that a field of type `id` is, null when it is none of those wanted. Mirrors btf_find_kptr().
   * @throws RefusedFields
   */
  pointer(id: number, offset: number): Field | null {
    const { btf } = this;
    if (btf.kind(id) === BTF_KIND.volatile) id = btf.word(id);
    if (btf.kind(id) !== BTF_KIND.ptr) return null;
    const tag = btf.word(id);
    // With the flag, the tag's text is an attribute of the compiler's.
    if (btf.kind(tag) !== BTF_KIND.typeTag || btf.kflag(tag)) return null;
    const next = btf.word(tag);
    if (btf.kind(next) === BTF_KIND.typeTag) throw new RefusedFields(Errno.EINVAL, "a pointer with two tags");
    const kind = POINTER_TAGS.get(btf.shownName(btf.nameOff(tag)));
    if (kind === undefined) throw new RefusedFields(Errno.EINVAL, "a pointer with a tag that the kernel does not know");
    if (!WANTED.has(kind)) return null;
    const type = btf.skipModifiers(next);
    if (btf.kind(type) !== BTF_KIND.struct) throw new RefusedFields(Errno.EINVAL, "a kptr that leads to no struct");
    return { kind, size: POINTER_FIELD.size, offset, type, node: "" };
  }

  /** Mirrors btf_find_struct_field(), for `room` fields at most. What a struct holds is found once. */
  private struct(id: number, level: number, room: number): readonly Field[] {
    const known = this.known.get(id);
    if (known !== undefined) {
      if (level + known.height >= MAX_RESOLVE_DEPTH || known.fields.length > room) throw tooMany();
      this.height = Math.max(this.height, known.height);
      return known.fields;
    }
    const outer = this.height;
    this.height = 0;
    const fields = this.members(id, level, room);
    this.known.set(id, { fields, height: this.height });
    this.height = Math.max(outer, this.height);
    return fields;
  }

  private members(id: number, level: number, room: number): readonly Field[] {
    const { btf } = this;
    const fields: Field[] = [];
    const seen = new Set<BtfFieldKind>();
    const count = btf.vlen(id);
    for (let i = 0; i < count; i++) {
      const member = btf.rest(id) + i * 12;
      const bits = btf.bitOffset(id, member);
      if (bits % 8 !== 0) throw new RefusedFields(Errno.EINVAL, "a bit-field beside special fields");
      fields.push(...this.member(id, i, btf.u32(member + 4), bits / 8, level, room - fields.length, seen));
    }
    return fields;
  }

  /** Mirrors btf_find_field_one(): member `index` of struct `owner`, of type `type`. */
  private member(
    owner: number,
    index: number,
    type: number,
    offset: number,
    level: number,
    room: number,
    seen: Set<BtfFieldKind>,
  ): readonly Field[] {
    const { btf } = this;
    let count = 1;
    for (let depth = 0; btf.kind(type) === BTF_KIND.array; depth++) {
      if (depth === MAX_RESOLVE_DEPTH) throw tooMany();
      count = Math.imul(count, btf.u32(btf.rest(type) + 8)) >>> 0;
      type = btf.u32(btf.rest(type));
    }
    if (count === 0) return [];
    const facts = this.factsOf(type, seen);
    if (facts === null) {
      if (level + 1 >= MAX_RESOLVE_DEPTH) throw tooMany();
      const outer = this.height;
      this.height = 0;
      const inside = this.struct(type, level + 1, room);
      this.height = Math.max(outer, this.height + 1);
      return inside.length === 0 ? inside : repeat(moved(inside, offset), count, btf.word(type), room);
    }
    if (offset % facts.align !== 0) return [];
    const field =
      facts === POINTER_FIELD ? this.pointer(type, offset) : this.ofNamedType(type, facts, owner, index, offset);
    if (field === null) return [];
    if (room === 0) throw tooMany();
    return repeat([field], count, facts.size, room);
  }

  /** What a field of this type may be; null when the fields in a struct are to be looked at. Mirrors btf_get_field_type(). */
  private factsOf(type: number, seen: Set<BtfFieldKind>): FieldFacts | null {
    let facts = this.facts.get(type);
    if (facts === undefined) {
      const name = this.btf.nameOff(type);
      const named = BY_NAME.find(([wanted]) => this.btf.textIs(name, wanted));
      facts = named?.[1] ?? (this.btf.kind(type) === BTF_KIND.struct ? null : POINTER_FIELD);
      this.facts.set(type, facts);
    }
    if (facts?.unique === true) {
      if (seen.has(facts.kind)) throw new RefusedFields(Errno.E2BIG, "more than one lock of a kind");
      seen.add(facts.kind);
    }
    return facts;
  }

  /** Mirrors btf_find_struct() and btf_find_graph_root(). */
  private ofNamedType(type: number, facts: FieldFacts, owner: number, index: number, offset: number): Field | null {
    const { btf } = this;
    const { kind, size } = facts;
    if (btf.kind(type) !== BTF_KIND.struct || btf.word(type) !== size) return null;
    if (kind !== "listHead" && kind !== "rbRoot") return { kind, size, offset, type: 0, node: "" };
    const value = this.tagValue(owner, index);
    const colon = value.indexOf(":");
    const struct = value.slice(0, Math.max(0, colon));
    if (colon < 0) throw new RefusedFields(Errno.EINVAL, `"${TAG_KEY}${value}" names no member`);
    const element = this.structNamed(struct);
    if (element < 0)
      throw new RefusedFields(Errno.ENOENT, `there is no struct ${struct}, which a list or tree contains`);
    const node = value.slice(colon + 1);
    if (node === "") throw new RefusedFields(Errno.EINVAL, `"${TAG_KEY}${value}" names no member`);
    return { kind, size, offset, type: element, node };
  }

  /** What a tag says that the member contains: there must be one. Mirrors btf_find_decl_tag_value(). */
  private tagValue(owner: number, index: number): string {
    const { btf } = this;
    this.tags ??= this.allTags();
    const values = (this.tags.get(owner) ?? [])
      .filter((id) => (btf.u32(btf.rest(id)) | 0) === index)
      .map((id) => btf.text(btf.nameOff(id)))
      .filter((text) => text.startsWith(TAG_KEY));
    if (values.length !== 1) {
      throw new RefusedFields(Errno.EINVAL, `a list or tree with ${values.length} tags "${TAG_KEY}…", not one`);
    }
    return values[0]!.slice(TAG_KEY.length);
  }

  /** Declaration tags by the type that they are at. */
  private allTags(): Map<number, number[]> {
    const { btf } = this;
    const tags = new Map<number, number[]>();
    for (let id = 1; id < btf.count; id++) {
      if (btf.kind(id) !== BTF_KIND.declTag) continue;
      const of = tags.get(btf.word(id));
      if (of === undefined) tags.set(btf.word(id), [id]);
      else of.push(id);
    }
    return tags;
  }
}

function tooMany(): RefusedFields {
  return new RefusedFields(Errno.E2BIG, `more than ${BTF_FIELDS_MAX} special fields, or too deep in other structs`);
}

function moved(fields: readonly Field[], by: number): readonly Field[] {
  return fields.map((field) => ({ ...field, offset: (field.offset + by) >>> 0 }));
}

/** The fields of all elements of an array. Mirrors btf_repeat_fields(). */
function repeat(fields: readonly Field[], count: number, elemSize: number, room: number): readonly Field[] {
  if (count === 1) return fields;
  if (fields.some(({ kind }) => !REPEATABLE_FIELDS.has(kind))) {
    throw new RefusedFields(Errno.EINVAL, "an array of fields that stand alone");
  }
  if (fields.length * count > room) throw tooMany();
  const all: Field[] = [];
  for (let i = 0; i < count; i++) all.push(...moved(fields, i * elemSize));
  return all;
}
