// SPDX-License-Identifier: MIT
import { helperNames } from "../kernel/helpers/names.js";
import type { Insn } from "./insn.js";
import { imm64Of, isLdImm64, isMayGoto } from "./isa.js";
import * as op from "./opcode.js";
import { ALU_OPS, ATOMIC_OPS, JMP_OPS, SIGNED_ALU_OPS, SIZES } from "./ops.js";

/*
 * Instructions as the kernel writes them in the verifier's log: kernel/bpf/disasm.c of Linux 6.18,
 * print_bpf_insn(). The text of invalid instructions counts too, since the log shows them before it
 * says what is wrong.
 */

/** What the caller knows beyond the instruction: kernel's `struct bpf_insn_cbs`. */
export interface DisasmCallbacks {
  /**
   * What to print for the callee of a call that is no known helper. Undefined leaves the default:
   * the signed distance of a subprogram, `kernel-function`, or `unknown`.
   */
  readonly call?: (insn: Insn) => string | undefined;
  /**
   * What to print for a 64-bit immediate. `value` is what would be printed in hexadecimal by default.
   */
  readonly imm?: (insn: Insn, next: Insn, value: bigint) => string;
}

export interface DisasmOptions extends DisasmCallbacks {
  /**
   * When false, the addresses of maps and map values print as 0x0, as in the log of a load without
   * CAP_PERFMON. Default true.
   */
  readonly allowPtrLeaks?: boolean;
}

/** What printf's %s makes of a missing string, in the kernel as in glibc. */
const NULL_TEXT = "(null)";

const EMPTY_SLOT: Insn = { opcode: 0, dst: 0, src: 0, off: 0, imm: 0 };

/**
 * The text of one instruction, without line feed. Never throws, whatever the instruction holds.
 * @param next the following slot, read for a 64-bit immediate load only; missing, it counts as zero.
 */
export function disasmInsn(insn: Insn, next?: Insn, options: DisasmOptions = {}): string {
  switch (op.bpfClass(insn.opcode)) {
    case op.BPF_ALU:
    case op.BPF_ALU64:
      return aluText(insn);
    case op.BPF_STX:
      return op.bpfMode(insn.opcode) === op.BPF_MEM
        ? `${code(insn)} ${place(insn, insn.dst)} = r${insn.src}`
        : stxAtomicText(insn);
    case op.BPF_ST:
      return stText(insn);
    case op.BPF_LDX:
      return ldxText(insn);
    case op.BPF_LD:
      return ldText(insn, next ?? EMPTY_SLOT, options);
    default:
      return jmpText(insn, options);
  }
}

function code(insn: Insn): string {
  return `(${hex2(insn.opcode)})`;
}

function hex2(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}

/** printf's %+d. */
function signed(value: number): string {
  return value < 0 ? String(value) : `+${value}`;
}

/** One string per operation nibble. */
function byNibble(rows: readonly { readonly op: number; readonly symbol: string }[]): readonly string[] {
  const texts = new Array<string>(16).fill(NULL_TEXT);
  for (const row of rows) texts[row.op >> 4] = row.symbol;
  return texts;
}

const ALU_TEXT = byNibble([
  ...Object.values(ALU_OPS),
  { op: op.BPF_NEG, symbol: "neg" },
  { op: op.BPF_END, symbol: "endian" },
]);
const SIGNED_ALU_TEXT = byNibble(Object.values(SIGNED_ALU_OPS));
const JMP_TEXT = byNibble([
  ...Object.values(JMP_OPS),
  { op: op.BPF_JA, symbol: "jmp" },
  { op: op.BPF_CALL, symbol: "call" },
  { op: op.BPF_EXIT, symbol: "exit" },
]);

/** Types of memory by size bits >> 3. */
const TYPES: readonly string[] = bySize((row) => row.type);
const SIGNED_TYPES: readonly string[] = bySize((row) => row.signedType ?? NULL_TEXT);

