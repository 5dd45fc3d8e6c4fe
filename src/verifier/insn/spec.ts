// SPDX-License-Identifier: GPL-2.0-only
import { BPF_ADD, BPF_K, BPF_SUB, BPF_X } from "../../asm/opcode.js";
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import { type VerifierEnv, verbose } from "../env.js";
import { ACCESS_HELPER } from "../kinds/access.js";
import { checkMapAccess } from "../mem/map-value.js";
import { tnumIsConst, tnumStrn } from "../num/tnum.js";
import { markRegUnknown } from "../state/mark.js";
import {
  copyReg,
  R_MASK_HI,
  R_MASK_LO,
  R_OFF,
  R_SMAX_HI,
  R_SMIN_HI,
  R_SMIN_LO,
  R_TYPE,
  R_U0,
  R_UMAX_LO,
  R_VAL_HI,
  R_VAL_LO,
  REG_WORDS,
} from "../state/reg.js";
import { pushStack } from "../track/worklist.js";

/*
 * Speculative execution. A CPU may run past a check that will turn out to fail; programs of processes
 * without CAP_PERFMON get their pointer arithmetic masked, and the paths that only speculation takes
 * are walked, too.
 */

/* BPF_ALU_*: how an instruction will be masked. */

const ALU_SANITIZE_SRC = 1 << 0;
const ALU_SANITIZE_DST = 1 << 1;
const ALU_NEG_VALUE = 1 << 2;
const ALU_NON_POINTER = 1 << 3;
const ALU_IMMEDIATE = 1 << 4;

/* Why arithmetic cannot be masked. */

const REASON_BOUNDS = -1;
const REASON_TYPE = -2;
const REASON_PATHS = -3;
const REASON_LIMIT = -4;
const REASON_STACK = -5;

/** What the first pass over a pointer's arithmetic leaves for the second. Mirrors struct bpf_sanitize_info. */
export class SanitizeInfo {
  aluState = 0;
  aluLimit = 0;
  maskToLeft = false;
}

/** Mirrors sanitize_needed(). */
export function sanitizeNeeded(opcode: number): boolean {
  return opcode === BPF_ADD || opcode === BPF_SUB;
}

/** Mirrors can_skip_alu_sanitation(). */
function canSkipAluSanitation(env: VerifierEnv, i: number): boolean {
  return env.bypassSpecV1 || (env.insns.code[i]! & BPF_X) === BPF_K || env.aux.nospec[i] !== 0;
}

/** Mirrors sanitize_mark_insn_seen(). */
export function sanitizeMarkInsnSeen(env: VerifierEnv): void {
  // What only speculation reaches stays dead code to the program.
  if (!env.cur().speculative) env.aux.seen[env.insnIdx] = env.passCnt;
}

/** Bytes that the pointer may move in the direction in question, or a reason. Mirrors retrieve_ptr_limit(). */
function retrievePtrLimit(env: VerifierEnv, mem: Int32Array, p: number, maskToLeft: boolean): number {
  let max = 0;
  let limit = 0;
  switch (mem[p + R_TYPE]) {
    case RegType.PTR_TO_STACK:
      max = Limit.MAX_BPF_STACK + (maskToLeft ? 1 : 0);
      limit = -(mem[p + R_VAL_LO]! + mem[p + R_OFF]!) >>> 0;
      break;
    case RegType.PTR_TO_MAP_VALUE:
      max = env.maps[mem[p + R_U0]! - 1]!.load.valueSize;
      limit = (mem[p + (maskToLeft ? R_SMIN_LO : R_UMAX_LO)]! + mem[p + R_OFF]!) >>> 0;
      break;
    default:
      return REASON_TYPE;
  }
  return limit >= max ? REASON_LIMIT : limit;
}

/** Mirrors update_alu_sanitation_state() on the instruction. */
function updateInsnSanitation(env: VerifierEnv, i: number, state: number, limit: number): number {
  const aux = env.aux;
  if (aux.aluState[i] !== 0 && (aux.aluState[i] !== state || aux.aluLimit[i] !== limit)) return REASON_PATHS;
  aux.aluState[i] = state;
  aux.aluLimit[i] = limit;
  return 0;
}

/** Mirrors sanitize_val_alu(). */
export function sanitizeValAlu(env: VerifierEnv, i: number): number {
  return canSkipAluSanitation(env, i) ? 0 : updateInsnSanitation(env, i, ALU_NON_POINTER, 0);
}

/**
 * Puts a speculative path aside; with `i` >= 0, what that instruction compares is unknown there.
 * Mirrors sanitize_speculative_path().
 */
export function sanitizeSpeculativePath(env: VerifierEnv, i: number, nextIdx: number, currIdx: number): number {
  const branch = pushStack(env, nextIdx, currIdx, true);
  if (typeof branch === "number") return branch;
  if (i >= 0) {
    const mem = branch.cur().mem;
    markRegUnknown(env, mem, env.insns.dst[i]!);
    if ((env.insns.code[i]! & BPF_X) === BPF_X) markRegUnknown(env, mem, env.insns.src[i]!);
  }
  return 0;
}

