// SPDX-License-Identifier: MIT
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, unlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import t from "tap";
import {
  alu64Imm,
  atomic,
  exit,
  jmpImm,
  ldMapFd,
  ldMapIdx,
  ldMapValue,
  ldx,
  mov64Imm,
  mov64Reg,
  stImm,
} from "../../src/asm/build.js";
import { encodeInsns, type Insn } from "../../src/asm/insn.js";
import { R0, R1, R2, R3, R4, R10 } from "../../src/asm/opcode.js";
import { MapFlag, MapType, ProgType } from "../../src/kernel/uapi.js";
import {
  countCpuList,
  type LoadedObject,
  loadObject,
  perCpuMap,
  possibleCpus,
  typedMap,
  typedRing,
} from "../../src/load/index.js";
import type { Codec, MapDecl } from "../../src/model/codec.js";
import type { MapLoad, ProgramLoad } from "../../src/model/load.js";
import { mapSpec } from "../../src/model/make.js";
import {
  createMap,
  type Fd,
  mapInfo,
  programInfo,
  SyscallError,
  testRun,
  VerifierRejection,
} from "../../src/syscall/index.js";
import { InputError } from "../../src/util/errors.js";
import { bpftool, helper, needsBpf, needsBpfAnd, openBpfFds } from "../support/live.js";
import { isDiscarded, loadRingWriter, RECORD_SIZES } from "../support/ring-program.js";

const u32: Codec<number> = {
  size: 4,
  decode: (view, offset) => view.getUint32(offset, true),
  encode: (value, view, offset) => view.setUint32(offset, value, true),
};
const u64: Codec<bigint> = {
  size: 8,
  decode: (view, offset) => view.getBigUint64(offset, true),
  encode: (value, view, offset) => view.setBigUint64(offset, value, true),
};
const none: Codec<undefined> = { size: 0, decode: () => undefined, encode: () => {} };
/** `struct { u32 prefixlen; u8 address[4]; }` of an LPM trie. */
const prefix: Codec<readonly [number, string]> = {
  size: 8,
  decode: (view, offset) => [
    view.getUint32(offset, true),
    [0, 1, 2, 3].map((i) => view.getUint8(offset + 4 + i)).join("."),
  ],
  encode([length, address], view, offset) {
    view.setUint32(offset, length, true);
    address.split(".").forEach((byte, i) => {
      view.setUint8(offset + 4 + i, Number(byte));
    });
  },
};

function declare<K, V>(
  name: string,
  type: number,
  key: Codec<K>,
  value: Codec<V>,
  maxEntries: number,
  flags = 0,
): MapDecl<K, V> {
  const spec = mapSpec({
    name,
    type,
    keySize: key.size,
    valueSize: value.size,
    maxEntries,
    flags,
  });
  return { spec, key, value };
}

const create = (decl: MapDecl<unknown, never> | MapDecl<never, never>): Fd => createMap(decl.spec);

interface DumpedElement {
  readonly key: readonly string[];
  readonly value: readonly string[];
  readonly values?: readonly { readonly cpu: number; readonly value: readonly string[] }[];
}

const number = (bytes: readonly string[]): bigint => bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);

/** What bpftool finds in a map, as pairs of numbers, sorted. */
function dump(map: Fd): [bigint, bigint][] {
  const elements = bpftool<DumpedElement[]>("map", "dump", "id", String(mapInfo(map).id));
  return elements.map(({ key, value }): [bigint, bigint] => [number(key), number(value)]).sort(byKey);
}

const byKey = (a: [bigint, bigint], b: [bigint, bigint]): number => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0);
const asBig = (entries: Iterable<[number, bigint]>): [bigint, bigint][] =>
  Array.from(entries, ([key, value]): [bigint, bigint] => [BigInt(key), value]).sort(byKey);

t.test("lists of CPUs", (t) => {
  t.equal(countCpuList("0-3,8\n"), 5);
  t.equal(countCpuList("0"), 1);
  t.ok(possibleCpus() >= Number(spawnSync("nproc", { encoding: "utf8" }).stdout));
  t.throws(() => countCpuList("x"));
  t.end();
});

