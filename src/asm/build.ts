// SPDX-License-Identifier: MIT
import { InputError } from "../util/errors.js";
import type { Insn } from "./insn.js";
import * as op from "./opcode.js";
import {
  ALU_OPS,
  type AluOp,
  ATOMIC_OPS,
  type AtomicOp,
  JMP_OPS,
  type JmpOp,
  SIGNED_ALU_OPS,
  SIZES,
  type SignedAluOp,
  type SizeName,
} from "./ops.js";

/*
 * One function per kind of instruction. Operands stand in the order of the kernel's macros in
 * include/linux/filter.h: destination, source, offset, immediate. Registers are 0–10, jump offsets
 * count slots from the next instruction. Every function throws InputError on an operand that the
 * encoding cannot hold; none checks what the verifier would say.
 */

const S16 = { min: -0x8000, max: 0x7fff } as const;
const S32 = { min: -0x8000_0000, max: 0x7fff_ffff } as const;
const U32_MAX = 0xffff_ffff;

function checkReg(reg: number, what: string): number {
  if (!Number.isInteger(reg) || reg < 0 || reg >= op.MAX_BPF_REG) {
    throw new InputError(`${what} must be a register 0 to ${op.MAX_BPF_REG - 1}, got ${reg}`);
  }
  return reg;
}

function checkOff(off: number): number {
  if (!Number.isInteger(off) || off < S16.min || off > S16.max) {
    throw new InputError(`offset must be an integer from ${S16.min} to ${S16.max}, got ${off}`);
  }
  return off === 0 ? 0 : off;
}

/** An immediate that the instruction sign-extends or takes as it is. */
function checkS32(imm: number, what = "immediate"): number {
  if (!Number.isInteger(imm) || imm < S32.min || imm > S32.max) {
    throw new InputError(`${what} must be an integer from ${S32.min} to ${S32.max}, got ${imm}`);
  }
  return imm === 0 ? 0 : imm;
}

/** An immediate of which only the 32 bits matter, so that unsigned values are welcome too. */
function checkImm32(imm: number): number {
  if (!Number.isInteger(imm) || imm < S32.min || imm > U32_MAX) {
    throw new InputError(`32-bit immediate must be an integer from ${S32.min} to ${U32_MAX}, got ${imm}`);
  }
  return imm | 0;
}

function make(opcode: number, dst: number, src: number, off: number, imm: number): Insn {
  return {
    opcode,
    dst: checkReg(dst, "destination"),
    src: checkReg(src, "source"),
    off: checkOff(off),
    imm: checkS32(imm),
  };
}

/* Arithmetic. */

/** `rD op= imm` on 64 bits; the immediate is sign-extended. */
export function alu64Imm(name: AluOp, dst: number, imm: number): Insn {
  return make(op.BPF_ALU64 | op.BPF_K | ALU_OPS[name].op, dst, 0, 0, imm);
}

/** `rD op= rS` on 64 bits. */
export function alu64Reg(name: AluOp, dst: number, src: number): Insn {
  return make(op.BPF_ALU64 | op.BPF_X | ALU_OPS[name].op, dst, src, 0, 0);
}

/** `wD op= imm` on 32 bits; the immediate may be given signed or unsigned. */
export function alu32Imm(name: AluOp, dst: number, imm: number): Insn {
  return make(op.BPF_ALU | op.BPF_K | ALU_OPS[name].op, dst, 0, 0, checkImm32(imm));
}

/** `wD op= wS` on 32 bits. */
export function alu32Reg(name: AluOp, dst: number, src: number): Insn {
  return make(op.BPF_ALU | op.BPF_X | ALU_OPS[name].op, dst, src, 0, 0);
}

/** Signed `rD s/= imm` or `rD s%= imm` on 64 bits (cpu v4). */
export function salu64Imm(name: SignedAluOp, dst: number, imm: number): Insn {
  return make(op.BPF_ALU64 | op.BPF_K | SIGNED_ALU_OPS[name].op, dst, 0, op.BPF_SIGNED_OFF, imm);
}

/** Signed `rD s/= rS` or `rD s%= rS` on 64 bits (cpu v4). */
export function salu64Reg(name: SignedAluOp, dst: number, src: number): Insn {
  return make(op.BPF_ALU64 | op.BPF_X | SIGNED_ALU_OPS[name].op, dst, src, op.BPF_SIGNED_OFF, 0);
}

