// SPDX-License-Identifier: MIT
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import { main } from "../../src/cli/command-line.js";
import { SHN, SHT, STB, STV } from "../../src/elf/format.js";
import { linkObjects } from "../../src/elf/link/link-objects.js";
import { type ElfSymbol, readElf } from "../../src/elf/read-elf.js";
import { readObject } from "../../src/elf/read-object.js";
import { writeObject } from "../../src/elf/write-object.js";
import { InputError } from "../../src/util/errors.js";
import { run, runQuietly, scratchDir, whyNoBpffs, whyNoTool, withPinDir } from "../support/tools.js";
import { sampleObject } from "./sample.js";

const dir = scratchDir();
const whyNoClang = whyNoTool("clang-19");
const whyNoJudge = whyNoTool("clang-19", "bpftool");

const PRELUDE = `
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
#define __weak __attribute__((weak))
#define __hidden __attribute__((visibility("hidden")))
#define __noinline __attribute__((noinline))
#define __ksym __attribute__((section(".ksyms")))
#define __kconfig __attribute__((section(".kconfig")))
typedef unsigned int u32;
typedef unsigned long long u64;
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_trace_printk)(const char *text, u32 size, ...) = (void *)6;
static long (*bpf_tail_call)(void *ctx, void *map, u32 index) = (void *)12;
char _license[] SEC("license") = "GPL";
`;

let compiled = 0;

/** Compiles C and gives the object's path. */
function compile(source: string, target = "bpf"): string {
  const stem = join(dir, `unit${compiled++}`);
  writeFileSync(`${stem}.c`, PRELUDE + source);
  const args = ["-target", target, "-g", "-O2", "-mcpu=v3", "-Wno-everything", "-c", `${stem}.c`, "-o", `${stem}.o`];
  const done = run("clang-19", ...args);
  if (done.status !== 0) throw new Error(done.stderr);
  return `${stem}.o`;
}

function link(files: readonly string[]): Uint8Array {
  return linkObjects(files.map((name) => ({ name, bytes: readFileSync(name) })));
}

/** What bpftool makes of the objects; a text is its complaint. */
function bpftoolLinks(files: readonly string[]): Uint8Array | string {
  const out = join(dir, "bpftool.o");
  const { status, stderr } = run("bpftool", "gen", "object", out, ...files);
  return status === 0 ? new Uint8Array(readFileSync(out)) : stderr;
}

const TABLES: ReadonlySet<number> = new Set([SHT.NULL, SHT.SYMTAB, SHT.STRTAB, SHT.REL]);

/** All that an object file says, in a form that does not depend on the order of its tables. */
function content(bytes: Uint8Array) {
  const elf = readElf(bytes);
  const nameOf = (index: number) => elf.sections[index]?.name ?? `#${index}`;
  const symbolText = ({ section, ...symbol }: ElfSymbol) => JSON.stringify({ ...symbol, section: nameOf(section) });
  return {
    sections: elf.sections
      .filter(({ type }) => !TABLES.has(type))
      .map(({ name, type, flags, align, entsize, size, content }) => {
        return { name, type, flags, align, entsize, size, content: Buffer.from(content).toString("hex") };
      }),
    symbols: elf.symbols.slice(1).map(symbolText).sort(),
    relocations: [...elf.relocations]
      .map(([section, list]) => ({
        section: nameOf(section),
        list: list.map(({ symbol, ...one }) => `${symbolText(symbol)} at ${one.offset}, type ${one.type}`),
      }))
      .sort((a, b) => (a.section < b.section ? -1 : 1)),
  };
}

/** {@link content} without what .BTF says. */
function withoutTypes({ sections, ...rest }: ReturnType<typeof content>) {
  return { ...rest, sections: sections.filter(({ name }) => name !== ".BTF") };
}

