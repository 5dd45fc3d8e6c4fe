// SPDX-License-Identifier: MIT
import t from "tap";
import * as asm from "../../src/asm/build.js";
import { decodeInsns, type Insn } from "../../src/asm/insn.js";
import { BtfBuilder } from "../../src/btf/builder.js";
import { readBtf } from "../../src/btf/read.js";
import type { Btf } from "../../src/btf/types.js";
import { AttachType, CoreReloKind, MapFlag, MapType, ProgFlag, ProgType } from "../../src/kernel/uapi.js";
import { type ModuleFds, patchMapFds, programRequest } from "../../src/load/patch.js";
import { functionSpec, mapSpec, objectSpec } from "../../src/model/make.js";
import { readRecord, writeRecord } from "../../src/model/record.js";
import type { ExternSpec, FunctionSpec, ObjectSpec, Ref } from "../../src/model/spec.js";
import { kernelTakesTypes } from "../../src/object/map-types.js";
import type { ModuleTypes, ResolveOptions } from "../../src/object/options.js";
import { resolveObject } from "../../src/object/resolve.js";
import { structOpsValue } from "../../src/object/struct-ops.js";
import { verify } from "../../src/verifier/verify.js";

/*
 * Objects and kernels made by hand: what depends on a kernel, in all the cases that a running one does not show. That
 * libbpf does the same is libbpf.test.ts' and `npm run parity:objects`' to say.
 */

/** A kernel of few types. */
function kernel() {
  const btf = new BtfBuilder();
  const int = btf.int("int");
  const proto = btf.funcProto(int, [{ name: "a", type: int }]);
  const other = btf.funcProto(int, [{ name: "a", type: btf.ptr(int) }]);
  const ops = btf.struct("demo_ops", [
    { name: "flags", type: btf.kernelInt("__u64") },
    { name: "start", type: btf.ptr(proto) },
    { name: "stop", type: btf.ptr(proto) },
  ]);
  const value = btf.struct("bpf_struct_ops_demo_ops", [
    { name: "refcnt", type: int },
    { name: "data", type: ops },
  ]);
  const ids = {
    kfunc: btf.func("kfunc", proto, "static"),
    otherKfunc: btf.func("other_kfunc", other, "static"),
    variable: btf.var("runqueue", btf.struct("rq", [{ name: "a", type: int }])),
    hook: btf.func("bpf_lsm_file_open", proto, "static"),
    iter: btf.func("bpf_iter_task", proto, "static"),
    tracepoint: btf.typedef("btf_trace_sched_switch", btf.ptr(proto)),
    ops,
    value,
  };
  return { btf: btf.build(), ids };
}

const { btf: kernelBtf, ids } = kernel();

/** A module that has a few types more; their ids continue the kernel's. */
const firstId = kernelBtf.types.length;
const moduleIds = { kfunc: firstId + 1, variable: firstId + 3, ops: firstId + 5, value: firstId + 6 };
const module: ModuleTypes = {
  name: "demo",
  blob: new Uint8Array([1, 2, 3]),
  btf: {
    types: [
      ...kernelBtf.types,
      { kind: "funcProto", returnType: 1, params: [{ name: "a", type: 1 }] },
      { kind: "func", name: "module_kfunc", type: firstId, linkage: "static" },
      { kind: "struct", name: "gadget", size: 8, members: [{ name: "turns", type: 1, bitOffset: 32, bitSize: 0 }] },
      { kind: "var", name: "the_gadget", type: firstId + 2, linkage: "global" },
      { kind: "ptr", type: firstId },
      {
        kind: "struct",
        name: "gadget_ops",
        size: 8,
        members: [{ name: "turn", type: firstId + 4, bitOffset: 0, bitSize: 0 }],
      },
      {
        kind: "struct",
        name: "bpf_struct_ops_gadget_ops",
        size: 72,
        members: [
          { name: "refcnt", type: 1, bitOffset: 0, bitSize: 0 },
          { name: "data", type: firstId + 5, bitOffset: 512, bitSize: 0 },
        ],
      },
    ],
  },
};
/** Another one, with a function of its own, that stands after it. */
const second: ModuleTypes = {
  name: "second",
  blob: new Uint8Array([4, 5, 6]),
  btf: {
    types: [
      ...kernelBtf.types,
      { kind: "funcProto", returnType: 1, params: [{ name: "a", type: 1 }] },
      { kind: "func", name: "a_second_kfunc", type: firstId, linkage: "static" },
    ],
  },
};

