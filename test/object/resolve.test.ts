// SPDX-License-Identifier: MIT
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import * as asm from "../../src/asm/build.js";
import { decodeInsns } from "../../src/asm/insn.js";
import { writeObject } from "../../src/elf/write-object.js";
import { MapFlag, MapType, ProgFlag, ProgType } from "../../src/kernel/uapi.js";
import { loadObject } from "../../src/load/load-object.js";
import { functionSpec, objectSpec } from "../../src/model/make.js";
import type { FunctionSpec, ObjectSpec, Ref } from "../../src/model/spec.js";
import { dataMapName, kernelName } from "../../src/object/maps.js";
import { resolveObject } from "../../src/object/resolve.js";
import type { Fd } from "../../src/syscall/fd.js";
import { btfInfo, mapInfo, openById, programInfo } from "../../src/syscall/info.js";
import { getPinned } from "../../src/syscall/pin.js";
import { map, sampleObject } from "../elf/sample.js";
import { runQuietly, scratchDir, whyNoBpffs, whyNoTool, withPinDir } from "../support/tools.js";

/**
 * What the kernel knows of a program, without what differs from load to load. The number of its maps differs
 * too: libbpf binds `.rodata` to every program, used or not.
 */
function describeProgram(fd: Fd) {
  const info = programInfo(fd);
  const text = runQuietly("bpftool", "prog", "dump", "xlated", "id", String(info.id), "linum");
  const btf = openById("btf", info.btfId);
  const { btf: blob } = btfInfo(btf);
  btf.close();
  return {
    type: info.type,
    name: info.name,
    tag: info.tag,
    text: text.replace(/map\[id:\d+\]/g, "map[id]"),
    btf: Buffer.from(blob).toString("base64"),
  };
}

function describeMap(fd: Fd) {
  const { id, btfId, ...rest } = mapInfo(fd);
  return { ...rest, typed: btfId !== 0 };
}

function byName<T extends { readonly name: string }>(items: T[]): T[] {
  return items.sort((a, b) => (a.name < b.name ? -1 : 1));
}

t.test("the kernel gets what libbpf gives it", { skip: whyNoTool("bpftool") ?? whyNoBpffs() }, (t) => {
  const spec = sampleObject();
  const file = join(scratchDir(), `${spec.name}.bpf.o`);
  writeFileSync(file, writeObject(spec));
  const theirs = withPinDir((pins) => {
    runQuietly("bpftool", "prog", "loadall", file, pins, "pinmaps", `${pins}/maps`);
    const use = <T>(path: string, body: (fd: Fd) => T): T => {
      const fd = getPinned(path);
      try {
        return body(fd);
      } finally {
        fd.close();
      }
    };
    const content = (name: string) => runQuietly("bpftool", "map", "dump", "pinned", `${pins}/maps/${name}`);
    return {
      programs: ["on_exec", "second"].map((name) => use(`${pins}/${name}`, describeProgram)),
      maps: byName(readdirSync(`${pins}/maps`).map((name) => use(`${pins}/maps/${name}`, describeMap))),
      rodata: content("my_objec_rodata"),
      data: content("my_objec_data"),
    };
  });
  using object = loadObject(resolveObject(spec));
  const programs = [...object.programs.values()].map(({ fd }) => describeProgram(fd));
  t.strictSame(programs, theirs.programs);
  const maps = byName([...object.maps.values()].map(({ fd }) => describeMap(fd)));
  t.strictSame(maps, theirs.maps);
  const content = (name: string) => {
    const { id } = mapInfo(object.maps.get(name)!.fd);
    return runQuietly("bpftool", "map", "dump", "id", String(id));
  };
  t.equal(content(".rodata"), theirs.rodata);
  t.equal(content(".data"), theirs.data);
  t.match(theirs.rodata, /"target": 42/);
  t.end();
});

