// SPDX-License-Identifier: MIT
import { ByteReader } from "../util/bytes.js";
import { InputError } from "../util/errors.js";
import { ELF_MAGIC, ELFCLASS64, ELFDATA2LSB, ELFDATA2MSB, SHN, SHT } from "./format.js";

const ELFCLASS32 = 1;

/** Whether the bytes begin as an ELF file does. */
export function isElf(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && new ByteReader(bytes, { what: "file" }).u32("magic") === ELF_MAGIC;
}

/**
 * The content of the first section of this name in any ELF file, whatever the machine: a kernel, a module, a BPF
 * object. Nothing but the section headers is looked at. Undefined when there is no such section.
 * @throws InputError for malformed headers.
 */
export function findSection(bytes: Uint8Array, name: string): Uint8Array | undefined {
  const { sections, names } = readHeaders(bytes);
  const wanted = `${name}\0`;
  for (const section of sections) {
    for (let i = 0; i <= wanted.length; i++) {
      if (i === wanted.length) return slice(bytes, section, `section ${name}`);
      if (names[section.name + i] !== wanted.charCodeAt(i)) break;
    }
  }
  return undefined;
}

interface Header {
  /** Offset in the section name table. */
  readonly name: number;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

function readHeaders(bytes: Uint8Array): { sections: Header[]; names: Uint8Array } {
  const ident = new ByteReader(bytes, { what: "ELF header" });
  if (ident.u32("magic") !== ELF_MAGIC)
    throw new InputError("not an ELF file: the first four bytes are not 0x7f 'ELF'");
  const elfClass = ident.u8("class");
  const order = ident.u8("byte order");
  const isWide = elfClass === ELFCLASS64;
  if (!isWide && elfClass !== ELFCLASS32) throw new InputError(`ELF header: class is ${elfClass}, expected 1 or 2`);
  if (order !== ELFDATA2LSB && order !== ELFDATA2MSB) {
    throw new InputError(`ELF header: byte order is ${order}, expected 1 or 2`);
  }
  const r = new ByteReader(bytes, { what: "ELF header", littleEndian: order === ELFDATA2LSB });
  const word = (field: string): number => (isWide ? r.size64(field) : r.u32(field));
  r.seek(isWide ? 40 : 32, "section table offset");
  const table = word("section table offset");
  if (table === 0) throw new InputError("ELF header: the file has no section table");
  r.skip(10, "flags and program header sizes");
  const entrySize = r.u16("section header size");
  let count = r.u16("number of sections");
  let namesIndex = r.u16("section name table index");
  if (entrySize < (isWide ? 64 : 40)) throw new InputError(`ELF header: section header size ${entrySize}`);
  const header = (index: number): Header => {
    r.seek(table + index * entrySize, `section header ${index}`);
    const name = r.u32("sh_name");
    const type = r.u32("sh_type");
    word("sh_flags");
    word("sh_addr");
    return { name, type, offset: word("sh_offset"), size: word("sh_size"), link: r.u32("sh_link") };
  };
  // Numbers too large for their fields stand in the section header 0.
  if (count === 0) count = header(0).size;
  if (namesIndex === SHN.XINDEX) namesIndex = header(0).link;
  if (count * entrySize > bytes.length) throw new InputError(`ELF header: ${count} sections do not fit into the file`);
  if (namesIndex >= count) throw new InputError(`ELF header: section name table ${namesIndex} of ${count} sections`);
  const sections = Array.from({ length: count }, (_, index) => header(index));
  return { sections, names: slice(bytes, sections[namesIndex]!, "section name table") };
}

function slice(bytes: Uint8Array, { type, offset, size }: Header, what: string): Uint8Array {
  if (type === SHT.NOBITS) return new Uint8Array();
  return new ByteReader(bytes, { what: "ELF file" }).slice(offset, size, what);
}
