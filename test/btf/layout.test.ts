// SPDX-License-Identifier: MIT
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { type Btf, BtfBuilder, type BtfType, Layouts, LayoutText, type LazyBtf, openBtf } from "../../src/btf/index.js";
import { findSection } from "../../src/elf/find-section.js";
import { InputError } from "../../src/util/errors.js";
import { run, runQuietly, scratchDir, whyNoTool } from "../support/tools.js";

const VMLINUX = "/sys/kernel/btf/vmlinux";
const whyNoVmlinux = existsSync(VMLINUX) ? undefined : "skipped: no vmlinux BTF";
/** Other versions of pahole write a little differently; the numbers are the same. */
const whyNoPahole =
  whyNoTool("pahole") ??
  (run("pahole", "--version").stdout.trim() === "v1.24" ? undefined : "skipped: not pahole 1.24");
const shapes = fileURLToPath(new URL("../fixtures/btf/shapes.c", import.meta.url));

/** The definitions of pahole's output by what they define, the first one of each. */
function definitions(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const block of text.split(/^(?=(?:struct|union) \w+ \{$)/m)) {
    const name = /^(?:struct|union) \w+/.exec(block)?.[0];
    if (name !== undefined && !found.has(name)) found.set(name, block.trimEnd());
  }
  return found;
}

function ours(btf: LazyBtf): Map<string, string> {
  const text = new LayoutText(new Layouts(btf));
  const found = new Map<string, string>();
  btf.types.forEach((type, id) => {
    if ((type.kind !== "struct" && type.kind !== "union") || type.name === "") return;
    const name = `${type.kind} ${type.name}`;
    if (!found.has(name)) found.set(name, text.write(id).trimEnd());
  });
  return found;
}

t.test("every struct of the kernel as pahole prints it", { skip: whyNoVmlinux ?? whyNoPahole ?? false }, (t) => {
  // It complains about kinds that it does not know.
  const theirs = definitions(run("pahole", "-F", "btf", VMLINUX).stdout);
  t.ok(theirs.size > 5000, `${theirs.size} structs and unions`);
  const layouts = ours(openBtf(readFileSync(VMLINUX)));
  // A type with a tag is an error to it.
  const different = [...theirs].filter(([name, text]) => layouts.get(name) !== text && !text.includes("<ERROR"));
  t.strictSame(
    different.slice(0, 3).map(([name, text]) => [layouts.get(name), text]),
    [],
  );
  t.end();
});

