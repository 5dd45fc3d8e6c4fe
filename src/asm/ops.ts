// SPDX-License-Identifier: MIT
import * as op from "./opcode.js";

/*
 * Names of the operations and how the kernel's disassembler writes them. The instruction table, the
 * constructors and the disassembler all read these rows.
 */

/** Two-operand arithmetic: name, operation bits, and the sign between the operands. */
export const ALU_OPS = {
  add: { op: op.BPF_ADD, symbol: "+=" },
  sub: { op: op.BPF_SUB, symbol: "-=" },
  mul: { op: op.BPF_MUL, symbol: "*=" },
  div: { op: op.BPF_DIV, symbol: "/=" },
  or: { op: op.BPF_OR, symbol: "|=" },
  and: { op: op.BPF_AND, symbol: "&=" },
  lsh: { op: op.BPF_LSH, symbol: "<<=" },
  rsh: { op: op.BPF_RSH, symbol: ">>=" },
  mod: { op: op.BPF_MOD, symbol: "%=" },
  xor: { op: op.BPF_XOR, symbol: "^=" },
  mov: { op: op.BPF_MOV, symbol: "=" },
  arsh: { op: op.BPF_ARSH, symbol: "s>>=" },
} as const;

/** Signed division, told from the unsigned one by `off` {@link op.BPF_SIGNED_OFF}. */
export const SIGNED_ALU_OPS = {
  sdiv: { op: op.BPF_DIV, symbol: "s/=" },
  smod: { op: op.BPF_MOD, symbol: "s%=" },
} as const;

/** Conditional jumps: name, operation bits, sign, and the name of the opposite condition where one exists. */
export const JMP_OPS = {
  jeq: { op: op.BPF_JEQ, symbol: "==", inverse: "jne" },
  jne: { op: op.BPF_JNE, symbol: "!=", inverse: "jeq" },
  jgt: { op: op.BPF_JGT, symbol: ">", inverse: "jle" },
  jge: { op: op.BPF_JGE, symbol: ">=", inverse: "jlt" },
  jlt: { op: op.BPF_JLT, symbol: "<", inverse: "jge" },
  jle: { op: op.BPF_JLE, symbol: "<=", inverse: "jgt" },
  jset: { op: op.BPF_JSET, symbol: "&", inverse: null },
  jsgt: { op: op.BPF_JSGT, symbol: "s>", inverse: "jsle" },
  jsge: { op: op.BPF_JSGE, symbol: "s>=", inverse: "jslt" },
  jslt: { op: op.BPF_JSLT, symbol: "s<", inverse: "jsge" },
  jsle: { op: op.BPF_JSLE, symbol: "s<=", inverse: "jsgt" },
} as const;

/** Atomic operations: name and `imm`. */
export const ATOMIC_OPS = {
  add: op.BPF_ADD,
  or: op.BPF_OR,
  and: op.BPF_AND,
  xor: op.BPF_XOR,
  fetch_add: op.BPF_ADD | op.BPF_FETCH,
  fetch_or: op.BPF_OR | op.BPF_FETCH,
  fetch_and: op.BPF_AND | op.BPF_FETCH,
  fetch_xor: op.BPF_XOR | op.BPF_FETCH,
  xchg: op.BPF_XCHG,
  cmpxchg: op.BPF_CMPXCHG,
  load_acq: op.BPF_LOAD_ACQ,
  store_rel: op.BPF_STORE_REL,
} as const;

/** Access sizes: name, size bits, and the disassembler's unsigned and signed types. */
export const SIZES = {
  b: { size: op.BPF_B, bytes: 1, type: "u8", signedType: "s8" },
  h: { size: op.BPF_H, bytes: 2, type: "u16", signedType: "s16" },
  w: { size: op.BPF_W, bytes: 4, type: "u32", signedType: "s32" },
  dw: { size: op.BPF_DW, bytes: 8, type: "u64", signedType: null },
} as const;

/** 64-bit loads that the kernel completes: their name in text, `src`, and bpftool's name for the same. */
export const PSEUDO_LOADS = {
  map_fd: { src: op.BPF_PSEUDO_MAP_FD, other: "map" },
  map_value: { src: op.BPF_PSEUDO_MAP_VALUE, other: null },
  btf_id: { src: op.BPF_PSEUDO_BTF_ID, other: null },
  func: { src: op.BPF_PSEUDO_FUNC, other: "subprog" },
  map_idx: { src: op.BPF_PSEUDO_MAP_IDX, other: null },
  map_idx_value: { src: op.BPF_PSEUDO_MAP_IDX_VALUE, other: null },
} as const;

export type AluOp = keyof typeof ALU_OPS;
export type SignedAluOp = keyof typeof SIGNED_ALU_OPS;
export type JmpOp = keyof typeof JMP_OPS;
export type AtomicOp = keyof typeof ATOMIC_OPS;
export type SizeName = keyof typeof SIZES;
