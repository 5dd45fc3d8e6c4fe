// SPDX-License-Identifier: MIT
import { BtfBuilder } from "../../../src/btf/builder.js";
import { writeBtf } from "../../../src/btf/write.js";
import { MapFlag, MapType } from "../../../src/kernel/uapi.js";
import type { MapLoad } from "../../../src/model/load.js";
import type { Capabilities } from "../../../src/verifier/index.js";

/*
 * What random programs are about: maps and types that stand once and for all, so that the kernel
 * makes them once and not for every program.
 */

/** What a parameter of a described function is. */
export type ParamKind = "int" | "long" | "char" | "mem4" | "mem16" | "mem4nonnull" | "ctx" | "voidPtr" | "dynptr";

/** A function that func_info can name. */
export interface DescribedFunc {
  readonly id: number;
  readonly name: string;
  readonly global: boolean;
  readonly params: readonly ParamKind[];
  /** Structure that a context parameter points to. */
  readonly ctxName: string | null;
}

interface Types {
  readonly bytes: Uint8Array;
  readonly funcs: readonly DescribedFunc[];
  /** main functions, by the structure that their parameter points to; "" for a void pointer. */
  readonly mains: ReadonlyMap<string, DescribedFunc>;
  readonly lockValue: number;
  readonly timerValue: number;
  readonly int: number;
  /** Offsets of file name and text lines in the string table. */
  readonly strings: readonly number[];
}

/** Structures by which BTF tells contexts of program types. */
const CTX_NAMES = ["", "__sk_buff", "xdp_md", "bpf_sock_addr", "bpf_sk_lookup", "pt_regs", "bpf_raw_tracepoint_args"];

const SIGNATURES: readonly (readonly ParamKind[])[] = [
  [],
  [],
  ["int"],
  ["long", "int"],
  ["char", "long"],
  ["mem4"],
  ["mem4", "int"],
  ["mem16"],
  ["mem4nonnull"],
  ["voidPtr"],
  ["ctx"],
  ["ctx", "int"],
  ["ctx", "mem16", "long"],
  ["int", "int", "int", "int", "int"],
  ["dynptr"],
  ["dynptr", "int"],
];

class TypeWriter {
  private readonly btf = new BtfBuilder();
  private readonly int = this.btf.int("int");
  private readonly long = this.btf.int("long");
  private readonly structs = new Map<string, number>();
  private readonly funcs: DescribedFunc[] = [];
  private readonly mains = new Map<string, DescribedFunc>();

  private struct(name: string): number {
    let id = this.structs.get(name);
    if (id === undefined) {
      id = name === "" ? 0 : this.btf.struct(name, [{ name: "x", type: this.int }]);
      this.structs.set(name, id);
    }
    return id;
  }

  private param(kind: ParamKind, ctxName: string): number {
    const { btf } = this;
    switch (kind) {
      case "int":
        return this.int;
      case "long":
        return this.long;
      case "char":
        return btf.int("unsigned char");
      case "mem16":
        return btf.ptr(
          btf.struct("pair", [
            { name: "a", type: this.long },
            { name: "b", type: this.long },
          ]),
        );
      case "ctx":
        return btf.ptr(this.struct(ctxName));
      case "voidPtr":
        return btf.ptr(0);
      case "dynptr":
        return btf.ptr(this.struct("bpf_dynptr"));
      default:
        return btf.ptr(this.int);
    }
  }

  private describe(name: string, params: readonly ParamKind[], global: boolean, ctxName: string): DescribedFunc {
    const { btf } = this;
    const proto = btf.funcProto(
      this.int,
      params.map((kind, i) => ({ name: `a${i}`, type: this.param(kind, ctxName) })),
    );
    const id = btf.func(name, proto, global ? "global" : "static");
    params.forEach((kind, i) => {
      if (kind === "mem4nonnull") btf.declTag("arg:nonnull", id, i);
      if (kind === "ctx" && ctxName === "") btf.declTag("arg:ctx", id, i);
    });
    return { id, name, global, params, ctxName: params.includes("ctx") ? ctxName : null };
  }

