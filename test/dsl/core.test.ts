// SPDX-License-Identifier: MIT
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import t, { type Test } from "tap";
import { encodeInsns } from "../../src/asm/insn.js";
import { BtfBuilder } from "../../src/btf/builder.js";
import { coreReloKindName } from "../../src/btf/core/index.js";
import { findMember, findType, openBtf, sizeOf } from "../../src/btf/index.js";
import type { Btf } from "../../src/btf/types.js";
import {
  array,
  arrayMap,
  type BitsType,
  bits,
  bytes,
  type Condition,
  char,
  type Int,
  type KernelArrayType,
  type KernelElements,
  type KernelRef,
  kernelEnum,
  kernelStruct,
  kernelTypedef,
  kernelUnion,
  object,
  type Program,
  ptr,
  s32,
  s64,
  struct,
  type TypeDecl,
  u8,
  u16,
  u32,
  u64,
  xdp,
} from "../../src/dsl/index.js";
import { readObject, writeObject } from "../../src/elf/index.js";
import { loadObject } from "../../src/load/index.js";
import { runningKernel } from "../../src/load/kernel-facts.js";
import type { ObjectSpec } from "../../src/model/spec.js";
import { resolveObject } from "../../src/object/resolve.js";
import { testRun } from "../../src/syscall/program.js";
import { needsBpfAnd } from "../support/live.js";
import { run, runQuietly, scratchDir, whyNoTool, withPinDir } from "../support/tools.js";

const VMLINUX = "/sys/kernel/btf/vmlinux";
const dir = scratchDir();

/** Options of a test that relocates for the running kernel and runs there. */
function needsCore(...commands: readonly string[]): { skip: string | false } {
  return existsSync(VMLINUX) ? needsBpfAnd(...commands) : { skip: "skipped: no vmlinux BTF" };
}

/** A text file below /proc/self. */
const self = (name: string): string => readFileSync(`/proc/self/${name}`, "utf8");

const Rlimit = kernelStruct("rlimit", { rlim_cur: u64, rlim_max: u64 });
const Signal = kernelStruct("signal_struct", { rlim: array(Rlimit, 16), nr_threads: s32 });
const Entity = kernelStruct("sched_entity", { vruntime: u64 });
const Sigval = kernelUnion("sigval", { sival_int: s32, sival_ptr: ptr() });
const Plain = struct("plain", { first: u32, second: u32 });
const Task = kernelStruct("task_struct", {
  comm: array(char, 16),
  tgid: s32,
  in_execve: bits(u32, 1),
  small: bits(s32, 3),
  prio: s32,
  get real_parent() {
    return ptr(Task);
  },
  signal: ptr(Signal),
  se: Entity,
  plain: array(Plain, 3),
});
const OldTask = kernelStruct("task_struct___old", { state: s64 });
const Mm = kernelStruct("mm_struct", { arg_start: u64 });
const NewTask = kernelStruct("task_struct___new", {
  tgid: s32,
  mm: ptr(Mm),
  cpus_mask: kernelStruct("cpumask", { bits: array(u64, 4) }),
});
const PidType = kernelEnum("pid_type", { PIDTYPE_TGID: 7, PIDTYPE_NOTHING: 8 });
const Wide = kernelEnum("wide", { WIDE: -0x700000000n });
const Pid = kernelTypedef("pid_t", s32);

/* As core.c has it, in two parts: what differs from process to process, and what only the kernel decides. */

const reads = xdp("reads", (p) => {
  const hash = p.let(u64, 0);
  const add = (value: Int): void => hash.set(hash.mul(31).add(value));
  const task = p.kernelObject(Task, p.getCurrentTask());
  add(task.tgid);
  add(task.real_parent.signal.rlim.at(7).rlim_cur);
  add(task.se.vruntime);
  const sigval = p.kernelObject(Sigval, task);
  add(sigval.sival_int);
  add(p.addressOf(sigval.sival_ptr));
  // The kernel has no such members: only a check keeps the verifier from looking at the reads.
  p.if(p.fieldExists(task.plain), () => add(task.plain.at(1).second));
  p.if(p.fieldExists(task.small), () => add(task.small));
  return hash.and(0x7fffffff);
});

