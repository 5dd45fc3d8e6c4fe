// SPDX-License-Identifier: MIT
import t from "tap";
import {
  type AnyInt,
  array,
  be16,
  bool,
  bytes,
  char,
  type Int,
  kernelStruct,
  object,
  type Program,
  type ProgramDecl,
  program,
  ptr,
  s32,
  s64,
  struct,
  TcAction,
  tc,
  u8,
  u32,
  u64,
} from "../../src/dsl/index.js";
import { ctxLayout } from "../../src/kernel/ctx/index.js";
import { Errno } from "../../src/kernel/errno.js";
import { packetRights, resultsOf } from "../../src/kernel/prog-results.js";
import { SECTIONS, type SectionDef } from "../../src/kernel/sections.js";
import { ProgType } from "../../src/kernel/uapi.js";
import { askKernelOnce, runningKernel } from "../../src/load/index.js";
import { resolveObject } from "../../src/object/resolve.js";
import { verify } from "../../src/verifier/index.js";
import { needsMirroredKernel } from "../support/live-parity.js";
import { complaintsAbout } from "./compile.js";
import { load, runOn, sameAnswers } from "./run.js";

function build(decl: ProgramDecl): void {
  object({ name: "test", license: "GPL", programs: [decl] }).build();
}

type AnyProgram = Program<"xdp">;
type Ctx = Readonly<Record<string, unknown>>;

/** A program of a section that types know nothing of. */
function anyProgram(section: SectionDef, body: (p: AnyProgram, ctx: Ctx) => unknown): ProgramDecl {
  const target = section.takesTarget && section.attach !== "perfEvent" ? "/target" : "";
  return program(`${section.name}${target}` as never, "each", body as never);
}

/** Sections that `program()` declares and this kernel knows. */
const plain = SECTIONS.filter(
  ({ targetIsBtf, progType }: SectionDef) =>
    !targetIsBtf &&
    progType !== ProgType.TRACEPOINT &&
    progType !== ProgType.STRUCT_OPS &&
    progType !== ProgType.LIRC_MODE2,
) as readonly SectionDef[];

function resultFor({ progType, attachType }: SectionDef): number {
  return resultsOf(progType, attachType)?.at(-1) ?? 0;
}

/** Bytes in network order would hide which number is which: every field is only read, added up and dropped. */
function readAll(ctx: Ctx, add: (value: Int) => void): number {
  let count = 0;
  for (const name of Object.keys(ctx)) {
    const field = ctx[name] as Int & { at?(index: number): Int; length?: number };
    if (field.at === undefined) add(field);
    for (let i = 0; field.at !== undefined && i < field.length!; i++) add(field.at(i));
    count++;
  }
  return count;
}

t.test(
  "every section that names a plain program loads, and mirror and kernel agree",
  needsMirroredKernel(),
  async (t) => {
    for (const section of plain) {
      const decl = anyProgram(section, () => resultFor(section));
      await sameAnswers(t, object({ name: "kinds", license: "GPL", programs: [decl] }), section.name);
    }
    t.end();
  },
);

t.test("fields of every context can be read and written as the table says", needsMirroredKernel(), async (t) => {
  let read = 0;
  let written = 0;
  for (const section of plain) {
    if (ctxLayout(section.progType) === undefined) continue;
    const reads = anyProgram(section, (p, ctx) => {
      const sum = p.let(u32, 0);
      read += readAll(ctx, (value) => sum.set(sum.add(value.as(u32))));
      p.printk("%u", sum);
      return resultFor(section);
    });
    await sameAnswers(t, object({ name: "kinds", license: "GPL", programs: [reads] }), `${section.name}, reading`);
    const writes = anyProgram(section, (p, ctx) => {
      const random = p.getPrandomU32();
      for (const name of Object.keys(ctx)) {
        const field = ctx[name] as { set?(value: unknown): void; at?(index: number): { set?(value: unknown): void } };
        const one = field.at === undefined ? field : field.at(0);
        try {
          one.set?.(random);
          one.set?.(1);
          written++;
        } catch (error) {
          t.match((error as Error).message, /can neither be written nor given to a helper|is not a function/);
        }
      }
      return resultFor(section);
    });
    await sameAnswers(t, object({ name: "kinds", license: "GPL", programs: [writes] }), `${section.name}, writing`);
  }
  t.ok(read > 500 && written > 50, `${read} fields read, ${written} written`);
  t.end();
});

const Ports = struct("ports", { source: be16, dest: be16 });