/** Signed `wD s/= imm` or `wD s%= imm` on 32 bits (cpu v4). */
export function salu32Imm(name: SignedAluOp, dst: number, imm: number): Insn {
  return make(op.BPF_ALU | op.BPF_K | SIGNED_ALU_OPS[name].op, dst, 0, op.BPF_SIGNED_OFF, checkImm32(imm));
}

/** Signed `wD s/= wS` or `wD s%= wS` on 32 bits (cpu v4). */
export function salu32Reg(name: SignedAluOp, dst: number, src: number): Insn {
  return make(op.BPF_ALU | op.BPF_X | SIGNED_ALU_OPS[name].op, dst, src, op.BPF_SIGNED_OFF, 0);
}

/** `rD = imm`, sign-extended to 64 bits. */
export function mov64Imm(dst: number, imm: number): Insn {
  return alu64Imm("mov", dst, imm);
}

/** `rD = rS`. */
export function mov64Reg(dst: number, src: number): Insn {
  return alu64Reg("mov", dst, src);
}

/** `wD = imm`; the upper half becomes zero. */
export function mov32Imm(dst: number, imm: number): Insn {
  return alu32Imm("mov", dst, imm);
}

/** `wD = wS`; the upper half becomes zero. */
export function mov32Reg(dst: number, src: number): Insn {
  return alu32Reg("mov", dst, src);
}

/** `rD = (s8|s16|s32)rS`, sign-extended to 64 bits (cpu v4). */
export function movsx64(dst: number, src: number, bits: 8 | 16 | 32): Insn {
  if (bits !== 8 && bits !== 16 && bits !== 32) throw new InputError(`movsx takes 8, 16 or 32 bits, got ${bits}`);
  return make(op.BPF_ALU64 | op.BPF_X | op.BPF_MOV, dst, src, bits, 0);
}

/** `wD = (s8|s16)wS`, sign-extended to 32 bits (cpu v4). */
export function movsx32(dst: number, src: number, bits: 8 | 16): Insn {
  if (bits !== 8 && bits !== 16) throw new InputError(`32-bit movsx takes 8 or 16 bits, got ${bits}`);
  return make(op.BPF_ALU | op.BPF_X | op.BPF_MOV, dst, src, bits, 0);
}

/** `rD = addr_space_cast(rS, dstAs, srcAs)`: between the arena's (1) and the kernel's (0) addresses. */
export function addrSpaceCast(dst: number, src: number, dstAs: 0 | 1, srcAs: 0 | 1): Insn {
  if (!((dstAs === 0 && srcAs === 1) || (dstAs === 1 && srcAs === 0))) {
    throw new InputError(`addr_space_cast goes from 0 to 1 or from 1 to 0, got ${srcAs} to ${dstAs}`);
  }
  const imm = (dstAs << 16) | srcAs;
  return make(op.BPF_ALU64 | op.BPF_X | op.BPF_MOV, dst, src, op.BPF_ADDR_SPACE_CAST, imm);
}

/** `rD = -rD`. */
export function neg64(dst: number): Insn {
  return make(op.BPF_ALU64 | op.BPF_K | op.BPF_NEG, dst, 0, 0, 0);
}

/** `wD = -wD`. */
export function neg32(dst: number): Insn {
  return make(op.BPF_ALU | op.BPF_K | op.BPF_NEG, dst, 0, 0, 0);
}

function end(opcode: number, dst: number, bits: number): Insn {
  if (bits !== 16 && bits !== 32 && bits !== 64) {
    throw new InputError(`byte order operations take 16, 32 or 64 bits, got ${bits}`);
  }
  return make(opcode | op.BPF_END, dst, 0, 0, bits);
}

/** `rD = leN rD`: from host to little-endian order and truncated. */
export function toLe(dst: number, bits: 16 | 32 | 64): Insn {
  return end(op.BPF_ALU | op.BPF_TO_LE, dst, bits);
}

/** `rD = beN rD`: from host to big-endian order and truncated. */
export function toBe(dst: number, bits: 16 | 32 | 64): Insn {
  return end(op.BPF_ALU | op.BPF_TO_BE, dst, bits);
}

/** `rD = bswapN rD`: bytes reversed and truncated (cpu v4). */
export function bswap(dst: number, bits: 16 | 32 | 64): Insn {
  return end(op.BPF_ALU64 | op.BPF_TO_LE, dst, bits);
}

/* Memory. */