const answers = xdp("answers", (p) => {
  const hash = p.let(u64, 0);
  const add = (value: Int): void => hash.set(hash.mul(31).add(value));
  const flag = (condition: Condition): void => add(p.select(condition, p.let(u64, 1), 0));
  const task = p.membersOf(Task);
  add(p.fieldOffset(task.comm));
  add(p.fieldSize(task.comm));
  flag(p.fieldSigned(task.prio));
  add(p.fieldOffset(task.in_execve));
  add(p.fieldSize(task.in_execve));
  add(p.fieldLeftShift(task.in_execve));
  add(p.fieldRightShift(task.in_execve));
  flag(p.fieldExists(task.se.vruntime));
  flag(p.fieldExists(p.membersOf(OldTask).state));
  flag(p.typeExists(Task));
  add(p.typeSize(Signal));
  add(p.typeSize(Sigval));
  flag(p.typeMatches(Rlimit));
  flag(p.typeMatches(Entity));
  flag(p.typeExists(Pid));
  add(p.typeIdLocal(Task));
  add(p.typeIdKernel(Task));
  add(p.typeIdKernel(PidType));
  flag(p.enumeratorExists(PidType, "PIDTYPE_TGID"));
  flag(p.enumeratorExists(PidType, "PIDTYPE_NOTHING"));
  add(p.enumeratorValue(PidType, "PIDTYPE_TGID"));
  flag(p.enumeratorExists(Wide, "WIDE"));
  return hash.and(0x7fffffff);
});

const decl = object({ name: "core", license: "GPL", programs: [reads, answers] });

/** What an object relocates, as `kind type access`. */
function relocations({ functions, btf }: ObjectSpec): string[] {
  const found = functions.flatMap(({ core }) =>
    core.map(({ kind, typeId, access }) => {
      const type = btf!.types[typeId]!;
      return `${coreReloKindName(kind)} ${type.kind} ${"name" in type ? type.name : ""} ${access}`;
    }),
  );
  return [...new Set(found)].sort();
}

t.test("the relocations are clang's", { skip: whyNoTool("clang-19") }, (t) => {
  const source = fileURLToPath(new URL("../fixtures/dsl/core.c", import.meta.url));
  const file = join(dir, "clang.o");
  runQuietly("clang-19", "-target", "bpf", "-g", "-O2", "-c", source, "-o", file);
  const theirs = readObject(readFileSync(file), { name: "clang" });
  const ours = decl.build();
  t.strictSame(relocations(ours), relocations(theirs));
  const kinds = new Set(ours.functions.flatMap(({ core }) => core.map(({ kind }) => kind)));
  t.equal(kinds.size, 13, "all kinds");
  const again = readObject(writeObject(ours), { name: "core" });
  t.strictSame(
    again.functions.map(({ core }) => core),
    ours.functions.map(({ core }) => core),
  );
  for (const name of ["task_struct", "signal_struct", "rlimit", "sigval", "task_struct___old", "sched_entity"]) {
    t.strictSame(shape(ours.btf!, name), shape(theirs.btf!, name), name);
  }
  t.end();
});

/** How the object's own types lay a struct out. */
function shape(btf: Btf, name: string): unknown {
  const type = btf.types[findType(btf, "struct", name) ?? findType(btf, "union", name)!]!;
  if (type.kind !== "struct" && type.kind !== "union") throw new Error(`no ${name}`);
  return [type.size, type.members.map(({ name, bitOffset, bitSize }) => [name, bitOffset, bitSize])];
}

/** Loads an object, runs a program of it in this process and gives its result. */
function answer(spec: ObjectSpec, program: string, coreTypes?: Btf): number {
  const kernel = runningKernel();
  const options = coreTypes === undefined ? kernel : { ...kernel, coreTypes: () => coreTypes };
  using loaded = loadObject(resolveObject(spec, options));
  return testRun(loaded.program(program).fd, { data: new Uint8Array(64), dataOutSize: 64 }).retval;
}