for (const [name, type, flags] of [
  ["hash", MapType.HASH, 0],
  ["hash without preallocation", MapType.HASH, MapFlag.NO_PREALLOC],
  ["lru_hash", MapType.LRU_HASH, 0],
  ["array", MapType.ARRAY, 0],
] as const) {
  t.test(`${name}: what we store bpftool dumps, and the other way round`, needsBpfAnd("bpftool"), (t) => {
    const count = 300;
    // An LRU map that is nearly full throws elements out.
    const capacity = type === MapType.LRU_HASH ? 10 * count : count;
    const decl = declare("bpfs_typed", type, u32, u64, capacity, flags);
    using fd = create(decl as never);
    const map = typedMap(fd, decl);
    const expected = new Map(Array.from({ length: count }, (_, i): [number, bigint] => [i, BigInt(i) << 33n]));
    map.setAll(expected);
    map.set(7, 0xdead_beef_0bad_cafen);
    expected.set(7, 0xdead_beef_0bad_cafen);
    t.strictSame(dump(fd), asBig(expected));
    t.strictSame(asBig(map), dump(fd));
    t.equal(map.get(7), 0xdead_beef_0bad_cafen);
    t.ok(map.has(7));
    t.equal(map.get(count + 5), undefined);
    const id = String(mapInfo(fd).id);
    spawnSync("bpftool", ["map", "update", "id", id, "key", "9", "0", "0", "0", "value", ..."12345678"]);
    t.equal(map.get(9), 0x0807060504030201n);
    t.throws(() => map.set(9, 1n, "new"), SyscallError);
    if (type === MapType.ARRAY) {
      t.throws(() => map.delete(3), /cannot be deleted/);
    } else {
      t.ok(map.delete(3));
      t.notOk(map.delete(3));
      t.equal(map.take(4), 4n << 33n);
      t.equal(map.get(4), undefined);
      t.throws(() => map.set(3, 1n, "existing"), SyscallError);
      t.equal(dump(fd).length, count - 2);
      for (const [key] of map) if (key % 2 === 0) map.delete(key);
      t.ok(
        [...map.keys()].every((key) => key % 2 === 1),
        "removing while walking",
      );
      map.clear();
      t.strictSame([...map.values()], []);
    }
    t.end();
  });
}

t.test("walks longer than one batch, and walks without batches", needsBpf(), (t) => {
  const big = declare("bpfs_big", MapType.HASH, u32, u32, 20_000);
  using fd = create(big as never);
  const map = typedMap(fd, big);
  map.setAll(Array.from({ length: 20_000 }, (_, i): [number, number] => [i * 7, i]));
  const seen = new Map(map);
  t.equal(seen.size, 20_000);
  t.ok([...seen].every(([key, value]) => key === value * 7));

  const trie = declare("bpfs_trie", MapType.LPM_TRIE, prefix, u32, 10, MapFlag.NO_PREALLOC);
  using trieFd = create(trie as never);
  const routes = typedMap(trieFd, trie);
  routes.setAll([
    [[8, "10.0.0.0"], 1],
    [[24, "10.1.2.0"], 2],
  ]);
  t.equal(routes.get([32, "10.1.2.3"]), 2);
  t.equal(routes.get([32, "10.9.9.9"]), 1);
  t.equal(routes.get([32, "11.0.0.1"]), undefined);
  t.strictSame(
    new Map(Array.from(routes, ([[length], value]) => [length, value])),
    new Map([
      [8, 1],
      [24, 2],
    ]),
  );

  // Arrays of programs have no batches; they take descriptors and give ids.
  const calls = declare("bpfs_calls", MapType.PROG_ARRAY, u32, u32, 8);
  using callsFd = create(calls as never);
  const slots = typedMap(callsFd, calls);
  t.strictSame([...slots], []);
  const load = program("bpfs_callee", [mov64Imm(R0, 0), exit()]);
  using callees = loadObject({ maps: [], programs: [{ section: "socket", load }] });
  const { fd: callee } = callees.program("bpfs_callee");
  slots.setAll([
    [2, callee.number],
    [5, callee.number],
  ]);
  const { id } = programInfo(callee);
  t.strictSame(
    [...slots],
    [
      [2, id],
      [5, id],
    ],
  );
  for (const [slot] of slots) slots.delete(slot);
  t.strictSame([...slots], [], "removed while walking");
  t.end();
});

