// SPDX-License-Identifier: MIT
import { PseudoCall, PseudoLd } from "../kernel/uapi.js";

/*
 * The numbers of the BPF instruction set: RFC 9669, sections 3 to 5, and what Linux adds in
 * include/uapi/linux/bpf.h and bpf_common.h. An opcode byte is put together as
 *
 *   arithmetic and jumps   op (4 bits) | source (1 bit) | class (3 bits)
 *   loads and stores       mode (3 bits) | size (2 bits) | class (3 bits)
 */

/* Registers. */

/** Result of calls and of the program; scratch. */
export const R0 = 0;
/** First argument; at entry the context. */
export const R1 = 1;
export const R2 = 2;
export const R3 = 3;
export const R4 = 4;
export const R5 = 5;
/** First register that survives calls. */
export const R6 = 6;
export const R7 = 7;
export const R8 = 8;
export const R9 = 9;
/** Read-only frame pointer. */
export const R10 = 10;
/** The frame pointer by its other name. */
export const BPF_REG_FP = R10;
/** How many registers programs can name (R0–R10). */
export const MAX_BPF_REG = 11;

/* Instruction classes: the low three bits of the opcode. */

export const BPF_LD = 0x00;
export const BPF_LDX = 0x01;
export const BPF_ST = 0x02;
export const BPF_STX = 0x03;
/** 32-bit arithmetic; the upper half of the destination becomes zero. */
export const BPF_ALU = 0x04;
export const BPF_JMP = 0x05;
/** Jumps comparing the lower halves. */
export const BPF_JMP32 = 0x06;
export const BPF_ALU64 = 0x07;

/* Source of arithmetic and jumps: bit 3. */

/** The second operand is the immediate. */
export const BPF_K = 0x00;
/** The second operand is the source register. */
export const BPF_X = 0x08;

/* Arithmetic operations: the high four bits. */

export const BPF_ADD = 0x00;
export const BPF_SUB = 0x10;
export const BPF_MUL = 0x20;
export const BPF_DIV = 0x30;
export const BPF_OR = 0x40;
export const BPF_AND = 0x50;
export const BPF_LSH = 0x60;
export const BPF_RSH = 0x70;
export const BPF_NEG = 0x80;
export const BPF_MOD = 0x90;
export const BPF_XOR = 0xa0;
export const BPF_MOV = 0xb0;
export const BPF_ARSH = 0xc0;
export const BPF_END = 0xd0;

/** With {@link BPF_END} in class ALU: to little endian. */
export const BPF_TO_LE = 0x00;
/** With {@link BPF_END} in class ALU: to big endian. */
export const BPF_TO_BE = 0x08;

/** `off` of a `DIV` or `MOD` that is signed (cpu v4). */
export const BPF_SIGNED_OFF = 1;
/** `off` of the `MOV` that casts between address spaces of an arena. */
export const BPF_ADDR_SPACE_CAST = 1;
/** `off` of the kernel's own `MOV` adding the per-CPU base; never valid in a program that is loaded. */
export const BPF_ADDR_PERCPU = -1;

/* Jump operations: the high four bits. */

export const BPF_JA = 0x00;
export const BPF_JEQ = 0x10;
export const BPF_JGT = 0x20;
export const BPF_JGE = 0x30;
export const BPF_JSET = 0x40;
export const BPF_JNE = 0x50;
export const BPF_JSGT = 0x60;
export const BPF_JSGE = 0x70;
export const BPF_CALL = 0x80;
export const BPF_EXIT = 0x90;
export const BPF_JLT = 0xa0;
export const BPF_JLE = 0xb0;
export const BPF_JSLT = 0xc0;
export const BPF_JSLE = 0xd0;
/** Conditional pseudo jumps; `src` says which. */
export const BPF_JCOND = 0xe0;

/** `src` of the {@link BPF_JCOND} that is `may_goto`. */
export const BPF_MAY_GOTO = 0;

/* Sizes of loads and stores: bits 3 and 4. */

