// SPDX-License-Identifier: MIT
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { constants, release } from "node:os";
import t from "tap";
import * as kernel from "../../src/kernel/index.js";

/** Runs a program, undefined when it is not installed or fails. */
function run(command: string, args: readonly string[]): string | undefined {
  try {
    return execFileSync(command, args, {
      encoding: "utf8",
      maxBuffer: 2 ** 28,
      stdio: ["ignore", "pipe", "ignore"],
    });
  } catch {
    return undefined;
  }
}

const vmlinux = "/sys/kernel/btf/vmlinux";
const sameKernel = release().startsWith("6.18.");
const dump =
  sameKernel && existsSync(vmlinux) ? run("bpftool", ["btf", "dump", "file", vmlinux, "format", "raw"]) : undefined;
const skipBtf = dump === undefined ? "skipped: no bpftool, no vmlinux BTF or not Linux 6.18" : false;
if (skipBtf) t.comment(skipBtf);

/** Enumerators of the running kernel by name. */
function enumerators(): Map<string, number> {
  const found = new Map<string, number>();
  for (const [, name, value] of dump?.matchAll(/^\t'(\w+)' val=(-?\d+)/gm) ?? []) found.set(name!, Number(value));
  return found;
}

/** Size and members (name → offset in bytes) of one of the running kernel's structs. */
function struct(name: string): { readonly size: number; readonly members: ReadonlyMap<string, number> } {
  const at = dump!.search(new RegExp(`^\\[\\d+\\] STRUCT '${name}' size=`, "m"));
  const [head, ...rest] = dump!.slice(at, at + 20_000).split("\n");
  const end = rest.findIndex((line) => !line.startsWith("\t"));
  const members = rest.slice(0, end).map((line): [string, number] => {
    const match = /^\t'?(.*?)'? type_id=\d+ bits_offset=(\d+)/.exec(line)!;
    const offset = Number(match[2]) / 8;
    return [match[1] === "(anon)" ? `anonymous at ${offset}` : match[1]!, offset];
  });
  return { size: Number(/size=(\d+)/.exec(head!)![1]), members: new Map(members) };
}

t.test("constants against the running kernel's BTF", { skip: skipBtf }, (t) => {
  const live = enumerators();
  // Beside a table, the one name in it that only other kernels have.
  const tables: readonly (readonly [prefix: string, table: Readonly<Record<string, number>>, elsewhere?: string])[] = [
    ["BPF_", kernel.Cmd],
    ["BPF_PROG_TYPE_", kernel.ProgType],
    ["BPF_MAP_TYPE_", kernel.MapType, "INSN_ARRAY"],
    ["BPF_", kernel.AttachType],
    ["BPF_LINK_TYPE_", kernel.LinkType],
    ["BPF_F_", kernel.MapFlag],
    ["XDP_", kernel.XdpAction],
    ["SK_", kernel.SkAction],
    ["BPF_FD_TYPE_", kernel.TaskFdType],
    ["", kernel.TypeFlag],
    ["ARG_", kernel.ArgType, "SCALAR"],
    ["RET_", kernel.RetType],
    ["", kernel.RegType],
  ];
  for (const [prefix, table, elsewhere] of tables) {
    for (const [name, value] of Object.entries(table)) {
      const known = live.get(prefix + name);
      if (known === undefined && name === elsewhere) continue;
      t.equal(known, value, prefix + name);
    }
  }
  const counts: readonly (readonly [last: string, table: object])[] = [
    ["__MAX_BPF_CMD", kernel.Cmd],
    ["__MAX_BPF_PROG_TYPE", kernel.ProgType],
    ["__MAX_BPF_ATTACH_TYPE", kernel.AttachType],
    ["__MAX_BPF_LINK_TYPE", kernel.LinkType],
  ];
  for (const [last, table] of counts) t.equal(Object.keys(table).length, live.get(last), `${last}: none is missing`);
  kernel.helperNames.forEach((name, id) => {
    t.equal(live.get(`BPF_FUNC_${name}`), id, `BPF_FUNC_${name}`);
  });
  t.equal(live.get("__BPF_FUNC_MAX_ID"), kernel.HELPER_MAX_ID);
  t.end();
});