  /** A structure with a special field between two numbers. */
  private special(name: string, member: string, size: number): number {
    const { btf } = this;
    const words = btf.array(btf.int("unsigned int"), size / 4);
    const field = btf.struct(name, [{ name: "opaque", type: words }], { align: size >= 8 ? 8 : 4 });
    return btf.struct(`with_${member}`, [
      { name: "before", type: this.long },
      { name: member, type: field },
      { name: "after", type: this.long },
    ]);
  }

  write(): Types {
    const { btf } = this;
    const lockValue = this.special("bpf_spin_lock", "lock", 4);
    const timerValue = this.special("bpf_timer", "timer", 16);
    for (const ctxName of CTX_NAMES) {
      this.mains.set(ctxName, this.describe(ctxName === "" ? "main" : `main_${ctxName}`, ["ctx"], true, ctxName));
    }
    let n = 0;
    for (const params of SIGNATURES) {
      for (const ctxName of params.includes("ctx") ? CTX_NAMES : [""]) {
        this.funcs.push(this.describe(`sub${n}`, params, true, ctxName));
        this.funcs.push(this.describe(`sub${n++}s`, params, false, ctxName));
      }
    }
    const bytes = writeBtf(btf.build());
    return {
      bytes,
      funcs: this.funcs,
      mains: this.mains,
      lockValue,
      timerValue,
      int: this.int,
      strings: stringOffsets(bytes, ["pair", "opaque", "before", "with_lock"]),
    };
  }
}

/** Where texts stand in the string section of a BTF blob. */
function stringOffsets(bytes: Uint8Array, texts: readonly string[]): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = view.getUint32(4, true) + view.getUint32(16, true);
  const section = String.fromCharCode(...bytes.subarray(start));
  return texts.map((text) => section.indexOf(`\0${text}\0`) + 1);
}

/** The types of every described program. */
export const types: Types = new TypeWriter().write();

function map(
  type: keyof typeof MapType,
  keySize: number,
  valueSize: number,
  maxEntries: number,
  more: Partial<MapLoad> = {},
): MapLoad {
  return {
    name: type.toLowerCase().slice(0, 15),
    type: MapType[type],
    keySize,
    valueSize,
    maxEntries,
    flags: 0,
    extra: 0n,
    btf: null,
    btfKeyTypeId: 0,
    btfValueTypeId: 0,
    btfVmlinuxValueTypeId: 0,
    inner: null,
    frozen: false,
    value: null,
    ...more,
  };
}

const typed = (btfValueTypeId: number): Partial<MapLoad> => ({
  btf: types.bytes,
  btfKeyTypeId: types.int,
  btfValueTypeId,
});
const rodata = new Uint8Array([1, 2, 3, 0x80, 5, 6, 7, 0, 0xff, 0xff, 0xff, 0xff, 0x25, 0x64, 0x0a, 0]);

