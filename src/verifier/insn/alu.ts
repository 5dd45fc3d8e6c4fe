// SPDX-License-Identifier: GPL-2.0-only
import {
  BPF_ADD,
  BPF_ADDR_SPACE_CAST,
  BPF_ALU,
  BPF_ALU64,
  BPF_ARSH,
  BPF_DIV,
  BPF_END,
  BPF_LSH,
  BPF_MOD,
  BPF_MOV,
  BPF_NEG,
  BPF_RSH,
  BPF_SIGNED_OFF,
  BPF_SUB,
  BPF_TO_LE,
  BPF_X,
  R0,
} from "../../asm/opcode.js";
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { MapType } from "../../kernel/uapi.js";
import { type VerifierEnv, verbose } from "../env.js";
import { isPointerValue } from "../kinds/reg-type.js";
import {
  coerceRegToSizeSx,
  coerceSubregToSizeSx,
  markRegKnownRaw,
  regBoundsSanityCheck,
  zext32To64,
} from "../num/bounds.js";
import { regBoundsSync } from "../num/sync.js";
import { S32_MIN } from "../num/u64.js";
import { checkRegArg, DEF_NOT_SUBREG, DST_OP, DST_OP_NO_MARK, markRegUnknown, SRC_OP } from "../state/mark.js";
import {
  BPF_ADD_CONST,
  BPF_ADD_CONST32,
  BPF_ADD_CONST64,
  copyReg,
  R_ID,
  R_MASK_HI,
  R_MASK_LO,
  R_OFF,
  R_PRECISE,
  R_SUBREG_DEF,
  R_TYPE,
  R_UMAX_HI,
  R_UMAX_LO,
  R_VAL_HI,
  R_VAL_LO,
  REG_WORDS,
  regAt,
} from "../state/reg.js";
import { markChainPrecision } from "../track/backtrack.js";
import { assignScalarIdBeforeMov, clearScalarId } from "../track/linked.js";
import { adjustPtrMinMaxVals, aluString } from "./ptr-alu.js";
import { adjustScalarMinMaxVals } from "./scalar-alu.js";

/** Stands in for a source register: an immediate, or the offset that the destination held. Only its value counts. */
const offReg = new Int32Array(REG_WORDS);

function reserved(env: VerifierEnv, what: string): number {
  verbose(env, `${what} uses reserved fields\n`);
  return -Errno.EINVAL;
}

/** Arithmetic on arena pointers is free: the address is 32 bits wide whatever comes of it. */
function adjustArena(env: VerifierEnv, mem: Int32Array, d: number, s: number): number {
  if (mem[d + R_TYPE] !== RegType.PTR_TO_ARENA) copyReg(mem, d, mem, s);
  mem[d + R_SUBREG_DEF] = env.insnIdx + 1;
  return 0;
}

/** Pointers on either side or on both; 1 when there are none. `s` is the source register, or -1. */
function adjustPointers(env: VerifierEnv, i: number, mem: Int32Array, d: number, s: number): number {
  const dst = env.insns.dst[i]!;
  const opcode = env.insns.code[i]! & 0xf0;
  const dstIsPtr = mem[d + R_TYPE] !== RegType.SCALAR_VALUE;
  if (s < 0) {
    return dstIsPtr ? adjustPtrMinMaxVals(env, i, mem, d, offReg, 0) : 1;
  }
  if (mem[s + R_TYPE] !== RegType.SCALAR_VALUE) {
    if (dstIsPtr) {
      if (opcode === BPF_SUB && env.allowPtrLeaks) {
        markRegUnknown(env, mem, dst);
        return 0;
      }
      verbose(env, `R${dst} pointer ${aluString(opcode)} pointer prohibited\n`);
      return -Errno.EACCES;
    }
    // scalar += pointer: the roles are changed over.
    const err = markChainPrecision(env, dst);
    if (err !== 0) return err;
    copyReg(offReg, 0, mem, d);
    return adjustPtrMinMaxVals(env, i, mem, s, offReg, 0);
  }
  if (dstIsPtr) {
    const err = markChainPrecision(env, env.insns.src[i]!);
    return err !== 0 ? err : adjustPtrMinMaxVals(env, i, mem, d, mem, s);
  }
  if (mem[d + R_PRECISE] !== 0) {
    const err = markChainPrecision(env, env.insns.src[i]!);
    if (err !== 0) return err;
  }
  return 1;
}