const options: ResolveOptions = {
  kernelTypes: () => kernelBtf,
  modules: () => [module, second],
  kernVersion: 0x61200,
};

interface Declared {
  readonly externs?: readonly ExternSpec[];
  readonly btf: Btf;
}

/** Types of an object with externs; `.ksyms` and `.kconfig` hold them. */
class ObjectTypes {
  readonly btf = new BtfBuilder();
  readonly int = this.btf.int("int");
  readonly externs: ExternSpec[] = [];

  kfunc(name: string, param = this.int, weak = false): this {
    const proto = this.btf.funcProto(this.int, [{ name: "", type: param }]);
    return this.#add({ name, section: ".ksyms", kind: "func", btfId: this.btf.func(name, proto, "extern"), weak });
  }

  ksym(name: string, type: number, weak = false): this {
    return this.#add({ name, section: ".ksyms", btfId: this.btf.var(name, type, "extern"), weak });
  }

  kconfig(name: string, type: number, size: number, weak = false, align = size): this {
    const btfId = this.btf.var(name, type, "extern");
    return this.#add({ name, section: ".kconfig", btfId, weak, size, align });
  }

  #add(parts: Partial<ExternSpec> & Pick<ExternSpec, "name" | "section" | "btfId">): this {
    this.externs.push({ kind: "var", weak: false, visibility: "default", size: 0, align: 1, ...parts });
    return this;
  }

  declared(): Declared {
    for (const section of [".kconfig", ".ksyms"] as const) {
      const vars = this.externs
        .filter((one) => one.section === section)
        .map(({ btfId, size }) => ({ type: btfId, offset: 0, size }));
      if (vars.length > 0) this.btf.datasec(section, 0, vars);
    }
    return { externs: this.externs, btf: this.btf.build() };
  }
}

const call = (): Insn => asm.callKfunc(0);
const load = (): readonly Insn[] => asm.ldImm64(1, 0n);

function program(insns: readonly Insn[], refs: readonly Ref[], parts: Partial<FunctionSpec> = {}): FunctionSpec {
  return functionSpec({ name: "p", section: "socket", linkage: "global", insns, refs, ...parts });
}

function one(spec: Partial<ObjectSpec>, more: ResolveOptions = {}) {
  const object = objectSpec({ name: "o", license: "GPL", ...spec });
  const { programs, ...rest } = resolveObject(object, { ...options, ...more });
  return { load: programs[0]!.load, insns: decodeInsns(programs[0]!.load.insns), ...rest };
}

t.test("functions of kernel and modules are called by their BTF ids", (t) => {
  const types = new ObjectTypes().kfunc("kfunc").kfunc("module_kfunc").kfunc("kfunc___flavour").kfunc("gone", 1, true);
  const refs = ["kfunc", "module_kfunc", "kfunc___flavour", "gone"].map(
    (extern, insn): Ref => ({ kind: "kfunc", insn, extern }),
  );
  const functions = [program([...refs.map(call), asm.exit()], refs)];
  const { load, insns } = one({ functions, ...types.declared() });
  t.same(
    insns.slice(0, 3).map(({ src, off, imm }) => [src, off, imm]),
    [
      [2, 0, ids.kfunc],
      [2, 1, moduleIds.kfunc],
      [2, 0, ids.kfunc],
    ],
  );
  t.strictSame(load.fdArray, [
    { kind: "fd", fd: 0 },
    { kind: "btf", btf: module.blob },
  ]);
  // Externs by name: gone, kfunc, …
  t.same(insns[3], { opcode: 0x85, dst: 0, src: 0, off: 0, imm: 2_002_000_000 }, "a call that no kernel can do");
  const { types: given } = readBtf(load.btf!);
  const section = given.find((type) => type.kind === "datasec");
  const dummy = given.findIndex((type) => type.kind === "var" && type.name === "dummy_ksym");
  t.match(section, { name: ".ksyms", size: 16, vars: Array.from({ length: 4 }, () => ({ type: dummy, size: 4 })) });
  t.notOk(given.some((type) => type.kind === "func" && type.linkage === "extern"));
  t.notOk(given.some((type) => type.kind === "funcProto" && type.params.some(({ name }) => name === "")));
  t.end();
});

