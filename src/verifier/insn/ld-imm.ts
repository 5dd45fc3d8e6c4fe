// SPDX-License-Identifier: GPL-2.0-only
import {
  BPF_DW,
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_IMM64,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_PSEUDO_MAP_VALUE,
} from "../../asm/opcode.js";
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { MapType } from "../../kernel/uapi.js";
import { Unsupported, type VerifierEnv, verbose } from "../env.js";
import { markRegKnownRaw, markRegUnknownRaw } from "../num/bounds.js";
import { checkRegArg, DST_OP, markRegKnownZero } from "../state/mark.js";
import { R_OFF, R_TYPE, R_U0, regAt } from "../state/reg.js";
import { findSubprog } from "../state/subprog.js";

/** The address of a static function, for callbacks. */
function loadFunc(env: VerifierEnv, i: number, mem: Int32Array, d: number): number {
  const subprog = findSubprog(env, i + env.insns.imm[i]! + 1);
  if (env.load.funcInfo === null || env.load.funcInfo.count === 0) {
    verbose(env, "missing btf func_info\n");
    return -Errno.EINVAL;
  }
  if (env.subprogs[subprog]!.isGlobal) {
    verbose(env, "callback function not static\n");
    return -Errno.EINVAL;
  }
  if (subprog === 0 && env.rules.mainIsNoCallback) {
    verbose(env, "callback function cannot be the main program\n");
    return -Errno.EINVAL;
  }
  mem[d + R_TYPE] = RegType.PTR_TO_FUNC;
  mem[d + R_U0] = subprog;
  return 0;
}

/** Instruction `i`, the first slot of a 64-bit immediate load. Mirrors check_ld_imm(). */
export function checkLdImm(env: VerifierEnv, i: number): number {
  const { code, src, dst, off, imm } = env.insns;
  if ((code[i]! & BPF_DW) !== BPF_DW) {
    verbose(env, "invalid BPF_LD_IMM insn\n");
    return -Errno.EINVAL;
  }
  if (off[i] !== 0) {
    verbose(env, "BPF_LD_IMM64 uses reserved fields\n");
    return -Errno.EINVAL;
  }
  const err = checkRegArg(env, dst[i]!, DST_OP);
  if (err !== 0) return err;
  const mem = env.cur().cur().mem;
  const d = regAt(dst[i]!);
  const kind = src[i]!;
  if (kind === BPF_PSEUDO_IMM64) {
    mem[d + R_TYPE] = RegType.SCALAR_VALUE;
    markRegKnownRaw(mem, d, imm[i]!, imm[i + 1]!);
    return 0;
  }
  markRegKnownZero(env, mem, dst[i]!);
  if (kind === BPF_PSEUDO_BTF_ID) throw new Unsupported(i, "address of a kernel symbol");
  if (kind === BPF_PSEUDO_FUNC) return loadFunc(env, i, mem, d);

  const index = env.aux.mapIndex[i]!;
  mem[d + R_U0] = index;
  if (kind !== BPF_PSEUDO_MAP_VALUE && kind !== BPF_PSEUDO_MAP_IDX_VALUE) {
    mem[d + R_TYPE] = RegType.CONST_PTR_TO_MAP;
  } else if (env.maps[index - 1]!.load.type === MapType.ARENA) {
    markRegUnknownRaw(env, mem, d);
  } else {
    mem[d + R_TYPE] = RegType.PTR_TO_MAP_VALUE;
    mem[d + R_OFF] = env.aux.mapOff[i]!;
  }
  return 0;
}