function func(name: string, calls: readonly string[], rest: Partial<FunctionSpec> = {}): FunctionSpec {
  const insns = [...calls.map(() => asm.callSubprog(-1)), asm.mov64Imm(0, 0), asm.exit()];
  const refs = calls.map((callee, insn): Ref => ({ kind: "call", insn, func: callee }));
  return functionSpec({ name, section: ".text", linkage: "static", insns, refs, ...rest });
}

const plain = objectSpec({ name: "x", license: "GPL" });

t.test("subprograms follow where they are first called", (t) => {
  const spec: ObjectSpec = {
    ...plain,
    functions: [
      func("unused", []),
      func("a", ["c"]),
      func("b", ["a", "b"]),
      func("c", []),
      func("main", ["b", "c"], { section: "xdp", linkage: "global" }),
      func("other", ["c"], { section: "socket", linkage: "global" }),
    ],
  };
  const { programs } = resolveObject(spec);
  t.strictSame(
    programs.map((program) => [program.name, program.load.progType]),
    [
      ["main", ProgType.XDP],
      ["other", ProgType.SOCKET_FILTER],
    ],
  );
  const calls = (i: number) =>
    decodeInsns(programs[i]!.load.insns).flatMap((insn, at) => (insn.opcode === 0x85 ? [[at, at + 1 + insn.imm]] : []));
  // main 0-3, b 4-7, a 8-10, c 11-12
  t.strictSame(calls(0), [
    [0, 4],
    [1, 11],
    [4, 8],
    [5, 4],
    [8, 11],
  ]);
  t.strictSame(calls(1), [[0, 3]]);
  t.end();
});

t.test("a chain of calls may be long", (t) => {
  const count = 20_000;
  const functions = Array.from({ length: count }, (_, i) => func(`f${i}`, i + 1 < count ? [`f${i + 1}`] : []));
  functions.push(func("main", ["f0"], { section: "xdp", linkage: "global" }));
  const { programs } = resolveObject({ ...plain, functions });
  t.equal(programs[0]?.load.insns.length, ((count - 1) * 3 + 2 + 3) * 8);
  t.end();
});

t.test("programs share maps and number their own", (t) => {
  const load = (names: readonly string[]): Partial<FunctionSpec> => ({
    section: "xdp",
    linkage: "global",
    insns: [...names.flatMap(() => [...asm.ldMapFd(1, 7)]), asm.mov64Imm(0, 0), asm.exit()],
    refs: names.map((name, i) => ({ kind: "map", insn: i * 2, map: name })),
  });
  const array = (name: string) => map(name, MapType.ARRAY, { keySize: 4, valueSize: 4, maxEntries: 1 });
  const resolved = resolveObject({
    ...plain,
    maps: [array("a"), array("b"), array("lonely")],
    functions: [func("first", [], load(["b", "a", "b"])), func("second", [], load(["a"]))],
  });
  const [a, b] = resolved.maps.map((entry) => entry.load);
  t.equal(resolved.maps.length, 3);
  const [first, second] = resolved.programs.map((program) => program.load);
  t.equal(first?.maps.length, 2);
  t.equal(first?.maps[0], b);
  t.equal(first?.maps[1], a);
  t.equal(second?.maps[0], a, "the same object, so that it is created once");
  t.strictSame(
    decodeInsns(first!.insns)
      .map((insn) => [insn.src, insn.imm])
      .slice(0, 6),
    [
      [1, 0],
      [0, 0],
      [1, 1],
      [0, 0],
      [1, 0],
      [0, 0],
    ],
  );
  t.end();
});