/** 4 bytes. */
export const BPF_W = 0x00;
/** 2 bytes. */
export const BPF_H = 0x08;
/** 1 byte. */
export const BPF_B = 0x10;
/** 8 bytes. */
export const BPF_DW = 0x18;

/* Modes of loads and stores: the high three bits. */

/** 64-bit immediate load. */
export const BPF_IMM = 0x00;
/** Load from the packet at a constant offset (from classic BPF). */
export const BPF_ABS = 0x20;
/** Load from the packet at a register's offset (from classic BPF). */
export const BPF_IND = 0x40;
export const BPF_MEM = 0x60;
/** Sign-extending load (cpu v4). */
export const BPF_MEMSX = 0x80;
/** The kernel's own fence (`nospec`), class ST; never valid in a program that is loaded. */
export const BPF_NOSPEC = 0xc0;
export const BPF_ATOMIC = 0xc0;

/* Atomic operations, in `imm`; ADD, AND, OR and XOR are those of the arithmetic. */

/** Added to an atomic operation: the old value comes back in the source register. */
export const BPF_FETCH = 0x01;
export const BPF_XCHG = 0xe0 | BPF_FETCH;
export const BPF_CMPXCHG = 0xf0 | BPF_FETCH;
export const BPF_LOAD_ACQ = 0x100;
export const BPF_STORE_REL = 0x110;

/** The opcode of the 64-bit immediate load, the one instruction of two slots. */
export const BPF_LD_IMM64 = BPF_LD | BPF_IMM | BPF_DW;

/* `src` of a 64-bit immediate load. */

/** A plain number. */
export const BPF_PSEUDO_IMM64 = 0;
/** Map by file descriptor. */
export const BPF_PSEUDO_MAP_FD = PseudoLd.MAP_FD;
/** Address inside the value of an array map by file descriptor; the second slot's `imm` is the offset. */
export const BPF_PSEUDO_MAP_VALUE = PseudoLd.MAP_VALUE;
/** Kernel symbol by BTF id; the second slot's `imm` is the file descriptor of the module's BTF or 0. */
export const BPF_PSEUDO_BTF_ID = PseudoLd.BTF_ID;
/** Address of a subprogram, relative to this instruction as in a call. */
export const BPF_PSEUDO_FUNC = PseudoLd.FUNC;
/** Map by index into the load's `fd_array`. */
export const BPF_PSEUDO_MAP_IDX = PseudoLd.MAP_IDX;
/** Like {@link BPF_PSEUDO_MAP_VALUE}, by index into the load's `fd_array`. */
export const BPF_PSEUDO_MAP_IDX_VALUE = PseudoLd.MAP_IDX_VALUE;

/* `src` of a call. */

/** Helper by number. */
export const BPF_HELPER_CALL = PseudoCall.HELPER;
/** Subprogram; `imm` counts slots from the next instruction. */
export const BPF_PSEUDO_CALL = PseudoCall.CALL;
/** Kernel function; `imm` is its BTF id, `off` an index into `fd_array` for a module's. */
export const BPF_PSEUDO_KFUNC_CALL = PseudoCall.KFUNC_CALL;

/* Parts of an opcode byte. */

/** The class of an opcode. */
export function bpfClass(opcode: number): number {
  return opcode & 0x07;
}

/** The size bits of a load or store. */
export function bpfSize(opcode: number): number {
  return opcode & 0x18;
}

/** The mode bits of a load or store. */
export function bpfMode(opcode: number): number {
  return opcode & 0xe0;
}

/** The operation bits of arithmetic and jumps. */
export function bpfOp(opcode: number): number {
  return opcode & 0xf0;
}

/** The source bit of arithmetic and jumps: {@link BPF_K} or {@link BPF_X}. */
export function bpfSrc(opcode: number): number {
  return opcode & 0x08;
}

/** Width of memory access in bytes for size bits: 1, 2, 4 or 8. */
export function sizeBytes(size: number): number {
  switch (size & 0x18) {
    case BPF_B:
      return 1;
    case BPF_H:
      return 2;
    case BPF_W:
      return 4;
    default:
      return 8;
  }
}