const UNITS: Readonly<Record<string, readonly string[]>> = {
  "functions: static of the same name, weak, hidden, extern": [
    `
    struct big { u64 a, b; };
    static __noinline int helper(int x) { return x * 3 + (int)(long)bpf_trace_printk; }
    __weak int twice(struct big *x) { return x ? x->a + helper(x->b) : 1; }
    int elsewhere(int x, struct big *b);
    __hidden int shared(int x) { return helper(x) + elsewhere(x, 0); }
    SEC("socket") int first(void *ctx) { struct big b = {1, 2}; return twice(&b) + shared(4); }`,
    `
    struct big { u64 a, b; };
    static __noinline int helper(int x) { return x - (int)(long)bpf_trace_printk; }
    int twice(struct big *x) { return x ? x->b * 2 + helper(5) : 2; }
    __weak int elsewhere(int count, struct big *b) { return helper(count); }
    extern int shared(int x) __weak;
    SEC("socket") int second(void *ctx) { return helper(7) + twice(0) + (shared ? shared(1) : 0); }
    SEC("xdp") int third(void *ctx) { return elsewhere(3, 0); }`,
  ],
  "variables: externs, weak ones, alignment, strings": [
    `
    extern int counter; extern const volatile u64 limit; extern u32 unknown[4] __weak;
    char one = 1; static volatile char local = 2; u64 zeroed __hidden; __weak int either = 5;
    SEC("socket") int first(void *ctx) {
      local++; bpf_trace_printk("first %d", 9, one);
      return counter + limit + unknown[1] + local + zeroed + either;
    }`,
    `
    int counter = 7; const volatile u64 limit = 100; char odd[3] = {1, 2, 3};
    static volatile char local = 4; extern u64 zeroed; int either = 6; struct { char c; u64 x[4]; } wide = {1};
    u32 unknown[4];
    SEC("socket") int second(void *ctx) {
      counter++; local += odd[1]; bpf_trace_printk("second", 7);
      return zeroed + either + wide.x[2] + local + unknown[2];
    }`,
  ],
  "maps: extern, weak, of maps, of programs": [
    `
    struct key { u32 a, b; };
    struct { __uint(type, 1); __uint(max_entries, 16); __type(key, struct key); __type(value, u64); } hash SEC(".maps");
    extern struct { __uint(type, 2); __uint(max_entries, 4); __type(key, u32); __type(value, u64); } other SEC(".maps");
    struct { __uint(type, 2); __uint(max_entries, 8); __type(key, u32); __type(value, u32); } both __weak SEC(".maps");
    SEC("socket") int first(void *ctx) {
      struct key k = {}; u32 i = 1;
      return bpf_map_lookup_elem(&hash, &k) && bpf_map_lookup_elem(&other, &i) && bpf_map_lookup_elem(&both, &i);
    }`,
    `
    struct inner { __uint(type, 2); __uint(max_entries, 1); __type(key, u32); __type(value, u32); };
    struct inner one SEC(".maps"), two SEC(".maps");
    struct { __uint(type, 13); __uint(max_entries, 3); __type(key, u32); __array(values, struct inner); }
      outer SEC(".maps") = { .values = { [1] = &two, [2] = &one } };
    int second(void *ctx);
    struct { __uint(type, 3); __uint(max_entries, 2); __uint(key_size, 4); __array(values, int (void *)); }
      programs SEC(".maps") = { .values = { [1] = (void *)&second } };
    struct { __uint(type, 2); __uint(max_entries, 4); __type(key, u32); __type(value, u64); } other SEC(".maps");
    struct { __uint(type, 2); __uint(max_entries, 8); __type(key, u32); __type(value, u32); } both __weak SEC(".maps");
    SEC("socket") int second(void *ctx) {
      u32 i = 1; bpf_tail_call(ctx, &programs, 0);
      return bpf_map_lookup_elem(&outer, &i) && bpf_map_lookup_elem(&other, &i) && bpf_map_lookup_elem(&both, &i);
    }`,
  ],
  // No declaration that the other object completes: old libbpf leaves it.
  "the kernel's: kconfig, ksyms, CO-RE": [
    `
    extern u32 LINUX_KERNEL_VERSION __kconfig; extern const void bpf_prog_fops __ksym;
    struct task_struct { int pid; struct mm *mm; } __attribute__((preserve_access_index));
    struct mm { u64 flags; struct mm *next; } __attribute__((preserve_access_index));
    struct mm *seen;
    SEC("raw_tp/sys_enter") int first(void *ctx) {
      struct task_struct *t = ctx; seen = t->mm;
      return LINUX_KERNEL_VERSION > 5 ? t->pid : &bpf_prog_fops != 0;
    }`,
    `
    extern u32 LINUX_KERNEL_VERSION __kconfig; extern int CONFIG_HZ __kconfig __weak; extern const void bpf_prog_fops __ksym;
    struct mm { u64 flags; struct mm *next; } __attribute__((preserve_access_index));
    extern struct mm *seen;
    SEC("raw_tp/sys_enter") int second(void *ctx) {
      struct mm *m = ctx;
      return LINUX_KERNEL_VERSION > 5 ? (seen == m->next) + CONFIG_HZ : &bpf_prog_fops != 0;
    }`,
  ],
};