t.test("queues and stacks", needsBpf(), (t) => {
  for (const [type, expected] of [
    [MapType.QUEUE, [1, 2, 3]],
    [MapType.STACK, [3, 2, 1]],
  ] as const) {
    const decl = declare("bpfs_queue", type, none, u32, 3);
    using fd = create(decl as never);
    const map = typedMap(fd, decl);
    for (const value of [1, 2, 3]) map.set(undefined, value);
    t.throws(() => map.set(undefined, 4), /E2BIG.*full/);
    t.strictSame(
      [map.take(undefined), map.take(undefined), map.take(undefined), map.take(undefined)],
      [...expected, undefined],
    );
  }
  t.end();
});

t.test("per-CPU maps hold an array per key", needsBpfAnd("bpftool"), (t) => {
  const cpus = possibleCpus();
  // Five bytes are padded to eight: the padding must not show.
  const five: Codec<number> = { ...u32, size: 5 };
  for (const type of [MapType.PERCPU_HASH, MapType.PERCPU_ARRAY, MapType.LRU_PERCPU_HASH]) {
    const decl = declare("bpfs_percpu", type, u32, five, 16);
    using fd = create(decl as never);
    const map = perCpuMap(fd, decl);
    const values = Array.from({ length: cpus }, (_, cpu) => cpu * 1000 + 1);
    map.set(3, values);
    t.strictSame(map.get(3), values);
    const dumped = bpftool<DumpedElement[]>("map", "dump", "id", String(mapInfo(fd).id)).find(
      ({ key }) => number(key) === 3n,
    );
    t.strictSame(
      dumped!.values!.map(({ value }) => Number(number(value))),
      values,
    );
    map.setAll([
      [1, values],
      [2, values],
    ]);
    t.strictSame(new Map(map).get(2), values);
    t.throws(
      () => map.set(3, [1]),
      new InputError(`a per-CPU value needs one value for each of ${cpus} possible CPUs, got 1`),
    );
    t.throws(() => typedMap(fd, decl), /per CPU/);
  }
  t.end();
});

t.test("declarations that contradict themselves", needsBpf(), (t) => {
  const decl = declare("bpfs_bad", MapType.HASH, u32, u64, 4);
  using fd = create(decl as never);
  t.throws(
    () => typedMap(fd, { ...decl, key: u64 }),
    new InputError("map bpfs_bad: its key type has 8 bytes, its key size is 4"),
  );
  t.throws(() => typedMap(fd, { ...decl, value: u32 } as never), InputError);
  t.throws(() => perCpuMap(fd, decl), /not per CPU/);
  t.throws(() => typedRing(fd, decl as never), /no ring buffer/);
  t.end();
});

const RING_HEAD: Codec<number> = {
  size: 16,
  decode: (view, offset) => Number(view.getBigUint64(offset, true)),
  encode: () => {},
};

t.test("a typed ring: callbacks, iteration, the program's own count of lost events", needsBpf(), async (t) => {
  const writer = loadRingWriter(4096);
  const ring = typedRing(writer.ring, declare("ring", MapType.RINGBUF, none, RING_HEAD, 4096), {
    lost: () => writer.counts().lost,
  });
  const run = (repeat: number) => testRun(writer.program, { data: new Uint8Array(64), repeat });
  run(4);
  const seen: number[] = [];
  t.equal(
    ring.consume((event) => void seen.push(event)),
    4,
  );
  t.strictSame(seen, [0, 1, 2, 3]);
  run(100);
  t.ok(ring.lost > 0);
  ring.consume(() => {});
  t.equal(ring.delivered + ring.discarded + ring.lost, 104);

  const iterated: number[] = [];
  const first = writer.counts().next;
  setTimeout(() => run(6), 20);
  setTimeout(() => run(6), 60);
  for await (const event of ring) {
    iterated.push(event);
    if (iterated.length === 2) {
      t.ok(ring.pending > 0, "the rest stays in the ring while the loop is busy");
      await sleep(5);
    }
    if (iterated.length === 10) break;
  }
  const expected = Array.from({ length: 12 }, (_, i) => first + i).filter((event) => !isDiscarded(event));
  t.strictSame(iterated, expected.slice(0, 10));

  const called: number[] = [];
  ring.start((event) => void called.push(event));
  run(1);
  await sleep(30);
  t.equal(ring.pending, 0);
  ring.stop();
  run(9);
  const { delivered } = ring;
  ring.start(() => ring.stop());
  await sleep(30);
  t.equal(ring.delivered, delivered + 1, "stopped by its own receiver");
  run(1);
  await sleep(20);
  t.ok(ring.pending > 0, "stopped");
  const ends = (async () => {
    for await (const _ of ring);
    return "ended";
  })();
  await sleep(20);
  ring.close();
  t.equal(await ends, "ended");
  const long = typedRing(writer.ring, declare("ring", MapType.RINGBUF, none, { ...RING_HEAD, size: 2000 }, 4096));
  run(2);
  t.throws(() => long.consume(() => {}), /a record of ring buffer ring has \d+ bytes, its event type 2000/);
  long.close();
  writer.close();
  t.equal(RECORD_SIZES.length, 4);
});

