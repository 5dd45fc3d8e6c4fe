// SPDX-License-Identifier: MIT
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import {
  array,
  bool,
  char,
  constant,
  global,
  object,
  type ProgramDecl,
  struct,
  tc,
  tracepoint,
  u8,
  u32,
  u64,
  xdp,
} from "../../src/dsl/index.js";
import { writeObject } from "../../src/elf/index.js";
import { loadObject } from "../../src/load/index.js";
import { resolveObject } from "../../src/object/resolve.js";
import { needsBpf, needsBpfAnd } from "../support/live.js";
import { needsMirroredKernel } from "../support/live-parity.js";
import { run, scratchDir } from "../support/tools.js";
import { load, runOn, sameAnswers } from "./run.js";

const Config = struct("config", { limit: u32, name: array(char, 8), levels: array(u64, 3) });

const packets = global("packets", u64);
const bytes = global("bytes", u32, 100);
const config = global("config", Config, { limit: 5, name: "eth", levels: [1n, 2n, 3n] });
const small = global("small", u8, 7);
const verbose = constant("verbose", bool, false);
const table = constant("table", array(u32, 4), [10, 20, 30, 40]);

const counter = tc("counter", (p, ctx) => {
  packets.in(p).atomicAdd(1);
  bytes.in(p).set(bytes.in(p).add(ctx.len));
  const { levels, limit } = config.in(p);
  levels.at(2).set(levels.at(0).add(levels.at(1)));
  p.if(verbose.in(p).ne(0), () => p.printk("%u packets", packets.in(p).as(u32)));
  const index = small.in(p).and(3);
  return table.in(p).at(1).add(limit).add(index);
});

const decl = object({ name: "globals", license: "GPL", programs: [counter] });

t.test("programs and user space share global variables", needsBpf(), (t) => {
  using loaded = load(decl);
  const [seen, sum, settings] = [loaded.global(packets), loaded.global(bytes), loaded.global(config)];
  t.equal(seen.get(), 0n);
  t.equal(sum.get(), 100);
  t.same(settings.get(), { limit: 5, name: "eth", levels: [1n, 2n, 3n] });
  t.equal(runOn(loaded, "counter", new Uint8Array(64)), 20 + 5 + 3);
  t.equal(runOn(loaded, "counter", new Uint8Array(64)), 20 + 5 + 3);
  t.equal(seen.get(), 2n);
  t.equal(sum.get(), 100 + 2 * 64);
  seen.set(40n);
  settings.set({ limit: 1000, name: "wlan", levels: [5n, 6n, 0n] });
  loaded.global(small).set(4);
  t.equal(runOn(loaded, "counter", new Uint8Array(64)), 1020);
  t.equal(seen.get(), 41n);
  t.same(settings.get().levels, [5n, 6n, 11n]);
  t.same(loaded.global(table).get(), [10, 20, 30, 40]);
  t.throws(() => loaded.global(table).set([1, 2, 3, 4]), { message: /table is a constant: its value is given before/ });
  t.throws(() => loaded.global(global("packet", u64)), { message: /uses a global variable packet/ });
  t.throws(() => loaded.global({ ...packets, name: "packets", section: ".bss", value: u32 }), { message: /8 bytes/ });
  t.end();
});

t.test("without shared memory they are read and written by system calls", needsBpf(), (t) => {
  using loaded = loadObject(resolveObject(decl.build(), { mmapableArrays: false }));
  runOn(loaded, "counter", new Uint8Array(64));
  const seen = loaded.global(packets);
  t.equal(seen.get(), 1n);
  seen.set(9n);
  runOn(loaded, "counter", new Uint8Array(64));
  t.equal(seen.get(), 10n);
  t.end();
});

t.test("mirror and kernel know what constants hold", needsMirroredKernel(), async (t) => {
  await sameAnswers(t, decl, "counter");
  // The bound is known by the constant only.
  const size = constant("size", u32, 3);
  const bounded = xdp("bounded", (p) => {
    const sum = p.let(u32, 0);
    p.for(size.in(p), (i) => sum.set(sum.add(i)));
    return sum;
  });
  const other = object({ name: "bounded", license: "GPL", programs: [bounded] });
  await sameAnswers(t, other, "bounded");
  using three = load(other);
  t.equal(runOn(three, "bounded"), 3);
  using five = loadObject(resolveObject(other.build({ globals: [size.with(5)] })));
  t.equal(runOn(five, "bounded"), 10);
  t.end();
});

t.test("other loaders know the variables", needsBpfAnd("bpftool"), (t) => {
  const file = join(scratchDir(), "globals.o");
  writeFileSync(file, writeObject(decl.build()));
  const text = run("bpftool", "btf", "dump", "file", file).stdout;
  t.match(text, /VAR 'packets' type_id=\d+, linkage=global/);
  t.match(text, /DATASEC '\.bss' size=8 vlen=1/);
  t.match(text, /VAR 'table' type_id=\d+, linkage=global/);
  t.match(run("bpftool", "gen", "skeleton", file, "name", "globals").stdout, /__u64 packets;/);
  t.end();
});

t.test("what cannot be", (t) => {
  const build = (program: ProgramDecl): void => {
    object({ name: "test", license: "GPL", programs: [program] }).build();
  };
  const zero = (_: unknown): number => 0;
  // @ts-expect-error constants are not written
  t.throws(() => build(tc("x", (p) => zero(verbose.in(p).set(true)))), {
    message: /a constant can neither be written/,
  });
  // @ts-expect-error nor is there a member of that name
  t.throws(() => build(tc("x", (p) => zero(config.in(p).limt.set(1)))), { name: "TypeError" });
  // @ts-expect-error a value of another type
  t.throws(() => global("x", u64, 1.5), { message: /expected an integer/ });
  // @ts-expect-error a text for a number
  t.throws(() => constant("x", u32, "1.5"));
  // @ts-expect-error variables that programs write have their values in memory, not in the build
  t.throws(() => packets.with(1n));
  t.throws(() => global("a b", u64), { message: /"a b" cannot name a variable/ });
  t.throws(() => constant("x", u8, 256), { message: /256 does not fit u8/ });
  const again = global("packets", u32);
  t.throws(
    () =>
      build(
        tracepoint("sched/sched_switch", "x", (p) => {
          packets.in(p).set(1);
          again.in(p).set(1);
        }),
      ),
    { message: /two global variables are named packets/ },
  );
  t.end();
});
