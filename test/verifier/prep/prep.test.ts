// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import { encodeFuncInfo, encodeLineInfo } from "../../../src/btf/ext.js";
import { type Btf, BtfBuilder, type BtfType, StringTable, writeBtf } from "../../../src/btf/index.js";
import { rules612, rules618 } from "../../../src/kernel/rules.js";
import type { ProgramLoad } from "../../../src/model/load.js";
import { verify } from "../../../src/verifier/index.js";
import { btfParseFields } from "../../../src/verifier/prep/map-fields.js";
import * as k from "../../fixtures/verifier/programs/kit.js";
import { ProgFlag, ProgType, R0, R1, R2, R3, R10 } from "../../fixtures/verifier/programs/kit.js";
import { needsMirroredKernel, sameAsKernel } from "../../support/live-parity.js";

t.test("control flow that is none", needsMirroredKernel(), (t) => {
  const programs: Readonly<Record<string, k.Item[]>> = {
    "falls-off": [k.mov64Imm(R0, 0)],
    "ends-in-conditional": [k.mov64Imm(R0, 0), k.exit(), k.jmpImm("jeq", R0, 0, -2)],
    unreachable: [k.mov64Imm(R0, 0), k.exit(), k.mov64Imm(R0, 1), k.exit()],
    "jump-out": [k.mov64Imm(R0, 0), k.ja(5), k.exit()],
    "jump-before": [k.mov64Imm(R0, 0), k.jmpImm("jeq", R0, 0, -3), k.exit()],
    "long-jump-out": [k.jaLong(100_000), k.exit()],
    "into-wide": [k.mov64Imm(R0, 0), k.jmpImm("jeq", R0, 0, 1), k.ldImm64(R1, 1), k.exit()],
    "call-into-wide": [k.callSubprog(2), k.exit(), k.ldImm64(R0, 1), k.exit()],
    "call-outside": [k.callSubprog(7), k.exit()],
    "call-before": [k.mov64Imm(R0, 0), k.callSubprog(-9), k.exit()],
    "jump-between-functions": [k.callSubprog(2), k.jmpImm("jeq", R0, 0, 1), k.exit(), k.mov64Imm(R0, 0), k.exit()],
    "function-falls-through": [k.callTo("f"), k.exit(), "f:", k.mov64Imm(R0, 0)],
    "wide-cut": [k.mov64Imm(R0, 0), k.exit(), k.rawInsn(0x18, 1, 0, 0, 1)],
    "wide-second-half": [k.rawInsn(0x18, 1, 0, 0, 1), k.rawInsn(0, 1, 0, 0, 0), k.mov64Imm(R0, 0), k.exit()],
    "wide-unknown-kind": [k.rawInsn(0x18, 1, 9, 0, 1), k.rawInsn(0), k.mov64Imm(R0, 0), k.exit()],
    "idx-without-array": [k.ldMapIdx(R1, 0), k.mov64Imm(R0, 0), k.exit()],
    "opcode-06": [k.rawInsn(0x06), k.exit()],
    "opcode-ff": [k.rawInsn(0xff, 1, 2, 3, 4), k.exit()],
    "ldx-imm": [k.rawInsn(0x79, 1, 10, -8, 1), k.exit()],
    "ldx-mode": [k.rawInsn(0x39, 1, 10, -8, 0), k.exit()],
  };
  for (const [name, items] of Object.entries(programs))
    sameAsKernel(t, k.bad(`cfg/${name}`, "TRACEPOINT", {}, ...items));
  t.end();
});

t.test("reserved fields", needsMirroredKernel(), (t) => {
  const codes = [
    0x05, 0x06, 0x85, 0x8d, 0x95, 0x9d, 0x96, 0x86, 0x62, 0x7a, 0x63, 0x7b, 0xc3, 0xdb, 0x04, 0x0c, 0x84, 0x87, 0xb7,
    0xbf, 0xd4, 0xdc, 0xd7, 0x15, 0x1d, 0xe5, 0x18, 0x20, 0x30, 0x40,
  ];
  const all = codes.flatMap(variants).filter(([code, , src]) => !(code === 0x85 || code === 0x18) || src === 0);
  for (const [code, dst, src, off, imm] of all) {
    const name = `reserved/${code.toString(16)}-${dst}-${src}-${off}-${imm}`;
    const second = code === 0x18 ? [k.rawInsn(0)] : [];
    sameAsKernel(
      t,
      k.bad(
        name,
        "SOCKET_FILTER",
        {},
        k.mov64Imm(R0, 0),
        k.rawInsn(code, dst, src, off, imm),
        ...second,
        k.mov64Imm(R0, 0),
        k.exit(),
      ),
    );
  }
  t.end();
});

