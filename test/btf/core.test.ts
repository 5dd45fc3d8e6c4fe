// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { encodeInsns } from "../../src/asm/insn.js";
import { BPF_DW, BPF_LDX, BPF_MEM, BPF_W } from "../../src/asm/opcode.js";
import { BtfBuilder } from "../../src/btf/builder.js";
import { type CorePatch, CoreRelocator, type CoreTarget, coreTypes, essentialName } from "../../src/btf/core/index.js";
import { openBtf } from "../../src/btf/lazy.js";
import { readBtf } from "../../src/btf/read.js";
import type { Btf, BtfType } from "../../src/btf/types.js";
import { writeBtf } from "../../src/btf/write.js";
import { CoreReloKind } from "../../src/kernel/uapi.js";
import { bytesOf, compareCore } from "../support/core-judge.js";
import { coreLog, readAnyBtf, readCoreObject } from "../support/core-log.js";
import { coreCase } from "../support/core-random.js";
import { mixSeed, Rng } from "../support/fuzz/rng.js";

t.test("a flavour is what follows the last three underscores that stand between other characters", async (t) => {
  // The left column through bpf_core_essential_name_len() of libbpf 1.5 gives the right one.
  const cases = {
    task_struct: "task_struct",
    task_struct___old: "task_struct",
    a___b___c: "a___b",
    a___: "a___",
    ___a: "___a",
    a____b: "a____b",
    a___b____c: "a",
    a___b___: "a",
    x___y: "x",
    "": "",
    ___: "___",
    ____: "____",
  };
  for (const [name, essential] of Object.entries(cases)) t.equal(essentialName(name), essential, name);
});

t.test("types are found by name with and without flavour, decoded or not", async (t) => {
  const builder = new BtfBuilder();
  const int = builder.int("int");
  const names = ["s", "s___v2", "other", "s___v3", "t___only", "s____x", "___s"];
  const ids = names.map((name) => builder.struct(name, [{ name: "a", type: int }]));
  const btf = builder.build();
  for (const types of [coreTypes(btf), coreTypes(openBtf(writeBtf(btf)))]) {
    t.same(types.idsByEssentialName("s"), [ids[0], ids[1], ids[3]]);
    t.same(types.idsByEssentialName("t"), [ids[4]]);
    t.same(types.idsByEssentialName("s___v2"), []);
    t.same(types.idsByEssentialName("s____x"), [ids[5]]);
    t.same(types.idsByEssentialName("none"), []);
  }
});

/** What libbpf made of an object's program (scripts/record-core.ts). */
interface Recorded {
  readonly object: string;
  readonly target: string;
  readonly program: string;
  readonly lines: readonly string[];
  readonly refusal: string | null;
  readonly insns: string | null;
}

const fixtures = fileURLToPath(new URL("../fixtures/core", import.meta.url));
const { answers } = JSON.parse(readFileSync(join(fixtures, "answers.json"), "utf8")) as {
  answers: readonly Recorded[];
};

/** A file with BTF, decoded at once or when asked. */
function targetOf(name: string, lazy: boolean): CoreTarget {
  const bytes = bytesOf(join(fixtures, name));
  return { name, types: coreTypes(lazy && name.endsWith(".btf") ? openBtf(bytes) : readAnyBtf(bytes)) };
}

t.test("relocations come out as libbpf's, step by step and instruction by instruction", async (t) => {
  const kinds = new Set<number>();
  for (const answer of answers) {
    const whole = readCoreObject(bytesOf(join(fixtures, answer.object)))!;
    const func = whole.functions.find(({ name }) => name === answer.program)!;
    // libbpf relocates every subprogram for every program.
    const functions = whole.functions.filter(({ name, section }) => name === answer.program || section === ".text");
    const what = `${answer.program} of ${answer.object} on ${answer.target}`;
    for (const lazy of [false, true]) {
      const target = targetOf(answer.target, lazy);
      const log = coreLog({ ...whole, functions }, target);
      t.equal(compareCore(log, { ...answer, unasked: false, programs: {} }), null, what);
      if (answer.insns === null || functions.length > 1) continue;
      const { insns } = new CoreRelocator(whole.btf, target).relocate(func);
      t.equal(Buffer.from(encodeInsns(insns)).toString("hex"), answer.insns, `instructions of ${what}`);
    }
    for (const { kind } of func.core) kinds.add(kind);
  }
  t.same(
    [...kinds].sort((a, b) => a - b),
    Object.values(CoreReloKind),
    "all kinds are among them",
  );
  t.ok(answers.some(({ refusal }) => refusal !== null));
});

