// SPDX-License-Identifier: MIT
import { BugError, InputError } from "../util/errors.js";
import { typePlace } from "./blob.js";
import { BTF_INT_ENCODING, BTF_KIND, BTF_LINKAGE_NAMES } from "./format.js";
import type { BtfKind, BtfMember, BtfType } from "./types.js";

const KIND_NAMES: readonly BtfKind[] = Object.entries(BTF_KIND)
  .sort(([, a], [, b]) => a - b)
  .map(([name]) => name as BtfKind);

/** The kind that the `info` word of a type says. */
export function kindOfInfo(info: number): BtfKind | undefined {
  return KIND_NAMES[(info >>> 24) & 0x1f];
}

/** A bit for each kind that has no name; a word where others have theirs means nothing. */
const NAMELESS = (["ptr", "array", "volatile", "const", "restrict", "funcProto"] as const).reduce(
  (bits, kind) => bits | (1 << BTF_KIND[kind]),
  0,
);

/** Whether types of the kind that the `info` word says have names. */
export function kindHasName(info: number): boolean {
  return ((NAMELESS >>> ((info >>> 24) & 0x1f)) & 1) === 0;
}

const INT_ENCODING_NAMES: { readonly [bits: number]: keyof typeof BTF_INT_ENCODING | undefined } = {
  [BTF_INT_ENCODING.none]: "none",
  [BTF_INT_ENCODING.signed]: "signed",
  [BTF_INT_ENCODING.char]: "char",
  [BTF_INT_ENCODING.signedChar]: "signedChar",
  [BTF_INT_ENCODING.bool]: "bool",
};

/** Decodes single types of a type section whose offsets are known (`typeOffsets`). */
export class TypeDecoder {
  readonly #words: Uint32Array;
  readonly #stringAt: (offset: number) => string;
  readonly #count: number;

  /** @param count number of types with void and the base's: what references are checked against. */
  constructor(words: Uint32Array, stringAt: (offset: number) => string, count: number) {
    this.#words = words;
    this.#stringAt = stringAt;
    this.#count = count;
  }

  /**
   * The type at a word of the section.
   * @throws InputError for a name or a reference out of range, an unknown encoding or linkage.
   */
  decode(id: number, at: number): BtfType {
    try {
      return this.#decode(at);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new InputError(`${typePlace(id, at)}: ${error.message}`);
    }
  }

  /** A reference to a type. */
  #ref(at: number): number {
    const id = this.#words[at]!;
    if (id >= this.#count) throw new InputError(`refers to type id ${id}, but the last one is ${this.#count - 1}`);
    return id;
  }

  #name(at: number): string {
    const offset = this.#words[at]!;
    return offset === 0 ? "" : this.#stringAt(offset);
  }

  #decode(at: number): BtfType {
    const words = this.#words;
    const info = words[at + 1]!;
    const kindFlag = info >>> 31 !== 0;
    const kind = kindOfInfo(info);
    const vlen = info & 0xffff;
    switch (kind) {
      case undefined:
      case "void":
        throw new BugError("a type that no offset stands for");
      case "int":
        return this.#int(at);
      case "float":
        return { kind, name: this.#name(at), size: words[at + 2]! };
      case "ptr":
      case "volatile":
      case "const":
      case "restrict":
        return { kind, type: this.#ref(at + 2) };
      case "typedef":
        return { kind, name: this.#name(at), type: this.#ref(at + 2) };
      case "typeTag": {
        const type = { kind, name: this.#name(at), type: this.#ref(at + 2) };
        return kindFlag ? { ...type, kindFlag } : type;
      }
      case "declTag": {
        const type = { kind, name: this.#name(at), type: this.#ref(at + 2), componentIdx: words[at + 3]! | 0 };
        return kindFlag ? { ...type, kindFlag } : type;
      }
      case "array":
        return { kind, type: this.#ref(at + 3), indexType: this.#ref(at + 4), nelems: words[at + 5]! };
      case "struct":
      case "union":
        return this.#aggregate(kind, at, vlen, kindFlag);
      case "enum":
      case "enum64":
        return this.#enumeration(kind, at, vlen, kindFlag);
      case "fwd":
        return { kind, name: this.#name(at), isUnion: kindFlag };
      case "func":
        return { kind, name: this.#name(at), type: this.#ref(at + 2), linkage: linkage(vlen) };
      case "funcProto": {
        const params = [];
        for (let i = 0, p = at + 3; i < vlen; i++, p += 2) params.push({ name: this.#name(p), type: this.#ref(p + 1) });
        return { kind, returnType: this.#ref(at + 2), params };
      }
      case "var":
        return { kind, name: this.#name(at), type: this.#ref(at + 2), linkage: linkage(words[at + 3]!) };
      case "datasec": {
        const vars = [];
        for (let i = 0, p = at + 3; i < vlen; i++, p += 3) {
          vars.push({ type: this.#ref(p), offset: words[p + 1]!, size: words[p + 2]! });
        }
        return { kind, name: this.#name(at), size: words[at + 2]!, vars };
      }
    }
  }

  #int(at: number): BtfType {
    const info = this.#words[at + 3]!;
    const encoding = INT_ENCODING_NAMES[(info >>> 24) & 0xf];
    if (encoding === undefined) throw new InputError(`unknown integer encoding ${(info >>> 24) & 0xf}`);
    const name = this.#name(at);
    return {
      kind: "int",
      name,
      size: this.#words[at + 2]!,
      bits: info & 0xff,
      bitOffset: (info >>> 16) & 0xff,
      encoding,
    };
  }

  #aggregate(kind: "struct" | "union", at: number, vlen: number, kindFlag: boolean): BtfType {
    const words = this.#words;
    const members: BtfMember[] = [];
    let bitFields = false;
    for (let i = 0, m = at + 3; i < vlen; i++, m += 3) {
      const offset = words[m + 2]!;
      const bitSize = kindFlag ? offset >>> 24 : 0;
      if (bitSize !== 0) bitFields = true;
      const bitOffset = kindFlag ? offset & 0xffffff : offset;
      members.push({ name: this.#name(m), type: this.#ref(m + 1), bitOffset, bitSize });
    }
    const type = { kind, name: this.#name(at), size: words[at + 2]!, members };
    return kindFlag && !bitFields ? { ...type, kindFlag } : type;
  }

  #enumeration(kind: "enum" | "enum64", at: number, vlen: number, signed: boolean): BtfType {
    const words = this.#words;
    const head = { name: this.#name(at), size: words[at + 2]!, signed };
    if (kind === "enum") {
      const values = [];
      for (let i = 0, v = at + 3; i < vlen; i++, v += 2) {
        const value = words[v + 1]!;
        values.push({ name: this.#name(v), value: signed ? value | 0 : value });
      }
      return { kind, ...head, values };
    }
    const values = [];
    for (let i = 0, v = at + 3; i < vlen; i++, v += 3) {
      // The lower word comes first in either byte order.
      const value = (BigInt(words[v + 2]!) << 32n) | BigInt(words[v + 1]!);
      values.push({ name: this.#name(v), value: signed ? BigInt.asIntN(64, value) : value });
    }
    return { kind, ...head, values };
  }
}

function linkage(number: number): "static" | "global" | "extern" {
  const name = BTF_LINKAGE_NAMES[number];
  if (name === undefined) throw new InputError(`unknown linkage ${number}`);
  return name;
}