/** The delta that an addition or subtraction of this constant makes, or null for none that is kept. */
function linkDelta(
  env: VerifierEnv,
  i: number,
  src: Int32Array,
  s: number,
  alu32: boolean,
  dstWasU32: boolean,
): number | null {
  const code = env.insns.code[i]!;
  const opcode = code & 0xf0;
  if (!env.bpfCapable || (opcode !== BPF_ADD && opcode !== BPF_SUB)) return null;
  // A register added to itself is no constant apart from what it was.
  if ((code & BPF_X) === BPF_X && env.insns.src[i] === env.insns.dst[i]) return null;
  if ((src[s + R_MASK_LO]! | (alu32 ? 0 : src[s + R_MASK_HI]!)) !== 0) return null;
  const lo = src[s + R_VAL_LO]!;
  if (!env.rules.signedDeltas && (opcode !== BPF_ADD || alu32 || lo < 0)) return null;
  if (alu32 ? !dstWasU32 : src[s + R_VAL_HI] !== lo >> 31) return null;
  if (opcode === BPF_ADD) return lo;
  return lo === S32_MIN ? null : -lo;
}

/** Two-operand arithmetic but MOV. Mirrors adjust_reg_min_max_vals(). */
export function adjustRegMinMaxVals(env: VerifierEnv, i: number): number {
  const mem = env.cur().cur().mem;
  const code = env.insns.code[i]!;
  const d = regAt(env.insns.dst[i]!);
  const isReg = (code & BPF_X) === BPF_X;
  const s = isReg ? regAt(env.insns.src[i]!) : -1;
  if (mem[d + R_TYPE] === RegType.PTR_TO_ARENA || (isReg && mem[s + R_TYPE] === RegType.PTR_TO_ARENA)) {
    return adjustArena(env, mem, d, s);
  }
  if (!isReg) {
    const imm = env.insns.imm[i]!;
    offReg[R_TYPE] = RegType.SCALAR_VALUE;
    markRegKnownRaw(offReg, 0, imm, imm >> 31);
  }
  const pointers = adjustPointers(env, i, mem, d, s);
  if (pointers <= 0) return pointers;

  const dstWasU32 = mem[d + R_UMAX_HI] === 0;
  const alu32 = (code & 0x07) !== BPF_ALU64;
  const delta = linkDelta(env, i, isReg ? mem : offReg, isReg ? s : 0, alu32, dstWasU32);
  const err = adjustScalarMinMaxVals(env, i, mem, d, isReg ? mem : offReg, isReg ? s : 0);
  if (err !== 0) return err;
  const id = mem[d + R_ID]!;
  if (delta === null || id === 0 || (id & BPF_ADD_CONST) !== 0) {
    clearScalarId(mem, d);
  } else {
    mem[d + R_ID] = id | (alu32 ? BPF_ADD_CONST32 : BPF_ADD_CONST64);
    mem[d + R_OFF] = delta;
  }
  return 0;
}

/** Byte order and negation. */
function checkUnary(env: VerifierEnv, i: number): number {
  const { code: codes, src, off, imm: imms, dst: dsts } = env.insns;
  const code = codes[i]!;
  const imm = imms[i]!;
  const dst = dsts[i]!;
  if ((code & 0xf0) === BPF_NEG) {
    if ((code & BPF_X) !== 0 || src[i] !== R0 || off[i] !== 0 || imm !== 0) return reserved(env, "BPF_NEG");
  } else if (
    src[i] !== R0 ||
    off[i] !== 0 ||
    (imm !== 16 && imm !== 32 && imm !== 64) ||
    ((code & 0x07) === BPF_ALU64 && (code & BPF_X) !== BPF_TO_LE)
  ) {
    return reserved(env, "BPF_END");
  }
  let err = checkRegArg(env, dst, SRC_OP);
  if (err !== 0) return err;
  if (isPointerValue(env, dst)) {
    verbose(env, `R${dst} pointer arithmetic prohibited\n`);
    return -Errno.EACCES;
  }
  const mem = env.cur().cur().mem;
  const d = regAt(dst);
  const ranged = (code & 0xf0) === BPF_NEG ? env.rules.negationRange : env.rules.byteSwapBits;
  if (!ranged || mem[d + R_TYPE] !== RegType.SCALAR_VALUE) return checkRegArg(env, dst, DST_OP);
  err = checkRegArg(env, dst, DST_OP_NO_MARK);
  return err !== 0 ? err : adjustScalarMinMaxVals(env, i, mem, d, mem, d);
}