t.test("libbpf comes to the same answers", needsCore("bpftool"), (t) => {
  const spec = decl.build();
  const file = join(dir, "core.o");
  writeFileSync(file, writeObject(spec));
  const packet = join(dir, "packet");
  writeFileSync(packet, new Uint8Array(64));
  withPinDir((pins) => {
    t.equal(run("bpftool", "prog", "loadall", file, pins).status, 0);
    const args = ["prog", "run", "pinned", join(pins, "answers"), "data_in", packet, "data_out", join(dir, "out")];
    const theirs = Number(/Return value: (\d+)/.exec(run("bpftool", ...args).stdout)?.[1]);
    t.equal(answer(spec, "answers"), theirs);
    t.ok(theirs > 0);
  });
  t.end();
});

const Out = struct("out", {
  tgid: u32,
  parent: u32,
  leader: u32,
  direct: u32,
  directParent: u32,
  files: u64,
  filesAtRuntime: u64,
  address: u64,
  copied: s64,
  length: s64,
  comm: array(char, 16),
  letters: bytes(16),
  parentComm: array(char, 16),
  third: u8,
  cpus: u64,
  flavour: u32,
  argument: array(char, 16),
  letters4: u32,
  unreadable: u64,
  nowhere: s64,
});
const out = arrayMap("out", Out, { maxEntries: 1 });

const looks = xdp("looks", (p) => {
  const it = out.lookup(p, 0).orReturn();
  const task = p.kernelObject(Task, p.getCurrentTask());
  it.tgid.set(task.tgid);
  it.parent.set(task.real_parent.tgid);
  const parent = p.coreRead(task.real_parent);
  it.leader.set(p.coreRead(parent.real_parent).tgid);
  it.files.set(task.signal.rlim.at(7).rlim_cur);
  const which = p.let(u32, 6).add(1);
  it.filesAtRuntime.set(task.signal.rlim.at(which).rlim_cur);
  it.address.set(p.addressOf(task).sub(p.addressOf(parent.comm).sub(p.fieldOffset(task.comm))));
  it.copied.set(p.coreReadInto(it.letters, task.comm));
  it.length.set(p.coreReadStr(it.comm, task.comm));
  p.coreReadStr(it.parentComm, parent.comm);
  it.third.set(task.comm.at(2));
  const nowhere = p.kernelObject(Task, 16);
  it.unreadable.set(nowhere.se.vruntime.or(nowhere.real_parent.real_parent.se.vruntime));
  it.nowhere.set(p.coreReadInto(it.letters, nowhere.comm));
  p.coreReadInto(it.letters, task.comm);
  it.flavour.set(p.kernelObject(NewTask, task).tgid);
  it.letters4.set(p.kernelObject(Plain, task.comm).second);
  // What the process was started with stands in its own memory.
  const mm = p.kernelObject(NewTask, task).mm;
  p.coreReadStr(it.argument, p.userObject(array(char, 16), mm.arg_start));
  const current = p.currentTask(Task);
  const word = p.let(u32, 1).sub(1);
  it.cpus.set(p.currentTask(NewTask).cpus_mask.bits.at(word));
  it.direct.set(current.tgid);
  it.directParent.set(current.real_parent.tgid);
  return p.select(task.tgid.eq(current.tgid), p.let(u32, 1), 2);
});

