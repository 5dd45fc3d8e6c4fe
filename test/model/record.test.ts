// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import fc from "fast-check";
import t from "tap";
import { type LoadRecord, readRecord, writeRecord } from "../../src/model/record.js";
import { fromBase64, fromHex, toBase64, toHex } from "../../src/util/encodings.js";
import { InputError } from "../../src/util/errors.js";

const lines = readFileSync(new URL("../fixtures/verifier/recorded.jsonl", import.meta.url), "utf8")
  .trimEnd()
  .split("\n");

/** A record with every field in use. */
const full: LoadRecord = {
  id: "x/y",
  load: {
    name: "prog",
    progType: 5,
    expectedAttachType: 1,
    progFlags: 8,
    progIfindex: 2,
    kernVersion: 3,
    license: "GPL",
    attachBtfId: 4,
    attachBtf: Uint8Array.of(7),
    moduleBtfs: [Uint8Array.of(8, 9)],
    // r1 = map[0]; r1 = map[-1] (no map); exit
    insns: fromHex("18110000000000000000000000000000" + "1811000063000000" + "0000000000000000" + "9500000000000000"),
    maps: [
      {
        name: "m",
        type: 12,
        keySize: 4,
        valueSize: 4,
        maxEntries: 2,
        flags: 0x80,
        extra: 0xffff_ffff_ffffn,
        numaNode: 1,
        btf: "prog",
        btfKeyTypeId: 1,
        btfValueTypeId: 2,
        btfVmlinuxValueTypeId: 0,
        valueBtf: Uint8Array.of(3, 4),
        inner: {
          name: "i",
          type: 2,
          keySize: 4,
          valueSize: 8,
          maxEntries: 1,
          flags: 0,
          extra: 0n,
          btf: Uint8Array.of(1, 2),
          btfKeyTypeId: 0,
          btfValueTypeId: 0,
          btfVmlinuxValueTypeId: 0,
          inner: null,
          frozen: false,
          value: null,
        },
        frozen: true,
        value: Uint8Array.of(9, 8, 7, 6),
      },
    ],
    badMapInsns: [2],
    fdArray: [
      { kind: "map", map: 0 },
      { kind: "btf", btf: Uint8Array.of(1) },
      { kind: "fd", fd: 77 },
    ],
    btf: Uint8Array.of(0x9f, 0xeb),
    funcInfo: { bytes: new Uint8Array(8), recSize: 8, count: 1 },
    lineInfo: { bytes: new Uint8Array(32), recSize: 16, count: 2 },
  },
  kernel: {
    release: "6.18.1",
    errno: 13,
    stage: "verifier",
    log: "R0 !read_ok\n",
    logTruncated: true,
    log1: "x\n",
    stats: { insnsProcessed: 1, maxStatesPerInsn: 2, totalStates: 3, peakStates: 4, markRead: 5 },
  },
};

t.test("what is written is read back", (t) => {
  t.same(readRecord(writeRecord(full)), full);
  const bare: LoadRecord = {
    ...full,
    load: { ...full.load, fdArray: null, funcInfo: null, lineInfo: null },
    kernel: null,
  };
  t.same(readRecord(writeRecord(bare)), bare);
  for (const line of lines) t.equal(writeRecord(readRecord(line)), line);
  const json = JSON.parse(writeRecord(full));
  t.same(json.map_relocs, [
    [0, 0],
    [2, -1],
  ]);
  t.equal(json.kernel.errno_name, "EACCES");
  t.equal(json.prog_type_name, "tracepoint");
  t.equal(json.maps[0].type_name, "array_of_maps");
  t.end();
});

t.test("malformed records", (t) => {
  const good = JSON.parse(writeRecord(full));
  const change = (part: object): string => JSON.stringify({ ...good, ...part });
  const map = good.maps[0];
  const bad: readonly (readonly [text: string, message: RegExp])[] = [
    ["{", /no JSON/],
    ["[]", /load record: expected an object/],
    ["{}", /id: expected a string, got nothing/],
    [change({ insns: "12" }), /insn_cnt is 5, but there are 1 bytes/],
    [change({ insns: "zz" }), /x\/y: no hexadecimal digit at position 0/],
    [change({ prog_type: "5" }), /prog_type: expected an integer, got "5"/],
    [change({ prog_type: 1.5 }), /expected an integer, got 1.5/],
    [change({ attach_prog: { name: "p" } }), /attach_prog/],
    [change({ map_relocs: [["a", 1]] }), /map_relocs\[0\]/],
    [change({ fd_array: [{}] }), /fd_array\[0\]: expected a map index/],
    [change({ func_info_cnt: 3 }), /func_info: 3 records of 8 bytes make 24, not 8/],
    [change({ btf: "abc" }), /base64 text has 3 characters/],
    [change({ btf: "ab!=" }), /no base64 digit at position 2/],
    [change({ maps: [null] }), /maps\[0\]: expected an object, got null/],
    [change({ maps: [{ ...map, map_extra: "1" }] }), /map_extra: expected 0x/],
    [change({ maps: [{ ...map, frozen: 1 }] }), /frozen: expected true or false/],
    [change({ maps: [{ ...map, inner_map: 5 }] }), /inner_map: expected an object/],
    [change({ kernel: { ...good.kernel, stage: "after" } }), /stage: got "after"/],
    [change({ kernel: { ...good.kernel, total_states: null } }), /total_states: expected an integer, got null/],
  ];
  for (const [text, message] of bad) t.throws(() => readRecord(text), { name: "InputError", message }, String(message));
  t.end();
});

t.test("whatever stands in a field, the answer is a record or an InputError", (t) => {
  const good = JSON.parse(writeRecord(full));
  const keys = Object.keys(good);
  const value = fc.jsonValue({ maxDepth: 2 });
  fc.assert(
    fc.property(fc.constantFrom(...keys), value, (key, value) => {
      try {
        readRecord(JSON.stringify({ ...good, [key]: value }));
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
      }
    }),
    { numRuns: 1000 },
  );
  t.end();
});

t.test("hexadecimal and base64 as Node has them", (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
      t.equal(toHex(bytes), Buffer.from(bytes).toString("hex"));
      t.equal(toBase64(bytes), Buffer.from(bytes).toString("base64"));
      t.same(fromHex(toHex(bytes)), bytes);
      t.same(fromBase64(toBase64(bytes)), bytes);
    }),
  );
  t.end();
});