/** Casts between address spaces need an arena among the program's maps. */
function checkAddrSpaceCast(env: VerifierEnv, imm: number): number {
  if (imm !== 1 && imm !== 1 << 16) {
    verbose(env, "addr_space_cast insn can only convert between address space 1 and 0\n");
    return -Errno.EINVAL;
  }
  if (!env.usedMaps.some((map) => map.load.type === MapType.ARENA)) {
    verbose(env, "addr_space_cast insn can only be used in a program that has an associated arena\n");
    return -Errno.EINVAL;
  }
  return 0;
}

function checkMovFields(env: VerifierEnv, i: number): number {
  const code = env.insns.code[i]!;
  const off = env.insns.off[i]!;
  const imm = env.insns.imm[i]!;
  if ((code & BPF_X) === 0) {
    return env.insns.src[i] !== R0 || off !== 0 ? reserved(env, "BPF_MOV") : 0;
  }
  if ((code & 0x07) === BPF_ALU64 && off === BPF_ADDR_SPACE_CAST) return checkAddrSpaceCast(env, imm);
  const width = off === 0 || off === 8 || off === 16 || (off === 32 && (code & 0x07) === BPF_ALU64);
  return !width || imm !== 0 ? reserved(env, "BPF_MOV") : 0;
}

/** Copies a scalar whose value the operation may change: then the copy is not linked to it. */
function copyScalar(env: VerifierEnv, mem: Int32Array, d: number, s: number, same: boolean): void {
  if (same) assignScalarIdBeforeMov(env, mem, s);
  copyReg(mem, d, mem, s);
  if (!same) clearScalarId(mem, d);
}

/** Whether a scalar is below 2^(bits-1), so that sign extension from `bits` (8, 16 or 32) leaves it as it is. */
function fitsUnsigned(mem: Int32Array, o: number, bits: number): boolean {
  return mem[o + R_UMAX_HI] === 0 && mem[o + R_UMAX_LO]! >>> 0 < 2 ** (bits - 1);
}

/** R1 = R2, R1 = (s8, s16, s32) R2, casts. */
function mov64(env: VerifierEnv, i: number, mem: Int32Array): number {
  const { dst, src } = env.insns;
  const d = regAt(dst[i]!);
  const s = regAt(src[i]!);
  const off = env.insns.off[i]!;
  if (env.insns.imm[i] !== 0) {
    markRegUnknown(env, mem, dst[i]!);
    if (env.insns.imm[i] === 1) {
      mem[d + R_TYPE] = RegType.PTR_TO_ARENA;
      mem[d + R_SUBREG_DEF] = env.insnIdx + 1;
    }
  } else if (off === 0) {
    assignScalarIdBeforeMov(env, mem, s);
    copyReg(mem, d, mem, s);
    mem[d + R_SUBREG_DEF] = DEF_NOT_SUBREG;
  } else if (isPointerValue(env, src[i]!)) {
    verbose(env, `R${src[i]} sign-extension part of pointer\n`);
    return -Errno.EACCES;
  } else if (mem[s + R_TYPE] === RegType.SCALAR_VALUE) {
    copyScalar(env, mem, d, s, fitsUnsigned(mem, s, off));
    coerceRegToSizeSx(mem, d, off >> 3);
    mem[d + R_SUBREG_DEF] = DEF_NOT_SUBREG;
  } else {
    markRegUnknown(env, mem, dst[i]!);
  }
  return 0;
}