/** `rD = *(uN *)(rS + off)`, zero-extended. */
export function ldx(size: SizeName, dst: number, src: number, off: number): Insn {
  return make(op.BPF_LDX | op.BPF_MEM | SIZES[size].size, dst, src, off, 0);
}

/** `rD = *(sN *)(rS + off)`, sign-extended (cpu v4). */
export function ldxs(size: Exclude<SizeName, "dw">, dst: number, src: number, off: number): Insn {
  if (SIZES[size].signedType === null) throw new InputError("there is no sign-extending load of 64 bits");
  return make(op.BPF_LDX | op.BPF_MEMSX | SIZES[size].size, dst, src, off, 0);
}

/** `*(uN *)(rD + off) = rS`. */
export function stx(size: SizeName, dst: number, src: number, off: number): Insn {
  return make(op.BPF_STX | op.BPF_MEM | SIZES[size].size, dst, src, off, 0);
}

/** `*(uN *)(rD + off) = imm`; a 64-bit store sign-extends the immediate. */
export function stImm(size: SizeName, dst: number, off: number, imm: number): Insn {
  const value = size === "dw" ? imm : checkImm32(imm);
  return make(op.BPF_ST | op.BPF_MEM | SIZES[size].size, dst, 0, off, value);
}

/**
 * An atomic operation on `*(uN *)(rD + off)` with rS; the `fetch_` forms and `xchg` leave the old
 * value in rS, `cmpxchg` compares with and answers in R0. For `load_acq` it is rD that receives
 * `*(uN *)(rS + off)`. Sizes are `w` and `dw`, for `load_acq` and `store_rel` also `b` and `h`.
 */
export function atomic(name: AtomicOp, size: SizeName, dst: number, src: number, off: number): Insn {
  if (SIZES[size].bytes < 4 && name !== "load_acq" && name !== "store_rel") {
    throw new InputError(`atomic ${name} works on w or dw, got ${size}`);
  }
  return make(op.BPF_STX | op.BPF_ATOMIC | SIZES[size].size, dst, src, off, ATOMIC_OPS[name]);
}

/** `r0 = *(uN *)skb[imm]` in network order; needs the skb context in R6 and clobbers R1–R5. */
export function ldAbs(size: Exclude<SizeName, "dw">, imm: number): Insn {
  return make(op.BPF_LD | op.BPF_ABS | SIZES[size].size, 0, 0, 0, imm);
}

/** `r0 = *(uN *)skb[rS + imm]` in network order; needs the skb context in R6 and clobbers R1–R5. */
export function ldInd(size: Exclude<SizeName, "dw">, src: number, imm: number): Insn {
  return make(op.BPF_LD | op.BPF_IND | SIZES[size].size, 0, src, 0, imm);
}

/* 64-bit immediate loads: two slots each. */

/** The two slots of a 64-bit immediate load. */
export type InsnPair = readonly [Insn, Insn];

function ldImmPair(dst: number, src: number, low: number, high: number): InsnPair {
  return [make(op.BPF_LD_IMM64, dst, src, 0, low), make(0, 0, 0, 0, high)];
}

/**
 * `rD = value`, 64 bits, from −2^63 to 2^64−1.
 * @throws InputError for a number beyond the safe integers, which would already have lost bits.
 */
export function ldImm64(dst: number, value: bigint | number): InsnPair {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new InputError(`64-bit immediate must be a safe integer or a bigint, got ${value}`);
  }
  const wide = BigInt(value);
  if (BigInt.asIntN(64, wide) !== wide && BigInt.asUintN(64, wide) !== wide) {
    throw new InputError(`immediate does not fit 64 bits: ${wide}`);
  }
  return ldImmPair(dst, op.BPF_PSEUDO_IMM64, Number(BigInt.asIntN(32, wide)), Number(BigInt.asIntN(32, wide >> 32n)));
}

/** `rD = ` the map behind a file descriptor. */
export function ldMapFd(dst: number, fd: number): InsnPair {
  return ldImmPair(dst, op.BPF_PSEUDO_MAP_FD, fd, 0);
}

/** `rD = ` address `offset` bytes into the first value of the array map behind a file descriptor. */
export function ldMapValue(dst: number, fd: number, offset: number): InsnPair {
  return ldImmPair(dst, op.BPF_PSEUDO_MAP_VALUE, fd, checkImm32(offset));
}

/** `rD = ` the map at an index of the load's `fd_array`. */
export function ldMapIdx(dst: number, index: number): InsnPair {
  return ldImmPair(dst, op.BPF_PSEUDO_MAP_IDX, index, 0);
}

