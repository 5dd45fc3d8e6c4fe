// SPDX-License-Identifier: MIT
import * as asm from "../../../src/asm/build.js";
import { ArgType, baseType, RetType, TypeFlag, typeFlags } from "../../../src/kernel/bpf-types.js";
import { type HelperName, type HelperProto, helperByName } from "../../../src/kernel/helpers/index.js";
import type { MapLoad } from "../../../src/model/load.js";
import { helpersOf } from "./flavour.js";
import { type Gen, NONE, type Reg, SCALAR } from "./gen.js";
import { type MapName, maps, mayCreate } from "./world.js";

/* Calls of helpers with plausible arguments. */

/** Maps that helpers take; a helper that is not here takes those of `plain`. */
const MAPS_OF: Readonly<Partial<Record<HelperName, readonly MapName[]>>> = {
  map_push_elem: ["queue", "stack", "bloom"],
  map_pop_elem: ["queue", "stack"],
  map_peek_elem: ["queue", "stack", "bloom"],
  perf_event_output: ["perf"],
  perf_event_read: ["perf"],
  perf_event_read_value: ["perf"],
  ringbuf_output: ["ringbuf"],
  ringbuf_query: ["ringbuf"],
  get_stackid: ["stackTrace"],
  redirect_map: ["devmap", "cpumap", "xskmap"],
  sk_redirect_map: ["sockmap"],
  msg_redirect_map: ["sockmap"],
  sock_map_update: ["sockmap"],
  sk_redirect_hash: ["sockhash"],
  msg_redirect_hash: ["sockhash"],
  sock_hash_update: ["sockhash"],
  sk_select_reuseport: ["reuseport", "sockmap", "sockhash"],
  get_local_storage: ["cgroupStorage", "percpuCgroupStorage"],
  skb_under_cgroup: ["cgroupArray"],
  current_task_under_cgroup: ["cgroupArray"],
  sk_storage_get: ["skStorage"],
  sk_storage_delete: ["skStorage"],
  task_storage_get: ["taskStorage"],
  task_storage_delete: ["taskStorage"],
  map_lookup_percpu_elem: ["percpuArray", "percpuHash"],
  tail_call: ["progArray"],
};

const PLAIN: readonly MapName[] = [
  "array",
  "arrayBig",
  "arrayOdd",
  "hash",
  "hashSmall",
  "percpuArray",
  "percpuHash",
  "lru",
  "lpm",
  "rdonlyProg",
  "wronlyProg",
];
const RARE: readonly MapName[] = [
  "innerArray",
  "innerHash",
  "rodata",
  "frozen",
  "sockmap",
  "sockhash",
  "devmap",
  "xskmap",
  "lock",
  "timer",
];

/** Helpers that steps of their own call, or that need what no step makes. */
const ELSEWHERE: ReadonlySet<HelperName> = new Set<HelperName>([
  "tail_call",
  "ringbuf_reserve",
  "ringbuf_submit",
  "ringbuf_discard",
  "spin_lock",
  "spin_unlock",
  "timer_init",
  "timer_set_callback",
  "timer_start",
  "timer_cancel",
  "loop",
  "for_each_map_elem",
  "sk_release",
  "sk_lookup_tcp",
  "sk_lookup_udp",
  "skc_lookup_tcp",
  "user_ringbuf_drain",
  "find_vma",
  "kptr_xchg",
]);

/** A map that a helper takes; by mistake any. */
export function mapFor(g: Gen, helper: HelperName | null): MapLoad {
  const all = Object.values(maps) as readonly MapLoad[];
  let fit: readonly MapLoad[];
  if (g.mistake()) fit = all;
  else {
    const names = (helper === null ? undefined : MAPS_OF[helper]) ?? (g.rng.chance(0.08) ? RARE : PLAIN);
    fit = names.map((name) => maps[name]);
  }
  fit = fit.filter((map) => mayCreate(map, g.caps));
  return fit.length === 0 ? maps.array : g.rng.pick(fit);
}

/** What the arguments of one call have to agree on. */
interface Call {
  readonly proto: HelperProto;
  map: MapLoad | null;
  /** Bytes behind the memory argument before a size. */
  room: number;
}

