// SPDX-License-Identifier: MIT
import { ByteReader, stringTableReader } from "../util/bytes.js";
import { InputError } from "../util/errors.js";
import {
  BTF_HEADER_SIZE,
  BTF_INT_ENCODING,
  BTF_KIND,
  BTF_LINKAGE_NAMES,
  BTF_MAGIC,
  BTF_MAX_SIZE,
  BTF_MAX_TYPE,
  BTF_VERSION,
} from "./format.js";
import type { Btf, BtfKind, BtfType } from "./types.js";

/** A .BTF section taken apart. */
export interface BtfBlob {
  readonly btf: Btf;
  /**
   * The string at an offset of the string section (for .BTF.ext).
   * @throws InputError when the offset is outside.
   */
  readonly stringAt: (offset: number) => string;
  readonly littleEndian: boolean;
  /** The string section as it stands, for {@link StringTable} to begin with where every offset must stay. */
  readonly strings: Uint8Array;
}

const KIND_NAMES = Object.fromEntries(Object.entries(BTF_KIND).map(([name, kind]) => [kind, name])) as {
  readonly [kind: number]: BtfKind | undefined;
};

const INT_ENCODING_NAMES: { readonly [bits: number]: keyof typeof BTF_INT_ENCODING | undefined } = {
  [BTF_INT_ENCODING.none]: "none",
  [BTF_INT_ENCODING.signed]: "signed",
  [BTF_INT_ENCODING.char]: "char",
  [BTF_INT_ENCODING.bool]: "bool",
};

/**
 * Reads a .BTF section of either byte order. All type references are checked to be in range; whether the
 * types make sense together is the validator's business.
 * @throws InputError with the offset for anything malformed.
 */
export function readBtf(bytes: Uint8Array): Btf {
  return readBtfBlob(bytes).btf;
}

/** {@link readBtf}, giving access to the string section too. */
export function readBtfBlob(bytes: Uint8Array): BtfBlob {
  if (bytes.length > BTF_MAX_SIZE) {
    throw new InputError(`BTF: ${bytes.length} bytes is larger than the limit of ${BTF_MAX_SIZE}`);
  }
  const littleEndian = readMagic(bytes);
  const { types, strings } = readHeader(new ByteReader(bytes, { what: "BTF header", littleEndian }));
  const stringAt = stringTableReader(strings, "BTF string section");
  const reader = new TypeReader(types, stringAt, littleEndian);
  return { btf: { types: reader.readAll() }, stringAt, littleEndian, strings };
}

function readMagic(bytes: Uint8Array): boolean {
  const magic = new ByteReader(bytes, { what: "BTF header" }).u16("magic");
  if (magic === BTF_MAGIC) return true;
  const swapped = ((BTF_MAGIC & 0xff) << 8) | (BTF_MAGIC >> 8);
  if (magic === swapped) return false;
  throw new InputError(
    `BTF header: magic at offset 0 is 0x${magic.toString(16)}, expected 0x${BTF_MAGIC.toString(16)}`,
  );
}

function readHeader(reader: ByteReader): { types: Uint8Array; strings: Uint8Array } {
  reader.skip(2, "magic");
  const version = reader.u8("version");
  if (version !== BTF_VERSION) throw new InputError(`BTF header: version ${version}, expected ${BTF_VERSION}`);
  const flags = reader.u8("flags");
  if (flags !== 0) throw new InputError(`BTF header: flags 0x${flags.toString(16)}, expected 0`);
  const headerLength = reader.u32("hdr_len");
  if (headerLength < BTF_HEADER_SIZE) {
    throw new InputError(`BTF header: hdr_len ${headerLength}, expected at least ${BTF_HEADER_SIZE}`);
  }
  const typeOff = reader.u32("type_off");
  const typeLen = reader.u32("type_len");
  const strOff = reader.u32("str_off");
  const strLen = reader.u32("str_len");
  if (typeOff % 4 !== 0) throw new InputError(`BTF header: type_off ${typeOff} is not a multiple of 4`);
  const types = reader.slice(headerLength + typeOff, typeLen, "type section");
  const strings = reader.slice(headerLength + strOff, strLen, "string section");
  if (strings[0] !== 0 || strings[strings.length - 1] !== 0) {
    throw new InputError("BTF string section must begin and end with a NUL byte");
  }
  return { types, strings };
}

class TypeReader {
  readonly #reader: ByteReader;
  readonly #stringAt: (offset: number) => string;
  readonly #types: BtfType[] = [{ kind: "void" }];
  /** Largest id that any type refers to, and the id of the type that does. */
  #largest = 0;
  #largestFrom = 0;

  constructor(bytes: Uint8Array, stringAt: (offset: number) => string, littleEndian: boolean) {
    this.#reader = new ByteReader(bytes, { what: "BTF type section", littleEndian });
    this.#stringAt = stringAt;
  }

