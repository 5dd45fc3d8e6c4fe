// SPDX-License-Identifier: MIT
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { readObject } from "../../src/elf/read-object.js";
import { packKernelVersion, readKallsyms, runningKernel, runningKernelVersion } from "../../src/load/kernel-facts.js";
import { loadObject } from "../../src/load/load-object.js";
import { resolveObject } from "../../src/object/resolve.js";
import { mapInfo } from "../../src/syscall/info.js";
import { MapAccess } from "../../src/syscall/map.js";
import { testRun } from "../../src/syscall/program.js";
import { runQuietly, scratchDir, whyNoBpf, whyNoTool } from "../support/tools.js";

const PREFIX = `
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __ulong(name, val) enum { ___##name = val } name
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
typedef unsigned int u32;
typedef unsigned long long u64;
static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*tail_call)(void *ctx, void *map, u32 index) = (void *)12;
char _license[] SEC("license") = "GPL";
`;

/** Compiles C and resolves it for the running kernel. */
function compile(name: string, source: string) {
  const directory = scratchDir();
  const file = join(directory, `${name}.c`);
  writeFileSync(file, PREFIX + source);
  const flags = ["-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wno-everything", "-c"];
  runQuietly("clang-19", ...flags, file, "-o", join(directory, `${name}.o`));
  const spec = readObject(readFileSync(join(directory, `${name}.o`)), { name });
  return resolveObject(spec, runningKernel());
}

const skip = whyNoBpf() ?? whyNoTool("clang-19") ?? false;

t.test("maps hold maps and programs from the start", { skip }, (t) => {
  using object = loadObject(
    compile(
      "slots",
      `
struct inner { __uint(type, 2); __type(key, u32); __type(value, u32); __uint(max_entries, 1); };
struct inner one SEC(".maps"), two SEC(".maps");
struct { __uint(type, 12); __uint(max_entries, 4); __type(key, u32); __array(values, struct inner); } outer SEC(".maps") = {
  .values = { [1] = (void *)&two, [3] = (void *)&one },
};
int target(void *ctx);
struct { __uint(type, 3); __uint(max_entries, 3); __uint(key_size, 4); __array(values, int(void *)); } jumps SEC(".maps") = {
  .values = { [2] = (void *)&target },
};
SEC("tc") int target(void *ctx) { return 77; }
SEC("tc") int main_prog(void *ctx) {
  u32 key = 1;
  if (lookup(&outer, &key)) tail_call(ctx, &jumps, 2);
  return 1;
}
`,
    ),
  );
  const outer = new MapAccess(object.mapEntry("outer").fd, 4, 4);
  const inside = [0, 1, 2, 3].map((key) => {
    outer.key.setUint32(0, key, true);
    return outer.lookup() ? outer.value.getUint32(0, true) : 0;
  });
  const id = (name: string) => mapInfo(object.mapEntry(name).fd).id;
  t.same(inside, [0, id("two"), 0, id("one")]);
  const { retval } = testRun(object.program("main_prog").fd, { data: new Uint8Array(64) });
  t.equal(retval, 77, "the program that was called stands in the map");
  t.end();
});

