// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { decodeInsns } from "../../../src/asm/insn.js";
import { isHelperCall } from "../../../src/asm/isa.js";
import { schedClsCtx, xdpCtx } from "../../../src/kernel/ctx/index.js";
import { helperByName } from "../../../src/kernel/helpers/index.js";
import { MapType, ProgType } from "../../../src/kernel/uapi.js";
import type { MapLoad, ProgramLoad } from "../../../src/model/load.js";
import { SyscallError, VerifierRejection } from "../../../src/syscall/errors.js";
import { InputError } from "../../../src/util/errors.js";
import { verify } from "../../../src/verifier/index.js";
import { PerfMap, QueueMap, testRun, Vm, VmFault, type VmOptions } from "../../../src/vm/index.js";
import { flavoursFor } from "../fuzz/flavour.js";
import { ALL_CAPABILITIES, randomProgramOf } from "../fuzz/generate.js";
import { mixSeed, Rng } from "../fuzz/rng.js";
import { types } from "../fuzz/world.js";
import { type Element, KernelProgram, userValueSize } from "./kernel.js";

/*
 * Random programs that the verifier accepts run in the machine and, by BPF_PROG_TEST_RUN, in the kernel: result, packet,
 * context and maps must be the same. What depends on the kernel's addresses, on what was on its stack or on what only a
 * kernel knows is found by running the machine differently, and left out.
 */

const RUNNABLE: ReadonlySet<number> = new Set([
  ProgType.SOCKET_FILTER,
  ProgType.SCHED_CLS,
  ProgType.SCHED_ACT,
  ProgType.XDP,
  ProgType.CGROUP_SKB,
  ProgType.LWT_IN,
  ProgType.LWT_XMIT,
]);
const flavours = flavoursFor(ALL_CAPABILITIES).filter(([, { type }]) => RUNNABLE.has(type));

/** Maps whose content is compared. */
const COMPARED: ReadonlySet<number> = new Set([
  MapType.ARRAY,
  MapType.PERCPU_ARRAY,
  MapType.HASH,
  MapType.PERCPU_HASH,
  MapType.LRU_HASH,
  MapType.LPM_TRIE,
  MapType.QUEUE,
  MapType.STACK,
]);

/** Where the process stands that asks the kernel. */
export interface Place {
  readonly cpu: number;
  readonly cpus: number;
}

/** One program with its input. */
export interface Case {
  readonly load: ProgramLoad;
  readonly data: Uint8Array;
  readonly context: Uint8Array | undefined;
  /** What the maps hold at first, by index. */
  readonly content: readonly (readonly Element[])[];
}

/** What a run left. */
interface Result {
  readonly retval: number;
  readonly data: string;
  readonly context: string;
  readonly maps: readonly string[];
}

/** What became of a case: `same`, or why it is left out, or what differs. */
export type Outcome =
  | { readonly kind: "same"; readonly executed: number }
  | { readonly kind: "left out"; readonly why: string }
  | { readonly kind: "different"; readonly what: string };

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function packet(rng: Rng): Uint8Array {
  const data = new Uint8Array(rng.pick([14, 15, 20, 34, 54, 60, 64, 64, 100, 256, 600]));
  for (let i = 0; i < data.length; i++) data[i] = rng.chance(0.5) ? rng.below(256) : 0;
  // What says that it is IP must have room for it.
  if (rng.chance(0.7)) data.set([0x08, data.length >= 34 && rng.chance(0.9) ? 0 : 6], 12);
  if (data.length >= 54 && rng.chance(0.1)) data.set([0x86, 0xdd], 12);
  if (data.length > 34 && rng.chance(0.7)) data[14] = 0x45;
  return data;
}

function context(rng: Rng, type: number, data: Uint8Array): Uint8Array | undefined {
  if (rng.chance(0.4)) return undefined;
  if (type === ProgType.XDP) {
    const bytes = new Uint8Array(xdpCtx.size);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, rng.pick([0, 0, 4, 8]), true);
    view.setUint32(4, data.length, true);
    return bytes;
  }
  const bytes = new Uint8Array(schedClsCtx.size);
  const view = new DataView(bytes.buffer);
  for (const { name, offset, count } of schedClsCtx.fields) {
    if (!["mark", "priority", "cb", "gso_segs"].includes(name) || rng.chance(0.3)) continue;
    for (let i = 0; i < count; i++) view.setUint32(offset + 4 * i, rng.u32() & 0xffff, true);
  }
  return bytes;
}

