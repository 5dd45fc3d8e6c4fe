// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { readElf } from "../../src/elf/read-elf.js";
import { readObject } from "../../src/elf/read-object.js";
import { ElfWriter } from "../../src/elf/write-elf.js";
import { writeObject } from "../../src/elf/write-object.js";
import type { ObjectSpec } from "../../src/model/spec.js";
import { ByteWriter } from "../../src/util/bytes.js";
import { run, runQuietly, scratchDir, whyNoTool } from "../support/tools.js";
import { fullObject } from "./full-object.js";

const dir = scratchDir();

const ORDERS = ["little", "big"] as const;

/** What reading adds to a specification made by hand: ids of the variables that define maps and sections, strings. */
function withoutBtf(spec: ObjectSpec): unknown {
  return {
    ...spec,
    btf: null,
    btfStrings: null,
    maps: spec.maps.map((map) => ({ ...map, btfVarId: 0 })),
    data: spec.data.map((data) => ({ ...data, btfDatasecId: 0 })),
  };
}

t.test("everything that a specification can say is read back", (t) => {
  for (const order of ORDERS) {
    const wanted = fullObject(order);
    const bytes = writeObject(wanted);
    const spec = readObject(bytes, { name: "full" });
    t.strictSame(withoutBtf(spec), withoutBtf(wanted), order);
    t.strictSame(spec.btf?.types.slice(0, wanted.btf?.types.length), wanted.btf?.types, "type ids stay");
    t.equal(Buffer.compare(writeObject(spec), bytes), 0, "and the same bytes are written again");
  }
  t.end();
});

