// SPDX-License-Identifier: MIT
import { execFileSync, spawnSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { existsSync, readFileSync, unlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import t from "tap";
import {
  alu64Imm,
  atomic,
  exit,
  jmpImm,
  ldImm64,
  ldMapFd,
  ldMapValue,
  ldx,
  mov64Imm,
  mov64Reg,
  stImm,
} from "../../src/asm/build.js";
import { encodeInsns, type Insn } from "../../src/asm/insn.js";
import { R0, R1, R2, R6, R10 } from "../../src/asm/opcode.js";
import { AttachType, LinkType, MapType, ProgType, XdpAction } from "../../src/kernel/uapi.js";
import {
  attachKprobe,
  attachPacketFilter,
  attachRawTracepoint,
  attachSocketFilter,
  attachTracepoint,
  attachUprobe,
  attachXdp,
  parseTracepointName,
  resolveInterface,
  TracePipe,
  tracefsRoot,
  tracepointFormat,
  tracepointId,
} from "../../src/link/index.js";
import { createMap, type Fd, loadProgram, MapAccess, SyscallError } from "../../src/syscall/index.js";
import { InputError } from "../../src/util/errors.js";
import { bpftool, helper, needsBpf, needsBpfAnd, openBpfFds } from "../support/live.js";

/** A one-value counter that programs add to. */
function counter(): { map: Fd; read: () => number } {
  const map = createMap({ name: "bpfs_count", type: MapType.ARRAY, keySize: 4, valueSize: 8, maxEntries: 1 });
  const access = new MapAccess(map, 4, 8);
  return {
    map,
    read() {
      access.lookup();
      return Number(access.value.getBigUint64(0, true));
    },
  };
}

function load(type: number, insns: readonly (Insn | readonly Insn[])[], name: string, attachType = 0): Fd {
  const request = { name, type, expectedAttachType: attachType, insns: encodeInsns(insns.flat()), license: "GPL" };
  return loadProgram(request).fd;
}

const addOne = (map: Fd): readonly (Insn | readonly Insn[])[] => [
  ldMapValue(R1, map.number, 0),
  mov64Imm(R2, 1),
  atomic("add", "dw", R1, R2, 0),
];

/** Counts the calls of this very process (its main thread's process id). */
const countOwn = (map: Fd): readonly (Insn | readonly Insn[])[] => {
  const add = addOne(map).flat();
  return [
    helper("get_current_pid_tgid"),
    alu64Imm("rsh", R0, 32),
    jmpImm("jne", R0, process.pid, add.length),
    add,
    mov64Imm(R0, 0),
    exit(),
  ];
};

const mask = process.umask();
/** With an argument it is one umask(2), without one it is two. */
const callUmask = (times: number): void => {
  for (let i = 0; i < times; i++) process.umask(mask);
};

t.test("names of tracepoints", (t) => {
  t.strictSame(parseTracepointName("sched/sched_switch"), { category: "sched", name: "sched_switch" });
  t.strictSame(parseTracepointName("sched:sched_switch"), { category: "sched", name: "sched_switch" });
  for (const bad of ["sched_switch", "a/b/c", "../etc/passwd", "", "a/", "/a", "a/../b"]) {
    t.throws(() => parseTracepointName(bad), InputError, bad);
  }
  t.end();
});

t.test("tracefs", needsBpf(), (t) => {
  const root = tracefsRoot();
  const name = parseTracepointName("syscalls/sys_enter_execve");
  t.equal(tracepointId(name), Number(readFileSync(`${root}/events/syscalls/sys_enter_execve/id`, "utf8")));
  t.equal(tracepointFormat(name).id, tracepointId(name));
  t.ok(tracepointFormat(name).fields.some((field) => field.name === "filename"));
  const message = (target: string): string => {
    try {
      tracepointId(parseTracepointName(target));
    } catch (error) {
      if (error instanceof InputError) return error.message;
    }
    throw new Error("no InputError");
  };
  t.match(message("syscalls/sys_enter_exceve"), /no tracepoint syscalls\/sys_enter_exceve \(similar: sys_enter_execve/);
  t.match(message("syscall/sys_enter_execve"), /there is no category syscall \(similar: .*\bsyscalls\b/);
  t.match(message("sched/qqqqqqqqqqqqqqqqqqqqqq"), /no tracepoint sched\/q+; those that it has stand in \/sys\//);
  t.end();
});

t.test("tracefs that is not mounted is mounted, or explained", needsBpfAnd("unshare", "setpriv"), (t) => {
  const script = `
    import { tracefsRoot, tracepointId } from "./src/link/index.js";
    try { console.log(tracefsRoot(), tracepointId({ category: "sched", name: "sched_switch" })); }
    catch (error) { console.log(error.name, error.isPermission, error.message); }`;
  const run = (prepare: string, prefix: string): string => {
    const command = `${prepare}; exec ${prefix} "$0" --import tsx --input-type=module -e "$1"`;
    const cwd = fileURLToPath(new URL("../..", import.meta.url));
    const env = { ...process.env, HOME: "/nonexistent", NODE_OPTIONS: "" };
    const options = { encoding: "utf8", cwd, env } as const;
    return spawnSync("unshare", ["-m", "sh", "-c", command, process.execPath, script], options).stdout.trim();
  };
  const unmount = "umount /sys/kernel/tracing /sys/kernel/debug 2>/dev/null";
  const id = tracepointId({ category: "sched", name: "sched_switch" });
  t.equal(run(unmount, ""), `/sys/kernel/tracing ${id}`);
  const nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
  if (run("true", nobody) === "") {
    t.pass("as another user", { skip: "skipped: another user cannot read this checkout" });
  } else {
    t.match(run(unmount, nobody), /^SyscallError true mount of tracefs: EPERM .* needs root: mount -t tracefs/);
    t.match(run("true", nobody), /^SyscallError true open of \/sys\/.*: EACCES .*run as root$/);
  }
  t.match(run("mount -t tmpfs none /sys/kernel", ""), /^InputError undefined this kernel has no tracefs/);
  t.end();
});

t.test("a tracepoint program sees every event, until its link is closed", needsBpfAnd("bpftool"), (t) => {
  const before = openBpfFds().length;
  const { map, read } = counter();
  const program = load(ProgType.TRACEPOINT, countOwn(map), "bpfs_tp");
  const link = attachTracepoint(program, "syscalls/sys_enter_umask");
  t.equal(openBpfFds().length, before + 3, "a map, a program, a link, and no perf event besides");
  t.strictSame([link.kind, link.target], ["tracepoint", "syscalls/sys_enter_umask"]);
  const first = read();
  callUmask(1000);
  t.equal(read(), first + 1000);
  const info = link.info()!;
  t.equal(info.type, LinkType.PERF_EVENT);
  t.match(bpftool<{ prog_id: number }>("link", "show", "id", String(info.id)), {
    type: "perf_event",
    prog_id: info.progId,
  });
  link.close();
  link.close();
  callUmask(10);
  t.equal(read(), first + 1000, "detached");
  t.throws(() => attachTracepoint(program, "syscalls/sys_enter_umaks"), InputError);
  t.equal(openBpfFds().length, before + 2);
  program.close();
  map.close();
  t.end();
});

t.test("two links of one program, pinned, with a cookie", needsBpf(), async (t) => {
  const { map, read } = counter();
  const insns = [
    mov64Reg(R6, R1),
    helper("get_current_pid_tgid"),
    alu64Imm("rsh", R0, 32),
    jmpImm("jne", R0, process.pid, 6),
    mov64Reg(R1, R6),
    helper("get_attach_cookie"),
    ldMapValue(R1, map.number, 0),
    atomic("add", "dw", R1, R0, 0),
    mov64Imm(R0, 0),
    exit(),
  ];
  // The jump leads over the call and the addition, to the last two instructions.
  const program = load(ProgType.TRACEPOINT, insns, "bpfs_cookie");
  const one = attachTracepoint(program, "syscalls/sys_enter_umask", { cookie: 1n });
  const big = attachTracepoint(program, "syscalls/sys_exit_umask", { cookie: 1n << 40n });
  callUmask(3);
  t.equal(read(), 3 * (1 + 2 ** 40));
  const path = `/sys/fs/bpf/bpfsmith-link-${process.pid}`;
  t.teardown(() => existsSync(path) && unlinkSync(path));
  if (readFileSync("/proc/mounts", "utf8").includes(" /sys/fs/bpf bpf ")) {
    one.pin(path);
    one.close();
    big.close();
    callUmask(2);
    t.equal(read(), 3 * (1 + 2 ** 40) + 2, "the pinned link stays attached");
    unlinkSync(path);
    // The kernel lets go of a removed pin a moment later.
    let last = -1;
    for (const end = performance.now() + 5000; last !== read() && performance.now() < end; await sleep(10)) {
      last = read();
      callUmask(1);
    }
    t.equal(read(), last, "removing the pin detaches");
  }
  one.close();
  big.close();
  program.close();
  map.close();
});

t.test("raw tracepoints", needsBpf(), (t) => {
  const { map, read } = counter();
  const program = load(ProgType.RAW_TRACEPOINT, countOwn(map), "bpfs_raw");
  const link = attachRawTracepoint(program, "sys_enter");
  t.equal(link.info()!.type, LinkType.RAW_TRACEPOINT);
  const first = read();
  callUmask(100);
  t.ok(read() >= first + 100);
  link.close();
  const last = read();
  callUmask(100);
  t.equal(read(), last);
  t.throws(() => attachRawTracepoint(program, "sched_swich"), /no raw tracepoint sched_swich \(similar: sched_switch/);
  program.close();
  map.close();
  t.end();
});

const bound = (socket: Socket): Promise<number> =>
  new Promise((resolve) => socket.bind(0, "127.0.0.1", () => resolve(socket.address().port)));

t.test("a socket filter drops what it does not let in", needsBpf(), async (t) => {
  const socket = createSocket("udp4");
  const port = await bound(socket);
  const received: string[] = [];
  socket.on("message", (message) => received.push(message.toString()));
  const send = async (text: string) => {
    const sender = createSocket("udp4");
    await new Promise((resolve) => sender.send(text, port, "127.0.0.1", resolve));
    sender.close();
    await sleep(30);
  };
  const { map, read } = counter();
  const program = load(ProgType.SOCKET_FILTER, [...addOne(map), mov64Imm(R0, 0), exit()], "bpfs_drop");
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  const link = attachSocketFilter(program, fd);
  t.equal(link.info(), null);
  t.throws(() => link.pin("/sys/fs/bpf/x"), InputError);
  await send("dropped");
  t.equal(read(), 1);
  t.strictSame(received, []);
  link.close();
  link.close();
  await send("let in");
  t.strictSame(received, ["let in"]);
  t.equal(read(), 1);

  const watcher = load(ProgType.SOCKET_FILTER, [...addOne(map), mov64Imm(R0, 0), exit()], "bpfs_watch");
  const packets = attachPacketFilter(watcher, "lo");
  const before = read();
  await send("seen");
  t.ok(read() > before, "frames of an interface");
  t.strictSame(received, ["let in", "seen"]);
  packets.close();
  for (const fd of [watcher, program, map]) fd.close();
  socket.close();
});

const ip = (...args: readonly string[]) => execFileSync("ip", args, { stdio: "ignore" });
const canMakeInterfaces = (): boolean => {
  const made = spawnSync("ip", [
    "link",
    "add",
    `bpfsp${process.pid}`,
    "type",
    "veth",
    "peer",
    "name",
    `bpfsq${process.pid}`,
  ]);
  return made.status === 0;
};

t.test("XDP on a network interface", needsBpfAnd("ip"), async (t) => {
  const device = `bpfsp${process.pid}`;
  const peer = `bpfsq${process.pid}`;
  if (!canMakeInterfaces()) {
    t.pass("veth", { skip: "skipped: no rights to make network interfaces" });
    return;
  }
  t.teardown(() => ip("link", "del", device));
  ip("link", "set", device, "up");
  ip("link", "set", peer, "up");
  const { map, read } = counter();
  const insns = [...addOne(map), mov64Imm(R0, XdpAction.PASS), exit()];
  const program = load(ProgType.XDP, insns, "bpfs_xdp", AttachType.XDP);
  for (const mode of ["auto", "native", "generic"] as const) {
    const link = attachXdp(program, device, { mode });
    const shown = execFileSync("ip", ["-d", "link", "show", device], { encoding: "utf8" });
    t.match(shown, mode === "generic" ? /\bxdpgeneric\b/ : /\bxdp\b/, mode);
    t.equal(link.info()!.type, LinkType.XDP);
    const busy = t.throws(() => attachXdp(program, device)) as unknown as SyscallError;
    t.match(busy.message, mode === "generic" ? /EEXIST.*in another mode/ : /EBUSY.*another program is attached/);
    // IPv6 talks about itself on a fresh link; make sure of a frame all the same.
    const before = read();
    spawnSync("ip", ["link", "set", peer, "down"]);
    spawnSync("ip", ["link", "set", peer, "up"]);
    const end = performance.now() + 5000;
    while (read() === before && performance.now() < end) await sleep(20);
    t.ok(read() > before, "frames were seen");
    link.close();
    t.notMatch(execFileSync("ip", ["-d", "link", "show", device], { encoding: "utf8" }), /prog\/xdp/);
  }
  t.equal(resolveInterface(device), Number(readFileSync(`/sys/class/net/${device}/ifindex`, "utf8")));
  t.equal(resolveInterface(7), 7);
  t.throws(() => resolveInterface("nosuch0"), /no network interface nosuch0 \(there are: .*\blo\b/);
  t.throws(() => resolveInterface("a-name-of-more-than-15-bytes"), InputError);
  program.close();
  map.close();
});

t.test("lines of bpf_trace_printk come through the trace pipe", needsBpf(), async (t) => {
  const text = Buffer.from(`bpfsmith ${process.pid} %d\0`.padEnd(24, "\0"));
  const words = [0, 8, 16].map((at) => ldImm64(R1, text.readBigUInt64LE(at)));
  const insns = [
    mov64Reg(R6, R1),
    ...words.flatMap((word, i) => [...word, { opcode: 0x7b, dst: R10, src: R1, off: -24 + i * 8, imm: 0 }]),
    ldx("w", 3, R6, 0),
    mov64Reg(R1, R10),
    alu64Imm("add", R1, -24),
    mov64Imm(R2, text.indexOf(0) + 1),
    helper("trace_printk"),
    mov64Imm(R0, 0),
    exit(),
  ];
  const lines: string[] = [];
  const pipe = new TracePipe((line) => lines.push(line));
  const program = load(ProgType.SOCKET_FILTER, insns, "bpfs_print");
  const { testRun } = await import("../../src/syscall/index.js");
  const ours = () => lines.filter((line) => line.includes(`bpfsmith ${process.pid} `));
  const end = performance.now() + 10_000;
  // Each line goes to one reader of the machine only: whoever else reads now may get some.
  do {
    testRun(program, { data: new Uint8Array(77), repeat: 3 });
    await sleep(50);
  } while (ours().length < 3 && performance.now() < end);
  t.ok(ours().length >= 3);
  t.match(ours()[0], new RegExp(`bpf_trace_printk: bpfsmith ${process.pid} (77|63)$`));
  pipe.close();
  pipe.close();
  program.close();
});

/** File offset of a function of the C library, read by another tool's eyes. */
function libcFunction(name: string): { path: string; offset: number } {
  const path = /\S+\/libc\.so\.6$/m.exec(readFileSync("/proc/self/maps", "utf8"))![0];
  const symbols = execFileSync("readelf", ["-W", "--dyn-syms", path], { encoding: "utf8", maxBuffer: 1 << 26 });
  const value = Number(`0x${new RegExp(`: ([0-9a-f]+) .* ${name}@@`).exec(symbols)![1]}`);
  const segments = execFileSync("readelf", ["-W", "-l", path], { encoding: "utf8" });
  for (const [, offset, start, size] of segments.matchAll(/LOAD +(0x\w+) (0x\w+) 0x\w+ 0x\w+ (0x\w+)/g)) {
    if (value >= Number(start) && value < Number(start) + Number(size)) {
      return { path, offset: value - Number(start) + Number(offset) };
    }
  }
  throw new Error(`${name} is in no segment`);
}

t.test("uprobes at a function's entry and return, of one process or all", needsBpfAnd("readelf"), (t) => {
  if (!existsSync("/sys/bus/event_source/devices/uprobe")) {
    t.pass("uprobes", { skip: "skipped: this kernel has no uprobes" });
    t.end();
    return;
  }
  const { path, offset } = libcFunction("umask");
  const { map, read } = counter();
  const program = load(ProgType.KPROBE, [...addOne(map), mov64Imm(R0, 0), exit()], "bpfs_uprobe");
  const link = attachUprobe(program, path, offset, { pid: process.pid });
  t.strictSame([link.kind, link.target], ["uprobe", `${path}+${offset}`]);
  callUmask(10);
  t.equal(read(), 10);
  const returns = attachUprobe(program, path, offset, { pid: process.pid, isReturn: true });
  callUmask(10);
  t.equal(read(), 30, "entry and return");
  returns.close();
  link.close();
  const other = attachUprobe(program, path, offset, { pid: process.ppid });
  callUmask(10);
  t.equal(read(), 30, "another process is observed");
  other.close();
  const all = attachUprobe(program, path, offset);
  callUmask(10);
  t.ok(read() >= 40);
  all.close();
  t.throws(
    () => attachUprobe(program, "/nonexistent/libx.so", 4),
    new InputError("there is no file /nonexistent/libx.so"),
  );
  program.close();
  map.close();
  t.end();
});

t.test("kprobes attach, or the kernel's lack of them is explained", needsBpf(), (t) => {
  const { map, read } = counter();
  const program = load(ProgType.KPROBE, countOwn(map), "bpfs_kprobe");
  if (existsSync("/sys/bus/event_source/devices/kprobe")) {
    const link = attachKprobe(program, `__${process.arch}_sys_umask`);
    callUmask(10);
    t.equal(read(), 10);
    link.close();
    t.throws(() => attachKprobe(program, "no_such_function"), InputError);
  } else {
    t.throws(() => attachKprobe(program, "do_sys_openat2"), /this kernel has no kprobes \(CONFIG_KPROBE_EVENTS\)/);
  }
  program.close();
  map.close();
  t.end();
});

t.test("attaching what does not fit is explained", needsBpf(), (t) => {
  const program = load(ProgType.SOCKET_FILTER, [mov64Imm(R0, 0), exit()], "bpfs_misfit");
  const misfit = t.throws(() => attachTracepoint(program, "syscalls/sys_enter_umask")) as unknown as SyscallError;
  t.ok(misfit instanceof SyscallError);
  t.equal(misfit.code, "EINVAL");
  program.close();
  using map = createMap({ name: "bpfs_stack", type: MapType.ARRAY, keySize: 4, valueSize: 8, maxEntries: 1 });
  const deep = [ldMapFd(R1, map.number), stImm("dw", R10, -8, 0), ldx("dw", R0, 1, 2000), exit()];
  t.throws(() => load(ProgType.TRACEPOINT, deep, "bpfs_bad"), /verifier rejects bpfs_bad/);
  t.end();
});
