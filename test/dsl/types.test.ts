// SPDX-License-Identifier: MIT
import fc from "fast-check";
import t, { type Test } from "tap";
import { BtfBuilder } from "../../src/btf/builder.js";
import { alignOf, sizeOf } from "../../src/btf/size.js";
import {
  array,
  arrayMap,
  be16,
  be32,
  be64,
  bool,
  bytes,
  type CType,
  char,
  hashMap,
  type Int,
  type JsOf,
  object,
  type Program,
  type ProgramDecl,
  ptr,
  ringbuf,
  s8,
  s16,
  s32,
  s64,
  socketFilter,
  struct,
  tracepoint,
  u8,
  u16,
  u32,
  u64,
  xdp,
} from "../../src/dsl/index.js";
import { InputError } from "../../src/util/errors.js";
import { complaintsAbout } from "./compile.js";

/* What the compiler must refuse is written below with ts-expect-error; building it must fail too, in words. */

const Pair = struct("pair", { a: u64, b: u32, name: array(char, 16) });
const counts = hashMap("counts", u32, u64, { maxEntries: 8 });
const pairs = hashMap("pairs", u32, Pair, { maxEntries: 8 });
const ring = ringbuf("ring", Pair, { bytes: 4096 });

function build(program: ProgramDecl, license = "GPL"): void {
  object({ name: "test", license, programs: [program] }).build();
}

type Body = (p: Program<"tracepoint">) => void;

/** A tracing program that neither compiles nor builds. */
function refused(t: Test, body: Body, message: RegExp): void {
  t.throws(() => build(tracepoint("sched/sched_switch", "bad", body)), { name: "InputError", message });
}

t.test("a pointer that may be null cannot be followed", (t) => {
  const mayBeNull = /may be null: check it with p\.ifNotNull/;
  // @ts-expect-error a scalar of a looked-up value
  refused(t, (p) => counts.lookup(p, 1).set(1), mayBeNull);
  // @ts-expect-error arithmetic with it
  refused(t, (p) => counts.lookup(p, 1).add(1), mayBeNull);
  // @ts-expect-error a member of a looked-up struct
  refused(t, (p) => pairs.lookup(p, 1).a.set(1), mayBeNull);
  // @ts-expect-error a member of a reserved record
  refused(t, (p) => ring.reserve(p).a.set(1), mayBeNull);
  // @ts-expect-error submitting what may not be there
  refused(t, (p) => ring.reserve(p).submit(), mayBeNull);
  // @ts-expect-error giving it to a helper
  refused(t, (p) => p.getCurrentComm(pairs.lookup(p, 1)), /expects memory as argument 1/);
  // @ts-expect-error using it as a condition
  refused(t, (p) => p.if(counts.lookup(p, 1), () => {}), /expected a condition/);
  t.doesNotThrow(() =>
    build(
      tracepoint("sched/sched_switch", "good", (p) => {
        p.ifNotNull(counts.lookup(p, 1), (count) => count.set(count.add(1)));
        pairs.lookup(p, 1).orReturn().b.set(2);
      }),
    ),
  );
  t.throws(
    // @ts-expect-error bytes of a packet before their bounds check
    () => build(xdp("bad", (_, ctx) => ctx.packet(Pair).a)),
    { name: "InputError", message: mayBeNull },
  );
  t.end();
});

