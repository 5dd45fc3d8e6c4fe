// SPDX-License-Identifier: MIT
import { ByteWriter } from "../util/bytes.js";
import { InputError } from "../util/errors.js";
import {
  BTF_HEADER_SIZE,
  BTF_INT_ENCODING,
  BTF_KIND,
  BTF_LINKAGE,
  BTF_MAGIC,
  BTF_MAX_SIZE,
  BTF_MAX_TYPE,
  BTF_MAX_VLEN,
  BTF_VERSION,
} from "./format.js";
import { StringTable } from "./strings.js";
import type { Btf, BtfKind, BtfMember, BtfType } from "./types.js";

/** Largest bit offset beside a bit-field width: 24 bits. */
const MAX_BITFIELD_OFFSET = 0xffffff;

/**
 * Writes a .BTF section; little-endian it is as BPF_BTF_LOAD takes it. The strings of .BTF.ext stand in the same
 * string section: add them to `strings` before, it is finished here.
 * @throws InputError when the types exceed what the format can say (65535 members, 2^20-1 types, 16 MiB).
 */
export function writeBtf(btf: Btf, strings: StringTable = new StringTable(), littleEndian = true): Uint8Array {
  const types = writeTypes(btf, strings, 1, littleEndian);
  return assembleBtf(types, strings.finish(), littleEndian);
}

/** The type section with the types from `firstId` on; their names go to `strings`. @throws as {@link writeBtf}. */
export function writeTypes(btf: Btf, strings: StringTable, firstId: number, littleEndian: boolean): Uint8Array {
  if (btf.types[0]?.kind !== "void") throw new InputError("BTF type id 0 must be void");
  if (btf.types.length - 1 > BTF_MAX_TYPE) throw new InputError(`more than ${BTF_MAX_TYPE} BTF types`);
  const types = new ByteWriter({ capacity: (btf.types.length - firstId + 1) * 24, littleEndian });
  btf.types.forEach((type, id) => {
    if (id >= firstId) writeType(types, strings, type, id);
  });
  return types.finish();
}

/** Puts the header before a type section and its string section. @throws InputError when the whole is too large. */
export function assembleBtf(types: Uint8Array, strings: Uint8Array, littleEndian: boolean): Uint8Array {
  const out = new ByteWriter({ capacity: BTF_HEADER_SIZE + types.length + strings.length, littleEndian });
  out.u16(BTF_MAGIC).u8(BTF_VERSION).u8(0).u32(BTF_HEADER_SIZE);
  out.u32(0).u32(types.length).u32(types.length).u32(strings.length);
  out.bytes(types).bytes(strings);
  if (out.length > BTF_MAX_SIZE) throw new InputError(`BTF of ${out.length} bytes is larger than ${BTF_MAX_SIZE}`);
  return out.finish();
}

/** Writes the part that all kinds share; `sizeOrType` is the union at its end. */
function writeHead(
  out: ByteWriter,
  nameOff: number,
  kind: BtfKind,
  sizeOrType: number,
  vlen = 0,
  kindFlag = false,
): void {
  out
    .u32(nameOff)
    .u32((((kindFlag ? 1 : 0) << 31) | (BTF_KIND[kind] << 24) | vlen) >>> 0)
    .u32(sizeOrType);
}

function checkedCount(items: readonly unknown[], id: number): number {
  if (items.length > BTF_MAX_VLEN) throw new InputError(`BTF type id ${id} has more than ${BTF_MAX_VLEN} parts`);
  return items.length;
}

function writeType(out: ByteWriter, strings: StringTable, type: BtfType, id: number): void {
  const name = "name" in type ? strings.add(type.name) : 0;
  switch (type.kind) {
    case "void":
      throw new InputError(`BTF type id ${id} is void; only id 0 may be`);
    case "int":
      writeHead(out, name, type.kind, type.size);
      out.u32((BTF_INT_ENCODING[type.encoding] << 24) | (type.bitOffset << 16) | type.bits);
      return;
    case "float":
      writeHead(out, name, type.kind, type.size);
      return;
    case "ptr":
    case "typedef":
    case "volatile":
    case "const":
    case "restrict":
      writeHead(out, name, type.kind, type.type);
      return;
    case "typeTag":
      writeHead(out, name, type.kind, type.type, 0, type.kindFlag);
      return;
    case "array":
      writeHead(out, name, type.kind, 0);
      out.u32(type.type).u32(type.indexType).u32(type.nelems);
      return;
    case "struct":
    case "union":
      writeAggregate(out, strings, type, name, id);
      return;
    case "enum":
      writeHead(out, name, type.kind, type.size, checkedCount(type.values, id), type.signed);
      for (const value of type.values) out.u32(strings.add(value.name)).u32(value.value);
      return;
    case "enum64":
      writeHead(out, name, type.kind, type.size, checkedCount(type.values, id), type.signed);
      for (const value of type.values) {
        // The lower word comes first in either byte order.
        const bits = BigInt.asUintN(64, value.value);
        out
          .u32(strings.add(value.name))
          .u32(Number(bits & 0xffffffffn))
          .u32(Number(bits >> 32n));
      }
      return;
    case "fwd":
      writeHead(out, name, type.kind, 0, 0, type.isUnion);
      return;
    case "declTag":
      writeHead(out, name, type.kind, type.type, 0, type.kindFlag);
      out.u32(type.componentIdx);
      return;
    case "func":
      writeHead(out, name, type.kind, type.type, BTF_LINKAGE[type.linkage]);
      return;
    case "funcProto":
      writeHead(out, name, type.kind, type.returnType, checkedCount(type.params, id));
      for (const param of type.params) out.u32(strings.add(param.name)).u32(param.type);
      return;
    case "var":
      writeHead(out, name, type.kind, type.type);
      out.u32(BTF_LINKAGE[type.linkage]);
      return;
    case "datasec":
      writeHead(out, name, type.kind, type.size, checkedCount(type.vars, id));
      for (const info of type.vars) out.u32(info.type).u32(info.offset).u32(info.size);
      return;
  }
}

function writeAggregate(
  out: ByteWriter,
  strings: StringTable,
  type: Extract<BtfType, { kind: "struct" | "union" }>,
  name: number,
  id: number,
): void {
  const bitFields = type.kindFlag === true || type.members.some((member) => member.bitSize > 0);
  writeHead(out, name, type.kind, type.size, checkedCount(type.members, id), bitFields);
  for (const member of type.members) {
    out
      .u32(strings.add(member.name))
      .u32(member.type)
      .u32(memberOffset(member, bitFields, id));
  }
}

function memberOffset(member: BtfMember, bitFields: boolean, id: number): number {
  if (!bitFields) return member.bitOffset;
  if (member.bitOffset > MAX_BITFIELD_OFFSET || member.bitSize > 0xff) {
    throw new InputError(`BTF type id ${id}: bit field ${member.name} lies beyond what BTF can say`);
  }
  return ((member.bitSize << 24) | member.bitOffset) >>> 0;
}