const EMPTY_MAP: MapLoad = {
  name: "bpfs_m",
  type: MapType.ARRAY,
  keySize: 4,
  valueSize: 8,
  maxEntries: 1,
  flags: 0,
  extra: 0n,
  btf: null,
  btfKeyTypeId: 0,
  btfValueTypeId: 0,
  btfVmlinuxValueTypeId: 0,
  inner: null,
  frozen: false,
  value: null,
};

function program(
  name: string,
  insns: readonly (Insn | readonly Insn[])[],
  change: Partial<ProgramLoad> = {},
): ProgramLoad {
  return {
    name,
    progType: ProgType.SOCKET_FILTER,
    expectedAttachType: 0,
    progFlags: 0,
    progIfindex: 0,
    kernVersion: 0,
    license: "GPL",
    attachBtfId: 0,
    insns: encodeInsns(insns.flat()),
    maps: [],
    badMapInsns: [],
    fdArray: null,
    btf: null,
    funcInfo: null,
    lineInfo: null,
    ...change,
  };
}

/** Adds 1 to the first word of map 0's value and returns the first word of map 1's. */
const COUNT_AND_READ = [
  ldMapValue(R1, 0, 0),
  mov64Imm(R2, 1),
  atomic("add", "dw", R1, R2, 0),
  ldMapValue(R1, 1, 0),
  ldx("dw", R0, R1, 0),
  exit(),
];

const rodata = (value: number): MapLoad => ({
  ...EMPTY_MAP,
  name: "bpfs.rodata",
  flags: MapFlag.RDONLY_PROG,
  frozen: true,
  value: new Uint8Array(new BigUint64Array([BigInt(value)]).buffer),
});

