// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { existsSync, openSync, readFileSync, readlinkSync, unlinkSync } from "node:fs";
import t from "tap";
import { alu64Imm, exit, ldMapFd, ldx, mov64Imm, mov64Reg, stImm } from "../../src/asm/build.js";
import { encodeInsns, type Insn } from "../../src/asm/insn.js";
import { R0, R1, R2, R3, R10 } from "../../src/asm/opcode.js";
import { Errno } from "../../src/kernel/errno.js";
import { MapType, ProgType } from "../../src/kernel/uapi.js";
import {
  acceptedLoads,
  BatchCursor,
  btfInfo,
  createMap,
  deleteBatch,
  Fd,
  freezeMap,
  getPinned,
  LOADS_PER_PAUSE,
  lastMeaningfulLine,
  loadBtf,
  loadProgram,
  lookupBatch,
  MapAccess,
  mapInfo,
  objectIds,
  openById,
  PAUSE_MS,
  pinObject,
  programInfo,
  SyscallError,
  testRun,
  translatedInsns,
  updateBatch,
  VerifierRejection,
} from "../../src/syscall/index.js";
import * as layout from "../../src/syscall/layout.js";
import { withLog } from "../../src/syscall/log-buffer.js";
import { BugError } from "../../src/util/errors.js";
import { bpftool, helper, needsBpf, needsBpfAnd, openBpfFds } from "../support/live.js";

const bytes = (...insns: readonly (Insn | readonly Insn[])[]): Uint8Array => encodeInsns(insns.flat());
const RETURN_0 = bytes(mov64Imm(R0, 0), exit());
const filter = (insns: Uint8Array, name = "t") => ({ name, type: ProgType.SOCKET_FILTER, insns, license: "GPL" });

