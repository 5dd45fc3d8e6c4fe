// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import { type Btf, BtfBuilder, readBtf, readBtfBlob, StringTable, writeBtf } from "../../src/btf/index.js";
import { loadBtf } from "../../src/syscall/btf.js";
import { BugError, InputError } from "../../src/util/errors.js";
import { runQuietly, scratchDir, whyNoBpf, whyNoTool } from "../support/tools.js";
import { allKinds, type BlobOptions, goldenBlob } from "./all-kinds.js";

const VMLINUX = "/sys/kernel/btf/vmlinux";

t.test("every kind is written as the format says", (t) => {
  t.equal(Buffer.from(writeBtf(allKinds)).toString("hex"), Buffer.from(goldenBlob()).toString("hex"));
  t.end();
});

t.test("every kind is read, in either byte order", (t) => {
  t.strictSame(readBtf(goldenBlob()), allKinds);
  const big = readBtfBlob(goldenBlob({ big: true }));
  t.strictSame(big.btf, allKinds);
  t.equal(big.littleEndian, false);
  t.end();
});

t.test("bpftool reads every kind", { skip: whyNoTool("bpftool") }, (t) => {
  const file = join(scratchDir(), "kinds.btf");
  writeFileSync(file, writeBtf(allKinds));
  const lines = runQuietly("bpftool", "btf", "dump", "file", file).trimEnd().split("\n");
  t.strictSame(lines, [
    "[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED",
    "[2] PTR '(anon)' type_id=1",
    "[3] ARRAY '(anon)' type_id=1 index_type_id=1 nr_elems=3",
    "[4] STRUCT 's' size=8 vlen=1",
    "\t'a' type_id=1 bits_offset=32",
    "[5] UNION 'u' size=4 vlen=2",
    "\t'low' type_id=1 bits_offset=0 bitfield_size=3",
    "\t'int' type_id=1 bits_offset=0",
    "[6] ENUM 'e' encoding=SIGNED size=4 vlen=1",
    "\t'MINUS' val=-1",
    "[7] FWD 'f' fwd_kind=union",
    "[8] TYPEDEF 't' type_id=1",
    "[9] VOLATILE '(anon)' type_id=1",
    "[10] CONST '(anon)' type_id=1",
    "[11] RESTRICT '(anon)' type_id=2",
    "[12] FUNC_PROTO '(anon)' ret_type_id=1 vlen=1",
    "\t'x' type_id=2",
    "[13] FUNC 'fn' type_id=12 linkage=global",
    "[14] VAR 'v' type_id=1, linkage=static",
    "[15] DATASEC '.data' size=16 vlen=1",
    "\ttype_id=14 offset=4 size=4 (VAR 'v')",
    "[16] FLOAT 'double' size=8",
    "[17] DECL_TAG 'tag' type_id=4 component_idx=-1",
    "[18] TYPE_TAG 'user' type_id=1",
    "[19] ENUM64 'e64' encoding=UNSIGNED size=8 vlen=1",
    "\t'BIG' val=9223372036854775809ULL",
  ]);
  t.end();
});

t.test("bpftool prints our types as C", { skip: whyNoTool("bpftool") }, (t) => {
  const b = new BtfBuilder();
  const u32 = b.kernelInt("__u32");
  b.struct("event", [
    { name: "pid", type: u32 },
    { name: "flag", type: u32, bitSize: 1 },
    { name: "comm", type: b.array(b.int("char"), 16) },
    { name: "next", type: b.ptr(b.fwd("list")) },
  ]);
  const file = join(scratchDir(), "event.btf");
  writeFileSync(file, writeBtf(b.build()));
  const text = runQuietly("bpftool", "btf", "dump", "file", file, "format", "c");
  t.match(text, /struct event \{\n\t__u32 pid;\n\t__u32 flag: 1;\n\tchar comm\[16\];\n\tstruct list \*next;\n\};/);
  t.end();
});

t.test("the kernel takes what we write", { skip: whyNoBpf() }, (t) => {
  const b = new BtfBuilder();
  const int = b.int("int");
  const u64 = b.kernelInt("__u64");
  const node = b.declare();
  b.define(
    node,
    b.layout("struct", "node", [
      { name: "next", type: b.ptr(node) },
      { name: "value", type: u64 },
    ]),
  );
  b.union("either", [
    { name: "a", type: int },
    { name: "b", type: u64, bitSize: 5 },
  ]);
  b.enum("color", [{ name: "RED", value: -1 }]);
  b.add({ kind: "enum64", name: "wide", size: 8, signed: true, values: [{ name: "LOW", value: -(1n << 40n) }] });
  b.typeTag("user", b.ptr(int));
  b.declTag("marked", node, 1);
  b.add({ kind: "float", name: "double", size: 8 });
  const f = b.func("f", b.funcProto(int, [{ name: "x", type: b.modifier("const", b.ptr(0)) }]), "global");
  b.declTag("arg:nonnull", f, 0);
  const v = b.var("counter", b.modifier("volatile", b.array(u64, 2)));
  b.datasec(".bss", 16, [{ type: v, offset: 0, size: 16 }]);
  const fd = loadBtf(writeBtf(b.build()), "test");
  t.ok(fd.number >= 0);
  fd.close();
  t.throws(() => loadBtf(writeBtf({ types: [{ kind: "void" }, { kind: "ptr", type: 7 }] }), "bad"), /invalid|Invalid/i);
  t.end();
});

