// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import {
  type Btf,
  BtfBuilder,
  type BtfType,
  dedupBtf,
  dedupSplitBtf,
  findType,
  mergeBtf,
  openBtf,
  readBtf,
  readBtfBlob,
  readSplitBtf,
  writeBtf,
  writeSplitBtf,
} from "../../src/btf/index.js";
import { InputError } from "../../src/util/errors.js";
import { randomBtf, randomOf } from "../support/random-btf.js";
import { run, scratchDir, whyNoTool } from "../support/tools.js";
import { allKinds, goldenBlob } from "./all-kinds.js";

const dir = scratchDir();

/** libbpf's program for {@link libbpf}, or why there is none. */
const judge = (() => {
  const missing = whyNoTool("gcc");
  if (missing !== undefined) return { why: missing };
  const path = join(dir, "dedup");
  const built = run("gcc", "-O1", "-o", path, join(import.meta.dirname, "../support/dedup.c"), "-lbpf");
  return built.status === 0 ? { path } : { why: "skipped: no libbpf to compile with" };
})();

interface Job {
  readonly sections: readonly Uint8Array[];
  readonly base?: Uint8Array;
  /** One section, split from the base. */
  readonly split?: boolean;
}

/** What libbpf gives for each job; undefined where it refuses. */
function libbpf(jobs: readonly Job[]): (Uint8Array | undefined)[] {
  const file = (name: string, bytes: Uint8Array): string => {
    const path = join(dir, name);
    writeFileSync(path, bytes);
    return path;
  };
  const lines = jobs.map(({ sections, base, split }, i) => {
    const inputs = sections.map((section, k) => file(`in${i}_${k}`, section));
    return [join(dir, `out${i}`), base ? file(`base${i}`, base) : "-", ...(split ? ["="] : []), ...inputs].join(" ");
  });
  const { stdout, status } = spawnSync(judge.path!, { input: `${lines.join("\n")}\n`, encoding: "utf8" });
  if (status !== 0) throw new Error(`libbpf's program ends with ${status}`);
  const answers = stdout.trim().split("\n");
  return jobs.map((_, i) => (answers[i] === "ok" ? new Uint8Array(readFileSync(join(dir, `out${i}`))) : undefined));
}

t.test("random types: libbpf's result, byte for byte", { skip: judge.why ?? false }, (t) => {
  const random = randomOf(fc.sample(fc.nat(), 1)[0]!);
  const some = () => Array.from({ length: 1 + random(4) }, () => writeBtf(randomBtf(random)));
  const jobs = Array.from({ length: 600 }, (_, i): Job => {
    if (i % 3 === 0) return { sections: some() };
    const base = mergeBtf(some());
    if (i % 3 === 1) return { sections: some(), base };
    const blob = readBtfBlob(base);
    const more = randomBtf(random).types.slice(1);
    const btf: Btf = { types: [...blob.btf.types, ...more.map((type) => shifted(type, blob.btf.types.length - 1))] };
    return { sections: [writeSplitBtf(btf, blob)], base, split: true };
  });
  const theirs = libbpf(jobs);
  let shrunk = 0;
  jobs.forEach((job, i) => {
    const ours = job.split ? dedupSplitBtf(job.sections[0]!, job.base!) : mergeBtf(job.sections, job.base);
    if (Buffer.compare(ours, theirs[i] ?? new Uint8Array()) !== 0) t.fail(`job ${i} differs`, { job });
    shrunk += job.sections.reduce((sum, section) => sum + section.length, 0) - ours.length;
  });
  t.ok(shrunk > 10_000, `${shrunk} bytes less`);
  t.end();
});

/** A type of BTF of its own as part of split BTF: its references moved by the number of the base's types. */
function shifted(type: BtfType, by: number): BtfType {
  const text = JSON.stringify(type, (key, value: unknown) => {
    if (typeof value === "bigint") return `${value}n`;
    const isId = key === "type" || key === "indexType" || key === "returnType";
    return isId && typeof value === "number" && value > 0 ? value + by : value;
  });
  return JSON.parse(text, (key, value: unknown) =>
    key === "value" && typeof value === "string" ? BigInt(value.slice(0, -1)) : value,
  ) as BtfType;
}

const int: BtfType = { kind: "int", name: "int", size: 4, bits: 32, bitOffset: 0, encoding: "signed" };

t.test("declarations become what they declare", (t) => {
  const declared: Btf = {
    types: [
      { kind: "void" },
      { kind: "fwd", name: "s", isUnion: false },
      { kind: "ptr", type: 1 },
      { kind: "enum", name: "e", size: 4, signed: false, values: [] },
      { kind: "typedef", name: "e_t", type: 3 },
      { kind: "fwd", name: "nowhere", isUnion: true },
      { kind: "ptr", type: 5 },
    ],
  };
  const defined: Btf = {
    types: [
      { kind: "void" },
      { kind: "struct", name: "s", size: 8, members: [{ name: "next", type: 2, bitOffset: 0, bitSize: 0 }] },
      { kind: "ptr", type: 1 },
      { kind: "enum64", name: "e", size: 8, signed: false, values: [{ name: "BIG", value: 1n << 40n }] },
      { kind: "typedef", name: "e_t", type: 3 },
      int,
    ],
  };
  const merged = readBtf(mergeBtf([writeBtf(declared), writeBtf(defined)]));
  t.strictSame(merged.types, [
    { kind: "void" },
    { kind: "ptr", type: 5 },
    { kind: "typedef", name: "e_t", type: 6 },
    { kind: "fwd", name: "nowhere", isUnion: true },
    { kind: "ptr", type: 3 },
    { kind: "struct", name: "s", size: 8, members: [{ name: "next", type: 1, bitOffset: 0, bitSize: 0 }] },
    { kind: "enum64", name: "e", size: 8, signed: false, values: [{ name: "BIG", value: 1n << 40n }] },
    int,
  ]);
  const { btf, ids } = dedupBtf({ types: [...declared.types, int, int] });
  t.equal(btf.types.length, 8);
  t.strictSame([...ids], [0, 1, 2, 3, 4, 5, 6, 7, 7]);
  t.end();
});

