// SPDX-License-Identifier: GPL-2.0-only
import {
  BPF_ADD,
  BPF_AND,
  BPF_CMPXCHG,
  BPF_DW,
  BPF_FETCH,
  BPF_LOAD_ACQ,
  BPF_OR,
  BPF_STORE_REL,
  BPF_W,
  BPF_XCHG,
  BPF_XOR,
  bpfSize,
} from "../../asm/opcode.js";
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { BPF_READ, BPF_WRITE } from "../kinds/access.js";
import { isArenaReg, isCtxReg, isFlowKeyReg, isPktReg, isPointerValue, isSkReg, regType } from "../kinds/reg-type.js";
import { checkRegArg, DST_OP, SRC_OP } from "../state/mark.js";
import { regTypeStr } from "../state/print.js";
import { checkLoadMem, checkMemAccess, checkStoreReg } from "./access.js";
import { saveAuxPtrType } from "./aux-type.js";

/**
 * Whether x86-64's JIT can do the atomic in an arena: those that it makes a loop of have nowhere to catch the fault.
 * Mirrors bpf_jit_supports_insn().
 */
function jitSupportsInArena(imm: number): boolean {
  return imm !== (BPF_AND | BPF_FETCH) && imm !== (BPF_OR | BPF_FETCH) && imm !== (BPF_XOR | BPF_FETCH);
}

/** Whether atomics go through the register's kind of pointer. Mirrors atomic_ptr_type_ok(). */
function atomicPtrTypeOk(env: VerifierEnv, regno: number): boolean {
  if (isArenaReg(env, regno)) return jitSupportsInArena(env.insns.imm[env.insnIdx]!);
  return !isCtxReg(env, regno) && !isPktReg(env, regno) && !isFlowKeyReg(env, regno) && !isSkReg(env, regno);
}

/** The registers that a read-modify-write reads. */
function checkRmwRegs(env: VerifierEnv): number {
  const { insns, insnIdx } = env;
  const src = insns.src[insnIdx]!;
  const dst = insns.dst[insnIdx]!;
  const cmpxchg = insns.imm[insnIdx] === BPF_CMPXCHG;
  let err = checkRegArg(env, src, SRC_OP);
  if (err !== 0) return err;
  err = checkRegArg(env, dst, SRC_OP);
  if (err !== 0) return err;
  if (cmpxchg) {
    err = checkRegArg(env, 0, SRC_OP);
    if (err !== 0) return err;
    if (isPointerValue(env, 0)) {
      verbose(env, "R0 leaks addr into mem\n");
      return -Errno.EACCES;
    }
  }
  if (isPointerValue(env, src)) {
    verbose(env, `R${src} leaks addr into mem\n`);
    return -Errno.EACCES;
  }
  return refuseAtomicPtr(env, dst, "stores into");
}

function refuseAtomicPtr(env: VerifierEnv, regno: number, what: string): number {
  if (atomicPtrTypeOk(env, regno)) return 0;
  verbose(env, `BPF_ATOMIC ${what} R${regno} ${regTypeStr(env, regType(env, regno))} is not allowed\n`);
  return -Errno.EACCES;
}

/** Mirrors check_atomic_rmw(). */
function checkAtomicRmw(env: VerifierEnv): number {
  const { insns, insnIdx } = env;
  const size = bpfSize(insns.code[insnIdx]!);
  const dst = insns.dst[insnIdx]!;
  const off = insns.off[insnIdx]!;
  const imm = insns.imm[insnIdx]!;
  if (size !== BPF_W && size !== BPF_DW) {
    verbose(env, "invalid atomic operand size\n");
    return -Errno.EINVAL;
  }
  let err = checkRmwRegs(env);
  if (err !== 0) return err;

  let loadReg = -1;
  if ((imm & BPF_FETCH) !== 0) {
    loadReg = imm === BPF_CMPXCHG ? 0 : insns.src[insnIdx]!;
    err = checkRegArg(env, loadReg, DST_OP);
    if (err !== 0) return err;
  }
  err = checkMemAccess(env, insnIdx, dst, off, size, BPF_READ, -1, true, false);
  if (err === 0 && loadReg >= 0) {
    err = checkMemAccess(env, insnIdx, dst, off, size, BPF_READ, loadReg, true, false);
  }
  if (err !== 0) return err;
  if (isArenaReg(env, dst)) {
    err = saveAuxPtrType(env, RegType.PTR_TO_ARENA, false);
    if (err !== 0) return err;
  }
  return checkMemAccess(env, insnIdx, dst, off, size, BPF_WRITE, -1, true, false);
}

/** Mirrors check_atomic_load(). */
function checkAtomicLoad(env: VerifierEnv): number {
  const err = checkLoadMem(env, true, false, false, "atomic_load");
  return err !== 0 ? err : refuseAtomicPtr(env, env.insns.src[env.insnIdx]!, "loads from");
}

/** Mirrors check_atomic_store(). */
function checkAtomicStore(env: VerifierEnv): number {
  const err = checkStoreReg(env, true);
  return err !== 0 ? err : refuseAtomicPtr(env, env.insns.dst[env.insnIdx]!, "stores into");
}

/** Mirrors check_atomic(). */
export function checkAtomic(env: VerifierEnv): number {
  const imm = env.insns.imm[env.insnIdx]!;
  switch (imm) {
    case BPF_ADD:
    case BPF_ADD | BPF_FETCH:
    case BPF_AND:
    case BPF_AND | BPF_FETCH:
    case BPF_OR:
    case BPF_OR | BPF_FETCH:
    case BPF_XOR:
    case BPF_XOR | BPF_FETCH:
    case BPF_XCHG:
    case BPF_CMPXCHG:
      return checkAtomicRmw(env);
    case BPF_LOAD_ACQ:
      if (!env.switches.loadAcquireStoreRelease) break;
      return checkAtomicLoad(env);
    case BPF_STORE_REL:
      if (!env.switches.loadAcquireStoreRelease) break;
      return checkAtomicStore(env);
  }
  verbose(env, `BPF_ATOMIC uses invalid atomic opcode ${(imm >>> 0).toString(16).padStart(2, "0")}\n`);
  return -Errno.EINVAL;
}