t.test("the kernel's own types survive", { skip: existsSync(VMLINUX) ? false : "skipped: no vmlinux BTF" }, (t) => {
  const bytes = readFileSync(VMLINUX);
  const { btf, strings } = readBtfBlob(bytes);
  t.ok(btf.types.length > 50_000, `${btf.types.length} types`);
  const task = btf.types.find((type) => type.kind === "struct" && type.name === "task_struct");
  t.equal(task?.kind, "struct");
  t.equal(Buffer.compare(writeBtf(btf, new StringTable(strings)), bytes), 0, "byte for byte");
  t.end();
});

t.test("kind_flag survives where no member shows it", (t) => {
  const btf: Btf = {
    types: [
      { kind: "void" },
      { kind: "int", name: "int", size: 4, bits: 32, bitOffset: 0, encoding: "signed" },
      {
        kind: "struct",
        name: "s",
        size: 4,
        members: [{ name: "a", type: 1, bitOffset: 0, bitSize: 0 }],
        kindFlag: true,
      },
      { kind: "union", name: "u", size: 0, members: [], kindFlag: true },
      { kind: "typeTag", name: "address_space(1)", type: 1, kindFlag: true },
      { kind: "declTag", name: "aligned(8)", type: 2, componentIdx: 0, kindFlag: true },
    ],
  };
  const bytes = writeBtf(btf);
  t.strictSame(readBtf(bytes), btf);
  // Offsets of the types in the section: 16 bytes of int, then 24, 12 and 12.
  const infos = [16, 40, 52, 64].map((at) => new DataView(bytes.buffer).getUint32(24 + at + 4, true) >>> 24);
  t.strictSame(infos, [0x84, 0x85, 0x92, 0x91], "bit 31 of info, beside the kind");
  t.end();
});