function bySize(text: (row: (typeof SIZES)[keyof typeof SIZES]) => string): readonly string[] {
  const texts: string[] = [];
  for (const row of Object.values(SIZES)) texts[row.size >> 3] = text(row);
  return texts;
}

function typeOf(insn: Insn): string {
  return TYPES[op.bpfSize(insn.opcode) >> 3]!;
}

/** `*(u64 *)(r1 +8)`, the accessed memory. */
function place(insn: Insn, base: number, type = typeOf(insn)): string {
  return `*(${type} *)(r${base} ${signed(insn.off)})`;
}

function aluText(insn: Insn): string {
  const { opcode, dst, src, off, imm } = insn;
  const is64 = op.bpfClass(opcode) === op.BPF_ALU64;
  const r = is64 ? "r" : "w";
  const bits = op.bpfOp(opcode);
  if (bits === op.BPF_END) {
    const order = is64 ? "bswap" : op.bpfSrc(opcode) === op.BPF_TO_BE ? "be" : "le";
    return `${code(insn)} r${dst} = ${order}${imm} r${dst}`;
  }
  if (bits === op.BPF_NEG) return `${code(insn)} ${r}${dst} = -${r}${dst}`;
  const isMov64 = opcode === (op.BPF_ALU64 | op.BPF_MOV | op.BPF_X);
  if (isMov64 && off === op.BPF_ADDR_SPACE_CAST) {
    return `${code(insn)} r${dst} = addr_space_cast(r${src}, ${imm >>> 16}, ${imm & 0xffff})`;
  }
  if (isMov64 && off === op.BPF_ADDR_PERCPU) return `${code(insn)} r${dst} = &(void __percpu *)(r${src})`;
  const isSigned = (bits === op.BPF_DIV || bits === op.BPF_MOD) && off === op.BPF_SIGNED_OFF;
  const symbol = (isSigned ? SIGNED_ALU_TEXT : ALU_TEXT)[bits >> 4]!;
  if (op.bpfSrc(opcode) === op.BPF_K) return `${code(insn)} ${r}${dst} ${symbol} ${imm}`;
  const extended = bits === op.BPF_MOV && (off === 8 || off === 16 || off === 32) ? `(s${off})` : "";
  return `${code(insn)} ${r}${dst} ${symbol} ${extended}${r}${src}`;
}

/** Names of the atomic operations that need no fetch, by `imm`. */
const ATOMIC_ALU_NAMES: ReadonlyMap<number, string> = new Map(
  (["add", "or", "and", "xor"] as const).map((name) => [ATOMIC_OPS[name], name]),
);

/** Class STX in every mode but MEM. */
function stxAtomicText(insn: Insn): string {
  const { opcode, dst, src, imm } = insn;
  if (op.bpfMode(opcode) !== op.BPF_ATOMIC) return `BUG_${hex2(opcode)}`;
  const type = typeOf(insn);
  const address = `(${type} *)(r${dst} ${signed(insn.off)})`;
  const atomic = op.bpfSize(opcode) === op.BPF_DW ? "atomic64" : "atomic";
  if (ATOMIC_ALU_NAMES.has(imm)) return `${code(insn)} lock *${address} ${ALU_TEXT[imm >> 4]!} r${src}`;
  const fetched = ATOMIC_ALU_NAMES.get(imm & ~op.BPF_FETCH);
  if (fetched !== undefined) return `${code(insn)} r${src} = ${atomic}_fetch_${fetched}(${address}, r${src})`;
  switch (imm) {
    case op.BPF_CMPXCHG:
      return `${code(insn)} r0 = ${atomic}_cmpxchg(${address}, r0, r${src})`;
    case op.BPF_XCHG:
      return `${code(insn)} r${src} = ${atomic}_xchg(${address}, r${src})`;
    case op.BPF_LOAD_ACQ:
      return `${code(insn)} r${dst} = load_acquire((${type} *)(r${src} ${signed(insn.off)}))`;
    case op.BPF_STORE_REL:
      return `${code(insn)} store_release(${address}, r${src})`;
    default:
      return `BUG_${hex2(opcode)}`;
  }
}

