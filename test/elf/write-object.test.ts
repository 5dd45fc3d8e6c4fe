// SPDX-License-Identifier: MIT
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import elfy from "elfy";
import t from "tap";
import * as asm from "../../src/asm/build.js";
import { readElf } from "../../src/elf/read-elf.js";
import { writeObject } from "../../src/elf/write-object.js";
import { functionSpec, objectSpec } from "../../src/model/make.js";
import type { FunctionSpec, ObjectSpec } from "../../src/model/spec.js";
import { runQuietly, scratchDir, whyNoBpffs, whyNoTool, withPinDir } from "../support/tools.js";
import { map, SOURCE_FILE, sampleObject } from "./sample.js";

const dir = scratchDir();
const file = join(dir, "my_object_name.bpf.o");
const object = writeObject(sampleObject());
writeFileSync(file, object);

const TRACEPOINT = "tracepoint/syscalls/sys_enter_execve";

t.test("the same specification gives the same bytes", (t) => {
  t.equal(Buffer.compare(writeObject(sampleObject()), object), 0);
  t.end();
});

t.test("llvm-readelf finds sections, symbols and relocations", { skip: whyNoTool("llvm-readelf-19") }, (t) => {
  const text = runQuietly("llvm-readelf-19", "-h", "-S", "-s", "-r", "-W", file);
  t.match(text, /Machine:\s+EM_BPF/);
  const squeezed = text.split("\n").map((line) => line.trim().replace(/\s+/g, " "));
  const has = (line: RegExp) =>
    t.ok(
      squeezed.some((found) => line.test(found)),
      String(line),
    );
  has(/\] \.text PROGBITS 0+ [0-9a-f]+ 000058 00 AX 0 0 8$/);
  has(new RegExp(`\\] ${TRACEPOINT} PROGBITS 0+ [0-9a-f]+ 0000e0 00 AX 0 0 8$`));
  has(/\] \.rodata PROGBITS 0+ [0-9a-f]+ 000004 00 A 0 0 8$/);
  has(/\] \.data PROGBITS 0+ [0-9a-f]+ 00000c 00 WA 0 0 8$/);
  has(/\] \.bss NOBITS 0+ [0-9a-f]+ 000008 00 WA 0 0 8$/);
  has(/\] \.maps PROGBITS 0+ [0-9a-f]+ 000068 00 WA 0 0 8$/);
  has(/\] license PROGBITS 0+ [0-9a-f]+ 000004 00 WA 0 0 1$/);
  has(/^\d+: 0+ 24 FUNC LOCAL DEFAULT 1 add$/);
  has(/^\d+: 0+18 16 FUNC GLOBAL DEFAULT 1 glob$/);
  has(/^\d+: 0+ 160 FUNC GLOBAL DEFAULT 2 on_exec$/);
  has(/^\d+: 0+a0 64 FUNC GLOBAL DEFAULT 2 second$/);
  has(/^\d+: 0+20 16 OBJECT GLOBAL DEFAULT 6 events$/);
  has(/^\d+: 0+8 4 OBJECT LOCAL DEFAULT 4 st$/);
  has(/^0+18 \w+ R_BPF_64_64 0+ counts$/);
  has(/^0+40 \w+ R_BPF_64_64 0+ target$/);
  has(/^0+58 \w+ R_BPF_64_64 0+ \.data$/);
  has(/^0+70 \w+ R_BPF_64_32 0+ \.text$/);
  has(/^0+88 \w+ R_BPF_64_32 0+18 glob$/);
  has(/^0+a8 \w+ R_BPF_64_64 0+ \.text$/);
  t.end();
});

