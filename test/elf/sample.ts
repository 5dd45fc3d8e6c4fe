// SPDX-License-Identifier: MIT
import * as asm from "../../src/asm/build.js";
import { BtfBuilder } from "../../src/btf/builder.js";
import { MapType } from "../../src/kernel/uapi.js";
import { dataSpec, dataVariable, functionSpec, mapSpec, objectSpec } from "../../src/model/make.js";
import type { FunctionSpec, LineSpec, MapSpec, ObjectSpec } from "../../src/model/spec.js";

/** The source file that the sample's line records point at. */
export const SOURCE_FILE = "/home/me/prog.ts";

/** A map specification with what is not said left out. */
export function map(name: string, type: number, rest: Partial<MapSpec> = {}): MapSpec {
  return mapSpec({ name, type, ...rest });
}

function line(insn: number, number: number, text: string): LineSpec {
  return { insn, file: SOURCE_FILE, line: number, column: 5, text };
}

/** Function ids of the sample by name. */
function addFunctions(b: BtfBuilder, u32: number): Record<string, number> {
  const int = b.int("int");
  const pointer = b.ptr(0);
  const program = b.funcProto(int, [{ name: "ctx", type: pointer }]);
  const binary = b.funcProto(int, [
    { name: "a", type: int },
    { name: "b", type: int },
  ]);
  const callback = b.funcProto(int, [
    { name: "i", type: u32 },
    { name: "ctx", type: pointer },
  ]);
  return {
    on_exec: b.func("on_exec", program, "global"),
    second: b.func("second", program, "global"),
    add: b.func("add", binary, "static"),
    glob: b.func("glob", binary, "global"),
    cb: b.func("cb", callback, "static"),
  };
}

function functions(ids: Record<string, number>): FunctionSpec[] {
  const section = "tracepoint/syscalls/sys_enter_execve";
  return [
    functionSpec({
      name: "on_exec",
      section,
      linkage: "global",
      btfFuncId: ids.on_exec!,
      insns: [
        asm.stImm("w", 10, -4, 1),
        asm.mov64Reg(2, 10),
        asm.alu64Imm("add", 2, -4),
        ...asm.ldMapFd(1, 0),
        asm.callHelper(1),
        asm.jmpImm("jeq", 0, 0, 1),
        asm.ldx("w", 6, 0, 0),
        ...asm.ldMapValue(1, 0, 0),
        asm.ldx("w", 1, 1, 0),
        ...asm.ldMapValue(2, 0, 0),
        asm.ldx("w", 2, 2, 0),
        asm.callSubprog(-1),
        asm.mov64Reg(1, 0),
        asm.mov64Imm(2, 9),
        asm.callSubprog(-1),
        asm.mov64Imm(0, 0),
        asm.exit(),
      ],
      refs: [
        { kind: "map", insn: 3, map: "counts" },
        { kind: "data", insn: 8, section: ".rodata", offset: 0 },
        { kind: "data", insn: 11, section: ".data", offset: 8 },
        { kind: "call", insn: 14, func: "add" },
        { kind: "call", insn: 17, func: "glob" },
      ],
      lines: [
        line(0, 10, "  const k = 1;"),
        line(3, 11, "  const v = counts.lookup(k);"),
        line(8, 12, "  add(target, st);"),
        line(18, 13, "}"),
      ],
    }),
    functionSpec({
      name: "second",
      section,
      linkage: "global",
      btfFuncId: ids.second!,
      insns: [
        asm.mov64Imm(1, 3),
        ...asm.ldFunc(2, 0),
        asm.mov64Imm(3, 0),
        asm.mov64Imm(4, 0),
        asm.callHelper(181),
        asm.mov64Imm(0, 0),
        asm.exit(),
      ],
      refs: [{ kind: "func", insn: 1, func: "cb" }],
      lines: [line(0, 20, "  loop(3, cb);"), line(6, 21, "  return 0;")],
    }),
    functionSpec({
      name: "add",
      section: ".text",
      linkage: "static",
      btfFuncId: ids.add!,
      insns: [asm.mov64Reg(0, 1), asm.alu64Reg("add", 0, 2), asm.exit()],
      refs: [],
      lines: [line(0, 30, "  return a + b;")],
    }),
    functionSpec({
      name: "glob",
      section: ".text",
      linkage: "global",
      btfFuncId: ids.glob!,
      insns: [asm.callSubprog(-1), asm.exit()],
      refs: [{ kind: "call", insn: 0, func: "add" }],
      lines: [line(0, 40, "  return add(a, b);")],
    }),
    functionSpec({
      name: "cb",
      section: ".text",
      linkage: "static",
      btfFuncId: ids.cb!,
      insns: [
        ...asm.ldMapValue(2, 0, 0),
        asm.mov64Imm(3, 1),
        asm.atomic("add", "dw", 2, 3, 0),
        asm.mov64Imm(0, 0),
        asm.exit(),
      ],
      refs: [{ kind: "data", insn: 0, section: ".bss", offset: 0 }],
      lines: [line(0, 50, "  counter += 1;")],
    }),
  ];
}

/**
 * An object that uses everything a specification can say: two programs in one section, static and global
 * subprograms, a callback, typed and untyped maps, a map of maps, and all three kinds of global data.
 */
export function sampleObject(): ObjectSpec {
  const b = new BtfBuilder();
  const u32 = b.kernelInt("__u32");
  const u64 = b.kernelInt("__u64");
  const event = b.struct("event", [
    { name: "pid", type: u32 },
    { name: "ts", type: u64 },
    { name: "comm", type: b.array(b.int("char"), 16) },
  ]);
  const ids = addFunctions(b, u32);
  const target = b.var("target", b.modifier("const", b.modifier("volatile", u32)));
  const hits = b.var("hits", u64);
  const st = b.var("st", u32, "static");
  const counter = b.var("counter", u64);
  const inner = map("outer.inner", MapType.ARRAY, {
    keySize: 4,
    valueSize: 8,
    maxEntries: 5,
    keyTypeId: u32,
    valueTypeId: u64,
  });
  return objectSpec({
    name: "my_object_name",
    license: "GPL",
    btf: b.build(),
    functions: functions(ids),
    maps: [
      map("counts", MapType.HASH, { keySize: 4, valueSize: 32, maxEntries: 64, keyTypeId: u32, valueTypeId: event }),
      map("events", MapType.RINGBUF, { maxEntries: 4096 }),
      map("stacks", MapType.STACK_TRACE, { keySize: 4, valueSize: 127 * 8, maxEntries: 10 }),
      map("outer", MapType.ARRAY_OF_MAPS, { keySize: 4, valueSize: 4, maxEntries: 3, keyTypeId: u32, inner }),
    ],
    data: [
      dataSpec({
        section: ".rodata",
        content: Uint8Array.of(42, 0, 0, 0),
        variables: [dataVariable({ name: "target", offset: 0, size: 4, btfVarId: target })],
        btfDatasecId: 0,
      }),
      dataSpec({
        section: ".data",
        content: Uint8Array.of(7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0),
        variables: [
          dataVariable({ name: "hits", offset: 0, size: 8, btfVarId: hits }),
          dataVariable({ name: "st", offset: 8, size: 4, btfVarId: st, linkage: "static" }),
        ],
        btfDatasecId: 0,
      }),
      dataSpec({
        section: ".bss",
        content: new Uint8Array(8),
        variables: [dataVariable({ name: "counter", offset: 0, size: 8, btfVarId: counter })],
        btfDatasecId: 0,
      }),
    ],
  });
}
