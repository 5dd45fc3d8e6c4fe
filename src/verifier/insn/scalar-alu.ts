// SPDX-License-Identifier: GPL-2.0-only
import {
  BPF_ADD,
  BPF_ALU64,
  BPF_AND,
  BPF_ARSH,
  BPF_END,
  BPF_LSH,
  BPF_MUL,
  BPF_NEG,
  BPF_OR,
  BPF_RSH,
  BPF_SUB,
  BPF_TO_BE,
  BPF_X,
  BPF_XOR,
} from "../../asm/opcode.js";
import type { VerifierEnv } from "../env.js";
import {
  scalar32MinMaxAdd,
  scalar32MinMaxAnd,
  scalar32MinMaxArsh,
  scalar32MinMaxLsh,
  scalar32MinMaxMul,
  scalar32MinMaxOr,
  scalar32MinMaxRsh,
  scalar32MinMaxSub,
  scalar32MinMaxXor,
} from "../num/alu32.js";
import {
  scalarByteSwap,
  scalarMinMaxAdd,
  scalarMinMaxAnd,
  scalarMinMaxArsh,
  scalarMinMaxLsh,
  scalarMinMaxMul,
  scalarMinMaxOr,
  scalarMinMaxRsh,
  scalarMinMaxSub,
  scalarMinMaxXor,
} from "../num/alu64.js";
import { markReg32KnownRaw, markRegKnownRaw, markRegUnknownRaw, zext32To64 } from "../num/bounds.js";
import { addUnwrapped, mulNarrow, subUnwrapped, tnumMulBySum } from "../num/older.js";
import { regBoundsSync } from "../num/sync.js";
import { tnumAdd, tnumAnd, tnumIsConst, tnumMul, tnumOr, tnumSub, tnumXor } from "../num/tnum.js";
import {
  copyReg,
  R_MASK_LO,
  R_S32_MAX,
  R_S32_MIN,
  R_SMAX_HI,
  R_SMAX_LO,
  R_SMIN_HI,
  R_SMIN_LO,
  R_U32_MAX,
  R_U32_MIN,
  R_UMAX_HI,
  R_UMAX_LO,
  R_UMIN_HI,
  R_UMIN_LO,
  REG_WORDS,
} from "../state/reg.js";
import { clearScalarId } from "../track/linked.js";
import { pushStack } from "../track/worklist.js";
import { sanitizeErr, sanitizeNeeded, sanitizeValAlu } from "./spec.js";

/* Arithmetic on scalars: which rule of num/ applies to an instruction, and what it needs around it. */

/** Whether source operand and operation let a range be computed. Mirrors is_safe_to_compute_dst_reg_range(). */
function isSafeToComputeDstRegRange(opcode: number, alu32: boolean, src: Int32Array, s: number): boolean {
  switch (opcode) {
    case BPF_ADD:
    case BPF_SUB:
    case BPF_NEG:
    case BPF_AND:
    case BPF_XOR:
    case BPF_OR:
    case BPF_MUL:
    case BPF_END:
      return true;
    case BPF_LSH:
    case BPF_RSH:
    case BPF_ARSH: {
      // Only by a constant within the width.
      const umax = src[s + R_UMAX_LO]! >>> 0;
      if (src[s + R_UMAX_HI] !== 0 || umax >= (alu32 ? 32 : 64)) return false;
      if (alu32) {
        return (
          src[s + R_MASK_LO] === 0 &&
          src[s + R_S32_MIN] === src[s + R_S32_MAX] &&
          src[s + R_U32_MIN] === src[s + R_U32_MAX]
        );
      }
      return (
        tnumIsConst(src, s) &&
        src[s + R_SMIN_LO] === src[s + R_SMAX_LO] &&
        src[s + R_SMIN_HI] === src[s + R_SMAX_HI] &&
        src[s + R_UMIN_LO] === src[s + R_UMAX_LO] &&
        src[s + R_UMIN_HI] === src[s + R_UMAX_HI]
      );
    }
    default:
      return false;
  }
}

/**
 * A register that can only be 0 or -1, about to meet a constant in AND or OR: both values are walked
 * on their own. Here it becomes -1; the path with 0 repeats the instruction. Mirrors maybe_fork_scalars().
 */
function maybeForkScalars(env: VerifierEnv, mem: Int32Array, d: number): number {
  const wide = (mem[d + R_SMIN_LO]! & mem[d + R_SMIN_HI]!) === -1 && (mem[d + R_SMAX_LO]! | mem[d + R_SMAX_HI]!) === 0;
  if (!wide && !(mem[d + R_S32_MIN] === -1 && mem[d + R_S32_MAX] === 0)) return 0;
  const branch = pushStack(env, env.insnIdx, env.insnIdx, false);
  if (typeof branch === "number") return branch;
  const other = branch.cur().mem;
  if (wide) {
    markRegKnownRaw(other, d, 0, 0);
    markRegKnownRaw(mem, d, -1, -1);
  } else {
    markReg32KnownRaw(other, d, 0);
    markReg32KnownRaw(mem, d, -1);
  }
  return 0;
}

/** Copy of an operand that the result overwrites. */
const operand = new Int32Array(REG_WORDS);

