// SPDX-License-Identifier: MIT
import t from "tap";
import { applyFixup } from "../../scripts/parity-objects/fixup.js";
import { Report } from "../../scripts/parity-objects/report.js";
import * as asm from "../../src/asm/build.js";
import { encodeInsns } from "../../src/asm/insn.js";
import { StringTable } from "../../src/btf/strings.js";
import type { Btf } from "../../src/btf/types.js";
import { writeBtf } from "../../src/btf/write.js";
import { MapType, ProgType } from "../../src/kernel/uapi.js";
import type { MapLoad, ProgramLoad } from "../../src/model/load.js";
import { mapSpec, objectSpec } from "../../src/model/make.js";
import { compareLoads } from "../support/compare-loads.js";

/* The comparison of loads must see every difference, or it is worth nothing. */

const map: MapLoad = {
  name: "m",
  type: 2,
  keySize: 4,
  valueSize: 8,
  maxEntries: 1,
  flags: 0,
  extra: 0n,
  btf: "prog",
  btfKeyTypeId: 1,
  btfValueTypeId: 2,
  btfVmlinuxValueTypeId: 0,
  inner: null,
  frozen: true,
  value: new Uint8Array(8),
};

const load: ProgramLoad = {
  name: "p",
  progType: 1,
  expectedAttachType: 2,
  progFlags: 3,
  progIfindex: 0,
  kernVersion: 4,
  license: "GPL",
  attachBtfId: 5,
  insns: encodeInsns([...asm.ldImm64(1, 0xffffffff_81000000n), ...asm.ldMapFd(2, 0), asm.exit()]),
  maps: [{ ...map, inner: map }],
  badMapInsns: [],
  fdArray: [{ kind: "fd", fd: 0 }],
  btf: new Uint8Array([1, 2]),
  funcInfo: { bytes: new Uint8Array(16), recSize: 8, count: 2 },
  lineInfo: { bytes: new Uint8Array(16), recSize: 16, count: 1 },
};

t.test("a text that stands twice in BTF is the same at either place", (t) => {
  const table = (name: string, at: number) => {
    const types: Btf = { types: [{ kind: "void" }, { kind: "fwd", name, isUnion: false }] };
    const blob = writeBtf(types, new StringTable(Buffer.from("\0one\0two\0one\0")));
    new DataView(blob.buffer, blob.byteOffset).setUint32(24, at, true);
    const bytes = Buffer.alloc(16);
    bytes.writeUInt32LE(at, 4);
    return { ...load, btf: blob, lineInfo: { bytes, recSize: 16, count: 1 } };
  };
  t.equal(compareLoads(table("one", 1), table("one", 9)), undefined);
  t.match(compareLoads(table("one", 1), table("two", 5)), { what: "btf: bytes" });
  const lines = table("one", 9);
  lines.lineInfo.bytes.writeUInt32LE(5, 8);
  t.match(compareLoads(table("one", 1), lines), { what: "line_info" });
  t.end();
});