t.test("what a map declares reaches the kernel", { skip }, (t) => {
  const source = (node: number) => `
struct guarded { struct bpf_spin_lock { u32 val; } lock; u32 count; };
struct inner { __uint(type, 2); __type(key, u32); __type(value, struct guarded); __uint(max_entries, 1); };
struct { __uint(type, 12); __uint(max_entries, 4); __type(key, u32); __array(values, struct inner); } outer SEC(".maps");
struct { __uint(type, 1); __type(key, u32); __type(value, u32); __uint(max_entries, 1); __uint(map_flags, 4);
  __uint(numa_node, ${node}); } here SEC(".maps");
struct { __uint(type, 30); __type(value, u32); __uint(max_entries, 8); __uint(map_extra, 3); } bloom SEC(".maps");
static long (*spin_lock)(void *) = (void *)93, (*spin_unlock)(void *) = (void *)94;
__attribute__((noinline)) u32 told(struct guarded *value) { return value ? value->count : 0; }
SEC("tc") int locks(void *ctx) {
  u32 key = 0;
  void *held = lookup(&outer, &key);
  struct guarded *value = held ? lookup(held, &key) : 0;
  if (!value) return told(value) + (lookup(&here, &key) != 0);
  spin_lock(&value->lock);
  value->count++;
  spin_unlock(&value->lock);
  return 0;
}`;
  // Without its types the kernel does not see a lock in the inner map.
  using object = loadObject(compile("declared", source(0)));
  t.equal(mapInfo(object.maps.get("bloom")!.fd).extra, 3n);
  t.throws(() => loadObject(compile("elsewhere", source(9999))).close(), { code: "EINVAL" }, "no such NUMA node");
  t.end();
});

t.test("the kernel calls programs that implement a struct", { skip }, (t) => {
  const source = (section: string) => `
struct tcp_congestion_ops { u32 (*ssthresh)(void *sk); u32 (*undo_cwnd)(void *sk);
  void (*cong_avoid)(void *sk, u32 ack, u32 acked); char name[16]; };
SEC("struct_ops") u32 my_ssthresh(u64 *ctx) { return 2; }
SEC("struct_ops") u32 my_undo(u64 *ctx) { return 3; }
SEC("struct_ops") void my_avoid(u64 *ctx) {}
SEC("${section}") struct tcp_congestion_ops mine = {
  .ssthresh = (void *)my_ssthresh, .undo_cwnd = (void *)my_undo, .cong_avoid = (void *)my_avoid, .name = "bpfsmith_test",
};
`;
  const listed = () =>
    readFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control", "utf8").includes("bpfsmith_");
  for (const section of [".struct_ops", ".struct_ops.link"]) {
    using object = loadObject(compile("ops", source(section)));
    t.same(object.structOps, ["mine"]);
    t.notOk(listed());
    const [link] = section === ".struct_ops" ? [object.attachStructOps("mine")] : object.attachAll();
    t.ok(listed(), section);
    link!.close();
    t.notOk(listed(), `${section} ends`);
    t.throws(() => object.attachStructOps("other"), { name: "InputError" });
  }
  t.end();
});

t.test("an arena has its content", { skip }, (t) => {
  const source = (extra: string) => `
#define __arena __attribute__((address_space(1)))
struct { __uint(type, 33); __uint(map_flags, 1 << 10); __uint(max_entries, 4); ${extra} } arena SEC(".maps");
u64 __arena SEC(".addr_space.1") numbers[2] = { 5, 6 };
SEC("syscall") int sum(void *ctx) { void *m = &arena; asm volatile("" : "+r"(m)); return numbers[0] + numbers[1]; }
`;
  for (const extra of ["", "__ulong(map_extra, 0x1ull << 44);"]) {
    using object = loadObject(compile("arena", source(extra)));
    t.equal(testRun(object.program("sum").fd, {}).retval, 11, extra);
  }
  t.end();
});

t.test("what the machine says", (t) => {
  t.equal(packKernelVersion(6, 18, 300), 0x0612ff);
  if (process.platform === "linux") t.ok(runningKernelVersion() > 0);
  const kallsyms = readKallsyms(
    "ffff01 T start\nffff02 t local\t[module]\nffff03 t local\nffff04 d data.llvm.123\nffff05 t code.llvm.1\nffff06 T last",
  );
  t.same(kallsyms("start"), [0xffff01n]);
  t.same(kallsyms("local"), [0xffff02n, 0xffff03n]);
  t.same(kallsyms("data"), [0xffff04n]);
  t.same(kallsyms("code"), [], "only data keeps its name through link-time optimization");
  t.same(kallsyms("last"), [0xffff06n]);
  t.same(kallsyms("star"), []);
  t.end();
});
