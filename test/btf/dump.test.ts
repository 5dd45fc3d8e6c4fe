// SPDX-License-Identifier: MIT
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { type Btf, type BtfType, dumpC, dumpRaw, dumpTs, openBtf, writeBtf } from "../../src/btf/index.js";
import { readElf } from "../../src/elf/read-elf.js";
import { InputError } from "../../src/util/errors.js";
import { run, runQuietly, scratchDir, whyNoTool } from "../support/tools.js";
import { allKinds } from "./all-kinds.js";

// TypeScript's compiler takes its time over a kernel's types.
t.setTimeout(240_000);

const VMLINUX = "/sys/kernel/btf/vmlinux";
const whyNoVmlinux = existsSync(VMLINUX) ? false : "skipped: no vmlinux BTF";
const shapes = fileURLToPath(new URL("../fixtures/btf/shapes.c", import.meta.url));
const dir = scratchDir();

/** The types of a C file as clang gives them. */
function compile(source: string, ...flags: string[]): { object: string; btf: Uint8Array } {
  const object = join(dir, "shapes.o");
  runQuietly("clang-19", "-target", "bpf", "-g", "-O2", ...flags, "-c", source, "-o", object);
  const section = readElf(readFileSync(object), () => false).sections.find(({ name }) => name === ".BTF");
  if (section === undefined) throw new Error("clang wrote no .BTF");
  return { object, btf: section.content };
}

const text = (pieces: Iterable<string>): string => [...pieces].join("");