/** One opcode with each of its fields set to something unusual. */
function variants(code: number): [code: number, dst: number, src: number, off: number, imm: number][] {
  return [
    [code, 0, 0, 0, 0],
    [code, 2, 0, 0, 0],
    [code, 0, 2, 0, 0],
    [code, 0, 0, 1, 0],
    [code, 0, 0, 0, 1],
    [code, 11, 0, 0, 0],
    [code, 0, 12, 0, 0],
    [code, 10, 10, -8, 32],
  ];
}

/** A main function and another one, with BTF that a test may spoil. */
function withInfo(name: string, spoil: (parts: Parts) => Partial<ProgramLoad>): k.FixtureProgram {
  const types = new BtfBuilder();
  const int = types.int("int");
  const main = types.func("main_prog", types.funcProto(int, [{ name: "ctx", type: types.ptr(0) }]), "global");
  const other = types.func("other", types.funcProto(int, []), "static");
  const strings = new StringTable();
  const program = k.good(
    name,
    "TRACEPOINT",
    {},
    k.callTo("f"),
    k.exit(),
    "f:",
    k.mov64Imm(R0, 0),
    k.ldImm64(R1, 1),
    k.exit(),
  );
  const text = { file: "a/b.c", text: "x", line: 1, column: 1 };
  const parts: Parts = {
    funcs: [
      { insnOff: 0, typeId: main },
      { insnOff: 2, typeId: other },
    ],
    lines: [
      { insnOff: 0, ...text },
      { insnOff: 2, ...text },
    ],
    recSize: { func: 8, line: 16 },
    int,
  };
  const more = spoil(parts);
  const funcBytes = stretch(encodeFuncInfo(parts.funcs), 8, parts.recSize.func);
  const lineBytes = stretch(encodeLineInfo(parts.lines, strings), 16, parts.recSize.line);
  return {
    ...program,
    load: {
      ...program.load,
      btf: writeBtf(types.build(), strings),
      funcInfo: { bytes: funcBytes, recSize: parts.recSize.func, count: parts.funcs.length },
      lineInfo: { bytes: lineBytes, recSize: parts.recSize.line, count: parts.lines.length },
      ...more,
    },
  };
}

interface Parts {
  funcs: { insnOff: number; typeId: number }[];
  lines: { insnOff: number; file: string; text: string; line: number; column: number }[];
  recSize: { func: number; line: number };
  readonly int: number;
}

/** Spoils a part, and changes nothing of the load beyond. */
function set(spoil: () => unknown): Partial<ProgramLoad> {
  spoil();
  return {};
}

/** Records of `from` bytes as records of `to` bytes; what is beyond is filled with `fill`. */
function stretch(bytes: Uint8Array, from: number, to: number, fill = 0): Uint8Array {
  const out = new Uint8Array((bytes.length / from) * to).fill(fill);
  for (let i = 0; i * from < bytes.length; i++)
    out.set(bytes.subarray(i * from, i * from + Math.min(from, to)), i * to);
  return out;
}

