// SPDX-License-Identifier: MIT
import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import t from "tap";
import {
  type Btf,
  type BtfIndex,
  findType,
  indexBtf,
  LazyBtf,
  openBtf,
  readBtf,
  sizeOf,
  writeBtf,
} from "../../src/btf/index.js";
import { lazyArray } from "../../src/btf/lazy-array.js";
import { InputError } from "../../src/util/errors.js";
import { btfCase } from "../support/fuzz-btf/cases.js";
import { runQuietly, whyNoTool } from "../support/tools.js";
import { allKinds, goldenBlob, stringOffset } from "./all-kinds.js";

const VMLINUX = "/sys/kernel/btf/vmlinux";
const whyNoVmlinux = existsSync(VMLINUX) ? false : "skipped: no vmlinux BTF";

t.test("a lazy array is an array to whoever reads it", (t) => {
  const made: number[] = [];
  const make = (index: number) => {
    made.push(index);
    return { index };
  };
  const array = lazyArray(4, make);
  t.equal(array.length, 4);
  t.equal(Array.isArray(array), true);
  t.equal(made.length, 0);
  t.strictSame(array[2], { index: 2 });
  t.equal(array[2], array[2]);
  t.strictSame(made, [2]);
  t.equal(array[4], undefined);
  t.equal(array[-1], undefined);
  t.equal(array.at(-1)?.index, 3);
  t.strictSame(
    [...array].map((x) => x.index),
    [0, 1, 2, 3],
  );
  t.strictSame(made, [2, 3, 0, 1], "each once");
  const fresh = () => lazyArray(3, (index) => index * 10);
  t.strictSame(
    fresh().map((x) => x + 1),
    [1, 11, 21],
  );
  t.equal(
    fresh().findIndex((x) => x > 10),
    2,
  );
  t.strictSame(fresh().slice(1), [10, 20]);
  t.strictSame(
    fresh().filter((x) => x > 0),
    [10, 20],
  );
  let sum = 0;
  fresh().forEach((x) => {
    sum += x;
  });
  t.equal(sum, 30);
  t.equal(JSON.stringify(fresh()), "[0,10,20]");
  t.equal(2 in fresh(), true);
  t.equal(3 in fresh(), false);
  t.end();
});

t.test("every kind is decoded on demand, in either byte order", (t) => {
  for (const big of [false, true]) {
    const btf = openBtf(goldenBlob({ big }));
    t.equal(btf.length, allKinds.types.length);
    t.equal(btf.littleEndian, !big);
    allKinds.types.forEach((type, id) => {
      t.strictSame(btf.typeById(id), type);
      t.equal(btf.kindById(id), type.kind);
      t.equal(btf.nameById(id), "name" in type ? type.name : "");
    });
    t.strictSame([...btf.types], allKinds.types);
  }
  // Unaligned in memory, as a section of an ELF file may be.
  const shifted = new Uint8Array(goldenBlob().length + 1);
  shifted.set(goldenBlob(), 1);
  t.strictSame([...openBtf(shifted.subarray(1)).types], allKinds.types);
  t.end();
});

t.test("types are found by name, before and after there is an index", (t) => {
  const named: Btf = {
    types: [
      { kind: "void" },
      { kind: "struct", name: "same", size: 0, members: [] },
      { kind: "fwd", name: "same", isUnion: false },
      { kind: "typedef", name: "samey", type: 1 },
      { kind: "typedef", name: "sam", type: 1 },
      { kind: "struct", name: "same", size: 0, members: [] },
      { kind: "struct", name: "", size: 0, members: [] },
      { kind: "typedef", name: "größe", type: 1 },
    ],
  };
  for (const btf of [openBtf(writeBtf(named)), indexBtf(named)]) {
    for (let round = 0; round < 6; round++) {
      t.strictSame(btf.idsByName("same"), [1, 2, 5]);
      t.strictSame(btf.idsByName("same", "struct"), [1, 5]);
      t.strictSame(btf.idsByName("same", "union"), []);
      t.strictSame(btf.idsByName("größe"), [7]);
      t.strictSame(btf.idsByName(""), []);
      t.strictSame(btf.idsByName("none"), []);
    }
    t.throws(() => btf.typeById(8), /type id 8 is out of range \(0-7\)/);
  }
  const lazy = openBtf(writeBtf(named));
  t.equal(indexBtf(lazy), lazy);
  t.equal(findType(lazy, "typedef", "sam"), 4);
  t.throws(() => lazy.kindById(8), InputError);
  t.end();
});

