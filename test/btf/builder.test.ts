// SPDX-License-Identifier: MIT
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import { alignOf, BtfBuilder, findMember, findType, readBtf, resolveId, sizeOf } from "../../src/btf/index.js";
import { readElf } from "../../src/elf/read-elf.js";
import { BugError, InputError } from "../../src/util/errors.js";
import { run, scratchDir, whyNoTool } from "../support/tools.js";

t.test("the same content has one id", (t) => {
  const b = new BtfBuilder();
  const u32 = b.kernelInt("__u32");
  t.equal(b.kernelInt("__u32"), u32);
  t.not(b.int("unsigned int"), u32, "a typedef is not what it names");
  t.equal(b.ptr(u32), b.ptr(u32));
  t.equal(b.array(u32, 3), b.array(u32, 3));
  t.not(b.array(u32, 3), b.array(u32, 4));
  t.equal(b.add({ kind: "ptr", type: u32 }), b.add({ type: u32, kind: "ptr" }), "whatever the order of the keys");
  const members = [{ name: "a", type: u32 }];
  t.equal(b.struct("s", members), b.struct("s", members));
  t.not(b.struct("s", members), b.struct("t", members));
  t.not(b.struct("s", members), b.union("s", members));
  const proto = b.funcProto(u32, []);
  t.not(b.func("f", proto, "static"), b.func("f", proto, "static"), "functions are never shared");
  t.not(b.var("v", u32), b.var("v", u32), "variables are never shared");
  const big = (value: bigint) =>
    b.add({ kind: "enum64", name: "e", size: 8, signed: false, values: [{ name: "x", value }] });
  t.equal(big(1n << 40n), big(1n << 40n));
  t.not(big(1n << 40n), big(1n << 41n));
  t.end();
});

t.test("a builder goes on from types that stand", (t) => {
  const first = new BtfBuilder();
  const int = first.int("int");
  const base = first.build();
  const second = new BtfBuilder(base);
  t.equal(second.int("int"), int);
  second.ptr(int);
  t.equal(base.types.length, 2, "what was built does not change");
  t.end();
});

t.test("types that refer to themselves", (t) => {
  const b = new BtfBuilder();
  const node = b.declare();
  const next = b.ptr(node);
  t.throws(() => b.build(), BugError, "a declared type must be defined");
  b.define(
    node,
    b.layout("struct", "node", [
      { name: "next", type: next },
      { name: "value", type: b.int("int") },
    ]),
  );
  t.equal(sizeOf(b.build(), node), 16);
  t.throws(() => b.define(node, { kind: "ptr", type: 0 }), BugError);
  t.end();
});

t.test("queries", (t) => {
  const b = new BtfBuilder();
  const u32 = b.kernelInt("__u32");
  const inner = b.union("", [
    { name: "x", type: u32 },
    { name: "y", type: b.kernelInt("__u64") },
  ]);
  const s = b.struct("s", [
    { name: "head", type: u32 },
    { name: "", type: inner },
    { name: "p", type: b.ptr(0) },
  ]);
  const alias = b.typedef("s_t", b.modifier("const", s));
  t.equal(resolveId(b, alias), s);
  t.equal(sizeOf(b, alias), 24);
  t.equal(alignOf(b, alias), 8);
  t.equal(findMember(b, alias, "y")?.bitOffset, 64, "members of anonymous members are found");
  t.equal(findMember(b, alias, "p")?.bitOffset, 128);
  t.equal(findMember(b, alias, "none"), undefined);
  t.equal(findType(b, "struct", "s"), s);
  t.equal(findType(b, "union", "s"), undefined);
  t.throws(() => sizeOf(b, 0), InputError, "void has no size");
  t.throws(() => sizeOf(b, b.funcProto(0, [])), InputError);
  t.throws(() => sizeOf(b, 999), InputError);
  t.throws(() => findMember(b, u32, "x"), InputError);
  const loop = new BtfBuilder();
  const id = loop.declare();
  loop.define(id, { kind: "typedef", name: "again", type: id });
  t.throws(() => sizeOf(loop, id), /loop/);
  const array = loop.declare();
  loop.define(array, { kind: "array", type: array, indexType: 0, nelems: 1 });
  t.throws(() => sizeOf(loop, array), /loop/);
  t.throws(() => alignOf(loop, array), InputError);
  t.throws(() => b.struct("s", [{ name: "f", type: u32, bitSize: 33 }]), /bit field of 33 bits/);
  t.end();
});