t.test("a refusal names section, instruction and relocation", async (t) => {
  const refused = answers.find(({ refusal }) => refusal?.includes("ambiguity"))!;
  const object = readCoreObject(bytesOf(join(fixtures, refused.object)))!;
  const relocator = new CoreRelocator(object.btf, targetOf(refused.target, true));
  const func = object.functions.find(({ name }) => name === refused.program)!;
  t.throws(() => relocator.relocate(func), {
    name: "InputError",
    message:
      /^section raw_tp\/loads, insn \d+: function loads: CO-RE relocation #1 <byte_off> \[\d+\] struct thing.grows \(0:1 @ offset 4\): ambiguous: value 4 by .* of fields-ambiguous.btf, 8 by .* of fields-ambiguous.btf$/,
  });
  const alone = new CoreRelocator(object.btf, null);
  t.throws(() => alone.relocate(func), /types of a kernel, and none were given/);
  t.same(alone.relocate({ ...func, core: [] }).insns, func.insns);
});

/** Relocates one load of `struct s { T a; }`, at offset 0 in the object, against other types. */
function relocateLoad(fieldType: (b: BtfBuilder) => number, size: number, target: CoreTarget): CorePatch {
  const builder = new BtfBuilder();
  const typeId = builder.struct("s", [{ name: "a", type: fieldType(builder) }]);
  const insns = [{ opcode: BPF_LDX | BPF_MEM | size, dst: 0, src: 1, off: 0, imm: 0 }];
  const core = [{ insn: 0, typeId, access: "0:0", kind: CoreReloKind.FIELD_BYTE_OFFSET }];
  const relocator = new CoreRelocator(builder.build(), target);
  return relocator.relocate({ name: "p", section: "raw_tp", insns, core }).results[0]!.patch;
}

// npm run fuzz:core holds this against libbpf: its types have a long of any size.
t.test("pointers are as wide as the target's long", async (t) => {
  const target = (wide: boolean, lazy: boolean): CoreTarget => {
    const builder = new BtfBuilder();
    const bits = wide ? 64 : 32;
    builder.add({ kind: "int", name: "long unsigned int", size: bits / 8, bits, bitOffset: 0, encoding: "none" });
    builder.add({
      kind: "struct",
      name: "s",
      size: 16,
      members: [{ name: "a", type: builder.ptr(0), bitOffset: 32, bitSize: 0 }],
    });
    const btf = builder.build();
    return { name: "target", types: coreTypes(lazy ? openBtf(writeBtf(btf)) : btf) };
  };
  for (const lazy of [false, true]) {
    t.match(
      relocateLoad((b) => b.ptr(0), BPF_DW, target(false, lazy)),
      { after: 4n, size: { before: 8, after: 4 } },
    );
    t.match(
      relocateLoad((b) => b.ptr(0), BPF_DW, target(true, lazy)),
      { after: 4n, size: null },
    );
  }
});