function shift(opcode: number, alu32: boolean, mem: Int32Array, d: number, n: number): void {
  if (opcode === BPF_LSH) (alu32 ? scalar32MinMaxLsh : scalarMinMaxLsh)(mem, d, n);
  else if (opcode === BPF_RSH) (alu32 ? scalar32MinMaxRsh : scalarMinMaxRsh)(mem, d, n);
  else (alu32 ? scalar32MinMaxArsh : scalarMinMaxArsh)(mem, d, n);
}

/** Byte swaps make another value of it; what leaves the register as it is leaves it linked, too. */
function byteSwap(env: VerifierEnv, i: number, mem: Int32Array, d: number): void {
  const code = env.insns.code[i]!;
  const bits = env.insns.imm[i]!;
  const swap = (code & 0x07) === BPF_ALU64 || (code & BPF_X) === BPF_TO_BE;
  scalarByteSwap(mem, d, bits, swap);
  if (swap || bits !== 64) clearScalarId(mem, d);
}

/** AND, OR and XOR. */
function bitwise(env: VerifierEnv, opcode: number, mem: Int32Array, d: number, src: Int32Array, s: number): number {
  if (opcode !== BPF_XOR && tnumIsConst(src, s)) {
    const err = maybeForkScalars(env, mem, d);
    if (err !== 0) return err;
  }
  if (opcode === BPF_AND) {
    tnumAnd(mem, d, src, s);
    scalar32MinMaxAnd(mem, d, src, s);
    scalarMinMaxAnd(mem, d, src, s);
  } else if (opcode === BPF_OR) {
    tnumOr(mem, d, src, s);
    scalar32MinMaxOr(mem, d, src, s);
    scalarMinMaxOr(mem, d, src, s);
  } else {
    tnumXor(mem, d, src, s);
    scalar32MinMaxXor(mem, d, src, s);
    scalarMinMaxXor(mem, d, src, s);
  }
  return 0;
}

/** All operations that a range can be computed of. */
function compute(env: VerifierEnv, i: number, mem: Int32Array, d: number, src: Int32Array, s: number): number {
  const opcode = env.insns.code[i]! & 0xf0;
  switch (opcode) {
    case BPF_ADD:
      if (env.rules.wrappedRanges) {
        scalar32MinMaxAdd(mem, d, src, s);
        scalarMinMaxAdd(mem, d, src, s);
      } else {
        addUnwrapped(mem, d, src, s);
      }
      tnumAdd(mem, d, src, s);
      return 0;
    case BPF_SUB:
      if (env.rules.wrappedRanges) {
        scalar32MinMaxSub(mem, d, src, s);
        scalarMinMaxSub(mem, d, src, s);
      } else {
        subUnwrapped(mem, d, src, s);
      }
      tnumSub(mem, d, src, s);
      return 0;
    case BPF_NEG:
      copyReg(operand, 0, mem, d);
      markRegKnownRaw(mem, d, 0, 0);
      scalar32MinMaxSub(mem, d, operand, 0);
      scalarMinMaxSub(mem, d, operand, 0);
      tnumSub(mem, d, operand, 0);
      return 0;
    case BPF_MUL:
      (env.rules.tnumProductUnion ? tnumMul : tnumMulBySum)(mem, d, src, s);
      if (env.rules.signedProducts) {
        scalar32MinMaxMul(mem, d, src, s);
        scalarMinMaxMul(mem, d, src, s);
      } else {
        mulNarrow(mem, d, src, s);
      }
      return 0;
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR:
      return bitwise(env, opcode, mem, d, src, s);
    case BPF_END:
      byteSwap(env, i, mem, d);
      return 0;
    default:
      shift(opcode, (env.insns.code[i]! & 0x07) !== BPF_ALU64, mem, d, src[s + R_UMIN_LO]!);
      return 0;
  }
}

/**
 * Instruction `i` on scalars: destination (mem, d), which becomes the result, and source (src, s),
 * which may be the destination. Mirrors adjust_scalar_min_max_vals().
 */
export function adjustScalarMinMaxVals(
  env: VerifierEnv,
  i: number,
  mem: Int32Array,
  d: number,
  src: Int32Array,
  s: number,
): number {
  const code = env.insns.code[i]!;
  const opcode = code & 0xf0;
  const alu32 = (code & 0x07) !== BPF_ALU64;
  if (!isSafeToComputeDstRegRange(opcode, alu32, src, s)) {
    markRegUnknownRaw(env, mem, d);
    return 0;
  }
  if (!env.bypassSpecV1 && sanitizeNeeded(opcode)) {
    const reason = sanitizeValAlu(env, i);
    if (reason < 0) return sanitizeErr(env, i, reason, true);
  }
  let err: number;
  if (src === mem && s === d && opcode !== BPF_NEG && opcode !== BPF_END) {
    copyReg(operand, 0, mem, d);
    err = compute(env, i, mem, d, operand, 0);
  } else {
    err = compute(env, i, mem, d, src, s);
  }
  if (err !== 0) return err;
  if (alu32 && opcode !== BPF_END) zext32To64(mem, d);
  regBoundsSync(mem, d);
  return 0;
}