t.test("all programs of an object share the order of the modules", (t) => {
  const types = new ObjectTypes().kfunc("module_kfunc").kfunc("a_second_kfunc").kfunc("kfunc");
  const calling = (name: string, ...names: string[]) => {
    const refs = names.map((extern, insn): Ref => ({ kind: "kfunc", insn, extern }));
    return program([...refs.map(call), asm.exit()], refs, { name });
  };
  const functions = [
    calling("both", "module_kfunc", "a_second_kfunc"),
    calling("last", "module_kfunc"),
    calling("first", "a_second_kfunc"),
    calling("none", "kfunc"),
    calling("nothing"),
  ];
  const { programs } = resolveObject(objectSpec({ name: "o", functions, ...types.declared() }), options);
  const [fd, btf, other] = [{ kind: "fd", fd: 0 }, ...[second, module].map(({ blob }) => ({ kind: "btf", btf: blob }))];
  // As far as each needs it: the kernel is not told how long the array is.
  t.strictSame(
    programs.map(({ load }) => load.fdArray),
    [[fd, btf, other], [fd, btf, other], [fd, btf], [fd], null],
  );
  t.same(
    programs.flatMap(({ load }) => decodeInsns(load.insns).flatMap(({ src, off }) => (src === 2 ? [off] : []))),
    [2, 1, 2, 1, 0],
  );
  t.end();
});

t.test("variables of modules", (t) => {
  const types = new ObjectTypes();
  types.ksym("the_gadget", types.btf.struct("gadget", [])).ksym("runqueue", types.btf.struct("rq", []));
  const names = ["runqueue", "the_gadget"];
  const refs = names.map((extern, i): Ref => ({ kind: "extern", insn: 2 * i, extern }));
  const { load: loaded, insns } = one({
    functions: [program([...names.flatMap(load), asm.exit()], refs)],
    ...types.declared(),
  });
  t.same(
    insns.slice(0, -1).map(({ src, imm }) => [src, imm]),
    [
      [3, ids.variable],
      [0, 0],
      [3, moduleIds.variable],
      [0, 1],
    ],
  );
  t.strictSame(loaded.moduleBtfs, [module.blob]);
  const fds = (modules?: ModuleFds) => decodeInsns(patchMapFds(loaded, [], modules)).map(({ imm }) => imm);
  const asked: Uint8Array[] = [];
  const patched = fds({
    fd(blob) {
      asked.push(blob);
      return 77;
    },
  });
  t.same(patched.slice(0, 4), [ids.variable, 0, moduleIds.variable, 77]);
  t.strictSame(asked, [module.blob]);
  t.throws(() => fds(), { name: "InputError", message: /refers to a kernel module/ });
  const attached = { ...loaded, attachBtf: module.blob, attachBtfId: moduleIds.kfunc };
  t.equal(programRequest(attached, [], null, { fd: () => 78 }).attachBtfFd, 78);
  t.equal(verify(attached).verdict, "unsupported", "the mirror does not guess what modules have");
  const record = readRecord(writeRecord({ id: "x", load: attached, kernel: null }));
  t.strictSame(record.load, attached);
  t.end();
});

t.test("accesses to types of modules", (t) => {
  const btf = new BtfBuilder();
  const typeId = btf.struct("gadget", [{ name: "turns", type: btf.int("int") }]);
  const core = [{ insn: 0, typeId, access: "0:0", kind: CoreReloKind.FIELD_BYTE_OFFSET }];
  const offset = (more: ResolveOptions) =>
    one({ btf: btf.build(), functions: [program([asm.mov64Imm(0, 0), asm.exit()], [], { core })] }, more).insns[0]!;
  t.equal(offset({}).imm, 4);
  t.equal(offset({ modules: () => [second] }).opcode, 0x85, "who has no such type");
  const given = { coreTypes: () => kernelBtf };
  t.equal(offset(given).opcode, 0x85, "modules are the kernel's, not those of other types");
  t.equal(offset({ ...given, coreModules: () => [second, module] }).imm, 4);
  t.end();
});