t.test("context layouts against the running kernel's BTF", { skip: skipBtf }, (t) => {
  for (const layout of [kernel.socketFilterCtx, kernel.schedClsCtx]) {
    const { size, members } = struct("__sk_buff");
    t.equal(layout.size, size);
    for (const field of layout.fields) {
      // flow_keys and sk stand in anonymous unions.
      if (field.name !== "flow_keys" && field.name !== "sk") t.equal(members.get(field.name), field.offset, field.name);
      else t.ok([...members.values()].includes(field.offset), field.name);
    }
    t.equal(layout.fields.length, members.size);
  }
  const xdp = struct("xdp_md");
  t.equal(kernel.xdpCtx.size, xdp.size);
  t.same(new Map(kernel.xdpCtx.fields.map((field) => [field.name, field.offset])), xdp.members);
  const regs = struct("pt_regs");
  t.equal(kernel.kprobeCtx.size, regs.size);
  t.equal(kernel.kprobeCtx.fields.length, regs.members.size);
  for (const field of kernel.kprobeCtx.fields) {
    // cs and ss stand in anonymous unions.
    if (field.name !== "cs" && field.name !== "ss") t.equal(regs.members.get(field.name), field.offset, field.name);
  }
  const event = struct("bpf_perf_event_data");
  t.equal(kernel.perfEventCtx.size, event.size);
  for (const name of ["sample_period", "addr"]) {
    t.equal(kernel.perfEventCtx.fields.find((field) => field.name === name)?.offset, event.members.get(name), name);
  }
  t.end();
});

t.test("fields of a context neither overlap nor leave it", (t) => {
  for (const type of Object.values(kernel.ProgType)) {
    const layout = kernel.ctxLayout(type);
    let end = 0;
    for (const field of layout?.fields ?? []) {
      t.ok(field.offset >= end, `${layout!.name}.${field.name}`);
      end = field.offset + field.size * field.count;
      t.equal(kernel.ctxFieldAt(layout!, end - 1), field);
    }
    if (layout) t.ok(end <= layout.size);
  }
  t.equal(kernel.ctxFieldAt(kernel.xdpCtx, 24), undefined);
  t.equal(kernel.ctxFieldAt(kernel.tracepointCtx, 7), undefined);
  t.end();
});

t.test("names as bpftool prints them", (t) => {
  const groups: readonly (readonly [group: string, name: (n: number) => string | undefined, count: number])[] = [
    ["prog_types", kernel.progTypeName, Object.keys(kernel.ProgType).length],
    ["map_types", kernel.mapTypeName, Object.keys(kernel.MapType).length],
    ["attach_types", kernel.attachTypeName, Object.keys(kernel.AttachType).length],
    ["link_types", kernel.linkTypeName, Object.keys(kernel.LinkType).length],
  ];
  for (const [group, name, count] of groups) {
    t.ok(Array.from({ length: count }, (_, i) => name(i)).every((text) => text !== undefined));
    t.equal(name(count), undefined);
    const listed = run("bpftool", ["feature", "list_builtins", group])?.trim().split("\n");
    if (listed === undefined) t.comment(`skipped: no bpftool, ${group}`);
    else
      t.same(
        listed,
        listed.map((_, i) => name(i)),
        group,
      );
  }
  t.end();
});

t.test("errno", (t) => {
  const aliases: Readonly<Record<string, string>> = { EWOULDBLOCK: "EAGAIN", ENOTSUP: "EOPNOTSUPP" };
  for (const [alias, value] of Object.entries(constants.errno)) {
    const name = aliases[alias] ?? alias;
    t.equal((kernel.Errno as Readonly<Record<string, number>>)[name], value, name);
    t.equal(kernel.errnoName(value), name);
  }
  t.equal(kernel.Errno.EOPNOTSUPP, 95);
  t.equal(kernel.Errno.ENOTSUPP, 524);
  t.equal(kernel.errnoName(9999), undefined);
  t.equal(kernel.errnoText(9999), "Unknown error 9999");
  const texts = run("python3", ["-c", "import os,json; print(json.dumps([os.strerror(i) for i in range(134)]))"]);
  if (texts === undefined) t.comment("skipped: no python3");
  else {
    const all: string[] = JSON.parse(texts);
    for (let i = 1; i < all.length; i++) t.equal(kernel.errnoText(i), all[i], `strerror(${i})`);
  }
  t.end();
});

t.test("profiles", (t) => {
  const profile = kernel.kernelProfile("6.18");
  t.equal(profile, kernel.DEFAULT_PROFILE);
  t.equal(kernel.kernelProfile("2.6"), undefined);
  t.equal(profile?.progTypes.has(kernel.ProgType.NETFILTER), true);
  t.equal(profile?.progTypes.has(kernel.ProgType.UNSPEC), false);
  t.equal(profile?.mapTypes.has(kernel.MapType.ARENA), true);
  t.equal(profile?.mapTypes.has(kernel.MapType.INSN_ARRAY), false);
  t.end();
});
