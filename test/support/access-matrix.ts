// SPDX-License-Identifier: MIT

/*
 * Every access to the context of every program type, and to the objects that pointers in contexts lead to: offset, size,
 * direction. What a kernel answers is kept in few words (test/fixtures/kernel/access-matrix.json).
 */
import * as asm from "../../src/asm/build.js";
import { encodeInsns, type Insn } from "../../src/asm/insn.js";
import { SIZES, type SizeName } from "../../src/asm/ops.js";
import { AttachType, ctxLayout, type HelperName, helperByName, ProgFlag, ProgType } from "../../src/kernel/index.js";
import type { ProgramLoad } from "../../src/model/load.js";

/** A pointer that is read and written through. */
export interface Place {
  /** `PROG_TYPE/attach type` or `PROG_TYPE/attach type/what it points to`. */
  readonly key: string;
  readonly progType: number;
  readonly attachType: number;
  /** Instructions that bring the pointer into R6. */
  readonly setup: readonly Insn[];
  /** Offsets to try, from and below. */
  readonly from: number;
  readonly below: number;
}

const A = AttachType;

/** Program types with the expected attach types that can make a difference; what is not listed has 0. */
const attachTypes: Partial<Record<keyof typeof ProgType, readonly number[]>> = {
  KPROBE: [0, A.TRACE_KPROBE_SESSION],
  XDP: [A.XDP, A.XDP_DEVMAP, A.XDP_CPUMAP],
  CGROUP_SKB: [A.CGROUP_INET_INGRESS, A.CGROUP_INET_EGRESS],
  CGROUP_SOCK: [
    0,
    A.CGROUP_INET_SOCK_CREATE,
    A.CGROUP_INET_SOCK_RELEASE,
    A.CGROUP_INET4_POST_BIND,
    A.CGROUP_INET6_POST_BIND,
  ],
  SOCK_OPS: [A.CGROUP_SOCK_OPS],
  CGROUP_DEVICE: [A.CGROUP_DEVICE],
  CGROUP_SOCK_ADDR: [
    A.CGROUP_INET4_BIND,
    A.CGROUP_INET6_BIND,
    A.CGROUP_INET4_CONNECT,
    A.CGROUP_INET6_CONNECT,
    A.CGROUP_UNIX_CONNECT,
    A.CGROUP_INET4_GETPEERNAME,
    A.CGROUP_INET6_GETPEERNAME,
    A.CGROUP_UNIX_GETPEERNAME,
    A.CGROUP_INET4_GETSOCKNAME,
    A.CGROUP_INET6_GETSOCKNAME,
    A.CGROUP_UNIX_GETSOCKNAME,
    A.CGROUP_UDP4_SENDMSG,
    A.CGROUP_UDP6_SENDMSG,
    A.CGROUP_UNIX_SENDMSG,
    A.CGROUP_UDP4_RECVMSG,
    A.CGROUP_UDP6_RECVMSG,
    A.CGROUP_UNIX_RECVMSG,
  ],
  SK_REUSEPORT: [0, A.SK_REUSEPORT_SELECT_OR_MIGRATE],
  CGROUP_SYSCTL: [A.CGROUP_SYSCTL],
  CGROUP_SOCKOPT: [A.CGROUP_GETSOCKOPT, A.CGROUP_SETSOCKOPT],
  SK_LOOKUP: [A.SK_LOOKUP],
};

/** Types that attach by BTF, whose context is typed by it, or that few kernels have. */
const left: readonly string[] = ["UNSPEC", "TRACING", "STRUCT_OPS", "EXT", "LSM", "NETFILTER", "LIRC_MODE2"];

/** Contexts without a layout, or too large to try every offset of. */
const contextSize: Partial<Record<keyof typeof ProgType, number>> = {
  CGROUP_SOCK: 80,
  TRACEPOINT: 32,
  SYSCALL: 32,
  RAW_TRACEPOINT_WRITABLE: 96,
};

function contexts(): Place[] {
  return Object.entries(ProgType).flatMap(([name, progType]) => {
    if (left.includes(name)) return [];
    const type = name as keyof typeof ProgType;
    const size = contextSize[type] ?? ctxLayout(progType)!.size;
    const setup = [asm.mov64Reg(6, 1)];
    return (attachTypes[type] ?? [0]).map((attachType) => {
      return { key: `${name}/${attachType}`, progType, attachType, setup, from: -9, below: size + 9 };
    });
  });
}

const call = (name: HelperName): Insn => asm.callHelper(helperByName(name)!);

/** R6 = the context's pointer at `off`; leaves the program when it is NULL. */
const field = (off: number, then: readonly Insn[] = []): Insn[] => [
  asm.ldx("dw", 6, 1, off),
  ...leaveIfNull(6),
  ...then,
];

/** `if rX == 0 { r0 = 1; exit }` */
const leaveIfNull = (reg: number): Insn[] => [asm.jmpImm("jne", reg, 0, 2), asm.mov64Imm(0, 1), asm.exit()];

/** A socket that a helper makes of the one in R6. */
const through = (name: HelperName): Insn[] => [asm.mov64Reg(1, 6), call(name), ...leaveIfNull(0), asm.mov64Reg(6, 0)];