t.test("every kind is merged with its like, in either byte order", (t) => {
  const merged = readBtf(mergeBtf([goldenBlob(), goldenBlob({ big: true }), writeBtf(allKinds)]));
  // Variables and sections stay.
  const again = merged.types.slice(allKinds.types.length).map((type) => type.kind);
  t.strictSame(merged.types.slice(0, allKinds.types.length), allKinds.types);
  t.strictSame(again, ["var", "datasec", "var", "datasec"]);
  t.end();
});

t.test("split BTF is written, read and found over its base", (t) => {
  const base = readBtfBlob(writeBtf({ types: [{ kind: "void" }, int, { kind: "ptr", type: 1 }] }));
  const builder = new BtfBuilder(base.btf);
  const id = builder.struct("own", [
    { name: "int", type: 1 },
    { name: "p", type: 2 },
  ]);
  t.equal(id, 3);
  const bytes = writeSplitBtf(builder, base);
  const split = readSplitBtf(bytes, base);
  t.strictSame(split.btf.types, builder.types);
  t.equal(findType(split.btf, "struct", "own"), 3);
  t.equal(findType(split.btf, "int", "int"), 1);
  t.equal(split.stringAt(1), "int");
  const lazy = openBtf(bytes, { base: openBtf(writeBtf(base.btf)) });
  t.strictSame(lazy.types[3], builder.types[3], "as the lazy reader reads it");
  const above = writeSplitBtf({ types: [...split.btf.types, { kind: "typedef", name: "own", type: 3 }] }, split);
  t.strictSame(readSplitBtf(above, split).btf.types[4], { kind: "typedef", name: "own", type: 3 });
  const nothing = writeSplitBtf(base.btf, base);
  t.equal(nothing.length, 24);
  t.strictSame(readSplitBtf(nothing, base).btf.types, base.btf.types);
  t.throws(() => writeSplitBtf({ types: [{ kind: "void" }] }, base), InputError);
  t.throws(() => writeSplitBtf({ types: [{ kind: "void" }, { ...int }, { kind: "ptr", type: 1 }] }, base), InputError);
  t.throws(() => readSplitBtf(bytes.subarray(0, bytes.length - 1), base), InputError);
  t.end();
});

t.test("long chains, circles and malicious strings take bounded time", (t) => {
  const chain: BtfType[] = [{ kind: "void" }, int];
  for (let i = 0; i < 200_000; i++) chain.push({ kind: "ptr", type: chain.length - 1 });
  const top = chain.length - 1;
  chain.push({ kind: "struct", name: "s", size: 8, members: [{ name: "p", type: top, bitOffset: 0, bitSize: 0 }] });
  const long = writeBtf({ types: chain });
  t.equal(readBtf(mergeBtf([long, long])).types.length, chain.length);
  const circle: Btf = {
    types: [{ kind: "void" }, { kind: "ptr", type: 2 }, { kind: "const", type: 1 }],
  };
  t.throws(() => mergeBtf([writeBtf(circle)]), { name: "InputError", message: /in a circle/ });
  const inside: Btf = {
    types: [
      { kind: "void" },
      int,
      { kind: "var", name: "v", type: 1, linkage: "global" },
      { kind: "struct", name: "s", size: 4, members: [{ name: "m", type: 2, bitOffset: 0, bitSize: 0 }] },
    ],
  };
  t.throws(() => mergeBtf([writeBtf(inside), writeBtf(inside)]), { name: "InputError", message: /is part of/ });
  const nested = Array.from({ length: 60 }, (_, i): BtfType => {
    const member = (name: string) => ({ name, type: Math.max(1, i), bitOffset: 0, bitSize: 0 });
    return { kind: "struct", name: `n${i}`, size: 4, members: [member("a"), member("b")] };
  });
  const doubling = writeBtf({ types: [{ kind: "void" }, int, ...nested] });
  t.equal(readBtf(mergeBtf([doubling, doubling])).types.length, 62);
  t.end();
});

t.test("mutated sections are merged or refused", (t) => {
  const seed = goldenBlob();
  const mutation = fc.record({ at: fc.nat(seed.length - 1), value: fc.nat(255) });
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 8 }), fc.boolean(), (changes, split) => {
      const bytes = seed.slice();
      for (const { at, value } of changes) bytes[at] = value;
      try {
        if (split) dedupSplitBtf(bytes, seed);
        else mergeBtf([seed, bytes, bytes]);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
  t.end();
});