t.test("what the kernel's functions do not fit is refused", (t) => {
  const attempt = (types: ObjectTypes, more: ResolveOptions = {}) => {
    const refs: Ref[] = [{ kind: "kfunc", insn: 0, extern: types.externs[0]!.name }];
    return one({ functions: [program([call(), asm.exit()], refs)], ...types.declared() }, more);
  };
  t.throws(() => attempt(new ObjectTypes().kfunc("nowhere")), { name: "InputError", message: /nowhere.*have such/ });
  t.throws(() => attempt(new ObjectTypes().kfunc("other_kfunc")), { message: /other_kfunc.*takes or gives/ });
  t.equal(attempt(new ObjectTypes().kfunc("other_kfunc", 1, true)).insns[0]!.imm, 2_002_000_000);
  t.throws(() => attempt(new ObjectTypes().kfunc("kfunc"), { kernelTypes: () => null }), { message: /not at hand/ });
  t.end();
});

t.test("variables of the kernel", (t) => {
  const types = new ObjectTypes();
  const rq = types.btf.struct("rq", []);
  types.ksym("runqueue", rq).ksym("plain", 0).ksym("missing", rq, true).ksym("absent", 0, true);
  const names = types.externs.map(({ name }) => name);
  const refs = names.map((extern, i): Ref => ({ kind: "extern", insn: 2 * i, extern }));
  const spec = { functions: [program([...names.flatMap(load), asm.exit()], refs)], ...types.declared() };
  const kallsyms = (name: string) => (name === "plain" ? [0xffffffff_81234567n] : []);
  const { insns, load: loaded } = one(spec, { kallsyms });
  t.same(
    insns.slice(0, -1).map(({ src, imm }) => [src, imm]),
    [
      [3, ids.variable],
      [0, 0],
      [0, 0x81234567 | 0],
      [0, -1],
      [0, 0],
      [0, 0],
      [0, 0],
      [0, 0],
    ],
  );
  const kernelTypes = readBtf(loaded.btf!).types;
  t.ok(kernelTypes.every((type) => type.kind !== "var" || type.linkage === "global"));
  t.throws(() => one(spec, { kallsyms: () => [1n, 2n] }), { message: /2 symbols of this name/ });
  t.throws(() => one(spec), { message: /symbols are not at hand/ });
  const wrong = new ObjectTypes();
  wrong.ksym("runqueue", wrong.int);
  t.throws(() => one({ functions: [program([asm.exit()], [])], ...wrong.declared() }), { message: /another type/ });
  t.end();
});