t.test("func_info and line_info", needsMirroredKernel(), (t) => {
  const spoilers: Readonly<Record<string, (p: Parts) => Partial<ProgramLoad>>> = {
    right: () => ({}),
    "funcs-only": () => ({ lineInfo: null }),
    "lines-only": () => ({ funcInfo: null }),
    "no-btf": () => ({ btf: null }),
    "one-func": (p) => set(() => p.funcs.pop()),
    "func-elsewhere": (p) =>
      set(() => {
        p.funcs[1]!.insnOff = 3;
      }),
    "first-func-late": (p) =>
      set(() => {
        p.funcs[0]!.insnOff = 1;
      }),
    "funcs-unordered": (p) =>
      set(() => {
        p.funcs[1]!.insnOff = 0;
      }),
    "func-type": (p) =>
      set(() => {
        p.funcs[1]!.typeId = p.int;
      }),
    "func-type-missing": (p) =>
      set(() => {
        p.funcs[1]!.typeId = 99;
      }),
    "func-rec-size-7": (p) =>
      set(() => {
        p.recSize.func = 7;
      }),
    "func-rec-size-4": (p) =>
      set(() => {
        p.recSize.func = 4;
      }),
    "func-rec-size-12": (p) =>
      set(() => {
        p.recSize.func = 12;
      }),
    "func-rec-size-256": (p) =>
      set(() => {
        p.recSize.func = 256;
      }),
    "line-rec-size-12": (p) =>
      set(() => {
        p.recSize.line = 12;
      }),
    "line-rec-size-20": (p) =>
      set(() => {
        p.recSize.line = 20;
      }),
    "line-rec-size-256": (p) =>
      set(() => {
        p.recSize.line = 256;
      }),
    "lines-unordered": (p) =>
      set(() => {
        p.lines[1]!.insnOff = 0;
      }),
    "line-outside": (p) => set(() => p.lines.push({ ...p.lines[1]!, insnOff: 99 })),
    "line-in-wide": (p) => set(() => p.lines.push({ ...p.lines[1]!, insnOff: 4 })),
    "first-line-late": (p) =>
      set(() => {
        p.lines[0]!.insnOff = 1;
      }),
    "one-line": (p) => set(() => p.lines.pop()),
  };
  for (const [name, spoil] of Object.entries(spoilers)) sameAsKernel(t, withInfo(`info/${name}`, spoil));
  t.end();
});

t.test("maps that a program may not use", needsMirroredKernel(), (t) => {
  const one = k.map("ARRAY", 4, 16, 1);
  const two = k.map("ARRAY", 4, 16, 2);
  const hash = k.map("HASH", 4, 16, 1);
  for (const [name, map, offset] of [
    ["inside", one, 15],
    ["outside", one, 16],
    ["far", one, 1 << 29],
    ["two", two, 0],
    ["hash", hash, 0],
  ] as const) {
    sameAsKernel(t, k.bad(`value/${name}`, "TRACEPOINT", { maps: [map] }, k.ldMapValue(R1, 0, offset), ...k.ret()));
  }
  const fdArray = [{ kind: "map", map: 0 }] as const;
  sameAsKernel(
    t,
    k.good("idx/map", "TRACEPOINT", { maps: [one], fdArray }, k.ldMapIdx(R1, 0), k.ldMapIdxValue(R2, 0, 8), ...k.ret()),
  );
  const flags = ProgFlag.SLEEPABLE;
  const stack = k.map("STACK_TRACE", 4, 80, 4);
  for (const [name, map] of [
    ["hash", hash],
    ["stacks", stack],
  ] as const) {
    sameAsKernel(
      t,
      k.bad(`sleepable/${name}`, "KPROBE", { maps: [map], progFlags: flags }, k.ldMapFd(R1, 0), ...k.ret()),
    );
  }
  t.end();
});

t.test("how deep the stack may be", needsMirroredKernel(), (t) => {
  for (const type of ["TRACEPOINT", "SOCKET_FILTER"] as const) {
    for (const [outer, inner] of [
      [8, 8],
      [256, 256],
      [264, 256],
      [512, 8],
      [8, 512],
    ] as const) {
      const program = k.good(
        `depth/${type}-${outer}-${inner}`,
        type,
        {},
        k.stImm("b", R10, -outer, 0),
        k.callTo("f"),
        k.ret(),
        "f:",
        k.stImm("b", R10, -inner, 0),
        k.ret(),
      );
      sameAsKernel(t, program);
    }
  }
  const chain = (depth: number): k.Item[] => {
    const items: k.Item[] = [];
    for (let i = 0; i < depth; i++) items.push(`f${i}:`, k.callTo(`f${i + 1}`), k.exit());
    return [...items, `f${depth}:`, ...k.ret()];
  };
  for (const depth of [7, 8]) sameAsKernel(t, k.good(`chain/${depth}`, "TRACEPOINT", {}, ...chain(depth)));
  sameAsKernel(t, k.bad("recursion", "TRACEPOINT", {}, "f:", k.callTo("f"), k.exit()));
  t.end();
});