t.test("llvm-objdump disassembles it and quotes the source", { skip: whyNoTool("llvm-objdump-19") }, (t) => {
  const text = runQuietly("llvm-objdump-19", "-d", "-r", "-S", "--no-show-raw-insn", file);
  t.match(text, /<on_exec>:\n; {3}const k = 1;\n\s+0:\s+\*\(u32 \*\)\(r10 - 0x4\) = 0x1/);
  t.match(text, /; {3}const v = counts\.lookup\(k\);\n\s+3:\s+r1 = 0x0 ll\n\s+0+18:\s+R_BPF_64_64\tcounts/);
  t.match(text, /r2 = 0x8 ll\n\s+0+58:\s+R_BPF_64_64\t\.data/, "a static variable is its section and an offset");
  t.match(text, /call -0x1\n\s+0+70:\s+R_BPF_64_32\t\.text/);
  t.match(text, /r2 = 0x28 ll\n\s+0+a8:\s+R_BPF_64_64\t\.text/, "a callback is its section and an offset");
  t.match(text, /<glob>:\n.*\n\s+3:\s+call -0x4\n/, "a static function of the same section needs no relocation");
  t.end();
});

t.test("elfy agrees on names, places and content", (t) => {
  const theirs = elfy.parse(Buffer.from(object)).body.sections;
  const ours = readElf(object).sections;
  t.equal(theirs.length, ours.length);
  theirs.forEach((section, i) => {
    const own = ours[i]!;
    t.strictSame([section.name, section.size, section.link, section.info], [own.name, own.size, own.link, own.info]);
    if (section.type !== "nobits") t.equal(Buffer.compare(section.data, own.content), 0, `content of ${own.name}`);
  });
  t.end();
});

t.test("bpftool reads the types", { skip: whyNoTool("bpftool") }, (t) => {
  const text = runQuietly("bpftool", "btf", "dump", "file", file);
  t.match(
    text,
    /DATASEC '\.maps' size=104 vlen=4\n.*offset=0 size=32 \(VAR 'counts'\)\n.*offset=32 size=16 \(VAR 'events'\)/,
  );
  t.match(text, /DATASEC '\.data' size=12 vlen=2\n.*offset=0 size=8 \(VAR 'hits'\)\n.*offset=8 size=4 \(VAR 'st'\)/);
  const c = runQuietly("bpftool", "btf", "dump", "file", file, "format", "c");
  t.match(c, /struct event \{\n\t__u32 pid;\n\t__u64 ts;\n\tchar comm\[16\];\n\};/);
  t.end();
});

