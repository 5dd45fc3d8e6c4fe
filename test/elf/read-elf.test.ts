// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { BinaryStream } from "@jsprismarine/jsbinaryutils";
import fc from "fast-check";
import t from "tap";
import { readElf } from "../../src/elf/read-elf.js";
import { readObject } from "../../src/elf/read-object.js";
import { writeObject } from "../../src/elf/write-object.js";
import { InputError } from "../../src/util/errors.js";
import { fullObject } from "./full-object.js";
import { sampleObject } from "./sample.js";

/** A section header by hand. */
interface Header {
  readonly name?: number;
  readonly type?: number;
  readonly flags?: number;
  readonly offset?: number;
  readonly size?: number;
  readonly link?: number;
  readonly info?: number;
  readonly entsize?: number;
}

interface FileOptions {
  readonly ident?: readonly number[];
  readonly type?: number;
  readonly machine?: number;
  readonly shoff?: bigint;
  readonly shentsize?: number;
  readonly shnum?: number;
  readonly shstrndx?: number;
}

const STRINGS = "\0.text\0.symtab\0.strtab\0sym\0.rel.text\0";
const name = (text: string) => STRINGS.indexOf(`\0${text}\0`) + 1;

/**
 * A small object file put together by hand: strings at 64, two instructions behind them, two symbols, one
 * relocation, then the section table.
 */