t.test("objects are read as the kernel has them", needsCore(), (t) => {
  const spec = object({ name: "looks", license: "GPL", programs: [looks] }).build();
  for (const each of [spec, readObject(writeObject(spec), { name: "looks" })]) {
    using loaded = loadObject(resolveObject(each, runningKernel()));
    t.equal(testRun(loaded.program("looks").fd, { data: new Uint8Array(64), dataOutSize: 64 }).retval, 1);
    const seen = loaded.map(out).get(0)!;
    const files = BigInt(/^Max open files +(\d+)/m.exec(self("limits"))![1]!);
    const comm = self("comm").trim();
    const parentStatus = readFileSync(`/proc/${process.ppid}/status`, "utf8");
    t.match(seen, {
      tgid: process.pid,
      parent: process.ppid,
      leader: Number(/^PPid:\t(\d+)/m.exec(parentStatus)![1]),
      direct: process.pid,
      directParent: process.ppid,
      files,
      filesAtRuntime: files,
      copied: 0n,
      length: BigInt(comm.length + 1),
      comm,
      parentComm: /^Name:\t(.*)/m.exec(parentStatus)![1]!,
      third: comm.charCodeAt(2),
      flavour: process.pid,
      letters4: new DataView(new TextEncoder().encode(comm.padEnd(8, "\0")).buffer).getUint32(4, true),
      argument: self("cmdline").split("\0")[0]!.slice(0, 15),
      unreadable: 0n,
      nowhere: -34n, // No address of the kernel's: ERANGE.
    });
    t.equal(new TextDecoder().decode(seen.letters).replaceAll("\0", ""), comm);
    t.not(seen.address, 0n);
    const cpus = BigInt(`0x${/^Cpus_allowed:\t.*?(\w+(?:,\w+)?)$/m.exec(self("status"))![1]!.replace(",", "")}`);
    t.equal(seen.cpus, cpus);
  }
  t.end();
});

const sum = (a: number, b: number): number => a + b;

/** What a program that is written by `body` returns. */
function returns(body: (p: Program<"xdp">) => Int): number {
  const program = xdp("returns", (p) => body(p));
  return answer(object({ name: "returns", license: "GPL", programs: [program] }).build(), "returns");
}

