// SPDX-License-Identifier: GPL-2.0-only
import { RegType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { baseType, regTypeMismatch } from "../kinds/reg-type.js";

const { NOT_INIT, PTR_TO_MEM, PTR_TO_BTF_ID } = RegType;
const MERGED_FLAGS = TypeFlag.PTR_UNTRUSTED | TypeFlag.MEM_RDONLY;

/** Mirrors is_ptr_to_mem_or_btf_id(). */
function isPtrToMemOrBtfId(type: number): boolean {
  const base = baseType(type);
  return base === PTR_TO_MEM || base === PTR_TO_BTF_ID;
}

/**
 * Remembers through what kind of pointer the current instruction goes, and refuses a second kind that
 * would be translated otherwise. Mirrors save_aux_ptr_type().
 */
export function saveAuxPtrType(env: VerifierEnv, type: number, allowTrustMismatch: boolean): number {
  const prev = env.aux.ptrType[env.insnIdx]!;
  if (prev === NOT_INIT) {
    env.aux.ptrType[env.insnIdx] = type;
    return 0;
  }
  if (!regTypeMismatch(type, prev)) return 0;
  if (!allowTrustMismatch || !isPtrToMemOrBtfId(type) || !isPtrToMemOrBtfId(prev)) {
    verbose(env, "same insn cannot be used with different pointers\n");
    return -Errno.EINVAL;
  }
  const base = baseType(type) === PTR_TO_MEM || baseType(prev) === PTR_TO_MEM ? PTR_TO_MEM : PTR_TO_BTF_ID;
  env.aux.ptrType[env.insnIdx] = base | ((type | prev) & MERGED_FLAGS);
  return 0;
}
