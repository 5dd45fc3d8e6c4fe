// SPDX-License-Identifier: MIT
import * as asm from "../../src/asm/build.js";
import { BtfBuilder } from "../../src/btf/builder.js";
import { MapType } from "../../src/kernel/uapi.js";
import { dataSpec, dataVariable, functionSpec, mapSpec, objectSpec } from "../../src/model/make.js";
import type { ExternSpec, FunctionSpec, ObjectSpec } from "../../src/model/spec.js";

const kfuncCall = { ...asm.callSubprog(0), src: 2 };
const EXIT = [asm.mov64Imm(0, 0), asm.exit()];

function externs(b: BtfBuilder): ExternSpec[] {
  const int = b.int("int");
  const extern = (name: string, section: string, btfId: number, rest: Partial<ExternSpec>): ExternSpec => {
    return { name, section, kind: "var", weak: false, visibility: "default", btfId, size: 0, align: 1, ...rest };
  };
  const proto = b.funcProto(int, [{ name: "x", type: int }]);
  const bool = b.int("_Bool");
  return [
    extern("bpf_fun", ".ksyms", b.func("bpf_fun", proto, "extern"), { kind: "func" }),
    extern("bpf_maybe", ".ksyms", b.func("bpf_maybe", proto, "extern"), { kind: "func", weak: true }),
    extern("init_task", ".ksyms", b.var("init_task", b.modifier("const", 0), "extern"), {}),
    extern("CONFIG_HZ", ".kconfig", b.var("CONFIG_HZ", int, "extern"), { size: 4, align: 4 }),
    extern("CONFIG_SMP", ".kconfig", b.var("CONFIG_SMP", bool, "extern"), { size: 1, weak: true }),
  ];
}

function functions(b: BtfBuilder, task: number): FunctionSpec[] {
  const int = b.int("int");
  const proto = b.funcProto(int, [{ name: "ctx", type: b.ptr(0) }]);
  const line = (insn: number, line: number) => ({ insn, file: "full.c", line, column: 3, text: `  line ${line};` });
  const sub = (name: string, rest: Partial<FunctionSpec>): FunctionSpec =>
    functionSpec({
      name,
      section: ".text",
      linkage: "static",
      insns: [asm.mov64Imm(0, 1), asm.exit()],
      btfFuncId: b.func(name, proto, rest.linkage ?? "static"),
      ...rest,
    });
  const program = (name: string, section: string, insns: FunctionSpec["insns"], rest: Partial<FunctionSpec> = {}) =>
    functionSpec({
      name,
      section,
      linkage: "global",
      insns,
      btfFuncId: b.func(name, proto, "global"),
      lines: [line(0, 10)],
      ...rest,
    });
  return [
    sub("local", { lines: [line(0, 1), line(1, 2)] }),
    // Two local functions of one name, as linking leaves them.
    sub("local.1", { symbol: "local" }),
    sub("shared", { linkage: "global" }),
    sub("fallback", { linkage: "global", weak: true }),
    sub("veiled", { visibility: "hidden" }),
    program("uses_externs", "socket", [...asm.ldImm64(1, 0n), kfuncCall, ...asm.ldImm64(2, 0n), ...EXIT], {
      refs: [
        { kind: "extern", insn: 0, extern: "CONFIG_HZ" },
        { kind: "kfunc", insn: 2, extern: "bpf_fun" },
        { kind: "extern", insn: 3, extern: "init_task" },
      ],
    }),
    program(
      "uses_all",
      "?xdp",
      [
        ...asm.ldMapFd(1, 0),
        ...asm.ldMapValue(1, 0, 0),
        ...asm.ldFunc(1, 0),
        asm.callSubprog(-1),
        asm.callSubprog(-1),
        asm.callSubprog(-1),
        asm.callSubprog(-1),
        asm.ldx("w", 1, 1, 8),
        ...EXIT,
      ],
      {
        refs: [
          { kind: "map", insn: 0, map: "outer" },
          { kind: "data", insn: 2, section: ".data", offset: 12 },
          { kind: "func", insn: 4, func: "local" },
          { kind: "call", insn: 6, func: "local.1" },
          { kind: "call", insn: 7, func: "shared" },
          { kind: "call", insn: 8, func: "fallback" },
          { kind: "call", insn: 9, func: "veiled" },
        ],
        core: [
          { insn: 10, typeId: task, access: "0:1", kind: 0 },
          { insn: 10, typeId: task, access: "0:1", kind: 1 },
        ],
        lines: [line(0, 20), line(6, 21)],
      },
    ),
    program("op_one", "struct_ops/one", EXIT),
    program("op_two", "struct_ops.s/two", EXIT, { weak: true }),
  ];
}

