// SPDX-License-Identifier: MIT
import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import { encodeInsns } from "../../src/asm/insn.js";
import { dumpTs, findType, openBtf } from "../../src/btf/index.js";
import type { BtfType } from "../../src/btf/types.js";
import {
  array,
  arrayMap,
  btfTypes,
  char,
  type Int,
  type KernelRef,
  type KernelStruct,
  type KernelTypedef,
  kernelStruct,
  object,
  type Program,
  ptr,
  s32,
  struct,
  type TypeDecl,
  u8,
  u32,
  u64,
  xdp,
} from "../../src/dsl/index.js";
import { readObject, writeObject } from "../../src/elf/index.js";
import { readElf } from "../../src/elf/read-elf.js";
import { loadObject, runningKernel } from "../../src/load/index.js";
import type { ObjectSpec } from "../../src/model/spec.js";
import { resolveObject } from "../../src/object/resolve.js";
import { testRun } from "../../src/syscall/program.js";
import type { Types } from "../fixtures/dsl/kernel.js";
import { needsBpfAnd } from "../support/live.js";
import { run, runQuietly, scratchDir, whyNoTool, withPinDir } from "../support/tools.js";

const VMLINUX = "/sys/kernel/btf/vmlinux";
const dir = scratchDir();
const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/dsl/${name}`, import.meta.url));
const whyNoVmlinux = existsSync(VMLINUX) ? false : "skipped: no vmlinux BTF";

/** The types of kernel.c. */
function compiled(): Uint8Array {
  const file = join(dir, "kernel.o");
  runQuietly("clang-19", "-target", "bpf", "-g", "-O2", "-c", fixture("kernel.c"), "-o", file);
  return readElf(readFileSync(file), () => false).sections.find(({ name }) => name === ".BTF")!.content;
}

t.test("the declarations are those of the dump", { skip: whyNoTool("clang-19") }, (t) => {
  const declarations = [...dumpTs(openBtf(compiled()))].join("");
  t.equal(declarations, readFileSync(fixture("kernel.d.ts"), "utf8"));
  t.end();
});

/* The compiler knows a few types; the running kernel has all of them, and elsewhere. */
const kernel = btfTypes<Types>(() => openBtf(readFileSync(VMLINUX)));

const Out = struct("out", {
  tgid: s32,
  parent: s32,
  state: u32,
  usage: s32,
  reset: u32,
  uts: u32,
  files: u64,
  comm: array(char, 16),
  executable: array(char, 32),
  length: u32,
  first: u8,
  missing: u32,
  pid: u32,
  port: u32,
});
const out = arrayMap("out", Out, { maxEntries: 1 });

const looks = xdp("looks", (p) => {
  const Task = kernel["struct task_struct"];
  const it = out.lookup(p, 0).orReturn();
  const task = p.kernelObject(Task, p.getCurrentTask());
  const tgid: Int<"s32"> = task.tgid;
  it.tgid.set(tgid);
  it.parent.set(task.real_parent.tgid);
  it.state.set(task.__state);
  it.usage.set(task.usage.refs.counter);
  it.reset.set(task.sched_reset_on_fork);
  it.uts.set(task.nsproxy.uts_ns.ns.inum);
  it.files.set(task.signal.rlim.at(7).rlim_cur);
  p.coreReadStr(it.comm, task.comm);
  const { d_name: name } = p.coreRead(task.mm).exe_file.f_path.dentry;
  p.coreReadStr(it.executable, name.name);
  it.length.set(name.len);
  it.first.set(name.name.at(0));
  it.missing.set(p.select(p.typeExists(kernel.pid_t), p.let(u32, 1), 2));
  it.pid.set(p.enumeratorValue(kernel["enum pid_type"], "PIDTYPE_TGID"));
  // The letters of the name, looked at as a port in network order.
  const port: Int<"be16"> = p.kernelObject(kernel["struct sock_common"], task.comm).skc_dport;
  it.port.set(port.sub(p.fieldOffset(p.membersOf(kernel["struct sock_common"]).skc_dport)));
  return p.currentTask(Task).tgid;
});

const build = (): ObjectSpec => object({ name: "looks", license: "GPL", programs: [looks] }).build();

t.test("they read what the kernel has", { skip: whyNoVmlinux || needsBpfAnd("bpftool").skip }, (t) => {
  const spec = build();
  for (const each of [spec, readObject(writeObject(spec), { name: "looks" })]) {
    using loaded = loadObject(resolveObject(each, runningKernel()));
    const { retval } = testRun(loaded.program("looks").fd, { data: new Uint8Array(64), dataOutSize: 64 });
    t.equal(retval, process.pid);
    const executable = basename(readlinkSync("/proc/self/exe"));
    const comm = readFileSync("/proc/self/comm", "utf8").trim();
    const seen = loaded.map(out).get(0)!;
    t.match(seen, {
      tgid: process.pid,
      parent: process.ppid,
      state: 0,
      reset: 0,
      uts: Number(/\d+/.exec(readlinkSync("/proc/self/ns/uts"))![0]),
      files: BigInt(/^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))![1]!),
      comm,
      executable,
      length: executable.length,
      first: executable.charCodeAt(0),
      missing: 1,
      pid: 1,
    });
    t.ok(seen.usage > 0);
  }
  const file = join(dir, "looks.o");
  writeFileSync(file, writeObject(spec));
  withPinDir((pin) => {
    const answer = run("bpftool", "prog", "load", file, pin);
    t.equal(answer.status, 0, answer.stderr);
  });
  t.end();
});

t.test("an object gets what it uses", { skip: whyNoVmlinux }, (t) => {
  const { btf, functions } = build();
  const type = (name: string): BtfType => btf!.types[findType(btf!, "struct", name)!]!;
  const members = (name: string): string[] => {
    const found = type(name);
    return found.kind === "struct" ? found.members.map((member) => member.name).sort() : [];
  };
  t.strictSame(
    members("task_struct"),
    ["__state", "comm", "mm", "nsproxy", "real_parent", "sched_reset_on_fork", "signal", "tgid", "usage"].sort(),
  );
  t.strictSame(members("mm_struct"), ["exe_file"]);
  // Members of an anonymous union stand in the struct itself.
  t.strictSame(members("qstr"), ["len", "name"]);
  t.ok(btf!.types.length < 100, `${btf!.types.length} types`);
  const theirs = openBtf(readFileSync(VMLINUX));
  const own = type("task_struct");
  const real = theirs.typeById(findType(theirs, "struct", "task_struct")!);
  t.equal("size" in own && own.size, "size" in real && real.size);
  t.ok(functions[0]!.core.every(({ typeId }) => typeId > 0));
  t.end();
});

t.test("types by hand and by BTF go together", { skip: whyNoVmlinux }, (t) => {
  const Holder = kernelStruct("holder", { task: ptr(kernel["struct task_struct"]), count: u32 });
  const program = xdp("both", (p) => {
    const id = p.typeIdKernel(kernel.int).add(p.typeIdKernel(kernel.pid_t));
    return p.kernelObject(Holder, 8).task.real_parent.tgid.add(id.as(s32));
  });
  const { btf, functions } = object({ name: "both", license: "GPL", programs: [program] }).build();
  const names = functions[0]!.core.map(({ typeId }) => btf!.types[typeId]!);
  t.strictSame(
    names.map((type) => ("name" in type ? type.name : "")),
    ["int", "pid_t", "holder", "task_struct", "task_struct"],
  );
  t.end();
});

interface Members extends TypeDecl {
  memberNames(): readonly string[];
  member(name: string): { readonly type: TypeDecl };
}

const membersOf = (type: TypeDecl): Members =>
  (type.kind === "typedef" ? (type as KernelTypedef).target : type) as TypeDecl as Members;

/** Asks all that can be asked of a type's members, and the places of some inside those. */
function askMembers(p: Program<"xdp">, type: TypeDecl, add: (value: Int) => void): void {
  const object = p.membersOf(type) as unknown as Record<string, KernelRef & Record<string, KernelRef>>;
  for (const name of membersOf(type).memberNames().slice(0, 40)) {
    const member = object[name]!;
    add(p.fieldOffset(member));
    add(p.fieldSize(member));
    for (const flag of [p.fieldExists(member), p.fieldSigned(member)]) add(p.select(flag, p.let(u64, 1), 0));
    const inner = membersOf(membersOf(type).member(name).type);
    if (inner.kind === "int" || inner.kind === "bits") {
      add(p.fieldLeftShift(member));
      add(p.fieldRightShift(member));
    } else if (inner.kind === "kernel") {
      for (const part of inner.memberNames().slice(0, 5)) add(p.fieldOffset(member[part]!));
    }
  }
  add(p.typeSize(type));
}

t.test("the kernel's structs are where they are", { skip: whyNoVmlinux }, (t) => {
  const btf = openBtf(readFileSync(VMLINUX));
  const all = btfTypes<Record<string, KernelStruct>>(btf);
  const isAlone = (id: number): boolean => btf.idsByName(btf.nameById(id), btf.kindById(id)).length === 1;
  const names = ["struct task_struct", "struct slab", "freelist_aba_t", "atomic_t", "struct perf_event"];
  for (let id = 7; id < btf.length && names.length < 90; id += 331) {
    const kind = btf.kindById(id);
    if ((kind === "struct" || kind === "union") && btf.nameById(id) !== "" && isAlone(id)) {
      names.push(`${kind} ${btf.nameById(id)}`);
    }
  }
  let relocations = 0;
  for (const name of names.filter((each) => !each.includes("___"))) {
    const program = xdp("asks", (p) => {
      const hash = p.let(u64, 0);
      askMembers(p, all[name]!, (value) => hash.set(hash.add(value)));
      return hash;
    });
    const spec = object({ name: "asks", license: "GPL", programs: [program] }).build();
    const { insns, core } = spec.functions[0]!;
    const { load } = resolveObject(spec, { coreTypes: () => btf }).programs[0]!;
    if (Buffer.compare(load.insns, encodeInsns(insns)) !== 0) t.fail(`${name} is elsewhere`);
    relocations += core.length;
  }
  t.ok(relocations > 1000, `${relocations} relocations of ${names.length} types`);
  t.end();
});

/** A program that neither compiles nor builds. */
function refused(t: Test, body: (p: Program<"xdp">) => unknown, message: RegExp): void {
  const program = xdp("bad", (p) => {
    body(p);
    return 0;
  });
  t.throws(() => object({ name: "bad", license: "GPL", programs: [program] }).build(), { name: "InputError", message });
}

t.test("what is not declared cannot be used", { skip: whyNoVmlinux }, (t) => {
  const current = (p: Program<"xdp">) => p.kernelObject(kernel["struct task_struct"], p.getCurrentTask());
  // @ts-expect-error a member that is not declared
  refused(t, (p) => current(p).tgdi.get(), /struct task_struct is declared without a member tgdi \(similar: tgid/);
  // @ts-expect-error behind a pointer
  refused(t, (p) => current(p).mm.exe_file.f_pathh, /struct file is declared without a member f_pathh/);
  // @ts-expect-error a type that is not declared
  refused(t, (p) => p.typeExists(kernel["struct no_such_struct"]), /the BTF has no type struct no_such_struct/);
  // @ts-expect-error an enumerator that is not declared
  refused(t, (p) => p.enumeratorValue(kernel["enum pid_type"], "PID"), /enum pid_type is declared without PID/);
  // @ts-expect-error a function's address
  refused(t, (p) => current(p).call.at(0), /declared without a member call/);
  // @ts-expect-error an array is not read as a value
  refused(t, (p) => p.coreRead(current(p).comm), /coreReadInto\(\) copies it/);
  // Declared where the compiler looks, but not in this kernel.
  refused(t, (p) => current(p).no_such_member.get(), /struct task_struct is declared without a member no_such_member/);
  refused(t, (p) => p.typeExists(btfTypes<Types>(() => null).int), /the kernel's types are not at hand/);
  t.end();
});