t.test("calls that keep registers take no stack", needsMirroredKernel(), (t) => {
  for (const helper of ["get_smp_processor_id", "get_current_task", "ktime_get_ns", "get_prandom_u32"] as const) {
    for (const off of [-8, -16]) {
      const items = [k.stImm("dw", R10, -8, 1), k.mov64Imm(R1, 7), k.mov64Imm(R2, 8), k.stx("dw", R10, R1, off)];
      const more = [k.call(helper), k.ldx("dw", R1, R10, off), k.mov64Reg(R0, R1), k.ldx("dw", R3, R10, -8), k.exit()];
      sameAsKernel(t, k.good(`keep/${helper}${off}`, "TRACEPOINT", {}, ...items, ...more));
    }
  }
  t.end();
});

t.test("what bpf(2) refuses without the verifier", needsMirroredKernel(), (t) => {
  const none = k.good("none", "TRACEPOINT", {});
  const program = k.good("plain", "XDP", {}, ...k.ret());
  const loads: Readonly<Record<string, ProgramLoad>> = {
    empty: none.load,
    flags: { ...program.load, progFlags: 1 << 20 },
    type: { ...program.load, progType: 99 },
    "type-0": { ...program.load, progType: 0 },
    attach: { ...program.load, progType: ProgType.SK_LOOKUP, expectedAttachType: 1 },
    "attach-needed": { ...program.load, progType: ProgType.CGROUP_SOCK_ADDR },
    "btf-id": { ...program.load, attachBtfId: 5 },
    sleepable: { ...program.load, progFlags: ProgFlag.SLEEPABLE },
    syscall: { ...program.load, progType: ProgType.SYSCALL },
  };
  for (const [name, load] of Object.entries(loads)) sameAsKernel(t, { name: `attr/${name}`, expect: "reject", load });
  t.end();
});

t.test("what needs capabilities", (t) => {
  const { load } = k.good("plain", "XDP", {}, ...k.ret());
  const caps = { bpf: true, perfmon: true, netAdmin: false };
  t.match(verify(load, { caps }), { verdict: "rejected", errno: 1, log: "" });
  t.match(verify({ ...load, progType: ProgType.KPROBE }, { caps: { ...caps, perfmon: false } }), { errno: 1 });
  t.match(verify({ ...load, progType: ProgType.SOCKET_FILTER }, { caps: { ...caps, bpf: false } }), {
    verdict: "accepted",
  });
  t.end();
});

t.test("special fields of values that hold a struct very often", (t) => {
  const struct = (name: string, size: number, ...members: number[]): BtfType => ({
    kind: "struct",
    name,
    size,
    members: members.map((type, i) => ({ name: `m${i}`, type, bitOffset: i * 64, bitSize: 0 })),
  });
  /** Structs of which each holds the one before twice. */
  const doubling = (bottom: BtfType, depth: number): Btf => {
    const types: BtfType[] = [{ kind: "void" }, bottom];
    for (let i = 1; i <= depth; i++) types.push(struct(`s${i}`, 0, i, i));
    return { types };
  };
  const empty = doubling(struct("bottom", 0), 40);
  const timers = doubling(struct("bpf_timer", 16), 40);
  // One of the wrong size is none, but counts where all of a value count together.
  const wrong = doubling(struct("bpf_timer", 8), 40);
  for (const rules of [rules618, rules612]) {
    for (const btf of [empty, timers, wrong]) {
      // Deeper than 32 levels is a mistake, and so is what has fields above that.
      for (const top of [41, 31]) t.equal(btfParseFields(btf, top, 1 << 20, rules), null);
    }
  }
  const shallow: Btf = { types: [...empty.types.slice(0, 20), struct("bpf_refcount", 4), struct("top", 1024, 19, 20)] };
  t.strictSame(btfParseFields(shallow, 21, 1024, rules618), [{ offset: 8, size: 4, kind: "refcount" }]);
  t.end();
});