/** A header without what one bpftool writes and another does not. */
function common(header: string): string {
  return header
    .replace(/#ifndef __ksym\n[^#]*#define __ksym.*\n#endif\n\n#ifndef __weak\n#define __weak.*\n#endif\n\n/, "")
    .replace(/\n\/\* BPF kfuncs \*\/\n[\s\S]*?#endif\n\n/, "")
    .replaceAll(/ __attribute__\(\(mode\((byte|word)\)\)\)/g, "")
    .replaceAll(/__attribute__\(\(btf_type_tag\("(\w+\(\d+\))"\)\)\)/g, "__attribute__(($1))");
}

t.test("raw: every kind as bpftool prints it", { skip: whyNoTool("bpftool") }, (t) => {
  const file = join(dir, "kinds.btf");
  writeFileSync(file, writeBtf(allKinds));
  t.equal(`${[...dumpRaw(allKinds)].join("\n")}\n`, runQuietly("bpftool", "btf", "dump", "file", file));
  t.strictSame(
    [...dumpRaw(allKinds, { roots: [7, 1] })].map((line) => line.slice(0, 7)),
    ["[7] FWD", "[1] INT"],
  );
  t.strictSame([...dumpRaw(allKinds, { firstId: 19 })].length, 1);
  t.throws(() => [...dumpRaw(allKinds, { roots: [20] })], /type id 20 is out of range \(0-19\)/);
  t.end();
});

t.test("clang's types as bpftool prints them", { skip: whyNoTool("bpftool", "clang-19") }, (t) => {
  const { object, btf } = compile(shapes);
  const raw = `${[...dumpRaw(openBtf(btf))].join("\n")}\n`;
  t.equal(raw, runQuietly("bpftool", "btf", "dump", "file", object));
  const header = text(dumpC(openBtf(btf), { sorted: false }));
  t.equal(common(header), common(runQuietly("bpftool", "btf", "dump", "file", object, "format", "c")));
  t.match(header, /struct node___2 \{\n\tint same_name;/);
  t.match(header, /LITTLE = 200,\n\} __attribute__\(\(mode\(byte\)\)\);/);
  t.end();
});

t.test("the kernel's types as bpftool prints them", { skip: whyNoVmlinux || whyNoTool("bpftool") }, (t) => {
  const btf = openBtf(readFileSync(VMLINUX));
  const raw = `${[...dumpRaw(btf)].join("\n")}\n`;
  t.equal(raw === runQuietly("bpftool", "btf", "dump", "file", VMLINUX), true, "raw, line by line");
  const ours = common(text(dumpC(btf, { sorted: false }))).split("\n");
  const unsorted = run("bpftool", "btf", "dump", "file", VMLINUX, "format", "c", "unsorted");
  const answer = unsorted.status === 0 ? unsorted : run("bpftool", "btf", "dump", "file", VMLINUX, "format", "c");
  const theirs = common(answer.stdout).split("\n");
  t.equal(ours.length, theirs.length);
  t.strictSame(ours.filter((line, i) => line !== theirs[i]).slice(0, 10), []);
  t.end();
});

/** Definitions of one kind in a header, their names. */
const defined = (header: string): string[] =>
  [...header.matchAll(/^(struct|union) (\w+) \{/gm)].map((m) => `${m[1]} ${m[2]}`);

t.test("headers compile, and every struct has its size", { skip: whyNoVmlinux || whyNoTool("clang-19") }, (t) => {
  const btf = openBtf(readFileSync(VMLINUX));
  for (const sorted of [true, false]) {
    const header = text(dumpC(btf, { sorted }));
    const sizes = new Map<string, number[]>();
    for (const type of btf.types) {
      if ((type.kind !== "struct" && type.kind !== "union") || type.name === "") continue;
      const name = `${type.kind} ${type.name}`;
      sizes.set(name, [...(sizes.get(name) ?? []), type.size]);
    }
    const names = defined(header);
    // Of several with one name it cannot be said which one got the suffix.
    const unique = names.filter((name) => sizes.get(name)?.length === 1);
    t.ok(unique.length > 5000, `${unique.length} definitions`);
    const asserts = unique.map((name) => `_Static_assert(sizeof(${name}) == ${sizes.get(name)![0]}, "${name}");`);
    const file = join(dir, "vmlinux.c");
    writeFileSync(file, header);
    runQuietly("clang-19", "-target", "bpf", "-Werror", "-fsyntax-only", file);
    // The kernel's va_list is the machine's, so sizes are asked of its own compiler.
    writeFileSync(file, `${header}\n${asserts.join("\n")}\n`);
    runQuietly("clang-19", "-DBPF_NO_PRESERVE_ACCESS_INDEX", "-Wno-everything", "-fsyntax-only", file);
  }
  t.end();
});

t.test("the order by name does not depend on ids", { skip: whyNoTool("clang-19") }, (t) => {
  const { btf } = compile(shapes);
  const header = text(dumpC(openBtf(btf)));
  const file = join(dir, "again.c");
  writeFileSync(
    file,
    `${header}\n${defined(header)
      .map((name, i) => `${name} v${i};`)
      .join("\n")}\n`,
  );
  const again = compile(file);
  const structs = (text: string) => defined(text).filter((name) => !name.includes("___"));
  t.strictSame(structs(text(dumpC(openBtf(again.btf)))), structs(header));
  t.end();
});

t.test("roots bring what they need and no more", { skip: whyNoTool("clang-19") }, (t) => {
  const btf = openBtf(compile(shapes).btf);
  const header = text(dumpC(btf, { roots: btf.idsByName("chain", "struct") }));
  t.strictSame(defined(header), ["struct chain"]);
  t.match(header, /typedef callback_t callbacks_t\[2\];/);
  t.notMatch(header, /kfuncs/);
  const file = join(dir, "chain.c");
  writeFileSync(file, header);
  runQuietly("clang-19", "-target", "bpf", "-Werror", "-fsyntax-only", file);
  t.end();
});

const withTypes = (...types: BtfType[]): Btf => ({ types: [{ kind: "void" }, ...types] });
const int: BtfType = { kind: "int", name: "int", size: 4, bits: 32, bitOffset: 0, encoding: "signed" };

t.test("attributes of Linux 6.14's tags", (t) => {
  const btf = withTypes(
    int,
    { kind: "typeTag", name: "address_space(1)", type: 1, kindFlag: true },
    { kind: "ptr", type: 2 },
    { kind: "typedef", name: "there", type: 3 },
  );
  t.match(text(dumpC(btf)), /typedef int __attribute__\(\(address_space\(1\)\)\) \*there;/);
  t.end();
});

t.test("what C cannot say is refused in bounded time", (t) => {
  const member = (type: number) => ({ name: "", type, bitOffset: 0, bitSize: 0 });
  const self = withTypes({ kind: "struct", name: "s", size: 4, members: [member(1)] });
  t.throws(() => text(dumpC(self)), { name: "InputError", message: /type id 1 contains itself/ });
  const modifiers = withTypes({ kind: "const", type: 2 }, { kind: "volatile", type: 1 });
  t.throws(() => text(dumpC(modifiers)), InputError);
  const typedefs = withTypes({ kind: "typedef", name: "t", type: 2 }, { kind: "ptr", type: 1 });
  t.throws(() => text(dumpC(typedefs)), InputError);
  const pointers: BtfType[] = Array.from({ length: 5000 }, (_, i) => ({ kind: "ptr", type: i }));
  t.throws(() => text(dumpC(withTypes(...pointers))), /nested deeper|chain longer/);
  // Each anonymous struct holds the one before it twice: 2^40 of them written out.
  const doubling: BtfType[] = [int];
  for (let id = 1; id <= 40; id++) {
    doubling.push({ kind: "struct", name: id === 40 ? "top" : "", size: 4, members: [member(id), member(id)] });
  }
  const start = performance.now();
  t.throws(() => text(dumpC(withTypes(...doubling))), /would (get longer|take more) than/);
  const tags: BtfType[] = [int, { kind: "ptr", type: 1 }];
  for (let id = 2; id <= 60; id++) {
    tags.push({ kind: "funcProto", returnType: id, params: [{ name: "a", type: id }] });
  }
  t.throws(
    () => text(dumpC(withTypes(...tags, { kind: "typedef", name: "f", type: 61 }))),
    /would (get longer|take more) than/,
  );
  t.ok(performance.now() - start < 5000);
  t.end();
});

/** The messages of TypeScript's compiler about a file beside the declarations. */
function typeCheck(declarations: string, use: string): string {
  const folder = scratchDir();
  writeFileSync(join(folder, "types.d.ts"), declarations);
  writeFileSync(join(folder, "use.ts"), use);
  const tsc = fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url));
  const options = [
    "--ignoreConfig",
    "--noEmit",
    "--strict",
    "--target",
    "es2022",
    "--module",
    "nodenext",
    "--pretty",
    "false",
  ];
  return run("node", tsc, ...options, join(folder, "use.ts")).stdout;
}

t.test("TypeScript takes the declarations", { skip: whyNoTool("clang-19") }, (t) => {
  const btf = openBtf(compile(shapes).btf);
  const declarations = text(dumpTs(btf));
  const use = `
    import type { CArray, CPtr, bits, chain, either, node, numbers, tree, Types } from "./types.js";
    declare const t: tree, n: node, e: either, b: bits, c: chain, i: numbers;
    export const next: CPtr<node> = n.next;
    export const depth: 4 = t.stack.length;
    export const low: number = e.low, high: number = e.high, word: bigint = e.word;
    export const on: boolean = b.on, d: bigint = b.d, color: number = b.color;
    export const far: bigint = i.w, big: bigint = i.big, real: number = i.f;
    export const calls: CArray<unknown, 2> = c.calls;
    export const same: Types["struct node"] = n;
    export const other: Types["struct tree"]["root"] = n;
  `;
  t.equal(typeCheck(declarations, use), "");
  const wrong = `import type { either, tree } from "./types.js";
    declare const e: either, t: tree;
    export const word: number = e.word;
    export const depth: 5 = t.stack.length;
    export const none = t.none;
  `;
  t.strictSame(typeCheck(declarations, wrong).match(/error TS\d+/g), ["error TS2322", "error TS2322", "error TS2339"]);
  t.match(declarations, /export interface node___2 \{\n {2}readonly same_name: int;/);
  t.notMatch(declarations, /offset/);
  const some = text(dumpTs(btf, { roots: btf.idsByName("point_t") }));
  t.strictSame(some.match(/^export (interface|type) [a-z]\w*/gm), ["export type int", "export interface point_t"]);
  t.end();
});

t.test("TypeScript takes the kernel's declarations", { skip: whyNoVmlinux }, (t) => {
  const btf = openBtf(readFileSync(VMLINUX));
  const use = `import type { CPtr, task_struct, Types } from "./types.js";
    declare const task: task_struct;
    export const pid: number = task.pid, comm: 16 = task.comm.length;
    export const mm: CPtr<Types["struct mm_struct"]> = task.mm;
  `;
  t.equal(typeCheck(text(dumpTs(btf)), use), "");
  t.end();
});

t.test("names that TypeScript has for itself", (t) => {
  const members = ["class", "any", "0"].map((name) => ({ name, type: 1, bitOffset: 0, bitSize: 0 }));
  const params = ["new", "", "this", "x", "x"].map((name) => ({ name, type: 1 }));
  const btf = withTypes(
    int,
    { kind: "struct", name: "symbol", size: 4, members },
    { kind: "typedef", name: "string", type: 2 },
    { kind: "funcProto", returnType: 0, params: [...params, { name: "", type: 0 }] },
    { kind: "typedef", name: "symbol", type: 4 },
    { kind: "fwd", name: "CPtr", isUnion: false },
  );
  const declarations = text(dumpTs(btf));
  t.match(declarations, /export interface symbol_ \{\n {2}readonly class: int;/);
  t.match(declarations, /new_: int, arg1: int, this_: int, x: int, arg4: int, \.\.\.rest: unknown\[\]/);
  const use = `import type { Types } from "./types.js"; export type T = Types["struct symbol"]["0"];`;
  t.equal(typeCheck(declarations, use), "");
  const nested = withTypes({ kind: "ptr", type: 2 }, { kind: "ptr", type: 1 }, { kind: "typedef", name: "t", type: 1 });
  t.throws(() => text(dumpTs(nested)), InputError);
  t.end();
});