function golden(
  options: FileOptions = {},
  change: Partial<Record<".strtab" | ".text" | ".symtab" | ".rel", Header>> = {},
) {
  const body = new BinaryStream();
  const bytes = (list: Iterable<number>) => {
    for (const byte of list) body.writeByte(byte);
  };
  bytes(Buffer.from(STRINGS.padEnd(40, "\0")));
  bytes([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
  bytes(new Uint8Array(24));
  body.writeUnsignedIntLE(name("sym"));
  body.writeByte(0x12);
  body.writeByte(0);
  body.writeUnsignedShortLE(2);
  body.writeUnsignedLongLE(0n);
  body.writeUnsignedLongLE(16n);
  body.writeUnsignedLongLE(8n);
  body.writeUnsignedIntLE(10);
  body.writeUnsignedIntLE(1);
  const text = 64 + 40;
  const symtab = text + 16;
  const rel = symtab + 48;
  const header = ({ name = 0, type = 0, flags = 0, offset = 0, size = 0, link = 0, info = 0, entsize = 0 }: Header) => {
    body.writeUnsignedIntLE(name);
    body.writeUnsignedIntLE(type);
    body.writeUnsignedLongLE(BigInt(flags));
    body.writeUnsignedLongLE(0n);
    body.writeUnsignedLongLE(BigInt(offset));
    body.writeUnsignedLongLE(BigInt(size));
    body.writeUnsignedIntLE(link);
    body.writeUnsignedIntLE(info);
    body.writeUnsignedLongLE(8n);
    body.writeUnsignedLongLE(BigInt(entsize));
  };
  header({});
  header({ name: name(".strtab"), type: 3, offset: 64, size: STRINGS.length, ...change[".strtab"] });
  header({ name: name(".text"), type: 1, flags: 6, offset: text, size: 16, ...change[".text"] });
  header({
    name: name(".symtab"),
    type: 2,
    offset: symtab,
    size: 48,
    link: 1,
    info: 1,
    entsize: 24,
    ...change[".symtab"],
  });
  header({ name: name(".rel.text"), type: 9, offset: rel, size: 16, link: 3, info: 2, entsize: 16, ...change[".rel"] });
  const head = new BinaryStream();
  for (const byte of options.ident ?? [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]) head.writeByte(byte);
  head.writeUnsignedLongLE(0n);
  head.writeUnsignedShortLE(options.type ?? 1);
  head.writeUnsignedShortLE(options.machine ?? 247);
  head.writeUnsignedIntLE(1);
  head.writeUnsignedLongLE(0n);
  head.writeUnsignedLongLE(0n);
  head.writeUnsignedLongLE(options.shoff ?? BigInt(rel + 16));
  head.writeUnsignedIntLE(0);
  for (const half of [64, 0, 0, options.shentsize ?? 64, options.shnum ?? 5, options.shstrndx ?? 1]) {
    head.writeUnsignedShortLE(half);
  }
  return new Uint8Array(Buffer.concat([head.getBuffer(), body.getBuffer()]));
}

t.test("a file made by hand is read", (t) => {
  const elf = readElf(golden());
  t.strictSame(
    elf.sections.map((section) => section.name),
    ["", ".strtab", ".text", ".symtab", ".rel.text"],
  );
  t.equal(elf.sections[2]?.content.length, 16);
  t.match(elf.symbols[1], { name: "sym", section: 2, value: 0, size: 16, bind: 1, type: 2, visibility: 0 });
  t.strictSame(elf.relocations.get(2), [{ offset: 8, symbol: elf.symbols[1], type: 10, addend: null }]);
  t.strictSame(readElf(golden(), () => false).relocations.size, 0);
  t.end();
});

t.test("malformed files are told apart", (t) => {
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(), /ELF header: expected magic \(4 bytes\) at offset 0, but only 0 bytes are left/],
    [golden({ ident: [0x7f, 0x45, 0x4c, 0x47, 2, 1, 1, 0] }), /not an ELF file/],
    [golden({ ident: [0x7f, 0x45, 0x4c, 0x46, 1, 1, 1, 0] }), /class is 1, expected 2 \(64-bit\)/],
    [golden({ ident: [0x7f, 0x45, 0x4c, 0x46, 2, 3, 1, 0] }), /byte order is 3, expected 1 \(little-endian\) or 2/],
    [golden({ type: 2 }), /type is 2, expected 1 \(relocatable object\)/],
    [golden({ machine: 62 }), /machine is 62, expected 247 \(BPF\)/],
    [golden({ shentsize: 40 }), /section header size is 40, expected 64/],
    [golden({ shnum: 0 }), /0 sections, expected 1 to/],
    [golden({ shnum: 0xffff }), /section table \(offset \d+, 4194240 bytes\) does not fit/],
    [golden({ shnum: 6 }), /section table \(offset \d+, 384 bytes\) does not fit/],
    [golden({ shoff: 8n }), /section table offset 8 lies in the header/],
    [golden({ shoff: 2n ** 60n }), /section table offset at offset 40 is impossibly large/],
    [golden({ shstrndx: 2 }), /section name table index 2 is no string table/],
    [golden({ shstrndx: 9 }), /section name table index 9 is no string table/],
    [golden({}, { ".text": { size: 0xffff } }), /content of section 2 .*does not fit/],
    [golden({}, { ".text": { name: 0xffff } }), /string offset 65535 is outside/],
    [golden({}, { ".strtab": { size: 20 } }), /string at offset \d+ is not terminated|is outside/],
    [golden({}, { ".symtab": { entsize: 16 } }), /section \.symtab: size of an entry is 16, expected 24/],
    [golden({ shoff: 0n }), /has no section table/],
    [golden({}, { ".symtab": { size: 40 } }), /section \.symtab: symbol table size 40 is not a multiple of 24/],
    [golden({}, { ".symtab": { link: 2 } }), /section \.symtab: sh_link 2 is no string table/],
    [golden({}, { ".text": { type: 2 } }), /more than one symbol table/],
    [golden({}, { ".rel": { info: 9 } }), /section \.rel\.text: sh_info 9 is no section/],
    [golden({}, { ".rel": { link: 2 } }), /sh_link 2 is not the symbol table/],
    [golden({}, { ".rel": { size: 15 } }), /size 15 is not a multiple of 16/],
    [golden({}, { ".rel": { type: 4 } }), /size of an entry is 16, expected 24/],
  ];
  for (const [bytes, message] of cases) {
    t.throws(() => readElf(bytes), { name: "InputError", message }, String(message));
  }
  const strangeSymbol = golden();
  new DataView(strangeSymbol.buffer).setUint16(64 + 40 + 16 + 24 + 6, 77, true);
  t.throws(() => readElf(strangeSymbol), /symbol 1 \(sym\) lies in section 77/);
  const strangeRelocation = golden();
  new DataView(strangeRelocation.buffer).setUint32(64 + 40 + 16 + 48 + 12, 5, true);
  t.throws(() => readElf(strangeRelocation), /relocation 0 names symbol 5, which does not exist/);
  t.end();
});