t.test("values of the configuration", (t) => {
  const types = new ObjectTypes();
  const { btf } = types;
  const bool = btf.int("_Bool");
  const char = btf.int("char");
  const tristate = btf.enum("libbpf_tristate", [
    { name: "TRI_NO", value: 0 },
    { name: "TRI_YES", value: 1 },
    { name: "TRI_MODULE", value: 2 },
  ]);
  types
    .kconfig("CONFIG_BOOL", bool, 1)
    .kconfig("CONFIG_TRI", tristate, 4)
    .kconfig("CONFIG_CHAR", char, 1)
    .kconfig("CONFIG_TEXT", btf.array(char, 6), 6, false, 1)
    .kconfig("CONFIG_HZ", btf.int("unsigned long long"), 8)
    .kconfig("CONFIG_NEGATIVE", btf.int("short"), 2)
    .kconfig("CONFIG_ABSENT", types.int, 4, true)
    .kconfig("LINUX_KERNEL_VERSION", types.int, 4)
    .kconfig("LINUX_HAS_BPF_COOKIE", bool, 1)
    .kconfig("LINUX_UNKNOWN", types.int, 4, true);
  const refs: Ref[] = [{ kind: "extern", insn: 0, extern: "CONFIG_BOOL" }];
  const spec = { functions: [program([...load(), asm.exit()], refs)], ...types.declared() };
  const text = [
    "# CONFIG_OTHER is not set",
    "CONFIG_BOOL=y",
    "CONFIG_BOOL=n",
    "CONFIG_TRI=m",
    "CONFIG_CHAR=m",
    'CONFIG_TEXT="longer than that"',
    "CONFIG_HZ=0x10",
    "CONFIG_NEGATIVE=-2",
    "CONFIG_UNUSED=1",
  ];
  const kconfig = (lines: readonly string[]) => ({ kconfig: () => `${lines.join("\n")}\n` });
  const { load: loaded, insns, maps } = one(spec, kconfig(text));
  t.match(loaded.maps, [{ name: "o.kconfig", type: MapType.ARRAY, frozen: true, btf: "prog" }]);
  t.equal(loaded.maps[0]!.flags, MapFlag.RDONLY_PROG | MapFlag.MMAPABLE);
  t.equal(maps.length, 1);
  // By alignment, then by size, then by name.
  const expected = Buffer.alloc(8 + 4 * 4 + 2 + 3 + 6);
  expected.writeBigUInt64LE(16n, 0); // HZ
  expected.writeUInt32LE(0, 8); // ABSENT
  expected.writeUInt32LE(2, 12); // TRI
  expected.writeUInt32LE(0x61200, 16); // LINUX_KERNEL_VERSION
  expected.writeInt16LE(-2, 24); // NEGATIVE, after LINUX_UNKNOWN
  expected.set([1, 0x6d, 1], 26); // BOOL, CHAR, LINUX_HAS_BPF_COOKIE
  expected.write("longe\0", 29);
  t.equal(Buffer.from(loaded.maps[0]!.value!).toString("hex"), expected.toString("hex"));
  t.same([insns[0]!.src, insns[0]!.imm, insns[1]!.imm], [2, 0, 26]);
  const replaced = (name: string, line: string) =>
    kconfig(text.filter((one) => !one.startsWith(`CONFIG_${name}=`)).concat(line));
  for (const [name, line, message] of [
    ["BOOL", "CONFIG_BOOL=m", /CONFIG_BOOL/],
    ["BOOL", "CONFIG_BOOL=1", /CONFIG_BOOL/],
    ["TRI", "CONFIG_TRI=1", /CONFIG_TRI/],
    ["TEXT", "CONFIG_TEXT=y", /CONFIG_TEXT/],
    ["TEXT", 'CONFIG_TEXT="open', /CONFIG_TEXT/],
    ["HZ", 'CONFIG_HZ="1"', /CONFIG_HZ/],
    ["HZ", "CONFIG_HZ=1x", /no integer/],
    ["HZ", "CONFIG_HZ=0x10000000000000000", /64 bits/],
    ["NEGATIVE", "CONFIG_NEGATIVE=32768", /does not fit/],
    ["HZ", "CONFIG_HZ=", /no value/],
    ["HZ", "", /CONFIG_HZ is not set/],
  ] as const) {
    t.throws(() => one(spec, replaced(name, line)), { name: "InputError", message }, line);
  }
  t.throws(() => one(spec), { message: /configuration, which is not at hand/ });
  t.throws(() => one(spec, { ...kconfig(text), kernVersion: 0 }), { message: /version is not known/ });
  const strong = new ObjectTypes();
  strong.kconfig("LINUX_UNKNOWN", strong.int, 4);
  t.throws(() => one({ functions: [program([asm.exit()], [])], ...strong.declared() }), { message: /LINUX_UNKNOWN/ });
  t.end();
});

t.test("targets in the kernel's types", (t) => {
  const attach = (section: string) => {
    const { load } = one({ functions: [program([asm.exit()], [], { section })] });
    return [load.progType, load.expectedAttachType, load.attachBtfId];
  };
  t.same(attach("fentry/kfunc"), [ProgType.TRACING, AttachType.TRACE_FENTRY, ids.kfunc]);
  t.same(attach("fexit/vmlinux:kfunc"), [ProgType.TRACING, AttachType.TRACE_FEXIT, ids.kfunc]);
  t.same(attach("lsm/file_open"), [ProgType.LSM, AttachType.LSM_MAC, ids.hook]);
  t.same(attach("iter/task"), [ProgType.TRACING, AttachType.TRACE_ITER, ids.iter]);
  t.same(attach("tp_btf/sched_switch"), [ProgType.TRACING, AttachType.TRACE_RAW_TP, ids.tracepoint]);
  const inModule = (section: string) => {
    const { attachBtfId, attachBtf } = one({ functions: [program([asm.exit()], [], { section })] }).load;
    return [attachBtfId, attachBtf];
  };
  t.strictSame(inModule("fentry/module_kfunc"), [moduleIds.kfunc, module.blob]);
  t.strictSame(inModule("fexit/demo:module_kfunc"), [moduleIds.kfunc, module.blob]);
  t.strictSame(inModule("fexit/demo:kfunc"), [ids.kfunc, module.blob], "what a module's types continue is theirs too");
  t.strictSame(inModule("fentry/kfunc"), [ids.kfunc, undefined]);
  t.same(attach("usdt/x"), [ProgType.KPROBE, AttachType.TRACE_UPROBE_MULTI, 0]);
  for (const [section, message] of [
    ["fentry/nothing", /know no function nothing/],
    ["tp_btf/kfunc", /know no typedef btf_trace_kfunc/],
    ["fentry", /does not say what to attach to/],
    ["freplace/x", /another program/],
    ["fentry/other:kfunc", /know no function kfunc/],
    [`fentry/${"x".repeat(128)}`, /too long/],
    ["struct_ops/x", /no struct_ops variable uses it/],
    ["nonsense", /no program type/],
  ] as const) {
    t.throws(() => attach(section), { name: "InputError", message }, section);
  }
  t.end();
});