/** A register outside of the arguments already in place. */
function source(g: Gen, arg: number, fits: (content: Reg) => boolean): number {
  return g.regWhere((content) => fits(content) && !taken(g, content, arg));
}

function taken(g: Gen, content: Reg, arg: number): boolean {
  for (let r = 0; r < 10; r++) if ((r < 1 || r >= arg) && g.regs[r] === content) return false;
  return true;
}

/** The register that holds the content, outside of the arguments already in place. */
function holder(g: Gen, content: Reg, arg: number): number {
  for (let r = 9; r >= 0; r--) if ((r < 1 || r >= arg) && g.regs[r] === content) return r;
  return -1;
}

function moveFrom(g: Gen, arg: number, fits: (content: Reg) => boolean): Reg | null {
  const found = source(g, arg, fits);
  if (found < 0) return null;
  const content = g.regs[found]!;
  const from = holder(g, content, arg);
  if (from < 0) return null;
  if (from !== arg) g.emit(asm.mov64Reg(arg, from));
  return content;
}

/** Sees to it that a stack buffer has content. */
function initStack(g: Gen, off: number, bytes: number): void {
  if (g.mistake() || (g.caps.perfmon && g.rng.chance(0.4))) return;
  for (let at = 0; at < bytes; at += 8) g.emit(asm.stImm("dw", 10, off + at, g.rng.pick([0, 0, 1, 7])));
}

/** Points an argument to memory of at least so many bytes; gives the bytes that there are. */
function memory(g: Gen, arg: number, bytes: number, written: boolean, uninit = false): number {
  const fits = (content: Reg): boolean =>
    (content.kind === "value" || content.kind === "mem" || content.kind === "record") &&
    (content.size ?? 0) >= bytes &&
    content.special === undefined &&
    (!written || content.readonly !== true);
  if (g.rng.chance(0.3)) {
    const content = moveFrom(g, arg, fits);
    if (content !== null) return content.size!;
  }
  const off = g.mistake() ? g.stackOff(8) : g.buffer(bytes);
  if (!uninit) initStack(g, off, Math.max(bytes, 1));
  g.emit(asm.mov64Reg(arg, 10), asm.alu64Imm("add", arg, off));
  return -off;
}

function scalarArg(g: Gen, arg: number): void {
  if (g.rng.chance(0.3) && moveFrom(g, arg, ({ kind }) => kind === "scalar") !== null) return;
  g.emit(asm.mov64Imm(arg, g.rng.chance(0.7) ? g.rng.pick([0, 0, 1, 2, 4]) : g.imm()));
}

/** A size for memory of `room` bytes: constant, or a scalar within bounds. */
function sizeArg(g: Gen, arg: number, room: number, zero: boolean): void {
  const { rng } = g;
  const most = Math.min(room, 64);
  if (rng.chance(0.3)) {
    const content = moveFrom(g, arg, ({ kind }) => kind === "scalar");
    if (content !== null) {
      const mask = 2 ** Math.floor(Math.log2(Math.max(1, most))) - 1;
      if (rng.chance(0.5) || mask === 0) {
        g.emit(asm.alu64Imm("and", arg, Math.max(1, mask)));
        if (!zero && !g.mistake() && mask > 0) g.emit(asm.alu64Imm("add", arg, 1));
        return;
      }
      const on = g.label();
      const least = zero || g.mistake() ? 0 : 1;
      g.emit(asm.alu64Imm("and", arg, 255));
      g.lead((rng.chance(0.5) ? asm.jmpImm : asm.jmp32Imm)("jle", arg, most, 0), on);
      g.emit(asm.mov64Imm(arg, most));
      g.bind(on);
      if (least > 0) {
        const more = g.label();
        g.lead(asm.jmpImm("jgt", arg, 0, 0), more);
        g.emit(asm.mov64Imm(arg, 1));
        g.bind(more);
      }
      return;
    }
  }
  const size = g.mistake()
    ? rng.pick([0, room + 1, -1, 4096])
    : rng.below(4) === 0
      ? 1 + rng.below(Math.max(1, most))
      : most;
  g.emit(asm.mov64Imm(arg, zero && rng.chance(0.05) ? 0 : size));
}

