// SPDX-License-Identifier: MIT
import { BinaryStream } from "@jsprismarine/jsbinaryutils";
import type { Btf } from "../../src/btf/types.js";

/** One type of every kind that a program's BTF can hold. */
export const allKinds: Btf = {
  types: [
    { kind: "void" },
    { kind: "int", name: "int", size: 4, bits: 32, bitOffset: 0, encoding: "signed" },
    { kind: "ptr", type: 1 },
    { kind: "array", type: 1, indexType: 1, nelems: 3 },
    { kind: "struct", name: "s", size: 8, members: [{ name: "a", type: 1, bitOffset: 32, bitSize: 0 }] },
    {
      kind: "union",
      name: "u",
      size: 4,
      members: [
        { name: "low", type: 1, bitOffset: 0, bitSize: 3 },
        { name: "int", type: 1, bitOffset: 0, bitSize: 0 },
      ],
    },
    { kind: "enum", name: "e", size: 4, signed: true, values: [{ name: "MINUS", value: -1 }] },
    { kind: "fwd", name: "f", isUnion: true },
    { kind: "typedef", name: "t", type: 1 },
    { kind: "volatile", type: 1 },
    { kind: "const", type: 1 },
    { kind: "restrict", type: 2 },
    { kind: "funcProto", returnType: 1, params: [{ name: "x", type: 2 }] },
    { kind: "func", name: "fn", type: 12, linkage: "global" },
    { kind: "var", name: "v", type: 1, linkage: "static" },
    { kind: "datasec", name: ".data", size: 16, vars: [{ type: 14, offset: 4, size: 4 }] },
    { kind: "float", name: "double", size: 8 },
    { kind: "declTag", name: "tag", type: 4, componentIdx: -1 },
    { kind: "typeTag", name: "user", type: 1 },
    { kind: "enum64", name: "e64", size: 8, signed: false, values: [{ name: "BIG", value: 0x8000000000000001n }] },
  ],
};

/** The strings of {@link allKinds} in the order in which the types need them. */
const STRINGS = "int s a u low e MINUS f t x fn v .data double tag user e64 BIG".split(" ");

/** Offset of a string in the string section. */
export function stringOffset(text: string): number {
  if (text === "") return 0;
  const before = STRINGS.slice(0, STRINGS.indexOf(text));
  return before.reduce((sum, s) => sum + s.length + 1, 1);
}

/** Byte order and what the header claims; left out, the truth. */
export interface BlobOptions {
  readonly big?: boolean;
  readonly header?: Partial<
    Record<"magic" | "version" | "flags" | "hdrLen" | "typeOff" | "typeLen" | "strOff" | "strLen", number>
  >;
}

/** {@link allKinds} as a blob, put together by hand from the format's description. */
export function goldenBlob({ big = false, header = {} }: BlobOptions = {}): Uint8Array {
  const types = new BinaryStream();
  const u32 = (stream: BinaryStream, ...values: number[]) => {
    for (const value of values) big ? stream.writeUnsignedInt(value >>> 0) : stream.writeUnsignedIntLE(value >>> 0);
  };
  const info = (kind: number, vlen = 0, flag = 0) => flag * 2 ** 31 + kind * 2 ** 24 + vlen;
  const s = stringOffset;
  u32(types, s("int"), info(1), 4, 0x01000020);
  u32(types, 0, info(2), 1);
  u32(types, 0, info(3), 0, 1, 1, 3);
  u32(types, s("s"), info(4, 1), 8, s("a"), 1, 32);
  u32(types, s("u"), info(5, 2, 1), 4, s("low"), 1, 0x03000000, s("int"), 1, 0);
  u32(types, s("e"), info(6, 1, 1), 4, s("MINUS"), 0xffffffff);
  u32(types, s("f"), info(7, 0, 1), 0);
  u32(types, s("t"), info(8), 1);
  u32(types, 0, info(9), 1);
  u32(types, 0, info(10), 1);
  u32(types, 0, info(11), 2);
  u32(types, 0, info(13, 1), 1, s("x"), 2);
  u32(types, s("fn"), info(12, 1), 12);
  u32(types, s("v"), info(14), 1, 0);
  u32(types, s(".data"), info(15, 1), 16, 14, 4, 4);
  u32(types, s("double"), info(16), 8);
  u32(types, s("tag"), info(17), 4, 0xffffffff);
  u32(types, s("user"), info(18), 1);
  // The low half of the value comes first, whatever the byte order.
  u32(types, s("e64"), info(19, 1), 8, s("BIG"), 1, 0x80000000);
  const strings = Buffer.from(`\0${STRINGS.join("\0")}\0`);
  const typeBytes = types.getBuffer();
  const out = new BinaryStream();
  const magic = header.magic ?? 0xeb9f;
  big ? out.writeUnsignedShort(magic) : out.writeUnsignedShortLE(magic);
  out.writeByte(header.version ?? 1);
  out.writeByte(header.flags ?? 0);
  u32(out, header.hdrLen ?? 24, header.typeOff ?? 0, header.typeLen ?? typeBytes.length);
  u32(out, header.strOff ?? typeBytes.length, header.strLen ?? strings.length);
  return new Uint8Array(Buffer.concat([out.getBuffer(), typeBytes, strings]));
}
