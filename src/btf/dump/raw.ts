// SPDX-License-Identifier: MIT
import { InputError } from "../../util/errors.js";
import { BTF_MAX_SIZE } from "../format.js";
import { indexBtf } from "../lazy.js";
import { TextLimit } from "../limits.js";
import type { Btf, BtfKind, BtfType } from "../types.js";

/** The kinds as bpftool names them. */
const KIND_LABELS = {
  void: "UNKNOWN",
  int: "INT",
  ptr: "PTR",
  array: "ARRAY",
  struct: "STRUCT",
  union: "UNION",
  enum: "ENUM",
  fwd: "FWD",
  typedef: "TYPEDEF",
  volatile: "VOLATILE",
  const: "CONST",
  restrict: "RESTRICT",
  func: "FUNC",
  funcProto: "FUNC_PROTO",
  var: "VAR",
  datasec: "DATASEC",
  float: "FLOAT",
  declTag: "DECL_TAG",
  typeTag: "TYPE_TAG",
  enum64: "ENUM64",
} as const satisfies Record<BtfKind, string>;

const INT_ENCODING_LABELS = {
  none: "(none)",
  signed: "SIGNED",
  char: "CHAR",
  signedChar: "UNKN",
  bool: "BOOL",
} as const;

/** Which types a raw dump shows. */
export interface RawDumpOptions {
  /** Only these types, in this order. */
  readonly roots?: readonly number[];
  /** First type to show, default 1; a split BTF's own types begin at its `firstId`. */
  readonly firstId?: number;
}

/**
 * The types one by one as `bpftool btf dump … format raw` prints them, one or more lines each, without the last
 * line end.
 * @throws InputError when a root is out of range, a lazily read type is malformed, or long names are repeated so often
 *   that the text would be too long.
 */
export function* dumpRaw(btf: Btf, { roots, firstId = 1 }: RawDumpOptions = {}): Generator<string> {
  const limit = new TextLimit(indexBtf(btf).byteLength, "the dump");
  if (roots !== undefined) {
    for (const id of roots) yield limitedType(btf, id, limit);
    return;
  }
  for (let id = firstId; id < btf.types.length; id++) yield limitedType(btf, id, limit);
}

const quoted = (name: string): string => (name === "" ? "'(anon)'" : `'${name}'`);

/**
 * One type as `bpftool btf dump … format raw` prints it, without the last line end.
 * @throws InputError when the id is out of range.
 */
export function rawType(btf: Btf, id: number): string {
  return limitedType(btf, id, new TextLimit(BTF_MAX_SIZE, "the dump"));
}

function limitedType(btf: Btf, id: number, limit: TextLimit): string {
  const type = btf.types[id];
  if (type === undefined) throw new InputError(`BTF type id ${id} is out of range (0-${btf.types.length - 1})`);
  limit.begin(id);
  const head = `[${id}] ${KIND_LABELS[type.kind]} ${quoted("name" in type ? type.name : "")}`;
  return `${limit.add(head)}${fields(type)}${parts(btf, type, limit)}`;
}

/** What stands behind the name on the first line. */
function fields(type: BtfType): string {
  switch (type.kind) {
    case "void":
      return "";
    case "int": {
      const encoding = INT_ENCODING_LABELS[type.encoding];
      return ` size=${type.size} bits_offset=${type.bitOffset} nr_bits=${type.bits} encoding=${encoding}`;
    }
    case "float":
      return ` size=${type.size}`;
    case "ptr":
    case "const":
    case "volatile":
    case "restrict":
    case "typedef":
    case "typeTag":
      return ` type_id=${type.type}`;
    case "array":
      return ` type_id=${type.type} index_type_id=${type.indexType} nr_elems=${type.nelems}`;
    case "struct":
    case "union":
      return ` size=${type.size} vlen=${type.members.length}`;
    case "enum":
    case "enum64":
      return ` encoding=${type.signed ? "SIGNED" : "UNSIGNED"} size=${type.size} vlen=${type.values.length}`;
    case "fwd":
      return ` fwd_kind=${type.isUnion ? "union" : "struct"}`;
    case "func":
      return ` type_id=${type.type} linkage=${type.linkage}`;
    case "funcProto":
      return ` ret_type_id=${type.returnType} vlen=${type.params.length}`;
    case "var":
      return ` type_id=${type.type}, linkage=${type.linkage}`;
    case "datasec":
      return ` size=${type.size} vlen=${type.vars.length}`;
    case "declTag":
      return ` type_id=${type.type} component_idx=${type.componentIdx}`;
  }
}

/** The lines of members, values, parameters or variables, each with the line end before it. */
function parts(btf: Btf, type: BtfType, limit: TextLimit): string {
  let text = "";
  switch (type.kind) {
    case "struct":
    case "union":
      for (const member of type.members) {
        const width = member.bitSize > 0 ? ` bitfield_size=${member.bitSize}` : "";
        const place = `type_id=${member.type} bits_offset=${member.bitOffset}${width}`;
        text += limit.add(`\n\t${quoted(member.name)} ${place}`);
      }
      break;
    case "enum":
      for (const { name, value } of type.values) text += limit.add(`\n\t${quoted(name)} val=${value}`);
      break;
    case "enum64":
      for (const { name, value } of type.values) {
        text += limit.add(`\n\t${quoted(name)} val=${value}${type.signed ? "LL" : "ULL"}`);
      }
      break;
    case "funcProto":
      for (const param of type.params) text += limit.add(`\n\t${quoted(param.name)} type_id=${param.type}`);
      break;
    case "datasec":
      for (const info of type.vars) {
        const variable = btf.types[info.type]!;
        const what = `${KIND_LABELS[variable.kind]} ${quoted("name" in variable ? variable.name : "")}`;
        text += limit.add(`\n\ttype_id=${info.type} offset=${info.offset} size=${info.size} (${what})`);
      }
      break;
  }
  return text;
}