t.test("structs that programs implement", (t) => {
  const btf = new BtfBuilder();
  const int = btf.int("int");
  const proto = btf.funcProto(int, [{ name: "a", type: int }]);
  // Other order and an unset member that the kernel has not.
  const ops = btf.struct("demo_ops___mine", [
    { name: "stop", type: btf.ptr(proto) },
    { name: "newer", type: btf.ptr(proto) },
    { name: "flags", type: btf.kernelInt("__u64") },
  ]);
  const btfVarId = btf.var("demo", ops);
  const content = Buffer.alloc(24);
  content.writeBigUInt64LE(7n, 16);
  const variable = { name: "demo", section: ".struct_ops.link", offset: 0, typeId: ops, btfVarId, content };
  const functions = [
    program([asm.exit()], [], { name: "my_stop", section: "struct_ops.s/stop" }),
    program([asm.exit()], [], { name: "unused", section: "struct_ops" }),
  ];
  const spec = objectSpec({
    name: "o",
    btf: btf.build(),
    functions,
    structOps: [{ ...variable, refs: [{ offset: 0, func: "my_stop" }] }],
  });
  const resolved = resolveObject(spec, { ...options, keepGoing: true });
  const [{ load }] = resolved.programs as [(typeof resolved.programs)[0]];
  t.match(load, { expectedAttachType: 2, attachBtfId: ids.ops, progFlags: ProgFlag.SLEEPABLE });
  t.match(resolved.refused, [{ name: "unused" }]);
  const [map] = resolved.structOps as [(typeof resolved.structOps)[0]];
  t.match(map, { name: "demo", link: true, programs: [{ offset: 24, func: "my_stop" }] });
  t.match(map.load, { type: MapType.STRUCT_OPS, valueSize: 32, flags: MapFlag.LINK, btfVmlinuxValueTypeId: ids.value });
  const value = Buffer.from(structOpsValue(map, () => 42));
  t.same([value.readBigUInt64LE(8), value.readBigUInt64LE(16), value.readBigUInt64LE(24)], [7n, 0n, 42n]);
  const changed = (change: object) => () =>
    resolveObject({ ...spec, structOps: [{ ...variable, refs: [], ...change }] }, { ...options, keepGoing: true });
  t.throws(changed({ refs: [{ offset: 8, func: "my_stop" }] }), { message: /demo: .*no member newer/ });
  t.throws(changed({ content: Buffer.alloc(24, 1) }), { message: /points to no program|no member newer/ });
  t.same(changed({ section: "?.struct_ops" })().structOps, [], "not by itself");
  t.throws(() => resolveObject(spec, { ...options, btfFault: () => "bad" }), { message: /struct_ops needs: bad/ });
  t.end();
});

t.test("a subprogram that cannot be relocated ends the object, though nobody calls it", (t) => {
  const btf = new BtfBuilder();
  const typeId = btf.struct("rq", [{ name: "a", type: btf.int("int") }]);
  const core = [{ insn: 0, typeId, access: "0:0", kind: CoreReloKind.FIELD_BYTE_OFFSET }];
  // Nothing in a register can be relocated.
  const unused = program([asm.mov64Reg(0, 1), asm.exit()], [], { name: "unused", section: ".text", core });
  const functions = [unused, program([asm.mov64Imm(0, 0), asm.exit()], [])];
  const spec = objectSpec({ name: "o", btf: btf.build(), functions });
  t.throws(() => resolveObject(spec, options), { name: "InputError", message: /function unused/ });
  const { programs, refused } = resolveObject(spec, { ...options, keepGoing: true });
  t.same(programs, []);
  t.match(refused, [{ name: "p", error: /function unused/ }]);
  t.end();
});

