// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { BinaryStream } from "@jsprismarine/jsbinaryutils";
import fc from "fast-check";
import t from "tap";
import {
  type BtfExt,
  encodeFuncInfo,
  encodeLineInfo,
  MAX_COLUMN,
  packLineCol,
  readBtfBlob,
  readBtfExt,
  StringTable,
  writeBtf,
  writeBtfExt,
} from "../../src/btf/index.js";
import { InputError } from "../../src/util/errors.js";

const ext: BtfExt = {
  funcInfo: [
    {
      section: "xdp",
      records: [
        { insnOff: 0, typeId: 3 },
        { insnOff: 24, typeId: 4 },
      ],
    },
    { section: ".text", records: [{ insnOff: 8, typeId: 5 }] },
  ],
  lineInfo: [{ section: "xdp", records: [{ insnOff: 16, file: "/a.ts", text: "  return 2;", line: 12, column: 3 }] }],
  coreRelos: [{ section: "xdp", records: [{ insnOff: 8, typeId: 2, access: "0:1", kind: 0 }] }],
};

/** The same by hand. */
function golden(recordSize = { func: 8, line: 16 }): Uint8Array {
  const body = new BinaryStream();
  const u32 = (stream: BinaryStream, ...values: number[]) => {
    for (const value of values) stream.writeUnsignedIntLE(value);
  };
  const pad = (size: number, known: number) => u32(body, ...Array<number>((size - known) / 4).fill(0xdddddddd));
  const strings = ["", "xdp", ".text", "/a.ts", "  return 2;", "0:1"];
  const s = (text: string) => strings.slice(0, strings.indexOf(text)).reduce((sum, x) => sum + x.length + 1, 0);
  u32(body, recordSize.func, s("xdp"), 2, 0, 3);
  pad(recordSize.func, 8);
  u32(body, 24, 4);
  pad(recordSize.func, 8);
  u32(body, s(".text"), 1, 8, 5);
  pad(recordSize.func, 8);
  const funcEnd = body.getBuffer().length;
  u32(body, recordSize.line, s("xdp"), 1, 16, s("/a.ts"), s("  return 2;"), 12 * 1024 + 3);
  pad(recordSize.line, 16);
  const lineEnd = body.getBuffer().length;
  u32(body, 16, s("xdp"), 1, 8, 2, s("0:1"), 0);
  const end = body.getBuffer().length;
  const head = new BinaryStream();
  head.writeUnsignedShortLE(0xeb9f);
  head.writeByte(1);
  head.writeByte(0);
  u32(head, 32, 0, funcEnd, funcEnd, lineEnd - funcEnd, lineEnd, end - lineEnd);
  return new Uint8Array(Buffer.concat([head.getBuffer(), body.getBuffer()]));
}

/** The .BTF whose strings {@link golden} refers to. */
function btfWithStrings() {
  const strings = new StringTable();
  for (const text of ["xdp", ".text", "/a.ts", "  return 2;", "0:1"]) strings.add(text);
  return readBtfBlob(writeBtf({ types: [{ kind: "void" }] }, strings));
}

t.test("is written as the format says", (t) => {
  const strings = new StringTable();
  const bytes = writeBtfExt(ext, strings);
  t.equal(Buffer.from(bytes).toString("hex"), Buffer.from(golden()).toString("hex"));
  const blob = readBtfBlob(writeBtf({ types: [{ kind: "void" }] }, strings));
  t.strictSame(readBtfExt(bytes, blob), ext);
  t.end();
});

t.test("records may be longer than we know", (t) => {
  t.strictSame(readBtfExt(golden({ func: 16, line: 24 }), btfWithStrings()), ext);
  t.end();
});

t.test("without records it is a header", (t) => {
  const strings = new StringTable();
  const bytes = writeBtfExt({ funcInfo: [{ section: "xdp", records: [] }], lineInfo: [], coreRelos: [] }, strings);
  t.equal(bytes.length, 32);
  t.strictSame(readBtfExt(bytes, btfWithStrings()), { funcInfo: [], lineInfo: [], coreRelos: [] });
  t.end();
});

t.test("line and column share a word", (t) => {
  t.equal(packLineCol(1, 1), 1025);
  t.equal(packLineCol(4194303, 5000), 0xffffffff, "columns are cut");
  t.equal(MAX_COLUMN, 1023);
  t.throws(() => packLineCol(4194304, 1), InputError);
  t.equal(encodeFuncInfo([{ insnOff: 1, typeId: 2 }]).length, 8);
  const line = { insnOff: 1, file: "f", text: "", line: 1, column: 2 };
  t.strictSame([...new Uint32Array(encodeLineInfo([line], new StringTable()).buffer)], [1, 1, 0, 1026]);
  t.end();
});

t.test("malformed sections are told apart", (t) => {
  const blob = btfWithStrings();
  const patched = (at: number, value: number) => {
    const bytes = golden();
    new DataView(bytes.buffer).setUint32(at, value, true);
    return bytes;
  };
  t.throws(() => readBtfExt(patched(0, 0), blob), /magic 0x0, expected 0xeb9f/);
  t.throws(() => readBtfExt(patched(4, 20), blob), /hdr_len 20, expected at least 24/);
  t.throws(() => readBtfExt(patched(12, 0xffff), blob), /func_info .* does not fit/);
  t.throws(() => readBtfExt(patched(32, 4), blob), /record size 4, expected a multiple of 4, at least 8/);
  t.throws(() => readBtfExt(patched(36, 0xffff), blob), /string offset 65535 is outside/);
  t.throws(() => readBtfExt(patched(40, 0xffffffff), blob), /4294967295 records of 8 bytes/);
  t.throws(() => readBtfExt(golden().subarray(0, 10), blob), /expected func_info offset/);
  t.end();
});

t.test("mutated sections are read or refused, nothing else", (t) => {
  const blob = btfWithStrings();
  const seed = golden();
  fc.assert(
    fc.property(fc.nat(seed.length - 1), fc.nat(255), fc.nat(seed.length), (at, value, cut) => {
      const bytes = seed.slice(0, seed.length - (cut % 9 === 0 ? cut : 0));
      if (at < bytes.length) bytes[at] = value;
      try {
        readBtfExt(bytes, blob);
      } catch (error) {
        assert.ok(error instanceof InputError, String(error));
      }
    }),
    { numRuns: 3000 },
  );
  t.end();
});
