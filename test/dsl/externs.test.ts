// SPDX-License-Identifier: MIT
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import t, { type Test } from "tap";
import { resolveType } from "../../src/btf/index.js";
import type { Btf } from "../../src/btf/types.js";
import {
  array,
  arrayMap,
  bool,
  char,
  hashMap,
  kconfig,
  kernelStruct,
  kfunc,
  ksym,
  object,
  type Program,
  ptr,
  s32,
  struct,
  tristate,
  u16,
  u32,
  u64,
  xdp,
} from "../../src/dsl/index.js";
import { readObject, writeObject } from "../../src/elf/index.js";
import { loadObject, runningKernel } from "../../src/load/index.js";
import type { ObjectSpec } from "../../src/model/spec.js";
import { resolveObject } from "../../src/object/resolve.js";
import { testRun } from "../../src/syscall/program.js";
import { verify } from "../../src/verifier/index.js";
import { needsBpfAnd } from "../support/live.js";
import { run, runQuietly, scratchDir, whyNoTool, withPinDir } from "../support/tools.js";

const dir = scratchDir();

function needsTypes(...commands: readonly string[]): { skip: string | false } {
  return existsSync("/sys/kernel/btf/vmlinux") ? needsBpfAnd(...commands) : { skip: "skipped: no vmlinux BTF" };
}

const Task = kernelStruct("task_struct", {
  tgid: s32,
  get real_parent() {
    return ptr(Task);
  },
});
const Rq = kernelStruct("rq", { nr_running: u32 });

const HZ = kconfig("CONFIG_HZ", u64);
const BPF = kconfig("CONFIG_BPF", bool);
const VERSION = kconfig("LINUX_KERNEL_VERSION", u32);
const NOTHING = kconfig("CONFIG_NO_SUCH_THING", u32, { weak: true });
const COMPILER = kconfig("CONFIG_CC_VERSION_TEXT", array(char, 32));
const SYSCALL = kconfig("CONFIG_BPF_SYSCALL", tristate);
const schedule = ksym("schedule");
const noSymbol = ksym("no_such_symbol_at_all", { weak: true });
const runqueues = ksym("runqueues", Rq, { weak: true });
const fromPid = kfunc("bpf_task_from_pid", [s32], ptr(Task), { mayBeNull: true });
const releaseTask = kfunc("bpf_task_release", [ptr(Task)], null);
const noFunction = kfunc("bpf_no_such_function", [u64], s32, { weak: true });

const Out = struct("out", {
  hz: u64,
  bpf: bool,
  version: u32,
  nothing: u32,
  compiler: array(char, 32),
  syscall: u32,
  schedule: u64,
  noSymbol: u32,
  tgid: u32,
  parent: u32,
  noFunction: u32,
  function: u32,
});
const out = arrayMap("out", Out, { maxEntries: 1 });

/** Writes 1 or 2. */
const uses = xdp("uses", (p) => {
  const it = out.lookup(p, 0).orReturn();
  it.hz.set(HZ.get(p));
  it.bpf.set(BPF.get(p));
  it.version.set(VERSION.get(p));
  it.nothing.set(NOTHING.get(p).add(5));
  it.compiler.set(COMPILER.get(p));
  it.syscall.set(SYSCALL.get(p));
  it.schedule.set(schedule.address(p));
  it.noSymbol.set(p.select(noSymbol.exists(p), p.let(u32, 1), 2));
  p.ifNotNull(fromPid.call(p, p.getCurrentPidTgid().shr(32).as(s32)), (task) => {
    it.tgid.set(task.tgid);
    it.parent.set(task.real_parent.tgid);
    releaseTask.call(p, task);
  });
  p.if(
    noFunction.exists(p),
    () => it.noFunction.set(noFunction.call(p, 7)),
    () => it.noFunction.set(2),
  );
  it.function.set(p.select(fromPid.exists(p), p.let(u32, 1), 2));
  return 0;
});

const decl = object({ name: "externs", license: "GPL", programs: [uses] });

/** Programs that use something that not every kernel has. */
const cpu = object({
  name: "cpu",
  license: "GPL",
  programs: [xdp("cpu", (p) => p.select(runqueues.exists(p), runqueues.thisCpu(p).nr_running.as(u32), 0))],
});