  readAll(): BtfType[] {
    while (this.#reader.remaining > 0) {
      if (this.#types.length > BTF_MAX_TYPE) throw new InputError(`BTF: more than ${BTF_MAX_TYPE} types`);
      const at = this.#reader.offset;
      try {
        this.#types.push(this.#readType());
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        throw new InputError(`BTF type id ${this.#types.length} (offset ${at} in the type section): ${error.message}`);
      }
    }
    if (this.#largest >= this.#types.length) {
      throw new InputError(
        `BTF type id ${this.#largestFrom} refers to type id ${this.#largest}, but the last one is ${this.#types.length - 1}`,
      );
    }
    return this.#types;
  }

  /** A reference to a type, in range for the whole once {@link readAll} is through. */
  #ref(id: number): number {
    if (id > this.#largest) {
      this.#largest = id;
      this.#largestFrom = this.#types.length;
    }
    return id;
  }

  #readType(): BtfType {
    const r = this.#reader;
    const name = this.#stringAt(r.u32("name_off"));
    const info = r.u32("info");
    const sizeOrType = r.u32("size or type");
    const kindFlag = info >>> 31 !== 0;
    const kindNumber = (info >>> 24) & 0x1f;
    const kind = KIND_NAMES[kindNumber];
    const vlen = info & 0xffff;
    switch (kind) {
      case undefined:
      case "void":
        throw new InputError(`unknown kind ${kindNumber}`);
      case "int":
        return this.#readInt(name, sizeOrType);
      case "float":
        return { kind, name, size: sizeOrType };
      case "ptr":
      case "volatile":
      case "const":
      case "restrict":
        return { kind, type: this.#ref(sizeOrType) };
      case "typedef":
      case "typeTag":
        return { kind, name, type: this.#ref(sizeOrType) };
      case "array":
        return {
          kind,
          type: this.#ref(r.u32("array element type")),
          indexType: this.#ref(r.u32("array index type")),
          nelems: r.u32("array length"),
        };
      case "struct":
      case "union":
        return { kind, name, size: sizeOrType, members: this.#list(vlen, 12, () => this.#readMember(kindFlag)) };
      case "enum": {
        const read = () => ({ name: this.#name(), value: kindFlag ? r.i32("enum value") : r.u32("enum value") });
        return { kind, name, size: sizeOrType, signed: kindFlag, values: this.#list(vlen, 8, read) };
      }
      case "enum64": {
        const read = () => ({ name: this.#name(), value: this.#enum64Value(kindFlag) });
        return { kind, name, size: sizeOrType, signed: kindFlag, values: this.#list(vlen, 12, read) };
      }
      case "fwd":
        return { kind, name, isUnion: kindFlag };
      case "declTag":
        return { kind, name, type: this.#ref(sizeOrType), componentIdx: r.i32("component_idx") };
      case "func":
        return { kind, name, type: this.#ref(sizeOrType), linkage: linkage(vlen) };
      case "funcProto": {
        const read = () => ({ name: this.#name(), type: this.#ref(r.u32("parameter type")) });
        return { kind, returnType: this.#ref(sizeOrType), params: this.#list(vlen, 8, read) };
      }
      case "var":
        return { kind, name, type: this.#ref(sizeOrType), linkage: linkage(r.u32("linkage")) };
      case "datasec": {
        const read = () => ({
          type: this.#ref(r.u32("variable")),
          offset: r.u32("variable offset"),
          size: r.u32("variable size"),
        });
        return { kind, name, size: sizeOrType, vars: this.#list(vlen, 12, read) };
      }
    }
  }

  #name(): string {
    return this.#stringAt(this.#reader.u32("name_off"));
  }

  /** Two words, the lower one first in either byte order. */
  #enum64Value(signed: boolean): bigint {
    const low = this.#reader.u32("enum value");
    const value = (BigInt(this.#reader.u32("enum value")) << 32n) | BigInt(low);
    return signed ? BigInt.asIntN(64, value) : value;
  }

  #list<T>(count: number, size: number, read: () => T): T[] {
    if (count * size > this.#reader.remaining) {
      throw new InputError(`${count} parts of ${size} bytes, but only ${this.#reader.remaining} bytes are left`);
    }
    return Array.from({ length: count }, read);
  }

  #readInt(name: string, size: number): BtfType {
    const info = this.#reader.u32("integer encoding");
    const encoding = INT_ENCODING_NAMES[(info >>> 24) & 0xf];
    if (encoding === undefined) throw new InputError(`unknown integer encoding ${(info >>> 24) & 0xf}`);
    return { kind: "int", name, size, bits: info & 0xff, bitOffset: (info >>> 16) & 0xff, encoding };
  }

  #readMember(bitFields: boolean) {
    const name = this.#name();
    const type = this.#ref(this.#reader.u32("member type"));
    const offset = this.#reader.u32("member offset");
    if (!bitFields) return { name, type, bitOffset: offset, bitSize: 0 };
    return { name, type, bitOffset: offset & 0xffffff, bitSize: offset >>> 24 };
  }
}

function linkage(number: number): "static" | "global" | "extern" {
  const name = BTF_LINKAGE_NAMES[number];
  if (name === undefined) throw new InputError(`unknown linkage ${number}`);
  return name;
}