t.test("a helper that a program may not call does not exist on its builder", (t) => {
  const program = /^.*a (tracepoint|socket_filter|xdp|kprobe|raw_tracepoint) program \(.*\) may not call/;
  const buffer = (p: Program<"tracepoint">) => p.stack(Pair);
  // @ts-expect-error packets are for network programs
  refused(t, (p) => p.skbLoadBytes(0, buffer(p)), program);
  // @ts-expect-error so are interfaces
  refused(t, (p) => p.redirect(1, 0), program);
  t.throws(
    // @ts-expect-error a socket filter cannot walk stacks
    () => build(socketFilter("bad", (p) => p.getStackid(counts, 0))),
    { message: program },
  );
  // @ts-expect-error XDP sees no skb
  t.throws(() => build(xdp("bad", (p) => p.skbLoadBytes(0, p.stack(Pair)))), { message: program });
  t.doesNotThrow(() =>
    build(
      socketFilter("good", (p) => {
        p.skbLoadBytes(0, p.buffer(Pair));
        return 0;
      }),
    ),
  );
  // @ts-expect-error two arguments, of which the first is memory
  refused(t, (p) => p.probeReadKernel(1), /expects memory as argument 1/);
  // @ts-expect-error an integer where memory is due
  refused(t, (p) => p.probeReadKernel(p.ktimeGetNs(), p.stack(Pair)), /expects memory as argument 1/);
  // @ts-expect-error memory where an integer is due
  refused(t, (p) => p.probeReadKernel(p.stack(Pair), p.stack(Pair)), /expects an integer as argument 2/);
  // @ts-expect-error one argument too many
  refused(t, (p) => p.ktimeGetNs(1), /takes 0 arguments, got 1/);
  const gplOnly = (method: string) => ({
    message: new RegExp(`${method}\\(\\) is for programs under a GPL-compatible licence only`),
  });
  const printing = tracepoint("sched/sched_switch", "bad", (p) => p.printk("x"));
  t.throws(() => build(printing, "MIT"), gplOnly("printk"));
  const asking = tracepoint("sched/sched_switch", "bad", (p) => void p.getCurrentTask());
  t.throws(() => build(asking, "MIT"), gplOnly("getCurrentTask"));
  const timing = tracepoint("sched/sched_switch", "good", (p) => void p.ktimeGetNs());
  t.doesNotThrow(() => build(timing, "MIT"));
  t.end();
});

t.test("values keep to their types", (t) => {
  // @ts-expect-error a text is no number
  refused(t, (p) => counts.update(p, 1, "x"), /expected a value of type __u64, got "x"/);
  // @ts-expect-error a member that the struct does not have
  refused(t, (p) => pairs.update(p, 1, { a: 1, c: 2 }), /struct pair has no member c/);
  // @ts-expect-error a key of another type
  refused(t, (p) => counts.lookup(p, { a: 1 }), /expected a value of type __u32/);
  // @ts-expect-error atomics need 32 or 64 bits
  refused(t, (p) => p.stack(u8).atomicAdd(1), /atomic operations work on u32, s32, u64 and s64, not on u8/);
  // @ts-expect-error a number is no condition
  refused(t, (p) => p.if(1, () => {}), /expected a condition/);
  // @ts-expect-error only bool takes conditions
  refused(t, (p) => p.stack(u8).set(p.ktimeGetNs().eq(0)), /expected an integer, got a condition/);
  // @ts-expect-error the result of a block's callback would be lost
  refused(t, (p) => p.if(p.ktimeGetNs().eq(0), () => 1), /the result 1 of this callback is ignored/);
  // @ts-expect-error a context is read only
  const writes = tracepoint("sched/sched_switch", "bad", (_, ctx) => ctx.prev_pid.set(1));
  t.throws(() => build(writes), { message: /context can neither be written/ });
  // @ts-expect-error the table knows the fields
  const unknown = tracepoint("sched/sched_switch", "bad", (_, ctx) => ctx.prev_pdi.get());
  t.throws(() => build(unknown), { message: /no field prev_pdi: it has prev_comm, prev_pid/ });
  // @ts-expect-error a tracepoint that the table does not know needs its fields
  const missing = tracepoint("sched/nothing", "bad", () => 0);
  t.throws(() => build(missing), { message: /neither in this machine's tracefs nor in bpfsmith's table/ });
  t.end();
});

