// SPDX-License-Identifier: MIT
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { readObject } from "../../src/elf/read-object.js";
import { runningKernel } from "../../src/load/kernel-facts.js";
import { loadObject } from "../../src/load/load-object.js";
import { explainMissing } from "../../src/object/missing.js";
import { resolveObject } from "../../src/object/resolve.js";
import { VerifierRejection } from "../../src/syscall/errors.js";
import { verify } from "../../src/verifier/verify.js";
import { run, runQuietly, scratchDir, whyNoBpffs, whyNoTool, withPinDir } from "../support/tools.js";

const PRELUDE = `
#define SEC(name) __attribute__((section(name), used))
#define CORE __attribute__((preserve_access_index))
static long (*bpf_get_current_task)(void) = (void *)35;
static long (*bpf_probe_read_kernel)(void *, unsigned, const void *) = (void *)113;
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
char _license[] SEC("license") = "GPL";
`;

const SOURCES = {
  field: `struct task_struct { int there_is_no_such; struct { int inner[4]; } deep; } CORE;
    static __attribute__((noinline)) int sub(void) {
      struct task_struct *t = (void *)bpf_get_current_task(); int v = 0;
      bpf_probe_read_kernel(&v, 4, &t->deep.inner[2]); return v; }
    SEC("raw_tp/sched_switch") int program(void *ctx) { return 1 + sub(); }`,
  size: `struct there_is_no_such { struct { int b; } a[3]; } CORE;
    SEC("raw_tp/sched_switch") int program(void *ctx) {
      return __builtin_preserve_field_info(((struct there_is_no_such *)0)->a[1].b, 1); }`,
  enumerator: `enum there_is_no_such { FIRST = 3 };
    SEC("raw_tp/sched_switch") int program(void *ctx) {
      return __builtin_preserve_enum_value(*(typeof(enum there_is_no_such) *)FIRST, 1); }`,
};

const dir = scratchDir();

function compile(name: string, source: string): string {
  const file = join(dir, `${name}.c`);
  const object = join(dir, `${name}.o`);
  writeFileSync(file, PRELUDE + source);
  runQuietly("clang-19", "-target", "bpf", "-g", "-O2", "-c", file, "-o", object, "-Wno-everything");
  return object;
}

/** The log that libbpf shows when it cannot load the object. */
function libbpfsLog(object: string): string {
  const { status, stderr } = withPinDir((pins) => run("bpftool", "prog", "load", object, pins));
  if (status === 0) throw new Error(`${object} was loaded`);
  return /-- BEGIN PROG LOAD LOG --\n([\s\S]*?)-- END PROG LOAD LOG --/.exec(stderr)?.[1] ?? stderr;
}

const skip = whyNoTool("clang-19", "bpftool") ?? whyNoBpffs();

t.test("a rejection says what is missing, as libbpf says it", { skip }, (t) => {
  for (const [name, source] of Object.entries(SOURCES)) {
    const object = compile(name, source);
    const theirs = libbpfsLog(object);
    t.match(theirs, /failed to resolve CO-RE relocation/, name);
    const resolved = resolveObject(readObject(readFileSync(object), { name }), runningKernel());
    try {
      loadObject(resolved).close();
      t.fail(`${name} was loaded`);
    } catch (error) {
      if (!(error instanceof VerifierRejection)) throw error;
      t.equal(error.log.trimEnd(), theirs.trimEnd(), name);
      t.match(error.reason, /^failed to resolve CO-RE relocation </);
    }
    const { load, missing } = resolved.programs[0]!;
    const { log } = verify(load, { logLevel: 1 });
    t.match(log, /invalid func unknown#195896080/, "the verifier itself cannot know");
    t.equal(explainMissing(log, missing)?.log.trimEnd(), theirs.trimEnd(), name);
  }
  t.end();
});

t.test("so it does for maps and functions", { skip: whyNoTool("clang-19") }, (t) => {
  const object = compile(
    "others",
    `extern int there_is_no_such(int) SEC(".ksyms") __attribute__((weak));
    struct { int (*type)[1]; int (*max_entries)[1]; int *key; long *value; } numbers SEC(".maps");
    SEC("raw_tp/sched_switch") int map(void *ctx) { int key = 0; return !!bpf_map_lookup_elem(&numbers, &key); }
    SEC("raw_tp/sched_switch") int kfunc(void *ctx) { return there_is_no_such(1); }`,
  );
  const spec = readObject(readFileSync(object), { name: "others" });
  const kernelTypes = () => ({ types: [{ kind: "void" } as const] });
  const { programs } = resolveObject(spec, { kernelTypes, withoutMaps: new Set(["numbers"]) });
  // The messages of libbpf's fixup_log_missing_map_load() and fixup_log_missing_kfunc_call().
  const expected = {
    map: /^\d: <invalid BPF map reference>\nBPF map 'numbers' is referenced but wasn't created\nprocessed \d+ insns/m,
    kfunc: /^1: <invalid kfunc call>\nkfunc 'there_is_no_such' is referenced but wasn't resolved\nprocessed 2 insns/m,
  };
  for (const [name, log] of Object.entries(expected)) {
    const { load, missing } = programs.find((program) => program.name === name)!;
    t.match(explainMissing(verify(load, { logLevel: 1 }).log, missing)?.log, log);
  }
  t.equal(explainMissing("invalid func unknown#7\n", [{ insn: 0, kind: "map", what: "x" }]), undefined);
  t.equal(explainMissing("", [{ insn: 0, kind: "map", what: "x" }]), undefined);
  t.end();
});