t.test("packets can be read, and written where the table says so", needsMirroredKernel(), async (t) => {
  for (const section of plain) {
    const rights = packetRights(section.progType);
    if (rights === null) continue;
    const decl = anyProgram(section, (p, ctx) => {
      const isOption = section.progType === ProgType.CGROUP_SOCKOPT;
      const part = (isOption ? ctx.optval : ctx.packet) as (
        type: typeof Ports,
        at?: number,
      ) => ReturnType<typeof portsOf>;
      const ports = part(Ports, 4).orReturn(resultFor(section));
      p.printk("%u", ports.source);
      if (rights === "write") ports.dest.set(80);
      else t.throws(() => ports.dest.set(80), { message: /can only read the packet/ });
      return resultFor(section);
    });
    await sameAnswers(t, object({ name: "kinds", license: "GPL", programs: [decl] }), section.name);
  }
  t.end();
});

declare function portsOf(): { orReturn(result: number): { source: AnyInt; dest: { set(value: number): void } } };

t.test("numbers in network order are host-order numbers to programs", needsMirroredKernel(), (t) => {
  const decl = tc("arp", (p, ctx) => {
    p.if(ctx.protocol.eq(0x0800), () => p.return(1));
    p.if(ctx.protocol.ne(0x0806), () => p.return(2));
    ctx.mark.set(0x1234_5678);
    ctx.cb.at(3).set(7);
    return ctx.mark.and(0xffff).add(ctx.cb.at(3));
  });
  using loaded = load(object({ name: "kinds", license: "GPL", programs: [decl] }));
  const frame = new Uint8Array(64);
  new DataView(frame.buffer).setUint16(12, 0x0800);
  t.equal(runOn(loaded, "arp", frame), 1);
  new DataView(frame.buffer).setUint16(12, 0x0806);
  t.equal(runOn(loaded, "arp", frame), 0x5678 + 7);
  new DataView(frame.buffer).setUint16(12, 0x86dd);
  t.equal(runOn(loaded, "arp", frame), 2);
  t.end();
});

t.test("a flow dissector fills its keys in, a tc program leaves metadata", needsMirroredKernel(), async (t) => {
  const Mark = struct("mark", { seen: u32 });
  const decls = [
    program("tcx/ingress", "meta", (p, ctx) => {
      p.ifNotNull(ctx.meta(Mark), (mark) => mark.seen.set(1));
      return TcAction.UNSPEC;
    }),
    program("syscall", "run", (p, ctx) => {
      const args = ctx.as(struct("args", { a: u32, b: u32 }));
      args.b.set(args.a.add(1));
      p.copyFromUser(p.buffer(array(u8, 8)), 0);
    }),
    program("raw_tracepoint.w/nbd_send_request", "change", (_, ctx) => {
      ctx.buffer(struct("request", { magic: u32, type: u32 })).type.set(3);
    }),
    program("perf_event", "sample", (p, ctx) => p.printk("%llx %llu %llx", ctx.reg("ip"), ctx.sample_period, ctx.addr)),
    program("uprobe.s/bin/true:0x100", "sleeper", (p, ctx) => {
      p.copyFromUser(p.buffer(bytes(16)), ctx.arg(0));
    }),
  ];
  for (const decl of decls) {
    await sameAnswers(t, object({ name: "kinds", license: "GPL", programs: [decl] }), decl.name);
  }
  const dissector = program("flow_dissector", "dissect", (p, ctx) => {
    ctx.flow_keys.n_proto.set(0x0800);
    ctx.flow_keys.ipv6_src.at(3).set(1);
    p.skbLoadBytes(ctx.flow_keys.nhoff, p.buffer(bytes(4)));
    return 0;
  });
  await sameAnswers(t, object({ name: "kinds", license: "GPL", programs: [dissector] }), "flow_dissector");
  t.end();
});

t.test("programs that attach by BTF declare their arguments", needsMirroredKernel(), (t) => {
  const Task = kernelStruct("task_struct", { tgid: s32, comm: array(char, 16) });
  const decls = [
    program("tp_btf/sched_switch", "switched", { preempt: bool, prev: ptr(Task), next: ptr(Task) }, (p, args) => {
      p.if(args.preempt.eq(0), () => p.printk("%d to %d", args.prev.tgid, args.next.tgid));
    }),
    program("iter/task", "tasks", { meta: ptr(), task: ptr(Task) }, (p, args) => {
      p.printk("%llx", args.meta);
      return 0;
    }),
    program("fentry/vfs_read", "reading", { file: ptr(), buf: ptr(), count: u64, pos: ptr() }, (p, args) =>
      p.printk("%llu", args.count),
    ),
    program("fexit/vfs_read", "read", { file: ptr(), buf: ptr(), count: u64, pos: ptr(), result: s64 }, (p, args) =>
      p.printk("%lld", args.result),
    ),
    program("lsm/file_open", "open", { file: ptr(), result: s32 }, (_, args) => args.result),
  ];
  for (const decl of decls) {
    const { programs } = resolveObject(
      object({ name: "kinds", license: "GPL", programs: [decl] }).build(),
      runningKernel(),
    );
    const { load } = programs[0]!;
    t.ok(load.attachBtfId > 0, `${decl.section} has its target`);
    const { errno, log } = askKernelOnce(load);
    // Some machines forbid trampolines to everybody: then nobody looked at the program.
    const isForbidden = errno === Errno.EPERM && log === "" && !/^(tp_btf|iter)/.test(decl.section);
    t.ok(errno === 0 || isForbidden, `${decl.section}: ${errno} ${log}`);
    t.equal(verify(load).verdict, "unsupported");
  }
  // @ts-expect-error a context is no list of arguments
  t.throws(() => program("xdp", "x", { a: u32 }, () => 1), { message: /their arguments are not declared/ });
  // @ts-expect-error an argument that was not declared
  t.throws(() => build(program("fentry/vfs_read", "x", { file: u64 }, (p, args) => p.printk("%llu", args.count))));
  t.end();
});

