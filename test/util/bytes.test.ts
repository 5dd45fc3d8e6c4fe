// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { BinaryStream } from "@jsprismarine/jsbinaryutils";
import fc from "fast-check";
import t from "tap";
import { ByteReader, ByteWriter, stringTableReader } from "../../src/util/bytes.js";
import { BugError, InputError } from "../../src/util/errors.js";

/** One field of a known width. */
type Field =
  | { readonly kind: "u8" | "u16" | "u32" | "i32"; readonly value: number }
  | { readonly kind: "u64"; readonly value: bigint };

const fieldArb: fc.Arbitrary<Field> = fc.oneof(
  fc.record({ kind: fc.constant("u8" as const), value: fc.nat(0xff) }),
  fc.record({ kind: fc.constant("u16" as const), value: fc.nat(0xffff) }),
  fc.record({ kind: fc.constant("u32" as const), value: fc.nat(0xffffffff) }),
  fc.record({ kind: fc.constant("i32" as const), value: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) }),
  fc.record({ kind: fc.constant("u64" as const), value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
);

/** The same fields written by another library. */
function reference(fields: readonly Field[], littleEndian: boolean): Uint8Array {
  const out = new BinaryStream();
  for (const { kind, value } of fields) {
    if (kind === "u8") out.writeByte(value);
    else if (kind === "u16") littleEndian ? out.writeUnsignedShortLE(value) : out.writeUnsignedShort(value);
    else if (kind === "u32") littleEndian ? out.writeUnsignedIntLE(value) : out.writeUnsignedInt(value);
    else if (kind === "i32") littleEndian ? out.writeIntLE(value) : out.writeInt(value);
    else littleEndian ? out.writeUnsignedLongLE(BigInt(value)) : out.writeUnsignedLong(BigInt(value));
  }
  return new Uint8Array(out.getBuffer());
}

t.test("fields are what another library makes of them", (t) => {
  fc.assert(
    fc.property(fc.array(fieldArb, { minLength: 1, maxLength: 40 }), fc.boolean(), (fields, littleEndian) => {
      const writer = new ByteWriter({ littleEndian, capacity: 1 });
      for (const field of fields) {
        if (field.kind === "u64") writer.u64(field.value);
        else writer[field.kind](field.value);
      }
      const bytes = writer.finish();
      assert.deepEqual([...bytes], [...reference(fields, littleEndian)]);
      const reader = new ByteReader(bytes, { what: "test", littleEndian });
      for (const { kind, value } of fields) assert.equal(reader[kind](kind), value);
      assert.equal(reader.remaining, 0);
    }),
  );
  t.end();
});

t.test("reading stops at the end, and says where", (t) => {
  // A view in the middle of a buffer must not see its neighbours.
  const reader = new ByteReader(new Uint8Array(16).subarray(4, 9), { what: "sample" });
  reader.u32("first");
  t.throws(() => reader.u16("second"), {
    name: "InputError",
    message: "sample: expected second (2 bytes) at offset 4, but only 1 bytes are left",
  });
  t.equal(reader.offset, 4, "a failed read does not move");
  t.throws(() => reader.seek(6, "third"), /sample: third is at offset 6, but there are only 5 bytes/);
  t.throws(() => reader.seek(-1, "third"), InputError);
  t.throws(() => reader.seek(1.5, "third"), InputError);
  t.throws(
    () => reader.slice(2, 4, "part"),
    /sample: part \(offset 2, 4 bytes\) does not fit in the 5 bytes there are/,
  );
  t.throws(() => reader.slice(-1, 1, "part"), /impossible place/);
  t.throws(() => reader.take(-1, "part"), InputError);
  t.throws(() => reader.take(Number.NaN, "part"), InputError);
  t.equal(reader.take(1, "last").length, 1);
  t.equal(reader.slice(5, 0, "nothing").length, 0);
  const huge = new ByteReader(new Uint8Array(8).fill(0xff), { what: "sample" });
  t.throws(() => huge.size64("size"), /size at offset 0 is impossibly large: 18446744073709551615/);
  t.end();
});

t.test("writing", (t) => {
  const writer = new ByteWriter()
    .u8(1)
    .align(4)
    .align(4)
    .u32(0)
    .patchU32(4, 0x01020304)
    .bytes(Uint8Array.of(9))
    .zeros(2);
  t.strictSame([...writer.finish()], [1, 0, 0, 0, 4, 3, 2, 1, 9, 0, 0]);
  t.throws(() => writer.patchU32(9, 0), BugError);
  const copy = writer.finish();
  writer.patchU32(0, 0);
  t.equal(copy[0], 1, "what was finished does not change");
  t.end();
});

t.test("string tables", (t) => {
  const at = stringTableReader(new TextEncoder().encode("\0abc\0käse\0open"), "names");
  t.equal(at(0), "");
  t.equal(at(1), "abc");
  t.equal(at(2), "bc");
  t.equal(at(5), "käse");
  t.throws(() => at(11), /names: string at offset 11 is not terminated by NUL/);
  t.throws(() => at(15), /names: string offset 15 is outside of the table of 15 bytes/);
  t.throws(() => at(-1), InputError);
  t.end();
});
