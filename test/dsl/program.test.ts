// SPDX-License-Identifier: MIT
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import { loadSource } from "../../src/cli/source.js";
import {
  array,
  type BuildOptions,
  bytes,
  char,
  hashMap,
  type ObjectDecl,
  object,
  type Program,
  type ProgramDecl,
  ringbuf,
  socketFilter,
  struct,
  tracepoint,
  u8,
  u32,
  u64,
  xdp,
} from "../../src/dsl/index.js";
import { writeObject } from "../../src/elf/index.js";
import { parseTracepointFormat } from "../../src/kernel/tracepoints.js";
import type { ObjectSpec } from "../../src/model/spec.js";
import { resolveObject } from "../../src/object/resolve.js";
import { verify } from "../../src/verifier/index.js";
import { run, runQuietly, scratchDir, whyNoBpffs, whyNoTool, withPinDir } from "../support/tools.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const dir = scratchDir();

function build(program: ProgramDecl, options?: BuildOptions): ObjectSpec {
  return object({ name: "test", license: "GPL", programs: [program] }).build(options);
}

/** The instructions of a program, counted. */
function count(program: ProgramDecl): number {
  return build(program).functions[0]!.insns.length;
}

async function example(file: string): Promise<{ spec: ObjectSpec; decl: ObjectDecl; path: string }> {
  const path = join(root, file);
  const { exports, positions } = await loadSource(path);
  const decl = exports.default as ObjectDecl;
  return { spec: decl.build({ sources: positions }), decl, path };
}

const exampleFiles = readdirSync(join(root, "examples"))
  .filter((file) => file.endsWith(".ts"))
  .map((file) => join("examples", file));

const counts = hashMap("counts", u32, u64, { maxEntries: 8 });

/* Records. */

const Event = struct("event", { ts: u64, pid: u32 });
const events = ringbuf("events", Event, { bytes: 4096 });

function recordError(t: Test, body: (p: Program<"tracepoint">) => void, message: RegExp): void {
  t.throws(() => build(tracepoint("sched/sched_switch", "x", body)), { name: "InputError", message });
}

t.test("a record is submitted or discarded exactly once on each path", (t) => {
  const isZero = (p: Program<"tracepoint">) => p.getSmpProcessorId().eq(0);
  recordError(t, (p) => void events.reserve(p), /reserved at program\.test\.ts:\d+ is never checked for null/);
  recordError(t, (p) => void events.reserve(p).orReturn(), /is neither submitted nor discarded/);
  recordError(
    t,
    (p) => p.ifNotNull(events.reserve(p), () => {}),
    /one side of this branch and still open on the other/,
  );
  recordError(
    t,
    (p) => {
      const event = events.reserve(p).orReturn();
      p.if(isZero(p), () => event.submit());
    },
    /submitted or discarded on one side of this branch and still open on the other/,
  );
  recordError(
    t,
    (p) => {
      const event = events.reserve(p).orReturn();
      event.submit();
      event.discard();
    },
    /was submitted or discarded already, at program\.test\.ts:\d+/,
  );
  recordError(
    t,
    (p) => {
      const event = events.reserve(p).orReturn();
      event.submit();
      event.pid.set(1);
    },
    /this record of events is gone: it was submitted or discarded at/,
  );
  recordError(
    t,
    (p) => {
      const event = events.reserve(p).orReturn();
      p.getCurrentComm(event);
      p.if(isZero(p), () => p.return());
      event.submit();
    },
    /the program ends here, but the record of events reserved at/,
  );
  recordError(
    t,
    (p) => {
      const event = events.reserve(p).orReturn();
      p.for(3, () => event.submit());
    },
    /one side of a round of this loop/,
  );
  recordError(
    t,
    (p) => {
      p.for(3, (_, loop) => {
        const event = events.reserve(p).orReturn();
        p.if(isZero(p), () => loop.break());
        event.submit();
      });
    },
    /one side of break\(\)/,
  );
  recordError(
    t,
    (p) => {
      const pointer = events.reserve(p);
      p.ifNotNull(pointer, (event) => event.submit());
      p.ifNotNull(pointer, (event) => event.submit());
    },
    /was checked already/,
  );
  t.doesNotThrow(() =>
    build(
      tracepoint("sched/sched_switch", "good", (p) => {
        const event = events.reserve(p).orReturn();
        p.if(
          isZero(p),
          () => event.submit(),
          () => {
            event.discard("never");
            p.return(1);
          },
        );
        p.for(3, (i) => {
          p.ifNotNull(events.reserve(p), (inner) => {
            inner.pid.set(i);
            p.if(i.eq(1), () => {
              inner.discard();
              p.return();
            });
            inner.submit("always");
          });
        });
      }),
    ),
  );
  t.end();
});