/** What an object says of its externs. */
function said({ externs, btf }: ObjectSpec): unknown[] {
  return externs
    .map(({ name, section, kind, weak, visibility, size, align, btfId }) => {
      const type = btf!.types[btfId]!;
      return {
        name,
        section,
        kind,
        weak,
        visibility,
        size,
        align,
        type: outline(btf!, type.kind === kind ? btfId : 0),
      };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** An extern's type without names of typedefs and parameters. */
function outline(btf: Btf, id: number, depth = 0): unknown {
  const type = id === 0 ? { kind: "void" as const } : resolveType(btf, id);
  if ((type.kind === "var" || type.kind === "func") && depth === 0) return [type.linkage, outline(btf, type.type, 1)];
  if (type.kind === "funcProto") {
    return [outline(btf, type.returnType, 2), type.params.map((param) => outline(btf, param.type, 2))];
  }
  if (type.kind === "ptr") return ["ptr", outline(btf, type.type, 2)];
  if (type.kind === "array") return ["array", type.nelems, outline(btf, type.type, 2)];
  if (type.kind === "int") return [type.size, type.encoding];
  return "name" in type ? `${type.kind} ${type.name}` : type.kind;
}

t.test("externs are clang's", { skip: whyNoTool("clang-19") }, (t) => {
  const source = fileURLToPath(new URL("../fixtures/dsl/externs.c", import.meta.url));
  const file = join(dir, "clang.o");
  runQuietly("clang-19", "-target", "bpf", "-g", "-O2", "-c", source, "-o", file);
  const theirs = readObject(readFileSync(file), { name: "clang" });
  const both = object({ name: "both", license: "GPL", programs: [...decl.programs, ...cpu.programs] });
  t.strictSame(said(both.build()), said(theirs));
  t.strictSame(said(readObject(writeObject(both.build()), { name: "both" })), said(theirs), "written and read");
  t.end();
});

/** Lines of the kernel's configuration. */
function config(): string {
  const file = `/boot/config-${release()}`;
  return existsSync(file) ? readFileSync(file, "utf8") : gunzipSync(readFileSync("/proc/config.gz")).toString();
}

const whyNoConfig =
  existsSync("/proc/config.gz") || existsSync(`/boot/config-${release()}`) ? false : "skipped: no config";

t.test("what the kernel has is found", { skip: needsTypes().skip || whyNoConfig }, (t) => {
  const setting = (name: string): string => new RegExp(`^CONFIG_${name}=(.*)$`, "m").exec(config())?.[1] ?? "";
  const [major, minor, patch] = release().split(/\D/).map(Number) as [number, number, number];
  const address = /^(\w+) \w schedule$/m.exec(readFileSync("/proc/kallsyms", "utf8"))![1]!;
  const spec = decl.build();
  for (const each of [spec, readObject(writeObject(spec), { name: "externs" })]) {
    const resolved = resolveObject(each, runningKernel());
    t.equal(verify(resolved.programs[0]!.load).verdict, "unsupported", "the mirror knows no kfuncs yet");
    using loaded = loadObject(resolved);
    testRun(loaded.program("uses").fd, { data: new Uint8Array(64), dataOutSize: 64 });
    t.match(loaded.map(out).get(0), {
      hz: BigInt(setting("HZ")),
      bpf: setting("BPF") === "y",
      version: (major << 16) | (minor << 8) | Math.min(patch, 255),
      nothing: 5,
      compiler: setting("CC_VERSION_TEXT").replaceAll('"', "").slice(0, 31),
      syscall: 1,
      schedule: BigInt(`0x${address}`),
      noSymbol: 2,
      tgid: process.pid,
      parent: process.ppid,
      noFunction: 2,
      function: 1,
    });
  }
  t.end();
});

t.test("libbpf loads them", needsTypes("bpftool"), (t) => {
  const files = [decl, cpu].map((each) => {
    const file = join(dir, `${each.name}.o`);
    writeFileSync(file, writeObject(each.build()));
    return file;
  });
  withPinDir((pin) => {
    const answer = run("bpftool", "prog", "load", files[0]!, pin);
    t.equal(answer.status, 0, answer.stderr);
  });
  // Not every kernel knows the addresses of its variables.
  let ours = "";
  try {
    loadObject(resolveObject(cpu.build(), runningKernel())).close();
  } catch (error) {
    ours = String(error);
  }
  withPinDir((pin) => {
    const { status, stderr } = run("bpftool", "prog", "load", files[1]!, pin);
    t.equal(status === 0, ours === "");
    const missing = "failed to find the address for kernel symbol 'runqueues'";
    t.equal(stderr.includes(missing), ours.includes(missing), ours);
  });
  t.end();
});

/* What is refused. */

type Body = (p: Program<"xdp">) => unknown;

/** A program that neither compiles nor builds. */
function refused(t: Test, body: Body, message: RegExp): void {
  const program = xdp("bad", (p) => {
    body(p);
    return 0;
  });
  t.throws(() => object({ name: "bad", license: "GPL", programs: [program] }).build(), { name: "InputError", message });
}

t.test("what is wrong with externs", (t) => {
  const counts = hashMap("counts", u32, u64, { maxEntries: 1 });
  // @ts-expect-error the configuration has no structs
  t.throws(() => kconfig("CONFIG_X", Out), {
    name: "InputError",
    message: /is an integer, bool, tristate or char\[\]/,
  });
  // @ts-expect-error nor arrays of numbers
  t.throws(() => kconfig("CONFIG_X", array(u16, 2)), { message: /is an integer, bool, tristate or char\[\]/ });
  t.throws(() => ksym("no good"), { message: /"no good" cannot name something of the kernel's/ });
  t.throws(() => kfunc("f", [u32, u32, u32, u32, u32, u32], null), { message: /at most five parameters/ });
  t.throws(() => kfunc("f", [], ptr()), { message: /an integer or a pointer to a type, not void \*/ });
  // @ts-expect-error the configuration cannot be written
  const writes = xdp("bad", (p) => HZ.get(p).set(1));
  t.throws(() => object({ name: "bad", license: "GPL", programs: [writes] }).build(), TypeError);
  // @ts-expect-error an integer
  refused(t, (p) => fromPid.call(p, counts), /expects an integer as argument 1, got an object/);
  // @ts-expect-error one argument
  refused(t, (p) => fromPid.call(p), /takes 1 arguments, got 0/);
  // @ts-expect-error a pointer
  refused(t, (p) => releaseTask.call(p, 1), /expects a pointer as argument 1, got a number/);
  // @ts-expect-error a pointer that may be null
  refused(t, (p) => fromPid.call(p, 1).tgid.get(), /may be null: check it with p\.ifNotNull/);
  refused(t, (p) => [HZ.get(p), kconfig("CONFIG_HZ", u32).get(p)], /CONFIG_HZ is declared extern twice/);
  t.end();
});