/** The maps, by what programs do with them. */
export const maps = {
  array: map("ARRAY", 4, 16, 4),
  arrayBig: map("ARRAY", 4, 64, 8),
  arrayOdd: map("ARRAY", 4, 13, 1),
  hash: map("HASH", 8, 24, 16),
  hashSmall: map("HASH", 4, 4, 16),
  percpuArray: map("PERCPU_ARRAY", 4, 8, 1),
  percpuHash: map("PERCPU_HASH", 4, 16, 4),
  lru: map("LRU_HASH", 4, 8, 4),
  lpm: map("LPM_TRIE", 8, 8, 4, { flags: MapFlag.NO_PREALLOC }),
  rdonlyProg: map("ARRAY", 4, 32, 1, { flags: MapFlag.RDONLY_PROG }),
  wronlyProg: map("ARRAY", 4, 32, 1, { flags: MapFlag.WRONLY_PROG }),
  rodata: map("ARRAY", 4, 16, 1, { flags: MapFlag.RDONLY_PROG, frozen: true, value: rodata }),
  frozen: map("ARRAY", 4, 16, 1, { frozen: true, value: rodata }),
  ringbuf: map("RINGBUF", 0, 0, 4096),
  perf: map("PERF_EVENT_ARRAY", 4, 4, 2),
  queue: map("QUEUE", 0, 8, 4),
  stack: map("STACK", 0, 16, 4),
  bloom: map("BLOOM_FILTER", 0, 8, 4),
  stackTrace: map("STACK_TRACE", 4, 64, 4),
  innerArray: map("ARRAY_OF_MAPS", 4, 4, 2, { inner: map("ARRAY", 4, 8, 2) }),
  innerHash: map("HASH_OF_MAPS", 4, 4, 2, { inner: map("HASH", 4, 16, 4) }),
  progArray: map("PROG_ARRAY", 4, 4, 4),
  devmap: map("DEVMAP", 4, 8, 4, { flags: MapFlag.RDONLY_PROG }),
  cpumap: map("CPUMAP", 4, 8, 2),
  xskmap: map("XSKMAP", 4, 4, 2),
  sockmap: map("SOCKMAP", 4, 8, 4),
  sockhash: map("SOCKHASH", 4, 8, 4),
  reuseport: map("REUSEPORT_SOCKARRAY", 4, 8, 4),
  cgroupArray: map("CGROUP_ARRAY", 4, 4, 2),
  cgroupStorage: map("CGROUP_STORAGE", 16, 16, 0),
  percpuCgroupStorage: map("PERCPU_CGROUP_STORAGE", 16, 8, 0),
  skStorage: map("SK_STORAGE", 4, 8, 0, { flags: MapFlag.NO_PREALLOC, ...typed(types.int), valueSize: 4 }),
  taskStorage: map("TASK_STORAGE", 4, 4, 0, { flags: MapFlag.NO_PREALLOC, ...typed(types.int) }),
  userRingbuf: map("USER_RINGBUF", 0, 0, 4096),
  lock: map("ARRAY", 4, 24, 2, { name: "lock", ...typed(types.lockValue) }),
  lockHash: map("HASH", 4, 24, 2, { name: "lock_hash", ...typed(types.lockValue) }),
  timer: map("ARRAY", 4, 32, 2, { name: "timer", ...typed(types.timerValue) }),
} satisfies Readonly<Record<string, MapLoad>>;

export type MapName = keyof typeof maps;

const UNPRIVILEGED: ReadonlySet<number> = new Set([
  MapType.HASH,
  MapType.ARRAY,
  MapType.PROG_ARRAY,
  MapType.PERF_EVENT_ARRAY,
  MapType.PERCPU_HASH,
  MapType.PERCPU_ARRAY,
  MapType.CGROUP_ARRAY,
  MapType.ARRAY_OF_MAPS,
  MapType.HASH_OF_MAPS,
  MapType.CGROUP_STORAGE,
  MapType.PERCPU_CGROUP_STORAGE,
  MapType.RINGBUF,
  MapType.USER_RINGBUF,
]);

const NEED_NET_ADMIN: ReadonlySet<number> = new Set([
  MapType.SOCKMAP,
  MapType.SOCKHASH,
  MapType.DEVMAP,
  MapType.DEVMAP_HASH,
  MapType.XSKMAP,
]);

/** Whether a process with these capabilities can create the map. */
export function mayCreate({ type, btf }: MapLoad, caps: Capabilities): boolean {
  if (NEED_NET_ADMIN.has(type)) return caps.netAdmin;
  return caps.bpf || (UNPRIVILEGED.has(type) && btf === null);
}

/** Maps that remember the programs that used them: a new one for each program. */
export function remembersPrograms({ type }: MapLoad): boolean {
  return type === MapType.PROG_ARRAY || type === MapType.DEVMAP || type === MapType.CPUMAP;
}