t.test("the same objects as bpftool makes", { skip: whyNoJudge ?? false }, (t) => {
  for (const [what, units] of Object.entries(UNITS)) {
    const files = units.map((unit) => compile(unit));
    for (const order of [files, [...files].reverse(), files.slice(0, 1), files.slice(1)]) {
      const theirs = bpftoolLinks(order);
      t.not(typeof theirs, "string", `${what}: ${typeof theirs === "string" ? theirs : "bpftool links them"}`);
      if (typeof theirs === "string") continue;
      const ours = link(order);
      t.strictSame(withoutTypes(content(ours)), withoutTypes(content(theirs)), what);
      // The first time bpftool leaves variables that were resolved where they were not; the second time corrects it.
      writeFileSync(join(dir, "once.o"), theirs);
      const twice = bpftoolLinks([join(dir, "once.o")]);
      if (typeof twice === "string") throw new Error(twice);
      t.strictSame(content(linkObjects([{ name: "once.o", bytes: ours }])), content(twice), `${what}, again`);
    }
  }
  t.end();
});

t.test("what is linked is read, and linked again is the same", { skip: whyNoClang ?? false }, (t) => {
  for (const [what, units] of Object.entries(UNITS)) {
    for (const target of ["bpfel", "bpfeb"]) {
      const linked = link(units.map((unit) => compile(unit, target)));
      const again = linkObjects([{ name: "linked.o", bytes: linked }]);
      // The strings stand in another order.
      const model = (bytes: Uint8Array) => ({ ...readObject(bytes, { name: "x" }), btfStrings: null });
      const spec = model(linked);
      t.equal(spec.endianness, target === "bpfel" ? "little" : "big", what);
      t.ok(["first", "second"].every((name) => spec.functions.some((func) => func.name === name)));
      t.strictSame(model(again), spec, `${what}, ${target}`);
    }
  }
  t.end();
});

/** Tag and instructions of each program once libbpf has loaded the object and the kernel has translated it. */
function loadedPrograms(name: string, object: Uint8Array): readonly (readonly string[])[] {
  const file = join(dir, `${name}.o`);
  writeFileSync(file, object);
  return withPinDir((pins) => {
    runQuietly("bpftool", "prog", "loadall", file, pins);
    return readdirSync(pins)
      .sort()
      .map((program) => {
        const pinned = ["pinned", join(pins, program)];
        const { tag } = JSON.parse(runQuietly("bpftool", "-j", "prog", "show", ...pinned)) as { tag: string };
        const text = runQuietly("bpftool", "prog", "dump", "xlated", ...pinned, "linum");
        return [program, tag, text.replace(/map\[id:\d+\]/g, "map[id]").replace(/0x[0-9a-f]{16}/g, "address")];
      });
  });
}