t.test("an object: shared maps, initial content, frozen data, all gone at the end", needsBpfAnd("bpftool"), (t) => {
  const before = openBpfFds().length;
  const counter: MapLoad = { ...EMPTY_MAP, name: "bpfs_counter_of_a_long_name" };
  const constant = rodata(4711);
  const unused: MapLoad = { ...EMPTY_MAP, name: "bpfs_unused" };
  const programs = ["bpfs_one", "bpfs_two"].map((name) => ({
    section: "socket",
    load: program(name, COUNT_AND_READ, { maps: [counter, constant] }),
  }));
  const object = loadObject({ maps: [{ name: "a counter", load: counter }, constant, unused], programs });
  t.strictSame([...object.maps.keys()], ["a counter", "bpfs.rodata", "bpfs_unused"]);
  t.equal(openBpfFds().length, before + 5, "three maps, two programs");
  for (const { name } of object.programs.values()) {
    t.equal(testRun(object.program(name).fd, { data: new Uint8Array(14), repeat: 5 }).retval, 4711, name);
  }
  const decl = declare("a counter", MapType.ARRAY, u32, u64, 1);
  t.equal(object.map(decl).get(0), 10n, "both programs count in the same map");
  t.throws(() => object.map(declare("bpfs.rodata", MapType.ARRAY, u32, u64, 1)).set(0, 1n), /frozen/);
  t.throws(() => object.program("bpfs_oen"), /no program bpfs_oen \(similar: bpfs_one/);
  t.throws(() => object.mapEntry("bpfs_unusde"), /similar: bpfs_unused/);
  const ids = [...object.programs.values()].map(({ fd }) => programInfo(fd).id);
  object.close();
  object.close();
  t.equal(openBpfFds().length, before);
  const left = bpftool<{ id: number }[]>("prog", "show").filter(({ id }) => ids.includes(id));
  t.strictSame(left, []);
  t.end();
});

t.test("instructions that name maps in other ways", needsBpf(), (t) => {
  const byIndex = program(
    "bpfs_idx",
    [
      ldMapIdx(R1, 1),
      mov64Reg(R2, R10),
      alu64Imm("add", R2, -4),
      stImm("w", R10, -4, 0),
      helper("map_lookup_elem"),
      jmpImm("jeq", R0, 0, 1),
      ldx("dw", R0, R0, 0),
      exit(),
    ],
    {
      maps: [EMPTY_MAP, rodata(99)],
      fdArray: [
        { kind: "map", map: 0 },
        { kind: "map", map: 1 },
      ],
    },
  );
  using object = loadObject({ maps: [], programs: [{ section: "socket", load: byIndex }] });
  t.equal(testRun(object.program("bpfs_idx").fd, { data: new Uint8Array(14) }).retval, 99);
  const wrong = program("bpfs_wrong", [ldMapFd(R1, 5), mov64Imm(R0, 0), exit()], { maps: [EMPTY_MAP] });
  t.throws(
    () => loadObject({ maps: [], programs: [{ section: "socket", load: wrong }] }),
    /insn 0: program bpfs_wrong has no map 5/,
  );
  const bad = program("bpfs_badfd", [ldMapFd(R1, 999_999), mov64Imm(R0, 0), exit()], { badMapInsns: [0] });
  t.throws(
    () => loadObject({ maps: [], programs: [{ section: "socket", load: bad }] }),
    /fd 999999 is not pointing to valid bpf_map/,
  );
  t.end();
});

t.test("programs that are loaded on demand only stay out", needsBpf(), (t) => {
  const load = program("bpfs_demand", [mov64Imm(R0, 0), exit()]);
  using object = loadObject({ maps: [], programs: [{ section: "?socket", load, autoload: false }] });
  t.equal(object.programs.size, 0);
  t.end();
});

t.test("nothing stays after a failure, wherever it strikes", needsBpf(), (t) => {
  const before = openBpfFds().length;
  const good = { section: "socket", load: program("bpfs_good", COUNT_AND_READ, { maps: [EMPTY_MAP, rodata(1)] }) };
  const rejected = { section: "socket", load: program("bpfs_rejected", [exit()]) };
  const rejection = t.throws(() =>
    loadObject({ maps: [], programs: [good, rejected] }),
  ) as unknown as VerifierRejection;
  t.ok(rejection instanceof VerifierRejection);
  t.equal(rejection.reason, "R0 !read_ok");
  t.equal(openBpfFds().length, before);
  t.throws(() => loadObject({ maps: [EMPTY_MAP, { ...EMPTY_MAP, keySize: 3 }], programs: [good] }), SyscallError);
  t.throws(() => loadObject({ maps: [{ ...EMPTY_MAP, value: new Uint8Array(3) }], programs: [good] }), InputError);
  const badBtf = { section: "socket", load: { ...good.load, btf: new Uint8Array(30) } };
  t.throws(() => loadObject({ maps: [], programs: [good, badBtf] }), /BTF/);
  t.equal(openBpfFds().length, before);

  const ring = loadObject({
    maps: [{ ...EMPTY_MAP, type: MapType.RINGBUF, keySize: 0, valueSize: 0, maxEntries: 4096 }],
    programs: [],
  });
  ring.ring(declare("bpfs_m", MapType.RINGBUF, none, u64, 4096)).start(() => {});
  ring.close();
  t.equal(openBpfFds().length, before, "a ring that was being read");

  const misfits = [
    {
      section: "tracepoint/syscalls/sys_enter_umask",
      load: program("bpfs_a", [mov64Imm(R0, 0), exit()], { progType: ProgType.TRACEPOINT }),
    },
    {
      section: "tracepoint/syscalls/sys_enter_nothing",
      load: program("bpfs_b", [mov64Imm(R0, 0), exit()], { progType: ProgType.TRACEPOINT }),
    },
  ];
  using object = loadObject({ maps: [], programs: misfits });
  const open = openBpfFds().length;
  t.throws(() => object.attachAll(), InputError);
  t.equal(openBpfFds().length, open, "when one cannot be attached, none is");
  t.equal(object.links.length, 0);
  t.end();
});

t.test("no descriptor leaks over many loads, attachments and failures", needsBpf(), (t) => {
  const fds = () => readdirSync("/proc/self/fd").length;
  const map = { ...EMPTY_MAP };
  const add = [ldMapValue(R1, 0, 0), mov64Imm(R2, 1), atomic("add", "dw", R1, R2, 0), mov64Imm(R0, 0), exit()];
  const good = {
    section: "tp/syscalls/sys_enter_umask",
    load: program("bpfs_leak", add, { maps: [map], progType: ProgType.TRACEPOINT }),
  };
  const bad = { section: "socket", load: program("bpfs_bad", [mov64Reg(R0, R3), mov64Reg(R4, R0), exit()]) };
  const round = (): void => {
    using object: LoadedObject = loadObject({ maps: [], programs: [good] });
    object.attachAll();
    t.equal(object.links.length, 1);
    try {
      loadObject({ maps: [], programs: [good, bad] });
    } catch (error) {
      if (!(error instanceof VerifierRejection)) throw error;
    }
  };
  round();
  const before = fds();
  for (let i = 0; i < 25; i++) round();
  t.equal(fds(), before);
  t.end();
});

t.test("maps shared by a pin", needsBpf(), (t) => {
  if (!readFileSync("/proc/mounts", "utf8").includes(" /sys/fs/bpf bpf ")) {
    t.pass("pins", { skip: "skipped: no bpf file system" });
    t.end();
    return;
  }
  const path = `/sys/fs/bpf/bpfsmith-shared-${process.pid}`;
  t.teardown(() => existsSync(path) && unlinkSync(path));
  const decl = declare("bpfs_m", MapType.ARRAY, u32, u64, 1);
  const open = (map: MapLoad) => loadObject({ maps: [map], programs: [] }, { pins: new Map([[map, path]]) });
  using one = open({ ...EMPTY_MAP });
  using two = open({ ...EMPTY_MAP });
  one.map(decl).set(0, 5n);
  t.equal(two.map(decl).get(0), 5n);
  t.throws(() => open({ ...EMPTY_MAP, valueSize: 16 }), /is another than bpfs_m: value size 8 instead of 16/);
  unlinkSync(path);
  const bad = { section: "socket", load: program("bpfs_bad", [exit()]) };
  const map = { ...EMPTY_MAP };
  t.throws(() => loadObject({ maps: [map], programs: [bad] }, { pins: new Map([[map, path]]) }), VerifierRejection);
  t.notOk(existsSync(path), "a pin that this load made goes with it");
  t.end();
});

t.test("Ctrl-C in the middle of loading and attaching leaves nothing", needsBpfAnd("bpftool"), async (t) => {
  const name = `ctrlc${process.pid % 100_000}`;
  const script = `
    import { loadObject } from "./src/load/index.js";
    import { encodeInsns } from "./src/asm/insn.js";
    import { mov64Imm, exit } from "./src/asm/build.js";
    const load = { name: "${name}", progType: 5, expectedAttachType: 0, progFlags: 0, progIfindex: 0, kernVersion: 0,
      license: "GPL", attachBtfId: 0, insns: encodeInsns([mov64Imm(0, 0), exit()]), maps: [], badMapInsns: [],
      fdArray: null, btf: null, funcInfo: null, lineInfo: null };
    console.log("begin");
    const objects = [];
    for (let i = 0; i < 2000; i++) {
      const object = loadObject({ maps: [], programs: [{ section: "tp/syscalls/sys_enter_umask", load }] });
      object.attachAll();
      objects.push(object);
      // A tracepoint takes 64 programs.
      if (objects.length > 32) objects.shift().close();
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    console.log("done");`;
  const cwd = fileURLToPath(new URL("../..", import.meta.url));
  for (const [round, delay] of [5, 20, 60].entries()) {
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
      cwd,
      env: { ...process.env, NODE_OPTIONS: "" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (data: Buffer) => {
      if (output === "") setTimeout(() => child.kill("SIGINT"), delay);
      output += data;
    });
    const signal = await new Promise((resolve) => child.on("close", (_code, by) => resolve(by)));
    t.equal(signal, "SIGINT", `round ${round}: ended by the signal`);
    t.equal(output, "begin\n", "in the middle");
    const left = () => bpftool<{ name?: string }[]>("prog", "show").filter((shown) => shown.name === name).length;
    // The kernel frees programs a moment after their descriptors are closed.
    for (const end = performance.now() + 5000; left() > 0 && performance.now() < end; await sleep(20));
    t.equal(left(), 0);
  }
});