t.test("structs of modules that programs implement", (t) => {
  const btf = new BtfBuilder();
  const int = btf.int("int");
  const turn = btf.ptr(btf.funcProto(int, [{ name: "a", type: int }]));
  const typeId = btf.struct("gadget_ops", [{ name: "turn", type: turn }]);
  const btfVarId = btf.var("mine", typeId);
  const place = { section: ".struct_ops", offset: 0, typeId, btfVarId, content: new Uint8Array(8) };
  const functions = [program([asm.exit()], [], { name: "my_turn", section: "struct_ops" })];
  const structOps = [{ ...place, name: "mine", refs: [{ offset: 0, func: "my_turn" }] }];
  const { load, structOps: maps } = one({ btf: btf.build(), functions, structOps });
  t.match(load, { expectedAttachType: 0, attachBtfId: moduleIds.ops });
  t.equal(load.attachBtf, module.blob);
  t.match(maps[0], {
    load: { flags: MapFlag.VTYPE_BTF_OBJ_FD, valueSize: 72, btfVmlinuxValueTypeId: moduleIds.value },
  });
  t.equal(maps[0]!.load.valueBtf, module.blob);
  t.same(maps[0]!.programs, [{ offset: 64, func: "my_turn" }]);
  t.end();
});

t.test("maps that are not created", (t) => {
  const maps = ["a", "b"].map((name) =>
    mapSpec({ name, type: MapType.ARRAY, keySize: 4, valueSize: 4, maxEntries: 1 }),
  );
  const refs: Ref[] = ["a", "b"].map((map, i) => ({ kind: "map", insn: 2 * i, map }));
  const spec = { maps, functions: [program([...load(), ...load(), asm.exit()], refs)] };
  const { load: loaded, insns, maps: made } = one(spec, { withoutMaps: new Set(["b"]) });
  t.same([loaded.maps.length, made.length], [1, 1]);
  t.equal(insns[0]!.src, 1);
  for (const at of [2, 3]) t.same(insns[at], { opcode: 0x85, dst: 0, src: 0, off: 0, imm: 2_001_000_001 });
  t.end();
});

t.test("programs of another type than their section's, of own sections, or that nobody wants", (t) => {
  const functions = [
    program([asm.exit()], [], { name: "forced", section: "freplace/x" }),
    program([asm.exit()], [], { name: "own", section: "mine/target" }),
    program([asm.exit()], [], { name: "demanded", section: "?fentry/nothing" }),
  ];
  const spec = objectSpec({ name: "o", functions });
  const programTypes = new Map([["forced", { progType: ProgType.XDP, attachType: 0 }]]);
  const { def } = { def: { name: "mine", takesTarget: true, progType: ProgType.SYSCALL, attachType: 0 } };
  const sections = [{ ...def, attach: "none" as const, sleepable: true, progFlags: 16, targetIsBtf: false }];
  const { programs, refused } = resolveObject(spec, { ...options, programTypes, sections });
  t.match(programs, [
    { name: "forced", def: null, load: { progType: ProgType.XDP, progFlags: 0, attachBtfId: 0 } },
    { name: "own", target: "target", load: { progType: ProgType.SYSCALL, progFlags: 16 } },
  ]);
  t.match(refused, [{ name: "demanded", section: "?fentry/nothing" }], "on demand only");
  const wanted = resolveObject(spec, { ...options, wanted: (name) => name === "forced", programTypes });
  t.same([wanted.programs.length, wanted.refused.length], [1, 0]);
  t.throws(() => resolveObject(spec, { ...options, programTypes }), { message: /own/ });
  t.end();
});

t.test("exception callbacks are appended though nobody calls them", (t) => {
  const btf = new BtfBuilder();
  const int = btf.int("int");
  const proto = btf.funcProto(int, []);
  const func = btf.func("p", proto, "global");
  btf.declTag("exception_callback:handler", func);
  const handler = functionSpec({
    name: "handler",
    section: ".text",
    linkage: "global",
    insns: [asm.mov64Imm(0, 7)],
    btfFuncId: btf.func("handler", proto, "global"),
  });
  const main = program([asm.exit()], [], { btfFuncId: func });
  t.same(
    one({ btf: btf.build(), functions: [main, handler] }).insns.map(({ imm }) => imm),
    [0, 7],
  );
  t.throws(() => one({ btf: btf.build(), functions: [main] }), { message: /no exception callback handler/ });
  const hidden = { ...handler, linkage: "static" } as const;
  t.throws(() => one({ btf: btf.build(), functions: [main, hidden] }), { message: /must be one global function/ });
  t.end();
});