t.test("malformed headers are told apart", (t) => {
  const cases: [string, BlobOptions["header"], RegExp][] = [
    ["magic", { magic: 0x1234 }, /magic at offset 0 is 0x1234, expected 0xeb9f/],
    ["version", { version: 2 }, /version 2, expected 1/],
    ["flags", { flags: 1 }, /flags 0x1, expected 0/],
    ["short header", { hdrLen: 20 }, /hdr_len 20, expected 24 or more/],
    ["header beyond the end", { hdrLen: 0xfffffff0 }, /type section .* does not fit/],
    ["unaligned types", { typeOff: 2 }, /type_off 2 is not a multiple of 4/],
    ["types too long", { typeLen: 0xffffff }, /types at 0, 16777215 bytes, overlap strings at 328/],
    ["strings too long", { strLen: 0xffffff }, /string section .* does not fit/],
    ["no strings", { strLen: 0 }, /must begin and end with a NUL/],
    ["strings not terminated", { strLen: 3 }, /must begin and end with a NUL/],
    ["types cut", { typeLen: 22 }, /type id 2 \(offset 16 .*expected 12 bytes, but only 6 bytes are left/],
  ];
  for (const [name, header, message] of cases) {
    t.throws(() => readBtf(goldenBlob({ header: header ?? {} })), { name: "InputError", message }, name);
  }
  t.throws(() => readBtf(new Uint8Array()), /expected magic \(2 bytes\) at offset 0, but only 0 bytes are left/);
  t.end();
});

t.test("a header may be cut in its last field, or be longer than known", (t) => {
  for (const hdrLen of [23, 28]) {
    const whole = goldenBlob();
    const blob = new Uint8Array(whole.length - 24 + hdrLen);
    blob.set(whole.subarray(24), hdrLen);
    // Then byte 23 is both of str_len and of the first type's name: 0 as it must be.
    blob.set(whole.subarray(0, Math.min(hdrLen, 24)));
    new DataView(blob.buffer).setUint32(4, hdrLen, true);
    if (hdrLen < 24) {
      const first = readBtf(blob.fill(0, 23, 24)).types[1];
      t.match(first, { kind: "int", size: 4 });
    } else t.strictSame(readBtf(blob), allKinds);
  }
  t.end();
});

t.test("malformed types are told apart", (t) => {
  const patched = (offset: number, value: number) => {
    const blob = goldenBlob();
    new DataView(blob.buffer).setUint32(24 + offset, value, true);
    return blob;
  };
  t.throws(() => readBtf(patched(4, 31 * 2 ** 24)), /type id 1 \(offset 0 in the type section\): unknown kind 31/);
  t.throws(() => readBtf(patched(4, 0)), /unknown kind 0/);
  t.throws(() => readBtf(patched(0, 0xffff)), /type id 1 .*string offset 65535 is outside/);
  t.throws(() => readBtf(patched(12, 0x05000020)), /unknown integer encoding 5/);
  t.match(readBtf(patched(12, 0x03000020)).types[1], { kind: "int", encoding: "signedChar" }, "as GCC has it");
  t.throws(() => readBtf(patched(24, 999)), /type id 2 .*refers to type id 999, but the last one is 19/);
  t.throws(() => readBtf(patched(16 + 12 + 24 + 4, 4 * 2 ** 24 + 0xffff)), /65535 parts of 12 bytes, but only/);
  t.end();
});

t.test("what the format cannot say is refused", (t) => {
  const withType = (type: Btf["types"][number]): Btf => ({ types: [{ kind: "void" }, type] });
  t.throws(() => writeBtf({ types: [] }), InputError);
  t.throws(() => writeBtf(withType({ kind: "void" })), /only id 0/);
  t.throws(() => writeBtf(withType({ kind: "fwd", name: "a\0b", isUnion: false })), /NUL/);
  const values = Array.from({ length: 65536 }, (_, i) => ({ name: `v${i}`, value: i }));
  t.throws(() => writeBtf(withType({ kind: "enum", name: "e", size: 4, signed: false, values })), /more than 65535/);
  const member = { name: "f", type: 1, bitOffset: 2 ** 24, bitSize: 1 };
  t.throws(() => writeBtf(withType({ kind: "struct", name: "s", size: 8, members: [member] })), /bit field f/);
  const strings = new StringTable();
  strings.finish();
  t.equal(strings.add(""), 0);
  t.throws(() => strings.add("late"), BugError);
  t.end();
});

t.test("overlapping strings cannot blow up memory", (t) => {
  // Each name begins one byte after the one before in a run without NULs.
  const count = 20_000;
  const bytes = new Uint8Array(24 + count * 12 + count + 2);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0xeb9f, true);
  bytes[2] = 1;
  [24, 0, count * 12, count * 12, count + 2].forEach((value, i) => {
    view.setUint32(4 + i * 4, value, true);
  });
  for (let i = 0; i < count; i++) {
    view.setUint32(24 + i * 12, i + 1, true);
    view.setUint32(24 + i * 12 + 4, 7 * 2 ** 24, true);
  }
  bytes.fill(0x61, 24 + count * 12 + 1, bytes.length - 1);
  t.throws(() => readBtf(bytes), /strings overlap beyond reason/);
  t.end();
});

t.test("mutated blobs are read or refused, nothing else", (t) => {
  const seed = goldenBlob();
  const mutation = fc.record({
    at: fc.nat(seed.length - 1),
    value: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)),
  });
  let accepted = 0;
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 8 }), fc.option(fc.nat(seed.length)), (changes, cut) => {
      const bytes = seed.slice(0, cut ?? seed.length);
      for (const { at, value } of changes) if (at < bytes.length) bytes[at] = value;
      try {
        const btf = readBtf(bytes);
        accepted++;
        // What is read can be written, and reads the same.
        assert.deepStrictEqual(readBtf(writeBtf(btf)), btf);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
      }
    }),
    { numRuns: 3000 },
  );
  t.ok(accepted > 0, "some mutations are harmless");
  t.end();
});

t.test("strings stay where they stand", (t) => {
  // Not as we would order them, with one string twice and one that nothing names.
  const text = "\0e\0MINUS\0unused\0s\0a\0a\0u\0low\0int\0";
  const strings = new TextEncoder().encode(text);
  const types = allKinds.types.slice(0, 7);
  const blob = readBtfBlob(writeBtf({ types }, new StringTable(strings)));
  t.strictSame(blob.btf.types, types);
  t.equal(new TextDecoder().decode(blob.strings), text, "none is new");
  t.equal(new StringTable(strings).add("a"), text.indexOf("a\0"), "the first one counts");
  t.throws(() => new StringTable(new Uint8Array([0, 65])), InputError);
  t.throws(() => new StringTable(new Uint8Array()), InputError);
  t.end();
});