t.test("debug information is whole or absent", (t) => {
  const spec = sampleObject();
  const records = (spec: ObjectSpec) =>
    resolveObject(spec).programs.map(({ load }) => [load.funcInfo?.count, load.lineInfo?.count, load.btf !== null]);
  t.strictSame(records(spec), [
    [3, 6, true],
    [2, 3, true],
  ]);
  const without = (change: Partial<FunctionSpec>): ObjectSpec => ({
    ...spec,
    functions: spec.functions.map((f) => (f.name === "glob" ? { ...f, ...change } : f)),
  });
  // A program that has what its subprogram lacks is refused by libbpf too.
  for (const [change, message] of [
    [{ btfFuncId: 0 }, /has function information, but its subprogram glob has none/],
    [{ lines: [] }, /has line information, but its subprogram glob has none/],
  ] as const) {
    t.throws(() => records(without(change)), { name: "InputError", message });
    const { programs, refused } = resolveObject(without(change), { keepGoing: true });
    t.strictSame([programs.length, refused.length], [1, 1], "the other one does not call it");
  }
  const bare = spec.functions.map((f) => (f.section === ".text" ? f : { ...f, btfFuncId: 0, lines: [] }));
  t.strictSame(records({ ...spec, functions: bare }), [
    [undefined, undefined, true],
    [undefined, undefined, true],
  ]);
  t.strictSame(
    records({ ...spec, btf: null, data: [], functions: [spec.functions[1]!, { ...spec.functions[2]!, name: "cb" }] }),
    [[undefined, undefined, false]],
  );
  t.end();
});

t.test("section names decide type and flags", (t) => {
  const one = (section: string) =>
    resolveObject({ ...plain, functions: [func("p", [], { section, linkage: "global" })] }).programs[0]!;
  t.match(one("tracepoint/a/b"), { target: "a/b", autoload: true, load: { progType: ProgType.TRACEPOINT } });
  t.equal(one("?xdp").autoload, false);
  t.equal(one("uprobe.s//bin/sh:main").load.progFlags, ProgFlag.SLEEPABLE);
  t.equal(one("uprobe.s//bin/sh:main").target, "/bin/sh:main");
  t.equal(one("xdp.frags").load.progFlags, ProgFlag.XDP_HAS_FRAGS);
  t.throws(() => one("nonsense"), { name: "InputError", message: /section nonsense: program p: no program type/ });
  t.end();
});

t.test("maps are sized for the machine", (t) => {
  const resolved = (spec: Partial<ObjectSpec>, options = {}) =>
    resolveObject({ ...plain, functions: [], ...spec }, options).maps.map((entry) => entry.load);
  const ring = (maxEntries: number, pageSize = 4096) =>
    resolved({ maps: [map("r", MapType.RINGBUF, { maxEntries })] }, { pageSize })[0]?.maxEntries;
  t.equal(ring(4096), 4096);
  t.equal(ring(4097), 8192);
  t.equal(ring(20_000), 32_768);
  t.equal(ring(4096, 65536), 65536);
  t.equal(ring(0), 0);
  t.equal(ring(0xffffffff), 0xffffffff);
  const perf = map("p", MapType.PERF_EVENT_ARRAY, { keySize: 4, valueSize: 4 });
  t.equal(resolved({ maps: [perf] }, { possibleCpus: 6 })[0]?.maxEntries, 6);
  const data = resolved({ data: sampleObject().data, btf: sampleObject().btf });
  t.strictSame(
    data.map((m) => [m.name, m.flags, m.frozen, m.value?.length]),
    [
      ["x.rodata", MapFlag.RDONLY_PROG | MapFlag.MMAPABLE, true, 4],
      ["x.data", MapFlag.MMAPABLE, false, 12],
      ["x.bss", MapFlag.MMAPABLE, false, 8],
    ],
  );
  const plainData = resolved({ data: sampleObject().data, btf: sampleObject().btf }, { mmapableArrays: false });
  t.equal(plainData[1]?.flags, 0);
  t.end();
});

t.test("names are what libbpf makes of them", (t) => {
  // As the comment on internal_map_name() in libbpf says.
  t.equal(dataMapName("my_object_name", ".rodata"), "my_objec.rodata");
  t.equal(dataMapName("my_object_name", ".bss"), "my_objec.bss");
  t.equal(dataMapName("my_object_name", ".rodata.abracadabra"), ".rodata.abracad");
  t.equal(dataMapName("a-b.bpf", ".data"), "a_b.data");
  t.equal(kernelName("a_name_of_twenty_two_c"), "a_name_of_twent");
  t.end();
});