t.test("types that the kernel refuses", (t) => {
  const btf = new BtfBuilder();
  const int = btf.int("int");
  const func = btf.func("p", btf.funcProto(int, []), "global");
  const maps = [
    mapSpec({
      name: "m",
      type: MapType.ARRAY,
      keySize: 4,
      valueSize: 4,
      maxEntries: 1,
      keyTypeId: int,
      valueTypeId: int,
    }),
  ];
  const main = program([...load(), asm.exit()], [{ kind: "map", insn: 0, map: "m" }], { btfFuncId: func });
  const spec = { btf: btf.build(), maps, functions: [main] };
  const typed = one(spec, { btfFault: () => null });
  t.same([typed.load.btf !== null, typed.load.funcInfo?.count, typed.btfFault], [true, 1, null]);
  t.match(typed.load.maps, [{ btf: "prog", btfValueTypeId: int }]);
  const untyped = one(spec, { btfFault: () => "why" });
  t.same([untyped.load.btf, untyped.load.funcInfo, untyped.btf, untyped.btfFault], [null, null, null, "why"]);
  t.match(untyped.load.maps, [{ btf: null, btfKeyTypeId: 0, btfValueTypeId: 0 }]);
  t.end();
});

t.test("types of keys and values that the kernel does not take", (t) => {
  const btf = new BtfBuilder();
  const int = btf.int("int");
  const long = btf.int("unsigned long long");
  const color = btf.enum("color", [{ name: "RED", value: 0 }]);
  const prefix = btf.struct("prefix", [{ name: "length", type: int }]);
  const place = btf.struct("place", [
    { name: "cgroup", type: long },
    { name: "type", type: int },
  ]);
  const types = btf.build();
  const takes = (type: number, keyTypeId: number, keySize: number, valueTypeId = int, valueSize = 4) =>
    kernelTakesTypes(types, mapSpec({ name: "m", type, keyTypeId, keySize, valueTypeId, valueSize }));
  t.ok(takes(MapType.ARRAY, int, 4));
  t.notOk(takes(MapType.ARRAY, color, 4), "an enum is no int");
  t.ok(takes(MapType.HASH, color, 4));
  t.ok(takes(MapType.LPM_TRIE, prefix, 4));
  t.notOk(takes(MapType.LPM_TRIE, long, 8));
  t.ok(takes(MapType.CGROUP_STORAGE, place, 16));
  t.ok(takes(MapType.CGROUP_STORAGE, long, 8));
  t.notOk(takes(MapType.CGROUP_STORAGE, prefix, 16));
  t.notOk(takes(MapType.CGROUP_STORAGE, int, 4));
  t.notOk(takes(MapType.QUEUE, 0, 0));
  t.ok(takes(MapType.BLOOM_FILTER, 0, 0));
  t.notOk(takes(MapType.RINGBUF, 0, 0));
  t.notOk(takes(MapType.HASH, int, 4, int, 8), "the user space's other size");
  t.notOk(takes(MapType.HASH, int, 4, 0));
  t.end();
});

t.test("nothing grows without bound", (t) => {
  const insns = [...Array.from({ length: 1023 }, () => asm.mov64Imm(0, 0)), asm.exit()];
  const main = (name: string) =>
    program([asm.callSubprog(-1), asm.exit()], [{ kind: "call", insn: 0, func: "large" }], { name });
  const large = functionSpec({ name: "large", section: ".text", linkage: "global", insns });
  const many = (count: number) => ({
    functions: [...Array.from({ length: count }, (_, i) => main(`p${i}`)), large],
  });
  t.equal(one(many(100)).insns.length, 1026);
  t.throws(() => one(many(10000)), { name: "InputError", message: /more than \d+ instructions together/ });
  const types = new ObjectTypes();
  types.kconfig("CONFIG_LARGE", types.btf.array(types.btf.int("char"), 0xffffffff), 0xffffffff, true, 1);
  const functions = [program([asm.exit()], [])];
  t.throws(() => one({ functions, ...types.declared() }), { name: "InputError", message: /too many/ });
  t.end();
});