t.test(
  "the kernel gets the same programs as of what bpftool links",
  { skip: whyNoJudge ?? whyNoBpffs() ?? false },
  (t) => {
    const units = Object.values(UNITS).slice(1, 3);
    for (const unit of units) {
      const files = unit.map((source) => compile(source));
      for (const order of [files, [...files].reverse()]) {
        const ours = loadedPrograms("ours", link(order));
        t.strictSame(
          ours.map(([name]) => name),
          ["first", "second"],
        );
        // Linked twice, as above.
        writeFileSync(join(dir, "once.o"), bpftoolLinks(order));
        t.strictSame(ours, loadedPrograms("ours", bpftoolLinks([join(dir, "once.o")]) as Uint8Array));
      }
    }
    t.end();
  },
);

const IDLE = `SEC("socket") int first(void *ctx) { return 0; }`;

/** Two objects that do not fit, and what is to be said. */
const MISFITS: Readonly<Record<string, readonly [string, string, RegExp]>> = {
  "two definitions of a function": ["int f(int x) { return x; }", "int f(int x) { return 2; }", /global f is defined/],
  "two definitions of a variable": ["int v = 1;", "int v = 2;", /global v is defined/],
  "extern of another size": [
    "int v = 1;",
    `extern u64 v; SEC("socket") int second(void *ctx) { return v; }`,
    /global v: incompatible int .* sizes 4 and 8/,
  ],
  "extern of another kind": [
    "struct { int x; } v = {1};",
    `extern u64 v; SEC("socket") int second(void *ctx) { return v; }`,
    /global v: incompatible BTF kinds struct and int/,
  ],
  "other fields": [
    "struct s { int x; } v = {1};",
    `extern struct s { int y; } v; SEC("socket") int second(void *ctx) { return v.y; }`,
    /global v: incompatible field #0 names x and y/,
  ],
  "other parameters": [
    "int f(int x) { return x; }",
    `int f(int x, int y); SEC("socket") int second(void *ctx) { return f(1, 2); }`,
    /global f: incompatible number of parameters 1 and 2/,
  ],
  "another pointer": [
    "struct a { int x; } a; int f(struct a *x) { return x ? x->x : 0; }",
    `struct b; int f(struct b *x); SEC("socket") int second(void *ctx) { return f(0); }`,
    /global f: declared b, but is a/,
  ],
  "another map type": [
    `struct { __uint(type, 1); __uint(max_entries, 4); __type(key, u32); __type(value, u32); } m SEC(".maps");`,
    `extern struct { __uint(type, 2); __uint(max_entries, 4); __type(key, u32); __type(value, u32); } m SEC(".maps");
     SEC("socket") int second(void *ctx) { u32 k = 0; return !bpf_map_lookup_elem(&m, &k); }`,
    /global m: map type mismatch/,
  ],
  "another number of entries": [
    `struct { __uint(type, 1); __uint(max_entries, 4); __type(key, u32); __type(value, u32); } m SEC(".maps");`,
    `extern struct { __uint(type, 1); __uint(max_entries, 5); __type(key, u32); __type(value, u32); } m SEC(".maps");
     SEC("socket") int second(void *ctx) { u32 k = 0; return !bpf_map_lookup_elem(&m, &k); }`,
    /global m: map max_entries mismatch/,
  ],
  "another type of values": [
    `struct { __uint(type, 1); __uint(max_entries, 4); __type(key, u32); __type(value, u32); } m SEC(".maps");`,
    `extern struct { __uint(type, 1); __uint(max_entries, 4); __type(key, u32); __type(value, struct { int x; }); } m SEC(".maps");
     SEC("socket") int second(void *ctx) { u32 k = 0; return !bpf_map_lookup_elem(&m, &k); }`,
    /global m \(value type\): incompatible BTF kinds int and struct/,
  ],
  "data that refers to a section": [
    IDLE,
    `const char *const names[] = {"a", "bcd"}; SEC("socket") int second(int *ctx) { return (long)names[*ctx]; }`,
    /section \.rodata: .*data refers to a section/,
  ],
  "another licence": [IDLE, IDLE.replace("first", "second"), /section license: differs/],
};