/** State and limit of the first pass; the reason when the pointer cannot be masked. */
function planSanitation(
  env: VerifierEnv,
  i: number,
  mem: Int32Array,
  p: number,
  offMem: Int32Array,
  off: number,
  ptrIsDst: boolean,
  info: SanitizeInfo,
): number {
  const isImm = tnumIsConst(offMem, off);
  const isNeg = offMem[off + R_SMIN_HI]! < 0;
  if (!isImm && isNeg !== offMem[off + R_SMAX_HI]! < 0) return REASON_BOUNDS;
  const opcode = env.insns.code[i]! & 0xf0;
  info.maskToLeft = (opcode === BPF_ADD && isNeg) || (opcode === BPF_SUB && !isNeg);
  const limit = retrievePtrLimit(env, mem, p, info.maskToLeft);
  if (limit < 0) return limit;
  // Masks may differ by path: unknown offsets are not pruned on trust.
  if (!isImm) env.exploreAluLimits = true;
  const state =
    (isNeg ? ALU_NEG_VALUE : 0) | (isImm ? ALU_IMMEDIATE : 0) | (ptrIsDst ? ALU_SANITIZE_SRC : ALU_SANITIZE_DST);
  info.aluState = state;
  info.aluLimit = limit;
  return 0;
}

const kept = new Int32Array(REG_WORDS);

/**
 * Before the operation (`commit` false) the mask is planned and the path where the offset is masked
 * to 0 put aside; after it the mask is narrowed to how far the pointer moved. Mirrors sanitize_ptr_alu().
 */
export function sanitizePtrAlu(
  env: VerifierEnv,
  i: number,
  mem: Int32Array,
  p: number,
  offMem: Int32Array,
  off: number,
  d: number,
  info: SanitizeInfo,
  commit: boolean,
): number {
  if (canSkipAluSanitation(env, i)) return 0;
  // Speculative paths are there to find bad accesses; the masks are settled.
  if (!env.cur().speculative) {
    if (commit) {
      const limit = retrievePtrLimit(env, mem, p, info.maskToLeft);
      if (limit < 0) return limit;
      const err = updateInsnSanitation(env, i, info.aluState, Math.abs((info.aluLimit - limit) | 0));
      if (err < 0) return err;
    } else {
      const err = planSanitation(env, i, mem, p, offMem, off, p === d, info);
      if (err < 0) return err;
    }
  }
  if (commit || tnumIsConst(offMem, off)) return 0;
  if (p !== d) {
    copyReg(kept, 0, mem, d);
    copyReg(mem, d, mem, p);
  }
  const err = sanitizeSpeculativePath(env, -1, env.insnIdx + 1, env.insnIdx);
  if (err < 0) return REASON_STACK;
  if (p !== d) copyReg(mem, d, kept, 0);
  return 0;
}

/** Says why; `offIsDst`: the offset stands in the destination. Mirrors sanitize_err(). */
export function sanitizeErr(env: VerifierEnv, i: number, reason: number, offIsDst: boolean): number {
  const what = "pointer arithmetic with it prohibited for !root";
  const op = (env.insns.code[i]! & 0xf0) === BPF_ADD ? "add" : "sub";
  const dst = env.insns.dst[i]!;
  const src = env.insns.src[i]!;
  switch (reason) {
    case REASON_BOUNDS:
      verbose(env, `R${offIsDst ? dst : src} has unknown scalar with mixed signed bounds, ${what}\n`);
      break;
    case REASON_TYPE:
      verbose(env, `R${offIsDst ? src : dst} has pointer with unsupported alu operation, ${what}\n`);
      break;
    case REASON_PATHS:
      verbose(env, `R${dst} tried to ${op} from different maps, paths or scalars, ${what}\n`);
      break;
    case REASON_LIMIT:
      verbose(env, `R${dst} tried to ${op} beyond pointer bounds, ${what}\n`);
      break;
    default:
      verbose(env, `R${dst} could not be pushed for speculative verification, ${what}\n`);
      return env.rules.speculationFences ? -Errno.ENOMEM : -Errno.EACCES;
  }
  return -Errno.EACCES;
}

/** Mirrors check_stack_access_for_ptr_arithmetic(); `off` includes the register's. */
function checkStackAccessForPtrArithmetic(
  env: VerifierEnv,
  regno: number,
  mem: Int32Array,
  o: number,
  off: number,
): number {
  if (!tnumIsConst(mem, o)) {
    const tn = tnumStrn(mem[o + R_VAL_LO]!, mem[o + R_VAL_HI]!, mem[o + R_MASK_LO]!, mem[o + R_MASK_HI]!);
    verbose(env, `R${regno} variable stack access prohibited for !root, var_off=${tn} off=${off}\n`);
    return -Errno.EACCES;
  }
  if (off >= 0 || off < -Limit.MAX_BPF_STACK) {
    verbose(env, `R${regno} stack pointer arithmetic goes out of range, prohibited for !root; off=${off}\n`);
    return -Errno.EACCES;
  }
  return 0;
}

/** Masking needs results in bounds; -EOPNOTSUPP for pointers that cannot be masked. Mirrors sanitize_check_bounds(). */
export function sanitizeCheckBounds(env: VerifierEnv, i: number, mem: Int32Array, d: number): number {
  if (env.bypassSpecV1) return 0;
  const dst = env.insns.dst[i]!;
  switch (mem[d + R_TYPE]) {
    case RegType.PTR_TO_STACK:
      return checkStackAccessForPtrArithmetic(env, dst, mem, d, (mem[d + R_OFF]! + mem[d + R_VAL_LO]!) | 0);
    case RegType.PTR_TO_MAP_VALUE:
      if (checkMapAccess(env, dst, mem[d + R_OFF]!, 1, false, ACCESS_HELPER) !== 0) {
        verbose(env, `R${dst} pointer arithmetic of map value goes out of range, prohibited for !root\n`);
        return -Errno.EACCES;
      }
      return 0;
    default:
      return -Errno.EOPNOTSUPP;
  }
}