t.test("an error names the user's line", async (t) => {
  const file = join(root, "test/dsl/fixtures/open-record.ts");
  const { exports, positions } = await loadSource(file);
  const decl = exports.default as ObjectDecl;
  t.throws(() => decl.build({ sources: positions }), {
    name: "InputError",
    message: /open-record\.ts:11:7: the program ends here, .* reserved at open-record\.ts:8 is neither/,
    place: { file, line: 11, column: 7 },
  });
});

/* Lines. */

t.test("instructions belong to the lines that asked for them", async (t) => {
  for (const file of exampleFiles) {
    const { spec, path } = await example(file);
    const source = readFileSync(path, "utf8").split("\n");
    for (const { name, lines, insns } of spec.functions) {
      t.equal(lines[0]?.insn, 0, `${name}: the first instruction has a line`);
      t.ok(
        lines.every((line, i) => i === 0 || line.insn > lines[i - 1]!.insn),
        `${name}: in ascending order`,
      );
      t.ok(lines.at(-1)!.insn < insns.length, `${name}: within the program`);
      const strange = lines.filter(
        (line) => line.file !== path || line.text === "" || line.text !== source[line.line - 1],
      );
      t.same(strange, [], `${file}: every line is quoted from the file`);
    }
  }
  const { spec } = await example("examples/execsnoop.ts");
  const { lines, insns } = spec.functions[0]!;
  const textAt = (slot: number): string => lines.findLast((line) => line.insn <= slot)!.text.trim();
  const calls = insns.flatMap(({ opcode, imm }, slot) => (opcode === 0x85 ? [[imm, textAt(slot)]] : []));
  t.same(calls, [
    [131, "const event = events.reserve(p).orReturn();"],
    [5, "event.ts.set(p.ktimeGetNs());"],
    [14, "event.pid.set(p.getCurrentPidTgid().shr(32));"],
    [15, "event.uid.set(p.getCurrentUidGid());"],
    [16, "p.getCurrentComm(event.comm);"],
    [114, "p.probeReadUserStr(event.filename, ctx.filename);"],
    [132, "event.submit();"],
  ]);
});

/* Objects. */

t.test("building twice gives the same object", async (t) => {
  for (const file of exampleFiles) {
    const { decl } = await example(file);
    t.same(decl.build(), decl.build(), file);
    t.same(writeObject(decl.build()), writeObject(decl.build()), `${file}, as a file`);
  }
});

t.test("the mirror accepts the examples", async (t) => {
  for (const file of exampleFiles) {
    const { spec } = await example(file);
    // Members of the kernel's structs are where the object itself has them: on any machine.
    const { programs } = resolveObject(spec, { coreTypes: () => spec.btf! });
    for (const { name, load } of programs) t.equal(verify(load).verdict, "accepted", name);
  }
});

t.test(
  "bpftool takes the examples and quotes their lines",
  { skip: whyNoTool("bpftool") ?? whyNoBpffs() ?? false },
  async (t) => {
    for (const file of exampleFiles) {
      const { spec } = await example(file);
      const path = join(dir, `${spec.name}.o`);
      await import("node:fs/promises").then((fs) => fs.writeFile(path, writeObject(spec)));
      withPinDir((pins) => {
        runQuietly("bpftool", "prog", "loadall", path, pins);
        for (const { name, lines } of spec.functions) {
          const listing = runQuietly("bpftool", "prog", "dump", "xlated", "pinned", join(pins, name), "linum");
          const text = lines[0]!.text.trim();
          t.match(listing, `; ${text} [file:${join(root, file)} line_num:${lines[0]!.line}`, `${name}: ${text}`);
        }
      });
    }
  },
);