t.test("modules are asked for what the kernel itself does not have", async (t) => {
  const base = new BtfBuilder();
  const int = base.int("int");
  base.struct("only_vmlinux", [{ name: "a", type: int }]);
  const vmlinux = base.build();
  const module = (at: number): Btf => ({
    types: [
      ...vmlinux.types,
      { kind: "struct", name: "s", size: 16, members: [{ name: "a", type: int, bitOffset: at * 8, bitSize: 0 }] },
      {
        kind: "struct",
        name: "only_vmlinux",
        size: 16,
        members: [{ name: "a", type: int, bitOffset: 64, bitSize: 0 }],
      },
    ],
  });
  const firstId = vmlinux.types.length;
  const target = (...offsets: number[]): CoreTarget => ({
    name: "vmlinux",
    types: coreTypes(vmlinux),
    modules: () => offsets.map((at) => ({ name: `module${at}`, types: coreTypes(module(at), { firstId }) })),
  });
  t.match(
    relocateLoad((b) => b.int("int"), BPF_W, target(4)),
    { kind: "off", after: 4n },
  );
  t.match(
    relocateLoad((b) => b.int("int"), BPF_W, target(4, 4)),
    { kind: "off", after: 4n },
  );
  t.throws(
    () => relocateLoad((b) => b.int("int"), BPF_W, target(4, 8)),
    /value 4 by .* of module4, 8 by .* of module8$/,
  );
  t.match(
    relocateLoad((b) => b.int("int"), BPF_W, target()),
    { kind: "poison", cause: "missing" },
  );
  const own = module(4);
  t.same(coreTypes(own, { firstId }).idsByEssentialName("only_vmlinux"), [firstId + 1]);
});

t.test("bit fields are cut out from the other end on big-endian machines", async (t) => {
  const builder = new BtfBuilder();
  const type = builder.int("unsigned int");
  const member = { name: "a", type, bitOffset: 3, bitSize: 5 };
  const typeId = builder.add({ kind: "struct", name: "s", size: 4, members: [member] });
  const btf = builder.build();
  const target = { name: "target", types: coreTypes(btf) };
  const relo = { typeId, access: "0:0", kind: CoreReloKind.FIELD_LSHIFT_U64 };
  // bpf_core_calc_field_relo() has both formulas: 64 - (3 + 5), and 8 * (8 - 4) + 3.
  t.equal(new CoreRelocator(btf, target).resolve(relo).value.after, 56n);
  t.equal(new CoreRelocator(btf, target, { littleEndian: false }).resolve(relo).value.after, 35n);
});

t.test("types that would take for ever are refused", async (t) => {
  // Thirty structs, each twice in the next one without a name: 2^30 ways to look for a member.
  const types: BtfType[] = [
    { kind: "void" },
    { kind: "int", name: "int", size: 4, bits: 32, bitOffset: 0, encoding: "none" },
  ];
  types.push({ kind: "struct", name: "", size: 4, members: [{ name: "x", type: 1, bitOffset: 0, bitSize: 0 }] });
  for (let i = 0; i < 30; i++) {
    const member = { name: "", type: types.length - 1, bitOffset: 0, bitSize: 0 };
    types.push({ kind: "struct", name: i === 29 ? "s" : "", size: 4, members: [member, member] });
  }
  const target = { name: "target", types: coreTypes({ types }) };
  t.throws(() => relocateLoad((b) => b.int("int"), BPF_W, target), /nested too intricately/);
  const loop: BtfType[] = [{ kind: "void" }, { kind: "typedef", name: "t", type: 2 }, { kind: "const", type: 1 }];
  const relocator = new CoreRelocator({ types: loop }, target);
  t.throws(() => relocator.resolve({ typeId: 1, access: "0", kind: CoreReloKind.FIELD_EXISTS }), /probably a loop/);
});

t.test("whatever is relocated, lazily read types give the same answer, and no error but an InputError", async (t) => {
  let refusals = 0;
  for (let i = 0; i < 300; i++) {
    const { object, target } = coreCase(new Rng(mixSeed(7, i)));
    const core = readCoreObject(object)!;
    // coreLog() lets other errors pass.
    const whole = coreLog(core, { name: "target", types: coreTypes(readBtf(target)) });
    const lazy = coreLog(core, { name: "target", types: coreTypes(openBtf(target)) });
    if (whole.error !== null) refusals++;
    if (JSON.stringify(whole) !== JSON.stringify(lazy)) t.same(lazy, whole, `case ${i}`);
  }
  t.ok(refusals > 30 && refusals < 150, `${refusals} of 300 refused`);
});
