// SPDX-License-Identifier: MIT
import t from "tap";
import {
  type Btf,
  type BtfType,
  dedupBtf,
  dumpC,
  dumpRaw,
  dumpTs,
  Layouts,
  LayoutText,
  openBtf,
  writeBtf,
} from "../../src/btf/index.js";
import { typeText } from "../../src/cli/type-text.js";
import { InputError } from "../../src/util/errors.js";

/** What a step may take here, milliseconds; a machine may be slow or busy. */
const SLOW = 2000;

const int: BtfType = { kind: "int", name: "int", size: 4, bits: 32, bitOffset: 0, encoding: "signed" };
const member = (name: string, type: number, bitOffset = 0) => ({ name, type, bitOffset, bitSize: 0 });
const struct = (name: string, size: number, ...members: ReturnType<typeof member>[]): BtfType => ({
  kind: "struct",
  name,
  size,
  members,
});
const proto = (returnType: number, ...params: number[]): BtfType => ({
  kind: "funcProto",
  returnType,
  params: params.map((type, i) => ({ name: `p${i}`, type })),
});
const many = <T>(length: number, make: (i: number) => T): T[] => Array.from({ length }, (_, i) => make(i));
const LONG = "n".repeat(20_000);
const MAX_PARTS = 8000;

/** Types that cost more to say than to store, each below 2 MB; id 1 is int. */
const HOSTILE: { readonly [what: string]: () => readonly BtfType[] } = {
  "a gap of 4 GiB": () => [struct("gap", 0xffffffff, member("a", 1), member("b", 1, 0xffffffe0))],
  "gaps in a thousand structs": () => many(1000, (i) => struct(`s${i}`, 1 << 20, member("a", 1))),
  "arrays of 2^32 elements": () => [
    { kind: "array", type: 1, indexType: 1, nelems: 0xffffffff },
    { kind: "array", type: 2, indexType: 1, nelems: 0xffffffff },
    struct("big", 0xffffffff, member("a", 3), member("b", 2)),
  ],
  "nested arrays": () => [
    ...many(6000, (i): BtfType => ({ kind: "array", type: i + 1, indexType: 1, nelems: 1 })),
    struct("top", 4, member("a", 6001)),
  ],
  "anonymous structs that double": () =>
    many(60, (i) => struct(i === 59 ? "top" : "", 4, member("a", i + 1), member("b", i + 1))),
  "empty anonymous structs that double": () => [
    struct("", 0),
    ...many(60, (i) => struct(i === 59 ? "top" : "", 0, member("", i + 2), member("", i + 2))),
  ],
  "pointers to anonymous structs that double": () =>
    many(120, (i) =>
      i % 2 === 0
        ? { kind: "ptr", type: i + 1 }
        : struct(i === 119 ? "top" : "", 16, member("a", i + 1), member("b", i + 1, 64)),
    ),
  "functions of functions": () => [
    ...many(120, (i): BtfType => (i % 2 === 0 ? proto(1, i + 1, i + 1) : { kind: "ptr", type: i + 1 })),
    struct("top", 8, member("call", 121)),
  ],
  "functions of functions without pointers": () => [
    ...many(60, (i) => proto(i + 1, i + 1)),
    { kind: "typedef", name: "f", type: 61 },
  ],
  "functions of very many functions": () => [
    proto(0, ...many(MAX_PARTS, () => 1)),
    proto(0, ...many(MAX_PARTS, () => 2)),
    struct("top", 8, member("call", 3)),
    { kind: "ptr", type: 3 },
    struct("top2", 8, member("call", 5)),
  ],
  "very many members of one wide anonymous enum": () => [
    { kind: "enum", name: "", size: 4, signed: false, values: many(2000, (i) => ({ name: `E${i}`, value: i })) },
    struct("top", 4, ...many(MAX_PARTS, (i) => member(`m${i}`, 2))),
  ],
  "very many members with a long name": () => [struct("s", 4, ...many(MAX_PARTS, () => member(LONG, 1)))],
  "very many types with a long name": () => many(8000, () => struct(LONG, 0)),
  "a section of variables with a long name": () => [
    { kind: "var", name: "v".repeat(20_000), type: 1, linkage: "global" },
    { kind: "datasec", name: ".data", size: 4, vars: many(MAX_PARTS, () => ({ type: 2, offset: 0, size: 4 })) },
  ],
  "long chains of modifiers, very often": () => [
    ...many(200, (i): BtfType => ({ kind: "const", type: i + 1 })),
    { kind: "array", type: 201, indexType: 1, nelems: 1 },
    struct("top", 4, ...many(MAX_PARTS, (i) => member(`m${i}`, 202))),
  ],
  "a chain of modifiers without end": () => many(6000, (i): BtfType => ({ kind: "volatile", type: i + 1 })),
  "typedefs without end": () => many(6000, (i): BtfType => ({ kind: "typedef", name: `t${i}`, type: i + 1 })),
  "structs in structs without end": () => many(6000, (i) => struct(i % 2 === 0 ? "" : `s${i}`, 4, member("a", i + 1))),
  "anonymous enums": () =>
    many(
      6000,
      (i): BtfType => ({
        kind: "enum",
        name: "",
        size: 4,
        signed: false,
        values: [{ name: `E${i}`, value: i }],
      }),
    ),
  "structs of one outline": () =>
    many(
      6000,
      (i): BtfType =>
        i % 2 === 0
          ? { kind: "array", type: 1, indexType: 1, nelems: i }
          : struct("same", 4, member("a", i + 1), member("b", i + 1)),
    ),
};

function take(pieces: Iterable<string>): void {
  for (const piece of pieces) piece.charCodeAt(piece.length - 1);
}

function layOut(btf: Btf, expand: boolean): void {
  const layouts = new Layouts(btf);
  const text = new LayoutText(layouts, { expand });
  for (const [id, { kind }] of btf.types.entries()) if (kind === "struct" || kind === "union") text.write(id);
}

const STEPS: { readonly [what: string]: (btf: Btf) => unknown } = {
  dumpC: (btf) => take(dumpC(btf)),
  "dumpC by id": (btf) => take(dumpC(btf, { sorted: false })),
  dumpTs: (btf) => take(dumpTs(btf)),
  dumpRaw: (btf) => take(dumpRaw(btf)),
  layout: (btf) => layOut(btf, false),
  "layout, expanded": (btf) => layOut(btf, true),
  dedup: (btf) => dedupBtf(btf),
  "inspect's texts": (btf) => {
    for (let id = Math.max(1, btf.types.length - 10); id < btf.types.length; id++) typeText(btf, id);
  },
};

for (const [what, types] of Object.entries(HOSTILE)) {
  t.test(what, (t) => {
    const eager: Btf = { types: [{ kind: "void" }, int, ...types()] };
    const lazy = openBtf(writeBtf(eager));
    t.ok(writeBtf(eager).length < 2 << 20);
    for (const [name, step] of Object.entries(STEPS)) {
      for (const btf of [eager, lazy]) {
        const start = process.cpuUsage();
        let said = "";
        try {
          step(btf);
        } catch (error) {
          said = String(error);
          if (!(error instanceof InputError)) t.fail(`${name}: ${(error as Error).stack}`);
        }
        const { user, system } = process.cpuUsage(start);
        const ms = (user + system) / 1000;
        if (process.env.VERBOSE) t.comment(`${name}: ${Math.round(ms)} ms, ${said.slice(0, 150)}`);
        if (ms > SLOW) t.fail(`${name}: ${Math.round(ms)} ms`);
      }
    }
    t.end();
  });
}