function object(
  type: keyof typeof ProgType,
  attachType: number,
  what: string,
  setup: readonly Insn[],
  size: number,
): Place {
  return {
    key: `${type}/${attachType}/${what}`,
    progType: ProgType[type],
    attachType,
    setup,
    from: -9,
    below: size + 9,
  };
}

const SKB_SK = 168;

const objects: readonly Place[] = [
  object("CGROUP_SKB", 0, "sock_common", field(SKB_SK), 80),
  object("CGROUP_SKB", 0, "sock", field(SKB_SK, through("sk_fullsock")), 80),
  object("CGROUP_SKB", 0, "tcp_sock", field(SKB_SK, through("tcp_sock")), 112),
  object("CGROUP_SKB", 0, "sock_common_or_null", [asm.ldx("dw", 6, 1, SKB_SK)], 0),
  object("SOCK_OPS", A.CGROUP_SOCK_OPS, "sock", field(184), 80),
  object("SK_REUSEPORT", A.SK_REUSEPORT_SELECT_OR_MIGRATE, "sock_common", field(48), 80),
  object("SK_LOOKUP", A.SK_LOOKUP, "sock", field(0), 80),
  object("FLOW_DISSECTOR", 0, "flow_keys", [asm.ldx("dw", 6, 1, 144)], 56),
  object("RAW_TRACEPOINT_WRITABLE", 0, "tp_buffer", [asm.ldx("dw", 6, 1, 0)], 16),
];

/** Everything that is tried. */
export const places: readonly Place[] = [...contexts(), ...objects];

const sizes = Object.keys(SIZES) as SizeName[];
const SMALL = ["b", "h", "w"] as const;

/** The ways of access: name, and the instruction at an offset from R6; R2 takes or holds the value. */
export const accesses: readonly (readonly [name: string, insn: (off: number) => Insn])[] = [
  ...sizes.map((s) => [`load ${s}`, (off: number) => asm.ldx(s, 2, 6, off)] as const),
  ...SMALL.map((s) => [`signed load ${s}`, (off: number) => asm.ldxs(s, 2, 6, off)] as const),
  ...sizes.map((s) => [`store ${s}`, (off: number) => asm.stx(s, 6, 2, off)] as const),
  ["store constant w", (off) => asm.stImm("w", 6, off, 1)],
];

/** The program that makes one access. */
export function accessProgram(place: Place, access: (off: number) => Insn, off: number): ProgramLoad {
  const insns = [...place.setup, asm.mov64Imm(2, 0), access(off), asm.mov64Imm(0, 1), asm.exit()];
  return {
    name: "access",
    progType: place.progType,
    expectedAttachType: place.attachType,
    progFlags: place.progType === ProgType.SYSCALL ? ProgFlag.SLEEPABLE : 0,
    progIfindex: 0,
    kernVersion: 0,
    license: "GPL",
    attachBtfId: 0,
    insns: encodeInsns(insns),
    maps: [],
    badMapInsns: [],
    fdArray: null,
    btf: null,
    funcInfo: null,
    lineInfo: null,
  };
}

/** The answer that is not written down. */
export const REFUSED = "13 invalid access";

/**
 * An answer in few words: of an acceptance the type that a load gives, of a rejection errno and reason without the numbers
 * that follow from offset and size.
 * @param log The log at level 2.
 */
export function shortAnswer(errno: number, log: string): string {
  const lines = log.split("\n").filter((line) => line !== "" && !line.startsWith("processed "));
  if (errno !== 0) {
    const reason = (lines.at(-1) ?? "").replace(/-?\d+/g, "N").replace(/^RN /, "");
    return /^invalid bpf_context access off=N size=N$/.test(reason) ? REFUSED : `${errno} ${reason}`;
  }
  const type = /r2 = \*\([su]\d+ \*\).* R2=([a-z_]+)/.exec(log)?.[1] ?? "";
  return type === "" ? "ok" : type;
}

/** Ascending numbers as `1-3 8-40/8 50`. */
export function toRanges(numbers: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < numbers.length; ) {
    const step = numbers[i + 1]! - numbers[i]!;
    let end = i;
    while (numbers[end + 1]! - numbers[end]! === step) end++;
    if (end < i + 2) end = i;
    parts.push(end === i ? `${numbers[i]}` : `${numbers[i]}..${numbers[end]}${step === 1 ? "" : `/${step}`}`);
    i = end + 1;
  }
  return parts.join(" ");
}

/** By way of access, by answer: the offsets that get it, as {@link toRanges} writes them; without those that get {@link REFUSED}. */
export type PlaceAnswers = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Asks a judge about every access to a place. */
export function askAll(place: Place, judge: (load: ProgramLoad) => string): PlaceAnswers {
  const found: Record<string, Record<string, string>> = {};
  for (const [name, insn] of accesses) {
    const answers = new Map<string, number[]>();
    for (let off = place.from; off < place.below; off++) {
      const answer = judge(accessProgram(place, insn, off));
      if (answer !== REFUSED) answers.set(answer, [...(answers.get(answer) ?? []), off]);
    }
    if (answers.size !== 0) {
      found[name] = Object.fromEntries([...answers].sort().map(([answer, offs]) => [answer, toRanges(offs)]));
    }
  }
  return found;
}