/** Sets one argument up; false when nothing fits. */
function setArg(g: Gen, call: Call, arg: number): boolean {
  const { proto } = call;
  const type = proto.argTypes[arg - 1]!;
  const nullable = (typeFlags(type) & TypeFlag.PTR_MAYBE_NULL) !== 0;
  const written = (typeFlags(type) & (TypeFlag.MEM_UNINIT | TypeFlag.MEM_WRITE)) !== 0;
  if (nullable && g.rng.chance(0.4)) {
    g.emit(asm.mov64Imm(arg, 0));
    call.room = 0;
    return true;
  }
  switch (baseType(type)) {
    case ArgType.CONST_MAP_PTR:
      call.map ??= mapFor(g, proto.name);
      if (g.rng.chance(0.1) && moveFrom(g, arg, ({ kind }) => kind === "map") !== null) call.map = maps.array;
      else g.emit(asm.ldMapFd(arg, g.map(call.map)));
      return true;
    case ArgType.PTR_TO_MAP_KEY:
      return memory(g, arg, call.map?.keySize ?? 4, false) > 0;
    case ArgType.PTR_TO_MAP_VALUE:
      return memory(g, arg, call.map?.valueSize ?? 8, written, written) > 0;
    case ArgType.PTR_TO_MEM: {
      const fixed = proto.argSizes[arg - 1]!;
      const bytes = fixed > 0 ? fixed : g.rng.pick([8, 8, 16, 4, 24]);
      call.room = memory(g, arg, bytes, written, (typeFlags(type) & TypeFlag.MEM_UNINIT) !== 0);
      if (call.room > bytes) call.room = g.mistake() ? call.room : bytes;
      return true;
    }
    case ArgType.CONST_SIZE:
    case ArgType.CONST_SIZE_OR_ZERO:
      sizeArg(g, arg, call.room, baseType(type) === ArgType.CONST_SIZE_OR_ZERO);
      return true;
    case ArgType.CONST_ALLOC_SIZE_OR_ZERO:
      g.emit(asm.mov64Imm(arg, g.rng.pick([8, 16])));
      return true;
    case ArgType.PTR_TO_CTX:
      return moveFrom(g, arg, ({ kind }) => kind === "ctx") !== null;
    case ArgType.ANYTHING:
      scalarArg(g, arg);
      return true;
    case ArgType.PTR_TO_SOCKET:
    case ArgType.PTR_TO_SOCK_COMMON:
    case ArgType.PTR_TO_BTF_ID_SOCK_COMMON:
      return moveFrom(g, arg, ({ kind }) => kind === "sock") !== null;
    case ArgType.PTR_TO_CONST_STR:
      g.emit(asm.ldMapValue(arg, g.map(maps.rodata), g.rng.pick([12, 0, 8])));
      return true;
    default:
      return g.mistake();
  }
}

function callable(g: Gen): readonly HelperProto[] {
  return helpersOf(g.flavour, g.caps, g.sleepable);
}

/** Whether the program's type may call the helper. */
export function mayCall(g: Gen, helper: HelperName): boolean {
  return callable(g).some(({ name }) => name === helper);
}

/** Calls a helper by name: the arguments must stand. */
export function callHelper(g: Gen, helper: HelperName): void {
  g.emit(asm.callHelper(helperByName(helper)!));
}

/** Helpers that programs call most. */
const COMMON: readonly HelperName[] = [
  "ktime_get_ns",
  "get_prandom_u32",
  "get_smp_processor_id",
  "get_current_pid_tgid",
  "get_current_comm",
  "map_update_elem",
  "map_delete_elem",
  "map_lookup_elem",
  "probe_read_kernel",
  "probe_read_user",
  "probe_read_kernel_str",
  "perf_event_output",
  "ringbuf_output",
  "skb_load_bytes",
  "skb_store_bytes",
  "csum_diff",
  "trace_printk",
  "redirect",
];

/** Any helper of the program's type. */
export function anyHelper(g: Gen): void {
  if (g.locked && !g.mistake()) return;
  const usable = callable(g);
  const common = g.rng.chance(0.5) ? usable.filter(({ name }) => COMMON.includes(name)) : usable;
  if (common.length === 0) return;
  const proto = g.rng.pick(common);
  if (ELSEWHERE.has(proto.name) && !g.mistake()) return;
  const call: Call = { proto, map: null, room: 0 };
  const before = g.insns.length;
  for (let arg = 1; arg <= 5 && proto.argTypes[arg - 1] !== ArgType.DONTCARE; arg++) {
    if (setArg(g, call, arg)) continue;
    // What was set up so far stays, and is only not used.
    for (let r = 1; g.insns.length > before && r <= arg; r++) g.set(r, NONE);
    return;
  }
  g.emit(asm.callHelper(proto.id));
  g.called(result(call));
}