t.test("bpftool makes a skeleton of it", { skip: whyNoTool("bpftool") }, (t) => {
  const text = runQuietly("bpftool", "gen", "skeleton", file, "name", "sample");
  for (const name of ["counts", "events", "stacks", "outer"]) t.match(text, `struct bpf_map *${name};`);
  for (const name of ["on_exec", "second"]) t.match(text, `struct bpf_program *${name};`);
  t.match(text, /struct sample__rodata \{\n\t\t__u32 target;\n\t\} \*rodata;/);
  t.match(text, /struct sample__data \{\n\t\t__u64 hits;\n/);
  t.match(text, /struct sample__bss \{\n\t\t__u64 counter;\n/);
  t.end();
});

t.test("libbpf loads it, and the kernel quotes the source", { skip: whyNoTool("bpftool") ?? whyNoBpffs() }, (t) => {
  withPinDir((pins) => {
    runQuietly("bpftool", "prog", "loadall", file, pins);
    const text = runQuietly("bpftool", "prog", "dump", "xlated", "pinned", `${pins}/on_exec`, "linum");
    t.match(text, `; const v = counts.lookup(k); [file:${SOURCE_FILE} line_num:11 line_col:5]`);
    t.match(text, /int add\(int a, int b\):\n; return a \+ b;/);
    t.match(text, /int glob\(int a, int b\):/);
    const second = runQuietly("bpftool", "prog", "dump", "xlated", "pinned", `${pins}/second`, "linum");
    t.match(second, `; counter += 1; [file:${SOURCE_FILE} line_num:50 line_col:5]`);
  });
  t.end();
});

t.test("every kind of map definition reaches libbpf", { skip: whyNoTool("bpftool") ?? whyNoBpffs() }, (t) => {
  const spec = objectSpec({
    name: "defs",
    functions: [program("socket", [asm.mov64Imm(0, 0), asm.exit()])],
    maps: [
      map("plain", 2, { keySize: 4, valueSize: 16, maxEntries: 2 }),
      map("flags", 1, { keySize: 8, valueSize: 4, maxEntries: 7, flags: 1 }),
      map("bloom", 30, { valueSize: 4, maxEntries: 9, extra: 3n }),
    ],
  });
  const path = join(dir, "defs.o");
  writeFileSync(path, writeObject(spec));
  withPinDir((pins) => {
    runQuietly("bpftool", "prog", "loadall", path, pins, "pinmaps", `${pins}/maps`);
    const show = (name: string) => {
      const json = runQuietly("bpftool", "-j", "map", "show", "pinned", `${pins}/maps/${name}`);
      const found = JSON.parse(json) as Record<string, unknown>;
      return [found.type, found.bytes_key, found.bytes_value, found.max_entries, found.flags];
    };
    t.strictSame(show("plain"), ["array", 4, 16, 2, 0]);
    t.strictSame(show("flags"), ["hash", 8, 4, 7, 1]);
    t.strictSame(show("bloom"), ["bloom_filter", 0, 4, 9, 0]);
  });
  t.end();
});

function program(section: string, insns: FunctionSpec["insns"], rest: Partial<FunctionSpec> = {}): FunctionSpec {
  return functionSpec({ name: "prog", section, linkage: "global", insns, ...rest });
}

t.test("contradictions are refused, and named", (t) => {
  const base = sampleObject();
  const exits = [asm.mov64Imm(0, 0), asm.exit()];
  const load = [...asm.ldMapFd(1, 0), ...exits];
  const withFunction = (func: FunctionSpec): ObjectSpec => ({ ...base, functions: [...base.functions, func] });
  const cases: [string, ObjectSpec, RegExp][] = [
    ["empty function", withFunction(program("xdp", [])), /function prog has no instructions/],
    [
      "two of a name",
      { ...base, functions: [...base.functions, base.functions[0]!] },
      /two functions have the name on_exec/,
    ],
    ["two maps", { ...base, maps: [...base.maps, base.maps[0]!] }, /two maps have the name counts/],
    ["static program", withFunction(program("xdp", exits, { linkage: "static" })), /program prog is static/],
    [
      "unknown map",
      withFunction(program("xdp", load, { refs: [{ kind: "map", insn: 0, map: "no" }] })),
      /insn 0: function prog: map no does not exist/,
    ],
    [
      "reference on a move",
      withFunction(program("xdp", load, { refs: [{ kind: "map", insn: 2, map: "counts" }] })),
      /insn 2: function prog: map reference is not on a 64-bit immediate load/,
    ],
    [
      "reference beyond the end",
      withFunction(program("xdp", load, { refs: [{ kind: "map", insn: 9, map: "counts" }] })),
      /beyond the last instruction/,
    ],
    [
      "call of a program",
      withFunction(
        program("xdp", [asm.callSubprog(-1), asm.exit()], { refs: [{ kind: "call", insn: 0, func: "second" }] }),
      ),
      /second is no subprogram: it stands in tracepoint/,
    ],
    [
      "loose call",
      withFunction(program("xdp", [asm.callSubprog(0), ...exits])),
      /insn 0: function prog: call without a reference/,
    ],
    [
      "data outside",
      withFunction(program("xdp", load, { refs: [{ kind: "data", insn: 0, section: ".data", offset: 2 ** 31 }] })),
      /offset 2147483648 takes more than 32 bits/,
    ],
    [
      "odd data section",
      { ...base, data: [{ ...base.data[0]!, section: "stuff" }], functions: [] },
      /stuff is no data section/,
    ],
    [
      "filled .bss",
      { ...base, functions: [], data: [{ ...base.data[2]!, content: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0) }] },
      /section \.bss: variables in \.bss must start as zero/,
    ],
    [
      "line out of order",
      withFunction(program("xdp", exits, { lines: [{ insn: 1, file: "f", line: 1, column: 1, text: "" }] })),
      /first line record must be for instruction 0/,
    ],
  ];
  for (const [name, spec, message] of cases) {
    t.throws(() => writeObject(spec), { name: "InputError", message }, name);
  }
  t.end();
});
