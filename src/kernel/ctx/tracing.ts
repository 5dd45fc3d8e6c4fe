// SPDX-License-Identifier: MIT
import { Limit } from "../limits.js";
import { type CtxField, type CtxLayout, field } from "./types.js";

/** `struct pt_regs` of x86-64: names of the 8-byte slots in order. */
const ptRegsX86 = [
  "r15",
  "r14",
  "r13",
  "r12",
  "bp",
  "bx",
  "r11",
  "r10",
  "r9",
  "r8",
  "ax",
  "cx",
  "dx",
  "si",
  "di",
  "orig_ax",
  "ip",
  "cs",
  "flags",
  "sp",
  "ss",
] as const;

/** A slot of x86-64's `struct pt_regs`. */
export type PtReg = (typeof ptRegsX86)[number];

function ptRegsFields<const R extends "any" | "full">(read: R): readonly PtRegField<R>[] {
  return ptRegsX86.map((name, i) => ({ name, offset: i * 8, size: 8 as const, count: 1 as const, read, write: null }));
}

type PtRegField<R> = CtxField & {
  readonly name: PtReg;
  readonly size: 8;
  readonly count: 1;
  readonly read: R;
  readonly write: null;
};

/** Bytes of x86-64's `struct pt_regs`. */
const PT_REGS_SIZE = ptRegsX86.length * 8;

/** Registers that hold a function's first arguments, its result, and what else PT_REGS_*() of libbpf names. */
export const ptRegsRole = {
  params: ["di", "si", "dx", "cx", "r8", "r9"],
  syscallParams: ["di", "si", "dx", "r10", "r8", "r9"],
  returnValue: "ax",
  stackPointer: "sp",
  framePointer: "bp",
  instructionPointer: "ip",
} as const satisfies Record<string, PtReg | readonly PtReg[]>;

/** kprobe_prog_is_valid_access(): any aligned read within pt_regs. */
export const kprobeCtx = {
  name: "struct pt_regs",
  size: PT_REGS_SIZE,
  fields: ptRegsFields("any"),
} as const satisfies CtxLayout;

/**
 * tp_prog_is_valid_access(): the record as the tracepoint's format file lays it out. The first eight
 * bytes (common_*) are the kernel's, and the bound is the same for every tracepoint.
 */
export const tracepointCtx: CtxLayout = {
  name: "void",
  size: Limit.PERF_MAX_TRACE_SIZE,
  fields: [{ name: "record", offset: 8, size: 1, count: Limit.PERF_MAX_TRACE_SIZE - 8, read: "any", write: null }],
};

/** raw_tp_prog_is_valid_access(): the tracepoint's arguments as 64-bit words, however many it has. */
export const rawTracepointCtx: CtxLayout = {
  name: "struct bpf_raw_tracepoint_args",
  size: 8 * Limit.MAX_BPF_FUNC_ARGS,
  fields: [{ name: "args", offset: 0, size: 8, count: Limit.MAX_BPF_FUNC_ARGS, read: "any", write: null }],
};

/** lirc_mode2_is_valid_access(): one word, the kind and the length of a pulse. Not checked against a kernel. */
export const lircMode2Ctx = {
  name: "unsigned int",
  size: 4,
  fields: [field("sample", 0, 4, "full")],
} as const satisfies CtxLayout;

/** pe_prog_is_valid_access(). */
export const perfEventCtx = {
  name: "struct bpf_perf_event_data",
  size: PT_REGS_SIZE + 16,
  fields: [
    ...ptRegsFields("full"),
    field("sample_period", PT_REGS_SIZE, 8, "narrow"),
    field("addr", PT_REGS_SIZE + 8, 8, "narrow"),
  ],
} as const satisfies CtxLayout;
