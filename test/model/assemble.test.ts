// SPDX-License-Identifier: MIT
import t from "tap";
import { ASM_DIALECTS } from "../../src/asm/text/print.js";
import { readObject } from "../../src/elf/read-object.js";
import { writeObject } from "../../src/elf/write-object.js";
import { MapType } from "../../src/kernel/uapi.js";
import { objectText } from "../../src/model/asm-text.js";
import { assembleObject } from "../../src/model/assemble.js";
import type { ObjectSpec } from "../../src/model/spec.js";
import { resolveObject } from "../../src/object/resolve.js";
import { verify } from "../../src/verifier/verify.js";

const TEXT = `
; counts packets, by both dialects
.license "GPL"
.map counts array key=u32 value=u64 max_entries=4
.map inner hash key=4 value=8 max_entries=16 flags=0x1
.map outer array_of_maps key=4 max_entries=2 inner=inner pinned
.entry outer, 1, inner
.equ XDP_PASS, 2

.section xdp
count:
    r6 = r1
    r2 = r10
    r2 += -4
    *(u32 *)(r2 + 0) = 0
    r1 = counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    r1 = map_fd[counts] ll
    r1 = total + 8 ll
    ldxdw r2, [r1+0]
    add r2, 1
    stxdw [r1+0], r2
    r1 = greeting ll
    mov r2, 6
    call bpf_trace_printk
    r1 = 5
    call double
    r1 = 3
    r2 = step ll
    r3 = 0
    r4 = 0
    call bpf_loop
out:
    r0 = XDP_PASS
    exit
double:
    r0 = r1
    r0 += r0
    exit
.text
.globl step
.hidden step
step:
    r0 = 0
    exit

.data
.globl total
total: .quad 1, 2
pointer: .quad total + 8
.rodata
greeting: .asciz "hel\\"lo"
.section .bss
scratch: .zero 16
`;

const load = (spec: ObjectSpec) => resolveObject(spec, {}).programs.map(({ load }) => load);

t.test("a text becomes an object that is verified, written and read", (t) => {
  const spec = assembleObject(TEXT, { file: "dir/count.asm" });
  t.equal(spec.name, "count");
  t.equal(spec.license, "GPL");
  t.same(
    spec.functions.map(({ name, section, linkage, visibility }) => [name, section, linkage, visibility]),
    [
      ["count", "xdp", "global", "default"],
      ["double", ".text", "static", "default"],
      ["step", ".text", "static", "hidden"],
    ],
  );
  t.match(spec.maps[0], { name: "counts", type: MapType.ARRAY, keySize: 4, valueSize: 8, maxEntries: 4 });
  t.match(spec.maps[2], {
    inner: { type: MapType.HASH, flags: 1 },
    pinning: "byName",
    initial: [{ index: 1, kind: "map", name: "inner" }],
  });
  t.match(spec.functions[0]!.lines[0], { insn: 0, file: "dir/count.asm", line: 12, column: 5, text: "    r6 = r1" });
  t.same(
    spec.functions[0]!.refs.map(({ insn, ...ref }) => ref),
    [
      { kind: "map", map: "counts" },
      { kind: "map", map: "counts" },
      { kind: "data", section: ".data", offset: 8 },
      { kind: "data", section: ".rodata", offset: 0 },
      { kind: "call", func: "double" },
      { kind: "func", func: "step" },
    ],
  );
  t.same(
    spec.data.map(({ section, content }) => [section, content.length]),
    [
      [".data", 24],
      [".rodata", 7],
      [".bss", 16],
    ],
  );
  const read = readObject(writeObject(spec), { name: "count" });
  t.same(load(read), load(spec), "reading the written object gives the same programs");
  const [program] = load(spec);
  const { verdict, log } = verify(program!, { logLevel: 1 });
  t.equal(verdict, "accepted", log.slice(-500));
  t.end();
});

t.test("an object's text is the object again", (t) => {
  const spec = readObject(writeObject(assembleObject(TEXT, { file: "count.asm" })), { name: "count" });
  for (const dialect of ASM_DIALECTS) {
    const text = objectText(spec, dialect);
    const again = assembleObject(text, { file: "count.asm" });
    const code = ({ functions }: ObjectSpec) =>
      functions
        .map(({ name, section, insns, refs }) => ({ name, section, insns, refs }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    t.same(code(again), code(spec), dialect);
    t.same(
      again.data.map(({ section, content, variables, refs }) => ({
        section,
        content,
        refs,
        names: variables.map(({ name }) => name),
      })),
      spec.data.map(({ section, content, variables, refs }) => ({
        section,
        content,
        refs,
        names: variables.map(({ name }) => name),
      })),
    );
    t.equal(objectText(assembleObject(text), dialect), objectText(again, dialect), "and stays what it is");
  }
  t.end();
});

t.test("what is wrong with a whole text", (t) => {
  const cases: readonly [string, RegExp][] = [
    ["exit", /text:1:1: expected a label that names the function/],
    [".text\na:\nr1 = b ll\nexit", /text:3:6: "b" is no constant, map, variable or function/],
    [".data\nr1 = 1", /text:2:1: instructions cannot stand in .data/],
    [".text\na: .quad 1", /text:2:4: data stands in .data, .rodata or .bss/],
    ["a:\nexit\n.map a hash key=4", /text:3:6: "a" is declared twice/],
    [".map a hahs key=4", /unknown type of map "hahs" \(similar: hash/],
    [".map a hash keys=4", /text:1:13: expected one of key, value/],
    [".map a hash key=4 key=5", /key is given twice/],
    [".map a hash_of_maps key=4 inner=b", /no map is named "b"/],
    [".entry a, 0, b", /text:1:8: no map is named "a"/],
    [".data\nx: .byte 256", /text:2:10: value does not fit 1 byte: 256/],
    [".data\nx: .quad y", /text:2:10: "y" is not declared/],
    [".sectoin xdp", /unknown directive ".sectoin" \(similar: .section/],
    ["a:\ngoto c\nb:\nexit\n.func b\nc: exit", /text:2:6: "c" stands in function "b": no jump leads out of a function/],
    [".section .maps", /maps are declared with .map/],
  ];
  for (const [text, message] of cases) t.throws(() => assembleObject(text), { message }, text);
  t.end();
});