t.test("many reads and loops of them", needsCore(), (t) => {
  // More values than registers, all of them live over calls.
  const total = returns((p) => {
    const task = p.kernelObject(Task, p.getCurrentTask());
    const values = Array.from({ length: 14 }, (_, i) => (i % 2 === 0 ? task : task.real_parent).tgid.get());
    const differences = values.map((value, i) => value.mul(i + 1));
    return differences.reduce((sum, value) => sum.add(value));
  });
  t.equal(
    total,
    Array.from({ length: 14 }, (_, i) => (i % 2 === 0 ? process.pid : process.ppid) * (i + 1)).reduce(sum),
  );
  const depth = returns((p) => {
    const at = p.let(u64, p.getCurrentTask());
    const steps = p.let(u32, 0);
    p.for(32, (_, loop) => {
      const task = p.kernelObject(Task, at);
      p.if(task.tgid.le(1), () => loop.break());
      at.set(p.addressOf(task.real_parent));
      steps.set(steps.add(1));
    });
    return steps;
  });
  let expected = 0;
  for (let pid = process.pid; pid > 1; expected++) {
    pid = Number(/^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
  }
  t.equal(depth, expected);
  t.end();
});

/* Bit fields lie elsewhere on the target: the letters of the process' name are looked at as such a struct. */

const FIELDS = 5;
const field = fc.record({
  base: fc.constantFrom(u8, u16, u32, u64, s32, s64),
  width: fc.integer({ min: 1, max: 33 }),
  gap: fc.integer({ min: 0, max: 9 }),
});

t.test("bit fields are read wherever they are", needsCore(), (t) => {
  const name = "aZ~9[bpf]-_$QxW";
  const before = self("comm").trim();
  writeFileSync("/proc/self/comm", name);
  t.teardown(() => writeFileSync("/proc/self/comm", before));
  const kernel = openBtf(readFileSync(VMLINUX));
  const commBits = findMember(kernel, findType(kernel, "struct", "task_struct")!, "comm")!.bitOffset;
  const letters = [...new TextEncoder().encode(name)];
  const word = letters.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  let checked = 0;
  const check = fc.property(fc.array(field, { minLength: FIELDS, maxLength: FIELDS }), (fields) => {
    const own = fields.map(({ base, width }) => bits(base, Math.min(width, base.bits)));
    const Names = kernelStruct("task_struct", { comm: array(char, 16) });
    const View = kernelStruct("view", Object.fromEntries(own.map((type, i) => [`f${i}`, type]))) as ReturnType<
      typeof kernelStruct<"view", { f0: BitsType<"u64"> }>
    >;
    const values = struct("values", Object.fromEntries(own.map((_, i) => [`f${i}`, s64])));
    const map = arrayMap("values", values, { maxEntries: 1 });
    const program = xdp("peek", (p) => {
      const to = map.lookup(p, 0).orReturn();
      const task = p.kernelObject(Names, p.getCurrentTask());
      const view = p.kernelObject(View, task.comm) as unknown as Record<string, Int>;
      own.forEach((_, i) => {
        to[`f${i}`]!.set(view[`f${i}`]!.as(s64));
      });
      return 0;
    });
    // The target has them with gaps and in the other order, in the same types.
    const btf = new BtfBuilder();
    let end = 0;
    const placed = own
      .map((type, i) => {
        end += fields[i]!.gap;
        // Within one unit of its type, as C has it.
        const unit = type.base.bits;
        if (Math.floor(end / unit) !== Math.floor((end + type.width - 1) / unit)) end = Math.ceil(end / unit) * unit;
        const at = end;
        end += type.width;
        return { name: `f${i}`, type, at };
      })
      .filter(({ at, type }) => at + type.width <= letters.length * 8);
    btf.add({
      kind: "struct",
      name: "view",
      size: Math.ceil(end / 64) * 8,
      members: placed.map(({ name, type, at }) => ({
        name,
        type: type.toBtf(btf),
        bitOffset: at,
        bitSize: type.width,
      })),
    });
    const comm = { name: "comm", type: btf.array(btf.int("char"), 16), bitOffset: commBits, bitSize: 0 };
    btf.add({ kind: "struct", name: "task_struct", size: commBits / 8 + 16, members: [comm] });
    if (placed.length < FIELDS) return; // Not all of them fit the name.
    checked++;
    const spec = object({ name: "peek", license: "GPL", programs: [program] }).build();
    const target = btf.build();
    using loaded = loadObject(resolveObject(spec, { ...runningKernel(), coreTypes: () => target }));
    testRun(loaded.program("peek").fd, { data: new Uint8Array(64), dataOutSize: 64 });
    const seen = loaded.map(map).get(0) as Record<string, bigint>;
    for (const { name, type, at } of placed) {
      const raw = (word >> BigInt(at)) & ((1n << BigInt(type.width)) - 1n);
      const wanted = type.base.signed ? BigInt.asIntN(type.width, raw) : raw;
      if (seen[name] !== BigInt.asIntN(64, wanted)) {
        throw new Error(`${name}: ${type.width} bits of ${type.base.name} at ${at}: ${seen[name]}, not ${wanted}`);
      }
    }
  });
  t.doesNotThrow(() => fc.assert(check, { numRuns: 30 }));
  t.ok(checked > 5, `${checked} cases`);
  t.end();
});

/* What is refused. */

type Body = (p: Program<"xdp">) => unknown;

/** Declares, writes and throws away. */
function build(body: Body, license = "GPL"): void {
  const program = xdp("bad", (p) => {
    body(p);
    return 0;
  });
  object({ name: "bad", license, programs: [program] }).build();
}

/** A program that neither compiles nor builds. */
function refused(t: Test, body: Body, message: RegExp): void {
  t.throws(() => build(body), { name: "InputError", message });
}

const current = (p: Program<"xdp">) => p.kernelObject(Task, p.getCurrentTask());

t.test("what kernel types do not have cannot be used", (t) => {
  const noMember = /struct task_struct is declared without a member tgdi: it has comm, tgid, in_execve/;
  // @ts-expect-error a member that is not declared
  refused(t, (p) => current(p).tgdi, noMember);
  // @ts-expect-error behind a pointer
  refused(t, (p) => current(p).real_parent.real_parent.tgdi.get(), noMember);
  // @ts-expect-error of a struct inside
  refused(t, (p) => current(p).se.run, /struct sched_entity is declared without a member run: it has vruntime/);
  // @ts-expect-error an enumerator that is not declared
  refused(t, (p) => p.enumeratorValue(PidType, "PID"), /enum pid_type is declared without PID: it has PIDTYPE_TGID/);
  // @ts-expect-error a struct is no enum
  refused(t, (p) => p.enumeratorExists(Task, "tgid"), /expected an enum, got struct task_struct/);
  // @ts-expect-error a number is no type
  refused(t, (p) => p.typeExists(1), /expected a type, got a number/);
  // @ts-expect-error nor a member of anything
  refused(t, (p) => p.fieldExists(p.ktimeGetNs()), /expected a part of a kernel object/);
  // @ts-expect-error nor is a type
  refused(t, (p) => p.fieldExists(Task), /expected a part of a kernel object/);
  // @ts-expect-error an array is not read as a value
  refused(t, (p) => p.coreRead(current(p).comm), /comm of struct task_struct is .*coreReadInto\(\) copies it/);
  // @ts-expect-error nor is a struct
  refused(t, (p) => p.coreRead(current(p).se), /coreReadInto\(\) copies it/);
  // @ts-expect-error the kernel's memory is not written
  refused(t, (p) => p.coreReadInto(current(p).comm, current(p).comm), /expected memory to copy into/);
  // @ts-expect-error it lies in the kernel's memory only
  refused(t, (p) => p.stack(Task), /struct task_struct lies in the kernel's memory only/);
  refused(t, (p) => p.fieldExists(current(p)), /this is struct task_struct itself, not a member of it/);
  refused(t, (p) => p.fieldExists(current(p).plain.at(1).first), /only members of kernel types are looked for/);
  refused(t, (p) => p.fieldSigned(current(p).comm.at(1)), /an element of an array: its sign and its bits/);
  refused(t, (p) => p.membersOf(Task).tgid.get(), /a member of no object: only questions like fieldExists\(\)/);
  refused(
    t,
    (p) => current(p).signal.rlim.at(16),
    /index 16 is outside of rlim of struct signal_struct, an array of 16 elements/,
  );
  refused(t, (p) => p.coreReadInto(p.stack(u64), current(p).tgid), /__s32 has 4 bytes, but 8 are to be filled/);
  t.throws(() => build((p) => current(p).tgid.get(), "MIT"), {
    message: /for programs under a GPL-compatible licence/,
  });
  t.throws(() => kernelStruct("a b", {}), { name: "InputError", message: /"a b" is not a C identifier/ });
  t.throws(() => kernelStruct("a", { "b c": u32 }), { message: /struct a: "b c" is not a C identifier/ });
  t.throws(() => bits(u8, 9), { message: /a bit field of __u8 has 1 to 8 bits, not 9/ });
  t.throws(() => kernelEnum("e", { A: 0x1_0000_0000 }), { message: /does not fit 32 bits: write it as a bigint/ });
  refused(t, (p) => p.typeSize(kernelStruct("s", { a: 5 })), /struct s: member a has no type, but number/);
  const Self = kernelStruct("self", {
    get inner(): unknown {
      return Self;
    },
  });
  refused(t, (p) => p.typeSize(Self), /struct self contains itself: a pointer can/);
  t.end();
});

t.test("types follow from declarations of kernel types", (t) => {
  build((p) => {
    const task = current(p);
    const tgid: Int<"s32"> = task.real_parent.real_parent.tgid;
    const flag: Int<"u32"> = p.coreRead(task.in_execve);
    const letter: Int<"char"> = task.comm.at(0);
    const limit: Int<"u64"> = p.coreRead(task.signal).rlim.at(tgid.and(15)).rlim_max;
    const value: Int<"u64"> = p.enumeratorValue(PidType, "PIDTYPE_TGID");
    t.same(
      [tgid, flag, letter, limit, value].map((int) => int.type.name),
      ["s32", "u32", "char", "u64", "u64"],
    );
    // @ts-expect-error 64 bits are not 32
    const narrow: Int<"u32"> = limit;
    t.ok(narrow);
  });
  t.end();
});

/* Random types: what stands in the code must be what CO-RE finds in the object's own types. */

const scalars = [u8, u16, u32, u64, s32, s64, char];
let declared = 0;

/** Structs and unions of scalars, pointers, bit fields, arrays, and structs in them. */
const { type: randomType } = fc.letrec<{ type: TypeDecl; member: TypeDecl }>((tie) => ({
  type: fc.tuple(fc.boolean(), fc.array(tie("member"), { minLength: 1, maxLength: 5 })).map(([isUnion, members]) => {
    const fields = Object.fromEntries(members.map((member, i) => [`m${i}`, member]));
    return (isUnion ? kernelUnion : kernelStruct)(`t${declared++}`, fields);
  }),
  member: fc.oneof(
    { maxDepth: 3, depthSize: "medium" },
    fc.constantFrom<TypeDecl>(...scalars, ptr()),
    fc.tuple(fc.constantFrom(...scalars), fc.nat(63)).map(([base, width]) => bits(base, (width % base.bits) + 1)),
    fc.tuple(fc.constantFrom(...scalars), fc.integer({ min: 1, max: 4 })).map(([type, length]) => array(type, length)),
    fc.tuple(tie("type"), fc.integer({ min: 1, max: 3 })).map(([type, length]) => array(type, length)),
    tie("type"),
  ),
}));

/** Asks all that can be asked of every part of an object; gives how many parts there are. */
function askAll(p: Program<"xdp">, add: (value: Int) => void, type: TypeDecl, place: unknown): number {
  const ref = place as KernelRef;
  if (type.kind === "kernel") {
    const members = (type as unknown as { memberNames(): string[]; member(name: string): { type: TypeDecl } }) ?? [];
    return members.memberNames().reduce((sum, name) => {
      const part = (place as Record<string, KernelRef>)[name]!;
      const own = members.member(name).type;
      add(p.fieldOffset(part));
      add(p.fieldSize(part));
      if (own.kind !== "ptr") add(p.addressOf(part));
      add(p.select(p.fieldExists(part), p.let(u64, 1), 0));
      if (own.kind === "int" || own.kind === "bits") {
        add(p.select(p.fieldSigned(part), p.let(u64, 1), 0));
        add(p.fieldLeftShift(part));
        add(p.fieldRightShift(part));
      }
      return sum + askAll(p, add, own, part) + 1;
    }, 0);
  }
  if (type.kind !== "array") return 0;
  const { element, length } = type as KernelArrayType;
  const last = (ref as KernelElements<unknown, unknown>).at(length - 1) as KernelRef;
  add(p.fieldOffset(last));
  add(p.fieldSize(last));
  return askAll(p, add, element, last) + 1;
}

const typeName = (type: TypeDecl): string => (type as TypeDecl & { readonly name: string }).name;

t.test("types of any shape are relocated to themselves", (t) => {
  let parts = 0;
  const check = fc.property(randomType, (type) => {
    const program = xdp("asks", (p) => {
      const hash = p.let(u64, 0);
      const object = p.kernelObject(type, p.ktimeGetNs());
      parts += askAll(p, (value) => hash.set(hash.add(value)), type, object);
      hash.set(hash.add(p.typeSize(type)));
      return hash;
    });
    const spec = object({ name: "asks", license: "GPL", programs: [program] }).build();
    const [own] = spec.functions;
    const btf = spec.btf!;
    t.equal(sizeOf(btf, findType(btf, "struct", typeName(type)) ?? findType(btf, "union", typeName(type))!), type.size);
    // CO-RE compares what stands in an instruction with what it finds for the object's own types.
    const { programs } = resolveObject(readObject(writeObject(spec), { name: "asks" }), { coreTypes: () => btf });
    t.ok(Buffer.compare(programs[0]!.load.insns, encodeInsns(own!.insns)) === 0, type.cName);
  });
  t.doesNotThrow(() => fc.assert(check, { numRuns: 60 }));
  t.ok(parts > 200, `${parts} parts`);
  t.end();
});