/** Like {@link ldMapValue}, the map given as an index of the load's `fd_array`. */
export function ldMapIdxValue(dst: number, index: number, offset: number): InsnPair {
  return ldImmPair(dst, op.BPF_PSEUDO_MAP_IDX_VALUE, index, checkImm32(offset));
}

/** `rD = ` address of the kernel variable with that BTF id; `btfFd` names a module's BTF, 0 is vmlinux. */
export function ldBtfId(dst: number, btfId: number, btfFd = 0): InsnPair {
  return ldImmPair(dst, op.BPF_PSEUDO_BTF_ID, btfId, btfFd);
}

/** `rD = ` address of the subprogram `offset` slots after the next slot, for callbacks. */
export function ldFunc(dst: number, offset: number): InsnPair {
  return ldImmPair(dst, op.BPF_PSEUDO_FUNC, offset, 0);
}

/* Jumps and calls. */

/** `goto pc+off`. */
export function ja(off: number): Insn {
  return make(op.BPF_JMP | op.BPF_JA, 0, 0, off, 0);
}

/** `gotol pc+off`, a jump of 32 bits' reach (cpu v4). */
export function jaLong(off: number): Insn {
  return make(op.BPF_JMP32 | op.BPF_JA, 0, 0, 0, checkS32(off, "long jump offset"));
}

/** `if rD op imm goto pc+off`; the immediate is sign-extended to 64 bits. */
export function jmpImm(name: JmpOp, dst: number, imm: number, off: number): Insn {
  return make(op.BPF_JMP | op.BPF_K | JMP_OPS[name].op, dst, 0, off, imm);
}

/** `if rD op rS goto pc+off`. */
export function jmpReg(name: JmpOp, dst: number, src: number, off: number): Insn {
  return make(op.BPF_JMP | op.BPF_X | JMP_OPS[name].op, dst, src, off, 0);
}

/** `if wD op imm goto pc+off`, comparing 32 bits; the immediate may be given signed or unsigned. */
export function jmp32Imm(name: JmpOp, dst: number, imm: number, off: number): Insn {
  return make(op.BPF_JMP32 | op.BPF_K | JMP_OPS[name].op, dst, 0, off, checkImm32(imm));
}

/** `if wD op wS goto pc+off`, comparing 32 bits. */
export function jmp32Reg(name: JmpOp, dst: number, src: number, off: number): Insn {
  return make(op.BPF_JMP32 | op.BPF_X | JMP_OPS[name].op, dst, src, off, 0);
}

/** `may_goto pc+off`: jumps when the kernel wants the loop ended. */
export function mayGoto(off: number): Insn {
  return make(op.BPF_JMP | op.BPF_JCOND, 0, op.BPF_MAY_GOTO, off, 0);
}

/** Calls the helper with that number. */
export function callHelper(id: number): Insn {
  return make(op.BPF_JMP | op.BPF_CALL, 0, op.BPF_HELPER_CALL, 0, id);
}

/** Calls the subprogram `offset` slots after the next instruction. */
export function callSubprog(offset: number): Insn {
  return make(op.BPF_JMP | op.BPF_CALL, 0, op.BPF_PSEUDO_CALL, 0, offset);
}

/** Calls the kernel function with that BTF id; `fdIndex` is its module's index in `fd_array`, 0 is vmlinux. */
export function callKfunc(btfId: number, fdIndex = 0): Insn {
  return make(op.BPF_JMP | op.BPF_CALL, 0, op.BPF_PSEUDO_KFUNC_CALL, fdIndex, btfId);
}

/** Returns R0. */
export function exit(): Insn {
  return make(op.BPF_JMP | op.BPF_EXIT, 0, 0, 0, 0);
}

/** A slot with any content, valid or not, for tests of what must be rejected; only field widths are checked. */
export function rawInsn(opcode: number, dst = 0, src = 0, off = 0, imm = 0): Insn {
  for (const [what, value, max] of [
    ["opcode", opcode, 0xff],
    ["destination", dst, 0xf],
    ["source", src, 0xf],
  ] as const) {
    if (!Number.isInteger(value) || value < 0 || value > max) {
      throw new InputError(`${what} must be an integer from 0 to ${max}, got ${value}`);
    }
  }
  return { opcode, dst, src, off: checkOff(off), imm: checkS32(imm) };
}