t.test("the compiler's complaints read like sentences", (t) => {
  const source = `
    import { array, char, hashMap, kernelStruct, ptr, s32, tracepoint, u32, u64 } from "../../src/dsl/index.js";
    const counts = hashMap("counts", u32, u64, { maxEntries: 8 });
    tracepoint("sched/sched_switch", "a", (p) => { counts.lookup(p, 1).set(1); });
    tracepoint("sched/sched_switch", "b", (p) => { p.skbLoadBytes(0); });
    tracepoint("sched/nothing", "c", () => 0);
    tracepoint("sched/sched_switch", "d", (p) => { p.if(counts.lookup(p, 1).orReturn().eq(1), () => 2); });
    const Task = kernelStruct("task_struct", { tgid: s32, comm: array(char, 16), get parent() { return ptr(Task); } });
    tracepoint("sched/sched_switch", "e", (p) => p.kernelObject(Task, 1).parent.parent.tgidd);
    tracepoint("sched/sched_switch", "f", (p) => void p.coreRead(p.kernelObject(Task, 1).comm));
  `;
  const complaints = complaintsAbout(source);
  t.equal(complaints.length, 6, complaints.join("\n"));
  t.match(
    complaints[0],
    /this pointer may be null: check it with p\.ifNotNull\(pointer, \(it\) => …\) or pointer\.orReturn\(\) first/,
  );
  t.match(complaints[1], /Property 'skbLoadBytes' does not exist on type 'Program<"tracepoint">'/);
  t.match(complaints[2], /this tracepoint is not in bpfsmith's table: declare its fields/);
  t.match(complaints[3], /the result of this callback is ignored: a program ends with p\.return\(result\)/);
  t.match(
    complaints[4],
    /^Property 'tgidd' does not exist on type 'KernelObject<"task_struct", .*Did you mean 'tgid'\?$/s,
  );
  t.match(
    complaints[5],
    /only integers and pointers are read as values: p\.coreReadInto\(to, …\) copies structs and arrays/,
  );
  t.end();
});

/* Types at run time. */

const Inner = struct("inner", { x: u8, y: u32 });
const Everything = struct("everything", {
  flag: bool,
  small: s8,
  half: u16,
  word: s32,
  wide: s64,
  net: be16,
  address: be32,
  cookie: be64,
  where: ptr(Inner),
  mac: bytes(6),
  letters: array(char, 5),
  inners: array(Inner, 2),
  last: s16,
});

t.test("one declaration gives the C layout, the BTF and the codec", (t) => {
  const btf = new BtfBuilder();
  for (const type of [Everything, Inner, array(u16, 7), ptr(), bytes(3), char, be32] as CType<unknown>[]) {
    const id = type.toBtf(btf);
    t.equal(sizeOf(btf, id), type.size, `size of ${type.cName}`);
    t.equal(alignOf(btf, id), type.align, `alignment of ${type.cName}`);
  }
  // The layout by the BTF builder's own C rules.
  const members = Everything.places.map(({ name, type }) => ({ name, type: type.toBtf(btf) }));
  const laid = btf.layout("struct", "everything", members);
  t.same(
    Everything.places.map((place) => place.offset),
    laid.members.map((member) => member.bitOffset / 8),
  );
  t.equal(Everything.size, laid.size);
  const packed = struct("packed", { a: u8, b: u32, c: u8 }, { packed: true });
  t.same([packed.size, packed.align, ...packed.places.map((place) => place.offset)], [6, 1, 0, 1, 5]);
  t.end();
});

t.test("values go into bytes and come back", (t) => {
  const value: JsOf<typeof Everything> = {
    flag: true,
    small: -5,
    half: 65535,
    word: -2147483648,
    wide: -(2n ** 63n),
    net: 0x1234,
    address: 0x7f000001,
    cookie: 0x0102030405060708n,
    where: 0xffff888000000000n,
    mac: Uint8Array.of(1, 2, 3, 4, 5, 6),
    letters: "hallo",
    inners: [
      { x: 1, y: 2 },
      { x: 3, y: 4 },
    ],
    last: -1,
  };
  const view = new DataView(new ArrayBuffer(Everything.size + 3));
  new Uint8Array(view.buffer).fill(0xff);
  Everything.encode(value, view, 3);
  t.same(Everything.decode(view, 3), value);
  const at = (name: string): number => 3 + Everything.places.find((place) => place.name === name)!.offset;
  t.equal(view.getUint16(at("net")), 0x1234, "network order in memory");
  t.equal(view.getUint32(at("address")), 0x7f000001);
  t.equal(view.getUint8(at("inners") + 1), 0, "padding is zero");
  t.end();
});

t.test("integers at any value", (t) => {
  const cases = [u8, u16, u32, u64, s8, s16, s32, s64, be16, be32, be64, char] as const;
  for (const type of cases) {
    const [min, max] = type.signed
      ? [-(1n << BigInt(type.bits - 1)), (1n << BigInt(type.bits - 1)) - 1n]
      : [0n, (1n << BigInt(type.bits)) - 1n];
    const view = new DataView(new ArrayBuffer(8));
    const codec = type as CType<bigint | number>;
    fc.assert(
      fc.property(fc.bigInt({ min, max }), (wide) => {
        const value = type.bits === 64 ? wide : Number(wide);
        codec.encode(value, view, 0);
        return codec.decode(view, 0) === value;
      }),
    );
    for (const outside of [min - 1n, max + 1n]) {
      const value = type.bits === 64 ? outside : Number(outside);
      t.throws(() => codec.encode(value, view, 0), { name: "InputError", message: /does not fit/ }, `${type.name}`);
    }
  }
  t.end();
});

t.test("impossible declarations", (t) => {
  const cases: readonly [() => unknown, RegExp][] = [
    [() => struct("no good", { a: u8 }), /"no good" is not a C identifier/],
    [() => struct("s", { "a-b": u8 }), /"a-b" is not a C identifier/],
    [() => struct("s", {}), /has no members/],
    [() => array(u8, 0), /length of at least 1/],
    [() => hashMap("a b", u32, u32, { maxEntries: 1 }), /"a b" cannot name a map/],
    [() => hashMap("m", u32, u32, { maxEntries: 0 }), /maxEntries must be an integer of at least 1/],
    [() => hashMap("m", bytes(513), u32, { maxEntries: 1 }), /keys have 513 bytes, but 512 is the most/],
    [() => ringbuf("r", u32, { bytes: 5000 }), /power of two/],
    [() => ringbuf("r", struct("s", { submit: u8 }), { bytes: 4096 }), /cannot have a member named "submit"/],
    [() => tracepoint("sched_switch" as never, "x", () => 0), /expected category\/name/],
    [() => socketFilter("a-b", () => 0), /"a-b" cannot name a program/],
    [() => object({ name: "o", license: "GPL", programs: [] }), /has no programs/],
    [
      () => object({ name: "o", license: "GPL", programs: [xdp("x", () => 0), xdp("x", () => 0)] }),
      /two programs named x/,
    ],
    [() => Inner.encode({ x: 1, y: 2 ** 32 }, new DataView(new ArrayBuffer(8)), 0), /member y: .* does not fit u32/],
    [() => Inner.encode({ x: 1 } as never, new DataView(new ArrayBuffer(8)), 0), /no value for member y/],
    [() => array(char, 2).encode("abc", new DataView(new ArrayBuffer(8)), 0), /does not fit char\[2\]/],
  ];
  for (const [attempt, message] of cases) t.throws(attempt, { name: "InputError", message });
  t.end();
});

/** Compile-time equality. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

t.test("types follow from declarations", (t) => {
  const isTrue = <T extends true>(holds: T): void => {
    t.ok(holds);
  };
  type Event = JsOf<typeof Everything>;
  isTrue<Same<Event["wide"], bigint>>(true);
  isTrue<Same<Event["half"], number>>(true);
  isTrue<Same<Event["flag"], boolean>>(true);
  isTrue<Same<Event["letters"], string>>(true);
  isTrue<Same<Event["mac"], Uint8Array>>(true);
  isTrue<Same<Event["inners"], { x: number; y: number }[]>>(true);
  const program = tracepoint("sched/sched_switch", "x", (p, ctx) => {
    const promoted: Int<"s32"> = ctx.prev_pid.add(1);
    const wide: Int<"u64"> = p.ktimeGetNs().add(ctx.prev_pid);
    const unsigned: Int<"u32"> = p.getSmpProcessorId().add(ctx.prev_pid);
    const long: Int<"s64"> = p.getSmpProcessorId().add(ctx.prev_state);
    // @ts-expect-error 64 bits do not become 32 by themselves
    const narrow: Int<"u32"> = wide.add(1);
    t.same(
      [promoted, wide, unsigned, long, narrow].map((int) => int.type.name),
      ["s32", "u64", "u32", "s64", "u64"],
    );
  });
  build(program);
  const syscall = tracepoint("raw_syscalls/sys_enter", "x", (p, ctx) => {
    const [second, id, count]: [Int<"u64">, Int<"s64">, 6] = [ctx.args.at(1), ctx.id, ctx.args.length];
    t.same([second.type.name, id.type.name, count], ["u64", "s64", 6]);
    // @ts-expect-error one that is computed while the program runs
    t.throws(() => ctx.args.at(p.ktimeGetNs()), { message: /an index into the context must be a plain number/ });
  });
  build(syscall);
  const index: JsOf<typeof u32> = arrayMap("m", u64, { maxEntries: 1 }).key.size;
  t.equal(index, 4);
  t.throws(() => u8.encode(256, new DataView(new ArrayBuffer(1)), 0), InputError);
  t.end();
});