function caught<T extends Error>(t: Tap.Test, kind: new (...args: never[]) => T, action: () => unknown): T {
  try {
    action();
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  t.fail("nothing was thrown");
  throw new Error("unreachable");
}

namespace Tap {
  export type Test = Pick<typeof t, "fail">;
}

interface BtfDump {
  readonly types: readonly {
    readonly kind: string;
    readonly name: string;
    readonly type_id?: number;
    readonly members?: readonly { readonly name: string; readonly type_id: number; readonly bits_offset: number }[];
  }[];
}

t.test("our structures stand as the running kernel's BTF has them", needsBpfAnd("bpftool"), (t) => {
  const { types } = bpftool<BtfDump>("btf", "dump", "file", "/sys/kernel/btf/vmlinux");
  type Offsets = Map<string, number>;
  /** Members with byte offsets; those of anonymous members as their own, those of named ones as a group of its own. */
  const flatten = (id: number, base: number, into: Offsets, groups: Offsets[]): void => {
    for (const member of types[id - 1]!.members!) {
      const at = base + member.bits_offset / 8;
      const inner = types[member.type_id - 1]!;
      const composite = inner.kind === "STRUCT" || inner.kind === "UNION";
      if (!composite || member.name !== "(anon)") into.set(member.name, at);
      if (!composite) continue;
      const target: Offsets = member.name === "(anon)" ? into : new Map();
      flatten(member.type_id, at, target, groups);
      if (target !== into) groups.push(target);
    }
  };
  const find = (name: string, kind: string): number =>
    types.findIndex((type) => type.name === name && type.kind === kind) + 1;
  const structs = new Map<string, Offsets[]>();
  const attrGroups: Offsets[] = [];
  for (const { type_id } of types[find("bpf_attr", "UNION") - 1]!.members!) {
    const members: Offsets = new Map();
    flatten(type_id, 0, members, attrGroups);
    attrGroups.push(members);
  }
  structs.set("bpf_attr", attrGroups);
  for (const name of ["bpf_prog_info", "bpf_map_info", "bpf_btf_info", "bpf_link_info", "perf_event_attr"]) {
    const members: Offsets = new Map();
    flatten(find(name, "STRUCT"), 0, members, []);
    structs.set(name, [members]);
  }
  const structOf: Readonly<Record<string, string>> = {
    PROG_INFO: "bpf_prog_info",
    MAP_INFO: "bpf_map_info",
    BTF_INFO: "bpf_btf_info",
    LINK_INFO: "bpf_link_info",
    PERF_EVENT_ATTR: "perf_event_attr",
  };
  let compared = 0;
  for (const [name, table] of Object.entries(layout)) {
    if (typeof table === "number") continue;
    const candidates = structs.get(structOf[name] ?? "bpf_attr")!;
    const fields = Object.entries(table).filter(([field]) => field !== "size");
    const kernelName = (field: string) =>
      field === "size_field" ? "size" : name === "PERF_EVENT_ATTR" && field === "flags" ? "disabled" : field;
    const fits = candidates.some((offsets) => fields.every(([field, at]) => offsets.get(kernelName(field)) === at));
    t.ok(fits, `${name}: ${fields.length} members`);
    compared += fields.length;
  }
  t.ok(compared > 150, `${compared} members compared`);
  t.end();
});

t.test("a descriptor is closed exactly once", needsBpf(), (t) => {
  const before = openBpfFds().length;
  const map = createMap({ name: "once", type: MapType.ARRAY, keySize: 4, valueSize: 4, maxEntries: 1 });
  const { number } = map;
  map.close();
  t.ok(map.closed);
  const other = openSync("/dev/null", "r");
  t.equal(other, number, "the number is in use again");
  map.close();
  t.equal(readlinkSync(`/proc/self/fd/${other}`), "/dev/null", "a second close leaves the new owner alone");
  new Fd(other, "null").close();
  t.throws(() => map.number, BugError);
  const released = new Fd(openSync("/dev/null", "r"), "null");
  const kept = released.release();
  released.close();
  t.ok(existsSync(`/proc/self/fd/${kept}`), "what was released is not closed");
  new Fd(kept, "null").close();
  const thrown = caught(t, SyscallError, () => {
    using outer = createMap({ name: "outer", type: MapType.ARRAY, keySize: 4, valueSize: 4, maxEntries: 1 });
    using inner = createMap({ name: "inner", type: MapType.ARRAY, keySize: 4, valueSize: 4, maxEntries: 1 });
    t.equal(openBpfFds().length, before + 2, `${outer.what} and ${inner.what} are open`);
    createMap({ name: "bad", type: MapType.ARRAY, keySize: 3, valueSize: 4, maxEntries: 1 });
  });
  t.equal(thrown.errno, Errno.EINVAL);
  t.equal(openBpfFds().length, before, "closed while the exception flew");
  t.end();
});

t.test("single elements", needsBpf(), (t) => {
  using map = createMap({ name: "bpfs_elems", type: MapType.HASH, keySize: 4, valueSize: 8, maxEntries: 3 });
  const access = new MapAccess(map, 4, 8);
  const put = (key: number, value: bigint, flags = 0) => {
    access.key.setUint32(0, key, true);
    access.value.setBigUint64(0, value, true);
    access.update(flags);
  };
  put(1, 100n);
  put(2, 0xffff_ffff_ffff_ffffn);
  put(3, 300n);
  access.key.setUint32(0, 2, true);
  t.ok(access.lookup());
  t.equal(access.value.getBigUint64(0, true), 0xffff_ffff_ffff_ffffn);
  access.key.setUint32(0, 9, true);
  t.notOk(access.lookup());
  t.notOk(access.delete());
  t.match(
    caught(t, SyscallError, () => put(4, 0n)).message,
    /BPF_MAP_UPDATE_ELEM of map bpfs_elems: E2BIG .*: the map is full/,
  );
  t.match(caught(t, SyscallError, () => put(1, 0n, 1)).message, /EEXIST.*BPF_NOEXIST/);
  t.match(caught(t, SyscallError, () => put(9, 0n, 2)).message, /ENOENT.*BPF_EXIST/);
  const seen: number[] = [];
  for (let more = access.nextKey(true); more; more = access.nextKey(false)) seen.push(access.key.getUint32(0, true));
  t.strictSame(seen.sort(), [1, 2, 3]);
  access.key.setUint32(0, 3, true);
  t.ok(access.lookupAndDelete());
  t.equal(access.value.getBigUint64(0, true), 300n);
  t.notOk(access.lookup());
  t.end();
});

t.test("batches", needsBpf(), (t) => {
  const count = 1000;
  using map = createMap({ name: "bpfs_batch", type: MapType.HASH, keySize: 4, valueSize: 4, maxEntries: count });
  const keys = new Uint8Array(Uint32Array.from({ length: count }, (_, i) => i).buffer);
  const values = new Uint8Array(Uint32Array.from({ length: count }, (_, i) => i * 3).buffer);
  updateBatch(map, { keys, values, count });
  const cursor = new BatchCursor(4);
  const seen = new Map<number, number>();
  let calls = 0;
  for (let more = true; more; calls++) {
    const out = { keys: new Uint8Array(4 * 128), values: new Uint8Array(4 * 128), count: 128 };
    const result = lookupBatch(map, cursor, out);
    const outKeys = new Uint32Array(out.keys.buffer);
    const outValues = new Uint32Array(out.values.buffer);
    for (let i = 0; i < result.count; i++) seen.set(outKeys[i]!, outValues[i]!);
    more = result.more;
  }
  t.ok(calls >= count / 128, `${calls} calls`);
  t.equal(seen.size, count);
  t.ok([...seen].every(([key, value]) => value === key * 3));
  deleteBatch(map, keys.subarray(0, 4 * 400), 400);
  const rest = lookupBatch(map, new BatchCursor(4), { keys, values, count }, true);
  t.equal(rest.count, 600, "lookup and delete brings the rest");
  t.notOk(rest.more);
  t.equal(lookupBatch(map, new BatchCursor(4), { keys, values, count }).count, 0);
  t.end();
});

t.test("a frozen map takes no more from user space", needsBpf(), (t) => {
  using map = createMap({ name: "bpfs_frozen", type: MapType.ARRAY, keySize: 4, valueSize: 4, maxEntries: 1 });
  const access = new MapAccess(map, 4, 4);
  access.update();
  freezeMap(map);
  const frozen = caught(t, SyscallError, () => access.update());
  t.match(frozen.message, /EPERM.*frozen/);
  t.notOk(frozen.isPermission, "no right would help");
  t.ok(access.lookup());
  t.match(caught(t, SyscallError, () => freezeMap(map)).message, /EPERM.*frozen already/);
  t.end();
});

t.test("ids, descriptions, pins", needsBpfAnd("bpftool"), (t) => {
  using map = createMap({ name: "bpfs-info.x y", type: MapType.LRU_HASH, keySize: 5, valueSize: 7, maxEntries: 9 });
  const insns = bytes(ldMapFd(R1, map.number), mov64Imm(R0, 0), exit());
  using program = loadProgram(filter(insns, "a_name_that_is_too_long")).fd;
  const ours = mapInfo(map);
  const theirs = bpftool<Record<string, unknown>>("map", "show", "id", String(ours.id));
  t.match(theirs, { name: "bpfs_info.x_y", type: "lru_hash", bytes_key: 5, bytes_value: 7, max_entries: 9 });
  t.match(ours, { name: "bpfs_info.x_y", type: MapType.LRU_HASH, keySize: 5, valueSize: 7, maxEntries: 9 });
  const info = programInfo(program);
  const shown = bpftool<Record<string, unknown>>("prog", "show", "id", String(info.id));
  t.equal(info.name, "a_name_that_is_");
  t.match(shown, { name: info.name, tag: info.tag, type: "socket_filter", map_ids: info.mapIds });
  t.strictSame(info.mapIds, [ours.id]);
  t.equal(translatedInsns(program).length, info.xlatedLength);
  t.equal(info.xlatedLength, shown.bytes_xlated);
  t.ok([...objectIds("prog")].includes(info.id));
  t.ok([...objectIds("map")].includes(ours.id));
  using again = openById("map", ours.id);
  t.equal(mapInfo(again).id, ours.id);
  t.equal(caught(t, SyscallError, () => openById("prog", 0x7fff_fff0)).code, "ENOENT");
  const path = `/sys/fs/bpf/bpfsmith-test-${process.pid}`;
  if (readFileSync("/proc/mounts", "utf8").includes(" /sys/fs/bpf bpf ")) {
    t.teardown(() => existsSync(path) && unlinkSync(path));
    pinObject(map, path);
    using pinned = getPinned(path);
    t.equal(mapInfo(pinned).id, ours.id);
    t.equal(caught(t, SyscallError, () => pinObject(map, path)).code, "EEXIST");
    unlinkSync(path);
    t.match(caught(t, SyscallError, () => getPinned(path)).message, /ENOENT.*nothing is pinned/);
  }
  t.match(caught(t, SyscallError, () => pinObject(map, "/tmp/x")).message, /EPERM.*mounted bpf file system/);
  t.end();
});

t.test("BTF is read back as it was loaded; bad BTF is explained by the kernel", needsBpf(), (t) => {
  // Header, then one type, `int`: name offset 1, kind INT, 4 bytes, 32 bits, signed; strings "\0int\0".
  const words = Uint32Array.of(0x0001_eb9f, 24, 0, 16, 16, 5, 1, 1 << 24, 4, (1 << 24) | 32);
  const blob = new Uint8Array([...new Uint8Array(words.buffer), 0, ...Buffer.from("int\0")]);
  using btf = loadBtf(blob, "test");
  const info = btfInfo(btf);
  t.strictSame(info.btf, blob);
  t.equal(info.kernel, false);
  blob[4 * 8] = 3;
  const rejection = caught(t, VerifierRejection, () => loadBtf(blob, "test"));
  t.equal(rejection.code, "EINVAL");
  t.match(rejection.log, /nr_bits exceeds type_size/);
  t.match(rejection.message, rejection.reason);
  t.end();
});

t.test("programs: accepted, rejected, refused", needsBpf(), (t) => {
  using program = loadProgram(filter(bytes(mov64Imm(R0, 42), exit()))).fd;
  const packet = new Uint8Array(64);
  const run = testRun(program, { data: packet, repeat: 3, dataOutSize: 128 });
  t.equal(run.retval, 42);
  t.equal(run.data.length, 64);

  const rejection = caught(t, VerifierRejection, () => loadProgram(filter(bytes(exit()), "no_r0")));
  t.equal(rejection.errno, Errno.EACCES);
  t.equal(rejection.reason, "R0 !read_ok");
  t.match(rejection.log, /^0: R1=ctx\(\) R10=fp0\n0: \(95\) exit\nR0 !read_ok\nprocessed 1 insns/m);
  t.equal(rejection.message, "the kernel's verifier rejects no_r0: R0 !read_ok (EACCES)");

  const refused = caught(t, SyscallError, () => loadProgram({ ...filter(RETURN_0), type: 9999 }));
  t.match(refused.message, /^BPF_PROG_LOAD of type 9999 program t: EINVAL/);
  t.notOk(refused.isPermission);

  const logged = loadProgram(filter(RETURN_0), 2);
  using _ = logged.fd;
  t.match(logged.log, /0: \(b7\) r0 = 0 {2,}; R0(_w)?=0\n1: \(95\) exit\nprocessed 2 insns/);
  t.end();
});

t.test("log buffers grow until the whole log fits", needsBpf(), (t) => {
  const many = Array.from({ length: 20_000 }, (_, i) => alu64Imm("add", R0, i));
  const insns = bytes(mov64Imm(R0, 0), many, exit());
  const { fd, log } = loadProgram(filter(insns), 2);
  fd.close();
  t.ok(log.length > 1 << 20, `${log.length} bytes`);
  t.match(log.slice(0, 50), /^(func#0 @0|0: R1=ctx\(\) R10=fp0)\n/);
  t.ok(`\n${log}`.includes("\n0: R1=ctx() R10=fp0\n0: (b7) r0 = 0"), "the first instruction");
  t.match(log.slice(-300), /\nprocessed 20002 insns .*\n$/);
  for (const at of [1, 5_000, 20_000]) t.ok(log.includes(`\n${at}: (07) r0 += ${at - 1}`), `instruction ${at}`);

  const bad = bytes(mov64Imm(R0, 0), many, ldx("dw", R0, R2, 0), exit());
  const rejection = caught(t, VerifierRejection, () => loadProgram(filter(bad), 2));
  t.equal(rejection.code, "EACCES");
  t.equal(rejection.reason, "R2 !read_ok");
  t.ok(rejection.log.length > 1 << 20);

  const sizes: number[] = [];
  const grown = withLog((buffer) => {
    sizes.push(buffer.length);
    buffer.set(Buffer.from("log\0"));
    return { result: buffer.length < 5000 ? -Errno.ENOSPC : 7, trueSize: buffer.length === 16 ? 999 : 0 };
  }, 16);
  t.strictSame(sizes, [16, 999, 999 * 8], "by what the kernel asks for, or eightfold where it does not say");
  t.strictSame(grown, { result: 7, log: "log", truncated: false });
  t.end();
});

t.test("the meaningful line of a log", (t) => {
  t.equal(lastMeaningfulLine(""), "");
  t.equal(
    lastMeaningfulLine("a\nR1 bad\nverification time 5 usec\nstack depth 0\nprocessed 1 insns (limit 1000000)\n\n"),
    "R1 bad",
  );
  t.end();
});

t.test("accepted loads are paced, rejected ones are not", needsBpf(), (t) => {
  const { wait } = Atomics;
  const pauses: number[] = [];
  t.teardown(() => {
    Atomics.wait = wait;
  });
  Atomics.wait = ((array: Int32Array, index: number, value: number, timeout: number) => {
    pauses.push(timeout);
    return wait(array, index, value, timeout);
  }) as typeof wait;
  const first = acceptedLoads();
  for (let i = 0; i < 2 * LOADS_PER_PAUSE; i++) loadProgram(filter(RETURN_0)).fd.close();
  t.equal(acceptedLoads(), first + 2 * LOADS_PER_PAUSE);
  t.equal(LOADS_PER_PAUSE, 32);
  t.strictSame(pauses, [PAUSE_MS, PAUSE_MS]);
  t.ok(PAUSE_MS >= 2);
  for (let i = 0; i < 2 * LOADS_PER_PAUSE; i++) t.throws(() => loadProgram(filter(bytes(exit()))), VerifierRejection);
  t.equal(pauses.length, 2);
  t.end();
});

t.test("without rights the error names what is missing", needsBpfAnd("setpriv"), (t) => {
  const script = `
    import { bpfPermission, createMap, loadProgram, SyscallError } from "./src/syscall/index.js";
    console.log(JSON.stringify(bpfPermission()));
    try { createMap({ name: "m", type: 1, keySize: 4, valueSize: 4, maxEntries: 1 }); console.log("created"); }
    catch (error) { console.log(error instanceof SyscallError && error.isPermission, error.message); }`;
  const run = spawnSync(
    "setpriv",
    [
      "--reuid=65534",
      "--regid=65534",
      "--clear-groups",
      process.execPath,
      "--import",
      "tsx",
      "--input-type=module",
      "-e",
      script,
    ],
    { encoding: "utf8", env: { ...process.env, HOME: "/nonexistent", NODE_OPTIONS: "" } },
  );
  if (run.status !== 0) {
    t.pass("as another user", { skip: `skipped: another user cannot read this checkout: ${run.stderr.slice(0, 200)}` });
    t.end();
    return;
  }
  const [permission, error] = run.stdout.trim().split("\n");
  if (readFileSync("/proc/sys/kernel/unprivileged_bpf_disabled", "utf8").trim() === "0") {
    t.equal(error, "created", "this machine lets anybody create maps");
    t.end();
    return;
  }
  t.match(JSON.parse(permission!), {
    permitted: false,
    reason: /^this process lacks CAP_BPF and CAP_PERFMON: run as root/,
  });
  t.match(
    error,
    /^true BPF_MAP_CREATE of map m: EPERM .* lacks CAP_BPF: run as root \(kernel\.unprivileged_bpf_disabled is [12]\)$/,
  );
  t.end();
});

t.test("a program that stores into its stack and calls a helper runs", needsBpf(), (t) => {
  using map = createMap({ name: "bpfs_run", type: MapType.ARRAY, keySize: 4, valueSize: 8, maxEntries: 1 });
  const insns = bytes(
    stImm("w", R10, -4, 0),
    stImm("dw", R10, -16, 77),
    ldMapFd(R1, map.number),
    mov64Reg(R2, R10),
    alu64Imm("add", R2, -4),
    mov64Reg(R3, R10),
    alu64Imm("add", R3, -16),
    mov64Imm(4, 0),
    helper("map_update_elem"),
    exit(),
  );
  using program = loadProgram(filter(insns)).fd;
  t.equal(testRun(program, { data: new Uint8Array(14) }).retval, 0);
  const access = new MapAccess(map, 4, 8);
  t.ok(access.lookup());
  t.equal(access.value.getBigUint64(0, true), 77n);
  t.match(caught(t, SyscallError, () => testRun(program, { data: new Uint8Array(3) })).message, /EINVAL.*too short/);
  t.end();
});