function result({ proto, map }: Call): Reg {
  switch (proto.retType) {
    case RetType.INTEGER:
      return SCALAR;
    case RetType.PTR_TO_MAP_VALUE:
      return { kind: "value", size: map?.valueSize ?? 8 };
    case RetType.PTR_TO_MAP_VALUE_OR_NULL:
      return { kind: "maybe", size: map?.valueSize ?? 8 };
    default:
      return NONE;
  }
}

const SPECIAL: ReadonlyMap<MapLoad, readonly [number, number]> = new Map<MapLoad, readonly [number, number]>([
  [maps.lock, [8, 4]],
  [maps.lockHash, [8, 4]],
  [maps.timer, [8, 16]],
]);

/** What a map's values are to programs. */
function mapValue(map: MapLoad): Reg {
  const special = SPECIAL.get(map);
  return { kind: "value", size: map.valueSize, readonly: map === maps.rdonlyProg, ...(special ? { special } : {}) };
}

/** Looks a key up, leaving R0 the value or null. */
export function lookupIn(g: Gen, map: MapLoad): void {
  const { rng } = g;
  const long = map.keySize === 8;
  const off = long ? -8 : rng.pick([-8, -4]);
  const variable = g.reg("scalar");
  if (variable >= 0 && rng.chance(0.3)) g.emit(asm.stx(long ? "dw" : "w", 10, variable, off));
  else g.emit(asm.stImm(long ? "dw" : "w", 10, off, rng.pick([0, 1, 2, 5, 9])));
  g.emit(asm.mov64Reg(2, 10), asm.alu64Imm("add", 2, g.mistake() ? off - 4 : off), asm.ldMapFd(1, g.map(map)));
  callHelper(g, "map_lookup_elem");
  g.called({ kind: "maybe", size: map.valueSize });
}

/** A lookup with its null check (mostly), the value kept (mostly). */
export function lookup(g: Gen): void {
  if (g.locked) return;
  const { rng } = g;
  const map = rng.chance(0.12) ? rng.pick([maps.innerArray, maps.innerHash]) : mapFor(g, null);
  lookupIn(g, map);
  if (rng.chance(0.1)) {
    const keep = g.saved();
    if (keep >= 0) {
      g.emit(asm.mov64Reg(keep, 0));
      g.set(keep, g.regs[0]!);
    }
    return;
  }
  checkNull(g, map);
  if (map.inner !== null && map.inner.valueSize > 0 && g.regs[0]!.kind === "map" && rng.chance(0.85)) {
    const key = map.inner.keySize;
    g.emit(asm.stImm(key === 8 ? "dw" : "w", 10, -8, 0), asm.mov64Reg(2, 10), asm.alu64Imm("add", 2, -8));
    g.emit(asm.mov64Reg(1, 0));
    callHelper(g, "map_lookup_elem");
    g.called({ kind: "maybe", size: map.inner.valueSize });
    checkNull(g, map.inner);
  }
  keepResult(g);
}

function checkNull(g: Gen, map: MapLoad): void {
  if (g.mistake()) return;
  const content: Reg = map.inner === null ? mapValue(map) : { kind: "map" };
  if (g.rng.chance(0.8)) g.nullCheck(0);
  else {
    const on = g.label();
    const zero = g.reg("scalar");
    g.emit(asm.mov64Imm(1, 0));
    g.lead(zero >= 0 && g.mistake() ? asm.jmpReg("jne", 0, zero, 0) : asm.jmpReg("jne", 0, 1, 0), on);
    g.leave();
    g.bind(on);
  }
  g.set(0, content);
}

function keepResult(g: Gen): void {
  if (!g.rng.chance(0.6)) return;
  const dst = g.saved();
  if (dst < 0) return;
  g.emit(asm.mov64Reg(dst, 0));
  g.set(dst, g.regs[0]!);
}