function content(rng: Rng, map: MapLoad, cpus: number): Element[] {
  const isArray = map.type === MapType.ARRAY || map.type === MapType.PERCPU_ARRAY;
  const isHash = map.type === MapType.HASH || map.type === MapType.PERCPU_HASH || map.type === MapType.LRU_HASH;
  if ((!isArray && !isHash) || map.frozen || map.btfValueTypeId === types.lockValue) return [];
  if (map.btfValueTypeId === types.timerValue) return [];
  const keys = isArray ? Array.from({ length: map.maxEntries }, (_, i) => i) : [0, 1, 5].slice(0, map.maxEntries - 1);
  return keys.map((index): Element => {
    const key = new Uint8Array(map.keySize);
    new DataView(key.buffer).setUint32(0, index, true);
    const value = new Uint8Array(userValueSize(map, cpus));
    for (let i = 0; i < value.length; i++) if (rng.chance(0.7)) value[i] = rng.below(256);
    // What a per-CPU value has behind its last byte is not copied.
    if (value.length !== map.valueSize) {
      for (let i = 0; i < value.length; i++) if (i % (value.length / cpus) >= map.valueSize) value[i] = 0;
    }
    return [key, value];
  });
}

/** The case of a seed. */
export function randomCase(seed: number, cpus: number): Case {
  const load = randomProgramOf(seed, flavours);
  const rng = new Rng(mixSeed(seed, 77));
  const data = packet(rng);
  return {
    load,
    data,
    context: context(rng, load.progType, data),
    content: load.maps.map((map) => content(rng, map, cpus)),
  };
}

const comm = readFileSync("/proc/self/comm", "utf8").trim();

/** A machine that answers what the kernel would answer this process. */
export function machineFor({ load, content: maps }: Case, { cpu, cpus }: Place, more: VmOptions = {}): Vm {
  const vm = new Vm(load, {
    budget: 300_000,
    environment: { cpu, cpus, pid: process.pid, tgid: process.pid, uid: 0, gid: 0, comm },
    ...more,
  });
  maps.forEach((elements, i) => {
    for (const [key, value] of elements) vm.maps[i]!.set(key, value);
  });
  for (const map of vm.maps) if (map instanceof PerfMap) map.closed = true;
  return vm;
}

const sorted = (elements: readonly Element[]): string =>
  elements
    .map(([key, value]) => `${hex(key)}=${hex(value)}`)
    .sort()
    .join(" ");

function inMachine(it: Case, place: Place, options: VmOptions = {}): Result & { readonly executed: number } {
  const vm = machineFor(it, place, options);
  const { retval, data, context: ctx } = testRun(vm, it);
  const maps = vm.maps.map((map) => {
    if (!COMPARED.has(map.load.type)) return "";
    if (map instanceof QueueMap)
      return map
        .values()
        .map((value) => `=${hex(value)}`)
        .join(" ");
    return sorted(map.entries());
  });
  return { retval, data: hex(data), context: hex(ctx), maps, executed: vm.executed };
}

function inKernel(it: Case, { cpus }: Place): Result {
  using program = new KernelProgram(it.load, cpus);
  it.content.forEach((elements, i) => {
    for (const element of elements) program.set(i, element);
  });
  const contextOutSize = it.context?.length ?? 0;
  const {
    retval,
    data,
    context: ctx,
  } = program.run({
    data: it.data,
    dataOutSize: 20_000,
    ...(it.context === undefined ? {} : { context: it.context, contextOutSize }),
  });
  const maps = it.load.maps.map((map, i) => {
    if (!COMPARED.has(map.type)) return "";
    const elements = program.elements(i);
    return map.keySize === 0 ? elements.map(([, value]) => `=${hex(value)}`).join(" ") : sorted(elements);
  });
  return { retval, data: hex(data), context: hex(ctx), maps };
}