t.test("what the kernel's types do not allow does not compile, nor does it build", (t) => {
  const refused = (decl: () => ProgramDecl, message: RegExp): void => {
    t.throws(() => build(decl()), { message });
  };
  const one = (_: unknown): 1 => 1;
  // @ts-expect-error a result that the kernel refuses
  refused(() => program("cgroup/connect4", "x", () => 2), /lets this program return 0, 1 only, not 2/);
  // @ts-expect-error one that must be 1
  refused(() => program("cgroup/recvmsg4", "x", () => 0), /lets this program return 1 only, not 0/);
  // @ts-expect-error none, where it would forbid everything
  program("cgroup/dev", "x", () => {});
  // @ts-expect-error the same in the middle of a program
  refused(() => program("cgroup/sysctl", "x", (p) => one(p.return(2))), /return 0, 1 only, not 2/);
  // @ts-expect-error a field of another attach type
  refused(() => program("cgroup/connect4", "x", (_, ctx) => one(ctx.user_ip6)), /may not read user_ip6/);
  // @ts-expect-error a field that can only be read
  refused(() => program("cgroup/connect4", "x", (_, ctx) => one(ctx.family.set(1))), /can neither be written/);
  // @ts-expect-error one that can be set before bind only
  refused(() => program("cgroup/post_bind4", "x", (_, ctx) => one(ctx.mark.set(1))), /may not read mark/);
  // @ts-expect-error a packet that can only be read
  refused(() => program("cgroup_skb/egress", "x", (_, c) => one(c.packet(u8).orReturn(1).set(1))), /can only read/);
  // @ts-expect-error a packet where there is none
  refused(() => program("sockops", "x", (_, ctx) => one(ctx.packet(u8))), /have no packet in their context/);
  // @ts-expect-error a helper of another attach type
  refused(() => program("cgroup/bind4", "x", (p) => one(p.bind(p.stack(bytes(16))))), /may not call bind/);
  // @ts-expect-error a helper that sleeps
  refused(() => program("uprobe/bin/true:1", "x", (p) => p.copyFromUser(p.buffer(bytes(8)), 0)), /may sleep/);
  // @ts-expect-error an atomic operation on the context
  refused(() => tc("x", (_, ctx) => one(ctx.mark.atomicAdd(1))), /can neither be written/);
  // @ts-expect-error a section that is none
  refused(() => program("cgroup/nope", "x", () => 1), /there is no section cgroup\/nope/);
  // @ts-expect-error one that takes no target
  refused(() => program("xdp/eth0", "x", () => 1), /there is no section xdp\/eth0/);
  // @ts-expect-error arguments that must be declared
  refused(() => program("fentry/vfs_read", "x", () => 0), /must be declared/);
  t.end();
});

t.test("the compiler complains in sentences", (t) => {
  const source = `
    import { program, tc } from "../../src/dsl/index.js";
    program("cgroup/nope", "a", () => 1);
    program("fentry/vfs_read", "b", () => 1);
    program("tracepoint/sched/sched_switch", "c", () => 1);
    program("cgroup/connect4", "d", () => 5);
    program("cgroup/connect4", "e", (p, ctx) => { ctx.user_ip6; return 1; });
    tc("f", (p, ctx) => { ctx.len.set(1); return 0; });
  `;
  const found = complaintsAbout(source);
  const expected = [
    /there is no such section: they are named as in libbpf/,
    /the arguments of this kind of program must be declared: program\(section, name, /,
    /a tracepoint has fields of its own: use tracepoint\(path, name/,
    /Type '5' is not assignable to type '0 \| 1 \| AnyInt'/,
    /Property 'user_ip6' does not exist on type 'FieldContext<"cgroup\/connect4">'/,
    /Property 'set' does not exist on type 'ReadOnlyInt<"u32">'/,
  ];
  t.equal(found.length, expected.length, found.join("\n"));
  for (const [i, message] of expected.entries()) t.match(found[i], message);
  t.end();
});