t.test("every difference is seen", (t) => {
  t.equal(compareLoads(load, structuredClone(load)), undefined);
  const differs = (change: Partial<ProgramLoad>, what: string) =>
    t.equal(compareLoads(load, { ...load, ...change })?.what, what);
  differs({ name: "q" }, "name");
  differs({ license: "" }, "license");
  for (const field of [
    "progType",
    "expectedAttachType",
    "progFlags",
    "progIfindex",
    "kernVersion",
    "attachBtfId",
  ] as const) {
    differs({ [field]: 77 }, field);
  }
  const insns = (...list: Parameters<typeof encodeInsns>[0]) => ({ insns: encodeInsns(list) });
  const [first, second] = asm.ldMapFd(2, 0);
  const elsewhere = asm.ldImm64(1, 0xffffffff_99000000n);
  t.equal(
    compareLoads(load, { ...load, ...insns(...elsewhere, first, second, asm.exit()) }),
    undefined,
    "another boot",
  );
  differs(insns(...asm.ldImm64(1, 0n), first, second, asm.exit()), "insns: imm or off");
  differs(insns(...elsewhere, { ...first, src: 2 }, second, asm.exit()), "insns: src");
  differs(insns(...elsewhere, first, second, asm.mov64Imm(0, 0)), "insns: opcode");
  differs(insns(...elsewhere, first, second), "insn_cnt");
  const maps = (change: Partial<MapLoad>) => ({ maps: [{ ...load.maps[0]!, ...change }] });
  for (const field of [
    "type",
    "keySize",
    "valueSize",
    "maxEntries",
    "flags",
    "btfKeyTypeId",
    "btfValueTypeId",
  ] as const)
    differs(maps({ [field]: 77 }), `map: ${field}`);
  differs(maps({ name: "n" }), "map: name");
  differs(maps({ extra: 1n }), "map: extra");
  differs(maps({ btfVmlinuxValueTypeId: 1 }), "map: btfVmlinuxValueTypeId");
  differs(maps({ frozen: false }), "map: frozen");
  differs(maps({ btf: null }), "map: btf");
  differs(maps({ inner: null }), "map: inner");
  differs(maps({ inner: { ...map, flags: 1 } }), "inner map: flags");
  differs(maps({ value: new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]) }), "map: content");
  differs({ maps: [] }, "maps: number");
  differs({ fdArray: null }, "fd_array");
  differs({ btf: null }, "btf: presence");
  differs({ btf: new Uint8Array(3) }, "btf: size");
  differs({ btf: new Uint8Array(2) }, "btf: bytes");
  differs({ funcInfo: null }, "func_info: number");
  differs({ funcInfo: { bytes: new Uint8Array(16).fill(1), recSize: 8, count: 2 } }, "func_info");
  differs({ lineInfo: { bytes: new Uint8Array(16).fill(1), recSize: 16, count: 1 } }, "line_info");
  t.end();
});

t.test("what the recorder changed is done again", (t) => {
  const spec = objectSpec({
    name: "o",
    maps: [mapSpec({ name: "a", type: MapType.HASH }), mapSpec({ name: "b", type: MapType.ARRAY_OF_MAPS })],
  });
  const text = "map a: max_entries=1; map a: value_size=8; map b: inner map made up; map c not created";
  const fixed = applyFixup(spec, "p", `${text}; section names no type: loaded as sched_cls`);
  t.match(fixed.spec.maps, [{ maxEntries: 1, valueSize: 8 }, { inner: { type: MapType.ARRAY, name: "inner" } }]);
  t.same([...fixed.options.withoutMaps!], ["c"]);
  t.same([...fixed.options.programTypes!], [["p", { progType: ProgType.SCHED_CLS, attachType: 0 }]]);
  t.equal(applyFixup(spec, "p", null).spec, spec);
  t.throws(() => applyFixup(spec, "p", "something else"), { message: /not understood/ });
  t.throws(() => applyFixup(spec, "p", "map z: max_entries=1"), { message: /no map z/ });
  t.end();
});

t.test("sums are drawn", (t) => {
  const outcome = { detail: "", setAside: null };
  const fine = Array.from({ length: 199 }, (_, i) => ({ ...outcome, id: `o/${i}`, first: null }));
  const different = { ...outcome, id: "o/x", first: "insns: src", detail: "insn 3" };
  const aside = { ...outcome, id: "o/y", first: null, setAside: "why" };
  t.ok(new Report([...fine, aside], 99.5).passed);
  const report = new Report([...fine, different, aside], 99.5);
  t.equal(report.percent, 99.5);
  t.notOk(report.passed, "a difference that nobody explains");
  t.match(report.text(false), /1 × why\n1 × insns: src\n {4}o\/x: insn 3\n199 of 200 the same \(99.50 %\), 1 not$/);
  t.match(report.json(), { compared: 200, same: 199, unexplained: { "insns: src": [{ id: "o/x" }] } });
  t.end();
});