/** An object that says everything a specification can say. */
export function fullObject(endianness: ObjectSpec["endianness"]): ObjectSpec {
  const b = new BtfBuilder();
  const int = b.int("int");
  const u64 = b.kernelInt("__u64");
  const task = b.struct("task", [
    { name: "state", type: int },
    { name: "pid", type: u64 },
  ]);
  const callback = b.ptr(b.funcProto(int, []));
  const ops = b.struct("ops", [
    { name: "one", type: callback },
    { name: "number", type: int },
    { name: "two", type: callback },
  ]);
  const signed = b.add({ kind: "enum64", name: "wide", size: 8, signed: true, values: [{ name: "LOW", value: -5n }] });
  const variable = (name: string, type: number, linkage: "global" | "static" = "global") => b.var(name, type, linkage);
  const array = { keySize: 4, valueSize: 8, maxEntries: 4, keyTypeId: int, valueTypeId: u64 };
  const values = { keySize: 4, valueSize: 4 };
  const rodata = variable("limit", b.modifier("const", signed));
  const myOps = variable("my_ops", ops);
  const otherOps = variable("other_ops", ops);
  const data = Uint8Array.from({ length: 40 }, (_, i) => (i < 16 ? i : 0));
  const view = new DataView(data.buffer);
  // A place counted from its section's start.
  view.setBigUint64(16, 8n, endianness === "little");
  return objectSpec({
    name: "full",
    license: "Dual MIT/GPL",
    version: 0x060c00,
    endianness,
    functions: functions(b, task),
    externs: externs(b),
    maps: [
      mapSpec({ name: "first", type: MapType.ARRAY, ...array }),
      mapSpec({ name: "second", type: MapType.ARRAY, ...array, weak: true }),
      mapSpec({
        name: "outer",
        type: MapType.ARRAY_OF_MAPS,
        ...values,
        maxEntries: 8,
        inner: mapSpec({ name: "outer.inner", type: MapType.ARRAY, ...array }),
        initial: [
          { index: 1, kind: "map", name: "second" },
          { index: 4, kind: "map", name: "first" },
        ],
      }),
      mapSpec({
        name: "jumps",
        type: MapType.PROG_ARRAY,
        ...values,
        maxEntries: 2,
        initial: [{ index: 1, kind: "func", name: "uses_externs" }],
      }),
      mapSpec({ name: "near", type: MapType.HASH, ...array, flags: 4, numaNode: 1, pinning: "byName" }),
      mapSpec({ name: "arena", type: MapType.ARENA, maxEntries: 10, flags: 1024, extra: 0x1_0000_0000_0001n }),
    ],
    data: [
      dataSpec({
        section: ".rodata",
        content: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
        variables: [dataVariable({ name: "limit", offset: 0, size: 8, btfVarId: rodata })],
      }),
      dataSpec({
        section: ".data",
        content: data,
        align: 16,
        variables: [
          dataVariable({ name: "hits", offset: 0, size: 8, btfVarId: variable("hits", u64) }),
          dataVariable({ name: "soft", offset: 8, size: 4, btfVarId: variable("soft", int), weak: true }),
          dataVariable({
            name: "veiled_data",
            offset: 12,
            size: 4,
            btfVarId: variable("veiled_data", int, "static"),
            linkage: "static",
            visibility: "hidden",
          }),
          dataVariable({ name: "untyped", offset: 16, size: 24 }),
        ],
        refs: [
          { offset: 16, size: 8, kind: "data", section: ".data", target: 8 },
          { offset: 24, size: 8, kind: "func", func: "shared" },
          { offset: 32, size: 8, kind: "map", map: "near" },
        ],
      }),
      dataSpec({ section: ".bss.own", content: new Uint8Array(24) }),
      dataSpec({
        section: ".addr_space.1",
        content: Uint8Array.of(9, 9, 9, 9),
        variables: [dataVariable({ name: "in_arena", offset: 0, size: 4, btfVarId: variable("in_arena", int) })],
      }),
    ],
    structOps: [
      {
        name: "my_ops",
        section: ".struct_ops.link",
        offset: 0,
        typeId: ops,
        btfVarId: myOps,
        content: Uint8Array.from({ length: 24 }, (_, i) => (i === 8 ? 42 : 0)),
        refs: [
          { offset: 0, func: "op_one" },
          { offset: 16, func: "op_two" },
        ],
      },
      {
        name: "other_ops",
        section: "?.struct_ops",
        offset: 0,
        typeId: ops,
        btfVarId: otherOps,
        content: new Uint8Array(24),
        refs: [{ offset: 16, func: "op_two" }],
      },
    ],
    btf: b.build(),
  });
}