/** W1 = W2, W1 = (s8, s16) W2. */
function mov32(env: VerifierEnv, i: number, mem: Int32Array): number {
  const { dst, src } = env.insns;
  const d = regAt(dst[i]!);
  const s = regAt(src[i]!);
  const off = env.insns.off[i]!;
  if (isPointerValue(env, src[i]!)) {
    verbose(env, `R${src[i]} partial copy of pointer\n`);
    return -Errno.EACCES;
  }
  if (mem[s + R_TYPE] === RegType.SCALAR_VALUE) {
    copyScalar(env, mem, d, s, off === 0 ? mem[s + R_UMAX_HI] === 0 : fitsUnsigned(mem, s, off));
    mem[d + R_SUBREG_DEF] = env.insnIdx + 1;
    if (off !== 0) coerceSubregToSizeSx(mem, d, off >> 3);
  } else {
    markRegUnknown(env, mem, dst[i]!);
  }
  zext32To64(mem, d);
  regBoundsSync(mem, d);
  return 0;
}

function checkMov(env: VerifierEnv, i: number): number {
  let err = checkMovFields(env, i);
  if (err !== 0) return err;
  const code = env.insns.code[i]!;
  const isReg = (code & BPF_X) === BPF_X;
  if (isReg) {
    err = checkRegArg(env, env.insns.src[i]!, SRC_OP);
    if (err !== 0) return err;
  }
  const dst = env.insns.dst[i]!;
  err = checkRegArg(env, dst, DST_OP_NO_MARK);
  if (err !== 0) return err;
  const mem = env.cur().cur().mem;
  const wide = (code & 0x07) !== BPF_ALU;
  if (isReg) return wide ? mov64(env, i, mem) : mov32(env, i, mem);
  const imm = env.insns.imm[i]!;
  markRegUnknown(env, mem, dst);
  markRegKnownRaw(mem, regAt(dst), imm, wide ? imm >> 31 : 0);
  return 0;
}

/** Whether the fields of two-operand arithmetic are as they should be. */
function checkBinaryFields(env: VerifierEnv, i: number): number {
  const code = env.insns.code[i]!;
  const opcode = code & 0xf0;
  const off = env.insns.off[i]!;
  const badOff = off !== 0 && !(off === BPF_SIGNED_OFF && (opcode === BPF_MOD || opcode === BPF_DIV));
  const other = (code & BPF_X) === BPF_X ? env.insns.imm[i] !== 0 : env.insns.src[i] !== R0;
  return badOff || other ? reserved(env, "BPF_ALU") : 0;
}

function checkBinary(env: VerifierEnv, i: number): number {
  let err = checkBinaryFields(env, i);
  if (err !== 0) return err;
  const code = env.insns.code[i]!;
  const opcode = code & 0xf0;
  const dst = env.insns.dst[i]!;
  if ((code & BPF_X) === BPF_X) {
    err = checkRegArg(env, env.insns.src[i]!, SRC_OP);
    if (err !== 0) return err;
  }
  err = checkRegArg(env, dst, SRC_OP);
  if (err !== 0) return err;
  if ((code & BPF_X) === 0) {
    const imm = env.insns.imm[i]!;
    if ((opcode === BPF_MOD || opcode === BPF_DIV) && imm === 0) {
      verbose(env, "div by zero\n");
      return -Errno.EINVAL;
    }
    const isShift = opcode === BPF_LSH || opcode === BPF_RSH || opcode === BPF_ARSH;
    if (isShift && (imm < 0 || imm >= ((code & 0x07) === BPF_ALU64 ? 64 : 32))) {
      verbose(env, `invalid shift ${imm}\n`);
      return -Errno.EINVAL;
    }
  }
  err = checkRegArg(env, dst, DST_OP_NO_MARK);
  return err !== 0 ? err : adjustRegMinMaxVals(env, i);
}

/** Instruction `i`, of class ALU or ALU64: 0 or a negative errno. Mirrors check_alu_op(). */
export function checkAluOp(env: VerifierEnv, i: number): number {
  const opcode = env.insns.code[i]! & 0xf0;
  let err: number;
  if (opcode === BPF_END || opcode === BPF_NEG) {
    err = checkUnary(env, i);
  } else if (opcode === BPF_MOV) {
    err = checkMov(env, i);
  } else if (opcode > BPF_END) {
    verbose(env, `invalid BPF_ALU opcode ${opcode.toString(16)}\n`);
    return -Errno.EINVAL;
  } else {
    err = checkBinary(env, i);
  }
  if (err !== 0) return err;
  return regBoundsSanityCheck(env, env.cur().cur().mem, regAt(env.insns.dst[i]!), "alu");
}