t.test("what bpftool refuses is refused, and why is said", { skip: whyNoJudge ?? false }, (t) => {
  for (const [what, [a, b, message]] of Object.entries(MISFITS)) {
    const files = [a, b].map((unit) => compile(unit));
    if (what === "another licence") {
      const file = readFileSync(files[1]!);
      file.write("MIT", file.indexOf("GPL\0"));
      writeFileSync(files[1]!, file);
    }
    t.type(bpftoolLinks(files), "string", what);
    try {
      link(files);
      t.fail(`${what}: is linked`);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      t.match(error.message, message, what);
      t.equal(error.place.file, files[1], what);
    }
  }
  t.end();
});

t.test("symbols come out as the ABI wants them", { skip: whyNoClang ?? false }, (t) => {
  const elf = readElf(link(Object.values(UNITS)[0]!.map((unit) => compile(unit))));
  const symbol = (name: string) => elf.symbols.find((one) => one.name === name)!;
  t.equal(symbol("shared").visibility, STV.HIDDEN);
  t.equal(symbol("twice").bind, STB.GLOBAL);
  t.equal(symbol("elsewhere").section === SHN.UNDEF, false);
  const symtab = elf.sections.find(({ type }) => type === SHT.SYMTAB)!;
  t.ok(elf.symbols.slice(0, symtab.info).every(({ bind }) => bind === STB.LOCAL));
  t.ok(elf.symbols.slice(symtab.info).every(({ bind }) => bind !== STB.LOCAL));
  t.end();
});

t.test("objects of the library's own writer", (t) => {
  const bytes = writeObject(sampleObject());
  const linked = linkObjects([{ name: "a.o", bytes }]);
  const names = (object: Uint8Array) => {
    const spec = readObject(object, { name: "x" });
    const data = spec.data.map(({ section, content, variables }) => [section, content, variables.map((v) => v.offset)]);
    return [
      spec.functions.map((func) => [func.name, func.insns]),
      spec.maps.map(({ name, type }) => [name, type]),
      data,
    ];
  };
  t.strictSame(names(linked), names(bytes));
  t.throws(
    () =>
      linkObjects([
        { name: "a.o", bytes },
        { name: "b.o", bytes },
      ]),
    { name: "InputError", message: /^b\.o/ },
  );
  t.throws(() => linkObjects([]), InputError);
  t.end();
});

t.test("mutated objects are linked or refused", (t) => {
  const good = writeObject(sampleObject());
  const mutation = fc.record({ at: fc.nat(good.length - 1), value: fc.nat(255) });
  let slowest = 0;
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 6 }), (changes) => {
      const bytes = good.slice();
      for (const { at, value } of changes) bytes[at] = value;
      const start = performance.now();
      try {
        linkObjects([{ name: "mutant.o", bytes }]);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
      }
      slowest = Math.max(slowest, performance.now() - start);
    }),
    { numRuns: 1500 },
  );
  t.ok(slowest < 2000, `${slowest} ms`);
  t.end();
});

t.test("bpfsmith link", { skip: whyNoClang ?? false }, async (t) => {
  const files = Object.values(UNITS)[0]!.map((unit) => compile(unit));
  const out = join(dir, "cli.o");
  t.equal(await main(["node", "bpfsmith", "link", ...files, "-o", out]), 0);
  t.equal(Buffer.compare(readFileSync(out), link(files)), 0);
  const missing = join(dir, "missing.o");
  t.equal(await main(["node", "bpfsmith", "link", ...files, files[0]!, "-o", missing]), 1);
  t.equal(existsSync(missing), false);
  t.equal(await main(["node", "bpfsmith", "link", files[0]!]), 2);
});