function stText(insn: Insn): string {
  switch (op.bpfMode(insn.opcode)) {
    case op.BPF_MEM:
      return `${code(insn)} ${place(insn, insn.dst)} = ${insn.imm}`;
    case op.BPF_NOSPEC:
      return `${code(insn)} nospec`;
    default:
      return `BUG_st_${hex2(insn.opcode)}`;
  }
}

function ldxText(insn: Insn): string {
  const mode = op.bpfMode(insn.opcode);
  if (mode !== op.BPF_MEM && mode !== op.BPF_MEMSX) return `BUG_ldx_${hex2(insn.opcode)}`;
  const types = mode === op.BPF_MEM ? TYPES : SIGNED_TYPES;
  return `${code(insn)} r${insn.dst} = ${place(insn, insn.src, types[op.bpfSize(insn.opcode) >> 3]!)}`;
}

function ldText(insn: Insn, next: Insn, options: DisasmOptions): string {
  const mode = op.bpfMode(insn.opcode);
  if (mode === op.BPF_ABS) return `${code(insn)} r0 = *(${typeOf(insn)} *)skb[${insn.imm}]`;
  if (mode === op.BPF_IND) return `${code(insn)} r0 = *(${typeOf(insn)} *)skb[r${insn.src} + ${insn.imm}]`;
  if (!isLdImm64(insn)) return `BUG_ld_${hex2(insn.opcode)}`;
  const isHidden =
    options.allowPtrLeaks === false && (insn.src === op.BPF_PSEUDO_MAP_FD || insn.src === op.BPF_PSEUDO_MAP_VALUE);
  const value = isHidden ? 0n : imm64Of(insn, next);
  return `${code(insn)} r${insn.dst} = ${options.imm?.(insn, next, value) ?? `0x${value.toString(16)}`}`;
}

function jmpText(insn: Insn, callbacks: DisasmCallbacks): string {
  const { opcode, dst, src, imm } = insn;
  const bits = op.bpfOp(opcode);
  if (bits === op.BPF_CALL) {
    return src === op.BPF_PSEUDO_CALL
      ? `${code(insn)} call pc${calleeText(insn, callbacks)}`
      : `${code(insn)} call ${calleeText(insn, callbacks)}#${imm}`;
  }
  const off = `pc${signed(insn.off)}`;
  if (opcode === (op.BPF_JMP | op.BPF_JA)) return `${code(insn)} goto ${off}`;
  if (isMayGoto(insn)) return `${code(insn)} may_goto ${off}`;
  if (opcode === (op.BPF_JMP32 | op.BPF_JA)) return `${code(insn)} gotol pc${signed(imm)}`;
  if (opcode === (op.BPF_JMP | op.BPF_EXIT)) return `${code(insn)} exit`;
  const r = op.bpfClass(opcode) === op.BPF_JMP32 ? "w" : "r";
  const operand = op.bpfSrc(opcode) === op.BPF_X ? `${r}${src}` : `0x${(imm >>> 0).toString(16)}`;
  return `${code(insn)} if ${r}${dst} ${JMP_TEXT[bits >> 4]!} ${operand} goto ${off}`;
}

/** Who is called: a helper by its name, else what the caller knows, else what the kind of call tells. */
function calleeText(insn: Insn, callbacks: DisasmCallbacks): string {
  const helper = insn.src === op.BPF_HELPER_CALL ? helperNames[insn.imm] : undefined;
  if (helper !== undefined) return `bpf_${helper}`;
  const known = callbacks.call?.(insn);
  if (known !== undefined) return known;
  if (insn.src === op.BPF_PSEUDO_CALL) return signed(insn.imm);
  return insn.src === op.BPF_PSEUDO_KFUNC_CALL ? "kernel-function" : "unknown";
}