t.test("what C can say, as pahole prints it", { skip: whyNoPahole ?? whyNoTool("clang-19") ?? false }, (t) => {
  const object = join(scratchDir(), "shapes.o");
  runQuietly("clang-19", "-target", "bpf", "-g", "-O2", "-c", shapes, "-o", object);
  const theirs = definitions(run("pahole", "-F", "btf", object).stdout);
  const layouts = ours(openBtf(findSection(readFileSync(object), ".BTF")!));
  t.ok(theirs.size >= 14);
  for (const [name, text] of theirs) {
    // It does not know of type tags, says "single double", and turns the dimensions of arrays around.
    const known = /ERROR|single |^\s+bool _Bool|\]\[|\)\[\d\]/;
    const lines = text.split("\n");
    const kept = (all: readonly string[]) => all.filter((_, i) => !known.test(lines[i] ?? ""));
    t.strictSame(kept(layouts.get(name)?.split("\n") ?? []), kept(lines), name);
  }
  t.match(layouts.get("struct arrays"), /int {24}grid\[2\]\[3\]; {11,13}\/\* {4}12 {4}24 \*\//);
  t.match(layouts.get("struct arrays"), /\(\*handlers\[2\]\)\(struct arrays \*,/);
  t.end();
});

t.test("holes and padding in numbers", { skip: whyNoTool("clang-19") ?? false }, (t) => {
  // Sizes and places of all members of a struct of our own, asked of a compiler.
  const object = join(scratchDir(), "shapes.o");
  runQuietly("clang-19", "-target", "bpf", "-g", "-O2", "-c", shapes, "-o", object);
  const btf = openBtf(findSection(readFileSync(object), ".BTF")!);
  const layout = new Layouts(btf).of(btf.idsByName("holes", "struct")[0]!);
  t.strictSame(
    layout.members.map(({ name, offset, size, hole }) => [name, offset, size, hole]),
    [
      ["a", 0, 1, 7],
      ["b", 8, 8, 0],
      ["c", 16, 1, 1],
      ["d", 18, 2, 12],
      ["e", 32, 1, 0],
      ["nothing", 33, 0, 0],
      ["f", 33, 1, 0],
    ],
  );
  t.match(layout, { size: 64, holes: 3, sumHoles: 20, padding: 30, alignment: 64, cachelines: 1, lastCacheline: 0 });
  t.end();
});

t.test("a layout as text, without any tool", (t) => {
  const b = new BtfBuilder();
  const u32 = b.kernelInt("__u32");
  const u64 = b.kernelInt("__u64");
  const char = b.int("char");
  b.struct("event", [
    { name: "flag", type: char },
    { name: "time", type: u64 },
    { name: "low", type: u32, bitSize: 3 },
    { name: "next", type: b.ptr(b.fwd("list")) },
    { name: "comm", type: b.array(char, 16) },
  ]);
  const btf = b.build();
  const id = btf.types.findIndex((type) => type.kind === "struct" && type.name === "event");
  t.equal(
    new LayoutText(new Layouts(btf)).write(id),
    `struct event {
	char                       flag;                 /*     0     1 */

	/* XXX 7 bytes hole, try to pack */

	__u64                      time;                 /*     8     8 */
	__u32                      low:3;                /*    16: 0  4 */

	/* XXX 29 bits hole, try to pack */
	/* XXX 4 bytes hole, try to pack */

	struct list *              next;                 /*    24     8 */
	char                       comm[16];             /*    32    16 */

	/* size: 48, cachelines: 1, members: 5 */
	/* sum members: 33, holes: 2, sum holes: 11 */
	/* sum bitfield members: 3 bits, bit holes: 1, sum bit holes: 29 bits */
	/* last cacheline: 48 bytes */
};
`,
  );
  t.match(new Layouts(btf).of(id), { holes: 2, sumHoles: 11, bitHoles: 1, sumBitHoles: 29, sumBits: 3, padding: 0 });
  t.throws(() => new Layouts(btf).of(1), { name: "InputError", message: /no struct or union but/ });
  t.end();
});

t.test("expanded, with what typedefs stand for", (t) => {
  const b = new BtfBuilder();
  const u32 = b.kernelInt("__u32");
  const inner = b.struct("inner", [{ name: "x", type: u32 }]);
  b.struct("outer", [
    { name: "a", type: b.typedef("inner_t", inner) },
    { name: "b", type: u32 },
  ]);
  const btf = b.build();
  const id = btf.types.findIndex((type) => type.kind === "struct" && type.name === "outer");
  const text = new LayoutText(new Layouts(btf), { expand: true }).write(id);
  t.match(
    text,
    /^\t\/\* typedef inner_t \*\/ struct inner \{\n\t\t\/\* typedef __u32 \*\/ unsigned int +x; +\/\* +0 +4 \*\/\n\t\} a;/m,
  );
  t.end();
});

t.test("what contains itself is refused in bounded time", (t) => {
  const withTypes = (...types: BtfType[]): Btf => ({ types: [{ kind: "void" }, ...types] });
  const member = (type: number) => ({ name: "", type, bitOffset: 0, bitSize: 0 });
  const self = withTypes({ kind: "struct", name: "s", size: 4, members: [member(1)] });
  t.throws(() => new Layouts(self).of(1), InputError);
  const endless = withTypes({ kind: "const", type: 1 }, { kind: "struct", name: "s", size: 4, members: [member(1)] });
  t.throws(() => new Layouts(endless).of(2), InputError);
  const doubling: BtfType[] = [{ kind: "int", name: "int", size: 4, bits: 32, bitOffset: 0, encoding: "signed" }];
  for (let id = 1; id <= 40; id++) {
    doubling.push({ kind: "union", name: id === 40 ? "top" : "", size: 4, members: [member(id), member(id)] });
  }
  const layouts = new Layouts(withTypes(...doubling));
  t.throws(() => new LayoutText(layouts).write(41), /the layout would get longer than/);
  t.end();
});