/** A member in C and for the builder. */
interface Member {
  readonly c: (name: string) => string;
  readonly make: (b: BtfBuilder) => { type: number; bitSize?: number };
}

const scalars = ["char", "short", "unsigned int", "long", "long long", "_Bool", "unsigned char"] as const;

const memberArb: fc.Arbitrary<Member> = fc.oneof(
  fc.constantFrom(...scalars).map(
    (int): Member => ({
      c: (name) => `${int} ${name}`,
      make: (b) => ({ type: b.int(int) }),
    }),
  ),
  fc.tuple(fc.constantFrom("char", "int", "long"), fc.integer({ min: 0, max: 5 })).map(
    ([int, n]): Member => ({
      c: (name) => `${int} ${name}[${n}]`,
      make: (b) => ({ type: b.array(b.int(int as "int"), n) }),
    }),
  ),
  fc.constant<Member>({ c: (name) => `void *${name}`, make: (b) => ({ type: b.ptr(0) }) }),
  fc
    .tuple(fc.constantFrom("int", "unsigned int", "unsigned char", "unsigned long"), fc.integer({ min: 1, max: 64 }))
    .map(([int, bits]): Member => {
      const width = { int: 32, "unsigned int": 32, "unsigned char": 8, "unsigned long": 64 }[int]!;
      const bitSize = ((bits - 1) % width) + 1;
      return { c: (name) => `${int} ${name}:${bitSize}`, make: (b) => ({ type: b.int(int as "int"), bitSize }) };
    }),
  fc.constant<Member>({
    c: (name) => `struct { char a; int b; } ${name}`,
    make: (b) => ({
      type: b.struct("", [
        { name: "a", type: b.int("char") },
        { name: "b", type: b.int("int") },
      ]),
    }),
  }),
);

const aggregateArb = fc.record({
  kind: fc.constantFrom("struct" as const, "union" as const),
  packed: fc.boolean(),
  align: fc.constantFrom(0, 0, 0, 16),
  members: fc.array(memberArb, { minLength: 1, maxLength: 6 }),
});

t.test("structs are laid out as clang lays them out", { skip: whyNoTool("clang-19") }, (t) => {
  const dir = scratchDir();
  const aggregates = fc.sample(aggregateArb, { numRuns: 150, seed: 7 });
  const source = aggregates.map(({ kind, packed, align, members }, i) => {
    const attributes = `${packed ? "__attribute__((packed)) " : ""}${align ? `__attribute__((aligned(${align}))) ` : ""}`;
    const body = members.map((member, m) => `${member.c(`m${m}`)};`).join(" ");
    return `${kind} ${attributes}t${i} { ${body} } v${i};`;
  });
  const file = join(dir, "layout.c");
  writeFileSync(file, source.join("\n"));
  const compiled = run("clang-19", "-target", "bpf", "-g", "-O2", "-c", file, "-o", join(dir, "layout.o"));
  t.equal(compiled.status, 0, compiled.stderr);
  const elf = readElf(readFileSync(join(dir, "layout.o")));
  const theirs = readBtf(elf.sections.find((section) => section.name === ".BTF")!.content);
  const b = new BtfBuilder();
  aggregates.forEach(({ kind, packed, align, members }, i) => {
    const decls = members.map((member, m) => ({ name: `m${m}`, ...member.make(b) }));
    const ours = b.layout(kind, `t${i}`, decls, { packed, align: align || 1 });
    const found = theirs.types.find((type) => type.kind === kind && type.name === `t${i}`);
    if (found?.kind !== kind) {
      t.fail(`clang did not emit t${i}`);
      return;
    }
    const places = (members: typeof ours.members) => members.map((m) => [m.name, m.bitOffset, m.bitSize]);
    t.same([ours.size, places(ours.members)], [found.size, places(found.members)], source[i]!);
  });
  t.end();
});