t.test("llvm-readelf sees in either byte order what was meant", { skip: whyNoTool("llvm-readelf-19") }, (t) => {
  const [little, big] = ORDERS.map((order) => {
    const file = join(dir, `full-${order}.o`);
    writeFileSync(file, writeObject(fullObject(order)));
    return runQuietly("llvm-readelf-19", "-h", "-S", "-s", "-r", file);
  });
  const columns = (text: string) => text.replace(/[ \t]+/g, " ");
  const text = columns(little!);
  t.match(columns(big!), /2's complement, big endian/);
  const without = (text: string) => columns(text).replace(/Magic: .*|Data: .*/g, "");
  t.equal(without(big!), without(little!), "the byte order is all that differs");
  for (const line of [
    /16 FUNC LOCAL DEFAULT 1 local\n.* 16 FUNC LOCAL DEFAULT 1 local\n/,
    / FUNC WEAK DEFAULT 1 fallback\n/,
    / FUNC GLOBAL HIDDEN 1 veiled\n/,
    / NOTYPE GLOBAL DEFAULT UND bpf_fun\n/,
    / NOTYPE WEAK DEFAULT UND CONFIG_SMP\n/,
    / OBJECT WEAK DEFAULT \d+ second\n/,
    / OBJECT GLOBAL HIDDEN \d+ veiled_data\n/,
    /R_BPF_64_32 0+ bpf_fun\n/,
    /R_BPF_64_64 0+ init_task\n/,
    /\.rel\.struct_ops\.link.*\n.*\n.*R_BPF_64_ABS64 0+ op_one\n.*R_BPF_64_ABS64 0+ op_two\n/,
    / \.bss\.own NOBITS 0+ [0-9a-f]+ 000018 00 WA 0 0 8\n/,
    / \.data PROGBITS 0+ [0-9a-f]+ 000028 00 WA 0 0 16\n/,
  ]) {
    t.match(text, line, String(line));
  }
  t.end();
});

t.test("bpftool finds the types of either byte order", { skip: whyNoTool("bpftool") }, (t) => {
  const [little, big] = ORDERS.map((order) => {
    const file = join(dir, `full-btf-${order}.o`);
    const bytes = writeObject(fullObject(order));
    writeFileSync(file, readElf(bytes).sections.find((section) => section.name === ".BTF")!.content);
    return runQuietly("bpftool", "btf", "dump", "file", file, "format", "raw");
  });
  t.match(little, /ENUM64 'wide' .*\n\s+'LOW' val=-5/);
  t.match(little, /DATASEC '\.ksyms' .*\n\s+type_id=\d+ offset=0 size=0 \(FUNC 'bpf_fun'\)/);
  t.equal(big, little);
  t.end();
});

/** Makes SHT_RELA of every SHT_REL: what stands in the places is said beside them, and cleared. */
function withAddends(object: Uint8Array): Uint8Array {
  const elf = readElf(object);
  const { littleEndian } = elf;
  const out = new ByteWriter({ littleEndian }).bytes(object).align(8);
  const patches: [number, bigint | number, 4 | 8][] = [];
  const view = new DataView(object.buffer, object.byteOffset, object.byteLength);
  const shoff = Number(view.getBigUint64(40, littleEndian));
  for (const section of elf.sections.filter(({ type }) => type === 9)) {
    const target = elf.sections[section.info]!;
    const at = out.length;
    for (const { offset, symbol, type } of elf.relocations.get(target.index) ?? []) {
      const place = target.content.byteOffset - object.byteOffset + offset;
      const inCode = type === 1 || type === 10;
      const standing = inCode ? BigInt(view.getInt32(place + 4, littleEndian)) : view.getBigInt64(place, littleEndian);
      const addend = type === 10 ? (standing + 1n) * 8n : standing;
      const index = elf.symbols.indexOf(symbol);
      out
        .u64(offset)
        .u64((BigInt(index) << 32n) | BigInt(type))
        .u64(addend);
      // The kind of call stays; data keep what they hold, for loaders do not relocate them.
      if (inCode) patches.push([place + 4, type === 10 ? -1 : 0, 4]);
    }
    const header = shoff + section.index * 64;
    patches.push([header + 4, 4, 4], [header + 24, BigInt(at), 8], [header + 32, BigInt(out.length - at), 8]);
    patches.push([header + 56, 24n, 8]);
  }
  const bytes = out.finish();
  const patched = new DataView(bytes.buffer);
  for (const [at, value, width] of patches) {
    if (width === 8) patched.setBigUint64(at, BigInt(value), littleEndian);
    else patched.setInt32(at, Number(value), littleEndian);
  }
  return bytes;
}

t.test("addends may stand beside the relocations (RELA)", (t) => {
  for (const order of ORDERS) {
    const bytes = writeObject(fullObject(order));
    const other = withAddends(bytes);
    t.ok(readElf(other).sections.some((section) => section.type === 4));
    t.strictSame(readObject(other, { name: "full" }), readObject(bytes, { name: "full" }), order);
  }
  t.end();
});

t.test("there may be more sections than 16 bits count", { skip: whyNoTool("llvm-readelf-19") }, (t) => {
  for (const order of ORDERS) {
    const elf = new ElfWriter(order === "little");
    const content = Uint8Array.of(1, 2, 3, 4);
    const count = 0x1_0010;
    for (let i = 1; i <= count; i++) {
      const section = elf.section({ name: `s${i % 7}`, type: 1, flags: 0, align: 4, content });
      if (i === 3 || i === count) elf.symbol({ name: `in${i}`, section, value: 1, size: 2, bind: 1, type: 1 });
    }
    elf.symbol({ name: "nowhere", section: 0xfff1, value: 0, size: 0, bind: 0, type: 4 });
    const bytes = elf.finish();
    const read = readElf(bytes);
    t.equal(read.sections.length, count + 4);
    t.equal(read.sections[count]!.name, `s${count % 7}`);
    const place = (name: string) => read.symbols.find((symbol) => symbol.name === name)?.section;
    t.equal(place("in3"), 3);
    t.equal(place(`in${count}`), count);
    const file = join(dir, `many-${order}.o`);
    writeFileSync(file, bytes);
    const { stdout } = run("llvm-readelf-19", "-h", "-s", file);
    t.match(stdout, /Number of section headers: +0 \(65556\)/);
    t.match(stdout, /Section header string table index: +65535 \(65555\)/);
    t.match(stdout, new RegExp(` OBJECT +GLOBAL DEFAULT +${count} +in${count}\\n`));
  }
  t.end();
});

/** What a C file can say to a loader. */
const SOURCE = `
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int (*name)[val]
#define __ulong(name, val) enum { __unique_value_##name = val } name
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
#define __noinline __attribute__((noinline))
#define __weak __attribute__((weak))
#define __hidden __attribute__((visibility("hidden")))
typedef unsigned int __u32;
typedef unsigned long long __u64;
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_tail_call)(void *ctx, void *map, __u32 i) = (void *)12;
static long (*bpf_loop)(__u32 n, void *fn, void *ctx, __u64 flags) = (void *)181;
char LICENSE[] SEC("license") = "GPL";
__u32 _version SEC("version") = 0x50000;
extern int bpf_kfun(int) SEC(".ksyms");
extern void bpf_weak(void) SEC(".ksyms") __weak;
extern const void untyped SEC(".ksyms");
extern int typed SEC(".ksyms") __weak;
extern _Bool CONFIG_X SEC(".kconfig") __weak;
extern int LINUX_KERNEL_VERSION SEC(".kconfig");
struct task { int pid; struct task *parent; } __attribute__((preserve_access_index));
struct inner { __uint(type, 2); __uint(max_entries, 4); __type(key, int); __type(value, __u64); };
struct inner a SEC(".maps"), b SEC(".maps");
struct { __uint(type, 12); __uint(max_entries, 5); __type(key, int); __array(values, struct inner); }
outer SEC(".maps") = { .values = { [1] = &a, [3] = &b } };
int prog_a(void *ctx);
struct { __uint(type, 3); __uint(max_entries, 2); __uint(key_size, 4); __array(values, int (void *)); }
jumps SEC(".maps") = { .values = { [1] = (void *)&prog_a } };
struct { __uint(type, 1); __uint(max_entries, 64); __type(key, int); __type(value, __u64); __uint(map_flags, 4);
  __uint(numa_node, 1); } numa SEC(".maps");
struct { __uint(type, 33); __uint(max_entries, 100); __uint(map_flags, 1024); __ulong(map_extra, 0x100000000001ull); }
arena SEC(".maps");
const volatile int target = 42;
int counter;
long hits = 7;
static int st = 5;
__hidden int hid = 9;
int wk __weak = 3;
int arr[4] = {1, 2, 3, 4};
int *ptr = &arr[2];
const char *msg = "hi";
int skipped SEC("stuff") = 3;
static int fn(int x) { return x; }
int (*fp)(int) = fn;
static __noinline int add(int x, int y) { return x * y + st++; }
__noinline int glob(int x) { return x + add(x, 3); }
__weak __noinline int weakling(int x) { return x - counter; }
__hidden __noinline int veiled(int x) { return x * 7 + hid; }
static int cb(__u32 i, void *ctx) { counter += i; return 0; }
SEC("socket") int prog_a(void *ctx) {
  return bpf_kfun(1) + CONFIG_X + LINUX_KERNEL_VERSION + (bpf_weak != 0) + typed + (long)&untyped;
}
SEC("?xdp") int prog_b(struct task *t) {
  int k = 1;
  __u64 *v = bpf_map_lookup_elem(&numa, &k);
  if (v) hits += *v;
  bpf_tail_call(t, &jumps, 1);
  bpf_loop(3, cb, 0, 0);
  bpf_map_lookup_elem(&outer, &k);
  return t->parent->pid + glob(target) + weakling(hits) + veiled(wk) + *ptr + msg[0] + (fp == fn);
}
struct ops { int (*one)(void); int num; int (*two)(int); };
SEC("struct_ops/one") int op_one(void) { return 1; }
SEC("struct_ops/two") int op_two(int x) { return x; }
SEC(".struct_ops.link") struct ops my_ops = { .one = (void *)op_one, .num = 42, .two = (void *)op_two };
SEC("?.struct_ops") struct ops other_ops = { .two = (void *)op_two };
`;

function compile(name: string, ...flags: string[]): Uint8Array {
  const source = join(dir, "source.bpf.c");
  writeFileSync(source, SOURCE);
  const object = join(dir, `${name}.bpf.o`);
  const done = run("clang-19", "-g", ...flags, "-c", source, "-o", object, "-Wno-everything");
  assert.equal(done.status, 0, done.stderr);
  return readFileSync(object);
}

t.test("what clang says is read", { skip: whyNoTool("clang-19") }, (t) => {
  const little = readObject(compile("little", "-target", "bpfel", "-O2"), { name: "source" });
  const typeName = (id: number) => {
    const type = little.btf!.types[id]!;
    return "name" in type ? `${type.kind} ${type.name}` : type.kind;
  };
  t.strictSame(
    little.externs.map((one) => [one.name, one.section, one.kind, one.weak, typeName(one.btfId), one.size, one.align]),
    [
      ["bpf_weak", ".ksyms", "func", true, "func bpf_weak", 0, 1],
      ["untyped", ".ksyms", "var", false, "var untyped", 0, 1],
      ["bpf_kfun", ".ksyms", "func", false, "func bpf_kfun", 0, 1],
      ["CONFIG_X", ".kconfig", "var", true, "var CONFIG_X", 1, 1],
      ["LINUX_KERNEL_VERSION", ".kconfig", "var", false, "var LINUX_KERNEL_VERSION", 4, 4],
      ["typed", ".ksyms", "var", true, "var typed", 4, 4],
    ],
  );
  t.strictSame(
    little.maps.filter((map) => map.initial.length > 0).map((map) => [map.name, map.initial]),
    [
      [
        "outer",
        [
          { index: 1, kind: "map", name: "a" },
          { index: 3, kind: "map", name: "b" },
        ],
      ],
      ["jumps", [{ index: 1, kind: "func", name: "prog_a" }]],
    ],
  );
  t.match(
    little.maps.find((map) => map.name === "numa"),
    { flags: 4, numaNode: 1 },
  );
  t.strictSame(
    little.structOps.map((one) => [one.name, one.section, typeName(one.typeId), one.refs, one.content.length]),
    [
      [
        "my_ops",
        ".struct_ops.link",
        "struct ops",
        [
          { offset: 0, func: "op_one" },
          { offset: 16, func: "op_two" },
        ],
        24,
      ],
      ["other_ops", "?.struct_ops", "struct ops", [{ offset: 16, func: "op_two" }], 24],
    ],
  );
  const core = little.functions.find((func) => func.name === "prog_b")!.core;
  t.strictSame(
    core.map(({ typeId, access, kind }) => [typeName(typeId), access, kind]),
    [
      ["struct task", "0:1", 0],
      ["struct task", "0:0", 0],
    ],
  );
  t.strictSame(
    little.functions.map((func) => [func.name, func.linkage, func.weak, func.visibility]).slice(0, 6),
    [
      ["fn", "static", false, "default"],
      ["glob", "global", false, "default"],
      ["add", "static", false, "default"],
      ["weakling", "global", true, "default"],
      ["veiled", "static", false, "hidden"],
      ["cb", "static", false, "default"],
    ].sort((a, b) => position(little, a[0]) - position(little, b[0])),
  );
  t.equal(little.version, 0x50000);
  const data = little.data.find((one) => one.section === ".data")!;
  t.strictSame(
    data.refs.map(({ offset: _, ...ref }) => ref),
    [
      { size: 8, kind: "data", section: ".data", target: offsetOf(little, "arr") + 8 },
      { size: 8, kind: "data", section: ".rodata.str1.1", target: 0 },
      { size: 8, kind: "func", func: "fn" },
    ],
  );
  t.end();
});

function position(spec: ObjectSpec, name: unknown): number {
  return spec.functions.findIndex((func) => func.name === name);
}

function offsetOf(spec: ObjectSpec, name: string): number {
  return spec.data.flatMap((data) => data.variables).find((variable) => variable.name === name)!.offset;
}

t.test("clang's objects of either byte order say the same", { skip: whyNoTool("clang-19") }, (t) => {
  const [little, big] = ["bpfel", "bpfeb"].map((target) =>
    readObject(compile(target, "-target", target, "-O2"), { name: "source" }),
  ) as [ObjectSpec, ObjectSpec];
  const lineless = (spec: ObjectSpec) => spec.functions.map((func) => ({ ...func, lines: func.lines.length }));
  t.strictSame(lineless(big), lineless(little));
  t.strictSame(big.btf, little.btf);
  t.strictSame([big.maps, big.externs, big.version], [little.maps, little.externs, little.version]);
  t.strictSame([big.endianness, little.endianness], ["big", "little"]);
  t.end();
});

const VARIANTS = ["bpfel", "bpfeb"].flatMap((target) =>
  [
    ["-mcpu=v1", "-O1"],
    ["-mcpu=v2", "-O2"],
    ["-mcpu=v3", "-O3"],
    ["-mcpu=v4", "-O2"],
  ].map((flags) => [target, ...flags]),
);

t.test("read, write, read gives the same", { skip: whyNoTool("clang-19", "llvm-objdump-19") }, (t) => {
  for (const [target, ...flags] of VARIANTS) {
    const name = `${target}${flags.join("")}`;
    const theirs = compile(name, "-target", target!, ...flags);
    const spec = readObject(theirs, { name: "source" });
    const ours = writeObject(spec);
    t.strictSame(readObject(ours, { name: "source" }), spec, name);
    const file = join(dir, `${name}-again.bpf.o`);
    writeFileSync(file, ours);
    const listing = (path: string) =>
      runQuietly("llvm-objdump-19", "-d", "-r", path)
        .split("\n")
        .filter((line) => !line.includes("file format"));
    t.strictSame(listing(file), listing(join(dir, `${name}.bpf.o`)), `${name}: the same code to llvm-objdump`);
  }
  t.end();
});

t.test("what only linking can give is taken when asked for", { skip: whyNoTool("clang-19") }, (t) => {
  const source = join(dir, "half.bpf.c");
  writeFileSync(
    source,
    `extern int other; extern int there(int); char L[] __attribute__((section("license"))) = "GPL";
     __attribute__((section("socket"))) int p(void *ctx) { return there(other); }`,
  );
  const object = join(dir, "half.bpf.o");
  assert.equal(run("clang-19", "-target", "bpf", "-g", "-O2", "-c", source, "-o", object).status, 0);
  const bytes = readFileSync(object);
  t.throws(() => readObject(bytes, { name: "half" }), { name: "InputError", message: /is declared in no section/ });
  const spec = readObject(bytes, { name: "half", linkable: true });
  t.strictSame(spec.externs.map((one) => [one.name, one.section, one.kind]).sort(), [
    ["other", "", "var"],
    ["there", "", "func"],
  ]);
  t.strictSame(readObject(writeObject(spec), { name: "half", linkable: true }), spec);
  t.end();
});

t.test("malformed types are left out when nothing needs them", { skip: whyNoTool("clang-19") }, (t) => {
  const source = join(dir, "types.bpf.c");
  writeFileSync(source, `__attribute__((section("socket"))) int p(void *ctx) { return 0; }`);
  const object = join(dir, "types.bpf.o");
  assert.equal(run("clang-19", "-target", "bpf", "-g", "-O2", "-c", source, "-o", object).status, 0);
  const bytes = new Uint8Array(readFileSync(object));
  const btf = readElf(bytes).sections.find((section) => section.name === ".BTF")!;
  btf.content.set([0, 0]);
  const warnings: string[] = [];
  const spec = readObject(bytes, { name: "types", onWarning: (message) => warnings.push(message) });
  t.equal(spec.btf, null);
  t.match(warnings, [/left out, since malformed: BTF header: magic/]);
  t.end();
});