t.test(
  "execsnoop takes at most half as many instructions again as clang's",
  { skip: whyNoTool("clang-19", "llvm-objdump-19") ?? false },
  async (t) => {
    const path = join(dir, "clang.o");
    const flags = ["-g", "-O2", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu"];
    const compiled = run("clang-19", ...flags, "-c", join(root, "bench/execsnoop.bpf.c"), "-o", path);
    if (compiled.status !== 0)
      return t.pass(`skipped: clang cannot compile it here: ${compiled.stderr.split("\n")[0]}`);
    const listing = runQuietly("llvm-objdump-19", "-d", "--no-show-raw-insn", path);
    const last = Math.max(...[...listing.matchAll(/^\s+(\d+):/gm)].map((match) => Number(match[1])));
    const { spec } = await example("examples/execsnoop.ts");
    const ours = spec.functions[0]!.insns.length;
    t.ok(ours <= 1.5 * (last + 1), `${ours} against ${last + 1}`);
  },
);

/* Code. */

t.test("code that nobody needs is not there", (t) => {
  const nothing = tracepoint("sched/sched_switch", "x", () => 0);
  t.equal(count(nothing), 2, "r0 = 0, exit");
  const unused = tracepoint("sched/sched_switch", "x", (p, ctx) => {
    ctx.prev_pid.add(1).mul(7);
    p.let(u64, 3).set(4);
  });
  t.equal(count(unused), 2, "values that nobody reads");
  const constant = tracepoint("sched/sched_switch", "x", (p) => {
    p.if(false, () => p.ktimeGetNs());
    p.for(0, () => p.ktimeGetNs());
    p.return(1);
    p.ktimeGetNs();
  });
  t.equal(count(constant), 2, "what cannot be reached");
  const shared = xdp("x", (p) => {
    for (let i = 0; i < 10; i++) p.if(p.getPrandomU32().eq(i), () => p.return(2));
    return 2;
  });
  const exits = build(shared).functions[0]!.insns.filter(({ opcode }) => opcode === 0x95);
  t.equal(exits.length, 1, "one way out for one result");
  t.ok(count(shared) <= 10 * 3 + 2, `${count(shared)} instructions: a call, a comparison, at most a copy each`);
  t.end();
});

t.test("what is too much for the stack", (t) => {
  const big = tracepoint("sched/sched_switch", "big", (p) => {
    p.getCurrentComm(p.buffer(array(char, 256)));
    p.getCurrentComm(p.stack(bytes(264)));
  });
  t.throws(() => build(big), {
    name: "InputError",
    message: /program big needs 520 bytes of stack, but there are 512\. The largest objects: __u8\[264\] \(264 bytes\)/,
  });
  const map = hashMap("m", bytes(64), u64, { maxEntries: 1 });
  const temporaries = tracepoint("sched/sched_switch", "fits", (p) => {
    const key = p.stack(bytes(64));
    // Keys and values of calls share their places.
    for (let i = 0; i < 20; i++) map.update(p, key, i);
  });
  t.doesNotThrow(() => build(temporaries));
  t.end();
});

t.test("what is wrong with values is said at once", (t) => {
  const wrong = (body: (p: Program<"tracepoint">) => void, message: RegExp): void => {
    t.throws(() => build(tracepoint("sched/sched_switch", "x", body)), { name: "InputError", message });
  };
  const cpu = (p: Program<"tracepoint">) => p.getSmpProcessorId();
  wrong((p) => cpu(p).add(2 ** 32), /4294967296 does not fit u32, the type that it meets here/);
  wrong((p) => cpu(p).lt(-1), /-1 does not fit u32/);
  wrong((p) => cpu(p).add(0.5), /expected an integer, got 0\.5/);
  wrong((p) => p.ktimeGetNs().add(2 ** 60), /write it as a bigint/);
  wrong((p) => cpu(p).shl(32), /a shift of 32 bits goes from 0 to 31, got 32/);
  wrong((p) => cpu(p).div(0), /division by zero/);
  wrong((p) => p.stack(array(u8, 4)).at(4), /index 4 is outside of an array of 4 elements/);
  wrong((p) => p.stack(array(char, 4), "hello"), /does not fit char\[4\]/);
  wrong((p) => p.assign(p.stack(bytes(8)), p.stack(bytes(4))), /must be __u8\[8\] of 8 bytes, got __u8\[4\] of 4/);
  wrong((p) => p.printk("%d"), /1 conversions, but 0 values/);
  wrong((p) => p.printk("%d", p.ktimeGetNs()), /%d, argument 1 prints 32 bits, but the value is u64: write %lld/);
  wrong((p) => p.printk("%s", 1), /expected memory with a string/);
  wrong((p) => p.printk("%f", 1), /the kernel cannot print "%f"/);
  wrong((p) => p.printk("50%", 1), /a percent sign is %%/);
  wrong((p) => p.printk("é"), /printable ASCII only/);
  t.throws(() => build(xdp("x", (_, ctx) => ctx.packet(u8, -1).orReturn())), { message: /a packet's bytes go from 0/ });
  t.throws(() => build(socketFilter("x", () => "yes" as never)), { message: /a program's result is an integer/ });
  wrong((p) => {
    let inner = p.ktimeGetNs();
    p.if(cpu(p).eq(0), () => {
      inner = p.ktimeGetNs().mul(3);
    });
    counts.update(p, 1, inner);
  }, /this uses a value that was computed at program\.test\.ts:\d+ inside of a callback/);
  let kept: Program<"tracepoint"> | undefined;
  build(
    tracepoint("sched/sched_switch", "first", (p) => {
      kept = p;
    }),
  );
  t.throws(() => kept?.ktimeGetNs(), { message: /this program is finished/ });
  wrong((p) => {
    const other = tracepoint("sched/sched_switch", "other", (q) => void p.ktimeGetNs().add(q.ktimeGetNs()));
    build(other);
  }, /this value belongs to program other/);
  const [first, second] = [1, 2].map((size) => hashMap("same", bytes(size), u8, { maxEntries: 1 }));
  wrong((p) => {
    first!.delete(p, p.stack(bytes(1)));
    second!.delete(p, p.stack(bytes(2)));
  }, /two maps are named same/);
  t.end();
});

/* Tracepoints. */

const FORMAT = `name: my_event
ID: 7
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:int code;	offset:16;	size:4;	signed:1;
	field:char name[8];	offset:24;	size:8;	signed:0;

print fmt: "x"
`;

t.test("fields stand where the machine says", (t) => {
  const mine = (fields: Parameters<typeof tracepoint>[2]) =>
    tracepoint("my/my_event", "x", fields as { code: typeof u32 }, (_, ctx) => ctx.code);
  const tracepoints = (category: string, name: string) =>
    category === "my" && name === "my_event" ? parseTracepointFormat(FORMAT) : undefined;
  const load = (spec: ObjectSpec) => spec.functions[0]!.insns.find(({ opcode }) => (opcode & 7) === 1)!;
  t.equal(load(build(mine({ code: u32 } as never), { tracepoints })).off, 16, "by the format");
  t.equal(load(build(mine({ first: u8, code: u32 } as never))).off, 12, "as C lays them out, without a format");
  t.throws(() => build(mine({ code: u64 } as never), { tracepoints }), {
    message: /field code is declared as __u64 of 8 bytes, but the kernel says int of 4/,
  });
  t.throws(() => build(mine({ code: u32, more: u32 } as never), { tracepoints }), {
    message: /tracepoint my\/my_event has no field more in this kernel/,
  });
  const moved = FORMAT.replace("my_event", "sched_switch").replace("int code", "pid_t prev_pid");
  const known = tracepoint("sched/sched_switch", "x", (_, ctx) => ctx.prev_pid);
  const elsewhere = build(known, { tracepoints: () => parseTracepointFormat(moved) });
  t.equal(load(elsewhere).off, 16, "a known one too");
  t.end();
});