/** What two results differ in first, null when they are the same. */
function difference(kernel: Result, ours: Result, { load }: Case): string | null {
  if (kernel.retval !== ours.retval) return `retval: kernel ${kernel.retval}, machine ${ours.retval}`;
  if (kernel.data !== ours.data) return `data: kernel ${kernel.data}, machine ${ours.data}`;
  if (kernel.context !== ours.context) return `context: kernel ${kernel.context}, machine ${ours.context}`;
  for (const [i, map] of kernel.maps.entries()) {
    if (map !== ours.maps[i]) return `map ${load.maps[i]!.name}: kernel ${map}, machine ${ours.maps[i]}`;
  }
  return null;
}

/** Helpers that answer something else each time. */
const CHANCE: ReadonlySet<number> = new Set(
  (
    [
      "ktime_get_ns",
      "ktime_get_boot_ns",
      "ktime_get_coarse_ns",
      "ktime_get_tai_ns",
      "jiffies64",
      "get_prandom_u32",
      "get_netns_cookie",
      "get_current_cgroup_id",
      "get_numa_node_id",
    ] as const
  ).map((name) => helperByName(name)!),
);

/** Runs the machine on different addresses and stacks: what differs then, or depends on time and chance, is no fault. */
function varies(it: Case, place: Place, first: Result): string | null {
  if (decodeInsns(it.load.insns).some((insn) => isHelperCall(insn) && CHANCE.has(insn.imm))) return "time or chance";
  const others: readonly (readonly [string, VmOptions])[] = [
    ...[0xa5, 0x01, 0xff, 0x80].map((stackByte) => ["what is on the stack before", { stackByte }] as const),
    ["addresses", { spread: 77 }],
  ];
  for (const [what, options] of others) {
    try {
      if (difference(first, inMachine(it, place, options), it) !== null) return what;
    } catch (error) {
      if (error instanceof VmFault) return what;
      throw error;
    }
  }
  return null;
}

/** Whether the mirror accepts a program. */
export function isAccepted(load: ProgramLoad): boolean {
  try {
    return verify(load).verdict === "accepted";
  } catch (error) {
    if (error instanceof InputError) return false;
    throw error;
  }
}

/** What the two engines make of a case differs in, null when they agree; faults must be the same too. */
export function enginesDiffer(it: Case, place: Place): string | null {
  const [one, other] = (["interpreter", "wasm"] as const).map((engine) => {
    try {
      const { executed, ...result } = inMachine(it, place, { engine });
      return { result, executed, fault: "" };
    } catch (error) {
      if (!(error instanceof VmFault)) throw error;
      // A block's instructions are counted before it.
      return { result: null, executed: 0, fault: error.kind === "budget" ? "budget" : error.message };
    }
  });
  if (one!.fault !== other!.fault)
    return `interpreter: ${one!.fault || "no fault"}; compiled: ${other!.fault || "no fault"}`;
  if (one!.result === null || other!.result === null) return null;
  if (one!.executed !== other!.executed)
    return `interpreter: ${one!.executed} instructions; compiled: ${other!.executed}`;
  return difference(one!.result, other!.result, it);
}

/** Compares one accepted program. */
export function judge(it: Case, place: Place): Outcome {
  let ours: ReturnType<typeof inMachine>;
  try {
    ours = inMachine(it, place);
  } catch (error) {
    if (!(error instanceof VmFault)) throw error;
    if (error.kind === "helper" || error.kind === "unsupported" || error.kind === "budget") {
      return { kind: "left out", why: error.message.replace(/^insn \d+: /, "").replace(/\d{4,}/g, "N") };
    }
    return { kind: "different", what: `${error.kind} fault: ${error.message}` };
  }
  let kernel: Result;
  try {
    kernel = inKernel(it, place);
  } catch (error) {
    if (error instanceof VerifierRejection) return { kind: "left out", why: "the kernel does not accept it" };
    if (error instanceof SyscallError) return { kind: "left out", why: `${error.command} errno ${error.errno}` };
    throw error;
  }
  const what = difference(kernel, ours, it);
  if (what === null) return { kind: "same", executed: ours.executed };
  const why = varies(it, place, ours);
  return why === null ? { kind: "different", what } : { kind: "left out", why: `depends on ${why}` };
}