/** Reads and gives what happened; anything but an object or an InputError is a bug. */
function verdict(bytes: Uint8Array): "read" | "refused" {
  try {
    const spec = readObject(bytes, { name: "fuzz" });
    // What was taken in can be handled further without surprises.
    try {
      writeObject(spec);
    } catch (error) {
      assert.ok(error instanceof InputError, `writing: ${error}`);
    }
    return "read";
  } catch (error) {
    assert.ok(error instanceof InputError, `reading: ${error instanceof Error ? error.stack : error}`);
    return "refused";
  }
}

t.test("every truncation is refused", (t) => {
  const object = writeObject(sampleObject());
  for (let length = 0; length < object.length; length++) {
    assert.equal(verdict(object.subarray(0, length)), "refused", `${length} bytes`);
  }
  t.equal(verdict(object), "read");
  t.end();
});

t.test("mutated objects are read or refused, nothing else", (t) => {
  for (const [name, object] of [
    ["a plain object", writeObject(sampleObject())],
    ["one that says everything", writeObject(fullObject("little"))],
    ["the same, big-endian", writeObject(fullObject("big"))],
  ] as const) {
    const seen = mutate(object);
    t.ok(seen.read > 50 && seen.refused > 50, `${name}: ${JSON.stringify(seen)}`);
  }
  t.end();
});

/** Puts odd words into an object's tables, and counts what becomes of it. */
function mutate(object: Uint8Array): Record<"read" | "refused", number> {
  const { sections, littleEndian } = readElf(object);
  const offsetOf = (name: string) => sections.find((section) => section.name === name)!.content.byteOffset;
  const tables = sections.find(({ type }) => type === 9)!.content.byteOffset;
  const regions = [
    [0, 64],
    [offsetOf(".BTF"), sections.find((section) => section.name === ".BTF")!.size],
    [offsetOf(".BTF.ext"), sections.find((section) => section.name === ".BTF.ext")!.size],
    // Relocations, symbols, names and the section table.
    [tables, object.length - tables],
    [0, object.length],
  ] as const;
  const word = fc.oneof(
    fc.nat(64),
    fc.constantFrom(0xffffffff, 0x80000000, 0x7fffffff, 0x10000, 0xffff, 0xff00),
    fc.nat(0xffffffff),
  );
  const mutation = fc.record({
    region: fc.nat(regions.length - 1),
    at: fc.nat(1_000_000),
    width: fc.constantFrom(1, 2, 4, 8),
    value: word,
  });
  const seen = { read: 0, refused: 0 };
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 6 }), (mutations) => {
      const bytes = object.slice();
      const view = new DataView(bytes.buffer);
      for (const { region, at, width, value } of mutations) {
        const [start, size] = regions[region]!;
        const offset = Math.min(bytes.length - width, start + Math.floor((at % size) / width) * width);
        if (width === 1) view.setUint8(offset, value);
        else if (width === 2) view.setUint16(offset, value, littleEndian);
        else if (width === 4) view.setUint32(offset, value, littleEndian);
        else view.setBigUint64(offset, BigInt(value), littleEndian);
      }
      seen[verdict(bytes)]++;
    }),
    { numRuns: 2000, interruptAfterTimeLimit: 60_000, markInterruptAsFailure: true },
  );
  return seen;
}

t.test("a small file cannot ask for much", (t) => {
  const object = writeObject(sampleObject());
  const view = new DataView(object.buffer);
  const bss = readElf(object).sections.find((section) => section.name === ".bss")!;
  const shoff = Number(view.getBigUint64(40, true));
  view.setBigUint64(shoff + bss.index * 64 + 32, 1n << 40n, true);
  t.throws(() => readObject(object, { name: "x" }), /section \.bss: global data of more than/);
  t.end();
});