t.test("a split BTF continues its base", (t) => {
  const base = openBtf(goldenBlob());
  // Made by hand: a pointer to the base's struct s (id 4), a typedef "s" whose name is the base's string, one of its own.
  const own = Buffer.from("mine\0");
  const at = base.stringsEnd;
  const words = [0, 2 << 24, 4, stringOffset("s"), 8 << 24, 20, at, 8 << 24, 21];
  const bytes = new Uint8Array(24 + words.length * 4 + own.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0xeb9f, true);
  bytes[2] = 1;
  [24, 0, words.length * 4, words.length * 4, own.length, ...words].forEach((word, i) => {
    view.setUint32(4 + i * 4, word, true);
  });
  bytes.set(own, 24 + words.length * 4);
  const split = openBtf(bytes, { base });
  t.equal(split.firstId, 20);
  t.equal(split.length, 23);
  t.strictSame(split.typeById(20), { kind: "ptr", type: 4 });
  t.strictSame(split.typeById(21), { kind: "typedef", name: "s", type: 20 });
  t.strictSame(split.typeById(22), { kind: "typedef", name: "mine", type: 21 });
  t.equal(split.typeById(4), base.typeById(4));
  for (let round = 0; round < 6; round++) {
    t.strictSame(split.idsByName("s"), [4, 21]);
    t.strictSame(split.idsByName("s", "typedef"), [21]);
    t.strictSame(split.idsByName("mine"), [22]);
    t.strictSame(base.idsByName("s"), [4]);
  }
  t.equal(sizeOf(split, 22), 8);
  t.equal(split.kindById(4), "struct");
  t.equal(split.nameById(21), "s");
  t.throws(() => openBtf(bytes), InputError, "without its base it is no BTF");
  t.end();
});

t.test("what is wrong inside of a type comes to light when it is asked for", (t) => {
  const blob = goldenBlob();
  new DataView(blob.buffer).setUint32(24 + 24, 999, true);
  const btf = openBtf(blob);
  t.equal(btf.typeById(1).kind, "int");
  t.throws(() => btf.typeById(2), /type id 2 .*refers to type id 999, but the last one is 19/);
  t.throws(() => btf.types[2], InputError);
  t.end();
});

t.test("mutated blobs give what the whole reader gives, or an InputError", (t) => {
  const seed = goldenBlob();
  const mutation = fc.record({ at: fc.nat(seed.length - 1), value: fc.nat(255) });
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 6 }), fc.option(fc.nat(seed.length)), (changes, cut) => {
      const bytes = seed.slice(0, cut ?? seed.length);
      for (const { at, value } of changes) if (at < bytes.length) bytes[at] = value;
      const outcome = (read: () => Btf): string => {
        try {
          return JSON.stringify(read().types, (_, v: unknown) => (typeof v === "bigint" ? `${v}n` : v));
        } catch (error) {
          if (!(error instanceof InputError)) throw error;
          return error.message;
        }
      };
      const lazy = outcome(() => openBtf(bytes));
      if (lazy !== outcome(() => readBtf(bytes))) throw new Error(lazy);
      try {
        openBtf(bytes).idsByName("double");
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test("random types are found by name as in the list of all", (t) => {
  let searches = 0;
  for (let number = 0; number < 600; number++) {
    const { bytes } = btfCase(20, number);
    let all: BtfIndex;
    try {
      all = indexBtf(readBtf(bytes));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      continue;
    }
    const names = new Set(all.types.map((_, id) => all.nameById(id)));
    let lazy = openBtf(bytes);
    for (const name of names) {
      // Bytes that are no UTF-8 cannot be asked for.
      if (name.includes("\ufffd")) continue;
      // The first searches go through the types, later ones through an index.
      if (++searches % 8 === 0) lazy = openBtf(bytes);
      for (const kind of [undefined, "struct", "typeTag"] as const) {
        const [found, expected] = [lazy.idsByName(name, kind), all.idsByName(name, kind)];
        if (found.join() !== expected.join()) t.fail(`case ${number}: ${name} (${kind}): ${found}, not ${expected}`);
      }
    }
  }
  t.ok(searches > 1000);
  t.end();
});

t.test("one string without end under a million names costs no time", (t) => {
  const count = 100_000;
  const strings = new Uint8Array(1_000_000).fill(0x61);
  strings[0] = 0;
  strings[strings.length - 1] = 0;
  const bytes = new Uint8Array(24 + count * 12 + strings.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0xeb9f, true);
  bytes[2] = 1;
  [24, 0, count * 12, count * 12, strings.length].forEach((word, i) => {
    view.setUint32(4 + i * 4, word, true);
  });
  for (let i = 0; i < count; i++) {
    view.setUint32(24 + i * 12, 1 + i, true);
    view.setUint32(24 + i * 12 + 4, 7 << 24, true);
  }
  bytes.set(strings, 24 + count * 12);
  const btf = openBtf(bytes);
  const start = performance.now();
  for (let i = 0; i < 10; i++) t.strictSame(btf.idsByName("aaaa"), []);
  t.ok(performance.now() - start < 2000);
  t.end();
});

t.test("bpftool agrees about the kernel's types", { skip: whyNoVmlinux || whyNoTool("bpftool") }, (t) => {
  const btf = openBtf(readFileSync(VMLINUX));
  t.ok(btf instanceof LazyBtf);
  const lines = runQuietly("bpftool", "btf", "dump", "file", VMLINUX).split("\n");
  const heads = lines.map((line) => /^\[(\d+)\] (\w+) '([^']*)'/.exec(line)).filter((match) => match !== null);
  t.equal(heads.length, btf.length - 1);
  let wrong = 0;
  for (const [, id, kind, name] of heads) {
    const ours = btf.kindById(Number(id)).replace(/[A-Z]/g, "_$&").toUpperCase();
    if (ours !== kind || (btf.nameById(Number(id)) || "(anon)") !== name) wrong++;
  }
  t.equal(wrong, 0);
  const task = heads.filter((head) => head[2] === "STRUCT" && head[3] === "task_struct").map((head) => Number(head[1]));
  t.strictSame(btf.idsByName("task_struct", "struct"), task);
  t.end();
});
