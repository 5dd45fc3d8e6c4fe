// SPDX-License-Identifier: GPL-2.0-only
import { ArgType, DYNPTR_TYPE_FLAG_MASK, RegType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { Unsupported, type VerifierEnv, verbose } from "../env.js";
import type { CallArgMeta } from "../kinds/access.js";
import { Func, funcIdName } from "../kinds/func.js";
import { baseType } from "../kinds/reg-type.js";
import { regTypeStr } from "../state/print.js";
import { R_TYPE, regAt } from "../state/reg.js";

const { PTR_TO_BTF_ID, PTR_TO_MEM, PTR_TO_MAP_VALUE, PTR_TO_STACK } = RegType;
const { PTR_TRUSTED, MEM_RCU, MEM_ALLOC, MEM_PERCPU, MEM_RINGBUF, MEM_RDONLY, PTR_MAYBE_NULL } = TypeFlag;

const sockTypes = [RegType.PTR_TO_SOCK_COMMON, RegType.PTR_TO_SOCKET, RegType.PTR_TO_TCP_SOCK, RegType.PTR_TO_XDP_SOCK];

const memTypes = [
  PTR_TO_STACK,
  RegType.PTR_TO_PACKET,
  RegType.PTR_TO_PACKET_META,
  RegType.PTR_TO_MAP_KEY,
  PTR_TO_MAP_VALUE,
  PTR_TO_MEM,
  PTR_TO_MEM | MEM_RINGBUF,
  RegType.PTR_TO_BUF,
  PTR_TO_BTF_ID | PTR_TRUSTED,
];

/** Register types that suit an argument type, by its base. Mirrors compatible_reg_types. */
const compatible: ReadonlyMap<number, readonly number[]> = new Map<number, readonly number[]>([
  [ArgType.PTR_TO_MAP_KEY, memTypes],
  [ArgType.PTR_TO_MAP_VALUE, memTypes],
  [ArgType.SCALAR, [RegType.SCALAR_VALUE]],
  [ArgType.CONST_SIZE, [RegType.SCALAR_VALUE]],
  [ArgType.CONST_SIZE_OR_ZERO, [RegType.SCALAR_VALUE]],
  [ArgType.CONST_ALLOC_SIZE_OR_ZERO, [RegType.SCALAR_VALUE]],
  [ArgType.CONST_MAP_PTR, [RegType.CONST_PTR_TO_MAP]],
  [ArgType.PTR_TO_CTX, [RegType.PTR_TO_CTX]],
  [ArgType.PTR_TO_SOCK_COMMON, sockTypes],
  [ArgType.PTR_TO_BTF_ID_SOCK_COMMON, [...sockTypes, PTR_TO_BTF_ID, PTR_TO_BTF_ID | PTR_TRUSTED]],
  [ArgType.PTR_TO_SOCKET, [RegType.PTR_TO_SOCKET]],
  [ArgType.PTR_TO_BTF_ID, [PTR_TO_BTF_ID, PTR_TO_BTF_ID | PTR_TRUSTED, PTR_TO_BTF_ID | MEM_RCU]],
  [ArgType.PTR_TO_SPIN_LOCK, [PTR_TO_MAP_VALUE, PTR_TO_BTF_ID | MEM_ALLOC]],
  [ArgType.PTR_TO_MEM, memTypes],
  [ArgType.PTR_TO_RINGBUF_MEM, [PTR_TO_MEM | MEM_RINGBUF]],
  [
    ArgType.PTR_TO_PERCPU_BTF_ID,
    [PTR_TO_BTF_ID | MEM_PERCPU, PTR_TO_BTF_ID | MEM_PERCPU | MEM_RCU, PTR_TO_BTF_ID | MEM_PERCPU | PTR_TRUSTED],
  ],
  [ArgType.PTR_TO_FUNC, [RegType.PTR_TO_FUNC]],
  [ArgType.PTR_TO_STACK, [PTR_TO_STACK]],
  [ArgType.PTR_TO_CONST_STR, [PTR_TO_MAP_VALUE]],
  [ArgType.PTR_TO_TIMER, [PTR_TO_MAP_VALUE]],
  [ArgType.KPTR_XCHG_DEST, [PTR_TO_MAP_VALUE, PTR_TO_BTF_ID | MEM_ALLOC]],
  [ArgType.PTR_TO_DYNPTR, [PTR_TO_STACK, RegType.CONST_PTR_TO_DYNPTR]],
]);

/** The register's type without the flags that the argument does not mind. */
function foldFlags(type: number, argType: number, regno: number, meta: CallArgMeta): number {
  let folded = type;
  if ((argType & MEM_RDONLY) !== 0) folded &= ~MEM_RDONLY;
  if ((argType & PTR_MAYBE_NULL) !== 0) folded &= ~PTR_MAYBE_NULL;
  if (baseType(argType) === ArgType.PTR_TO_MEM) folded &= ~DYNPTR_TYPE_FLAG_MASK;
  if (meta.funcId === Func.kptr_xchg && (folded & MEM_ALLOC) !== 0 && regno === 2) folded &= ~(MEM_ALLOC | MEM_PERCPU);
  return folded;
}

/** Whether the register's type suits the argument's. Mirrors check_reg_type(). */
export function checkRegType(env: VerifierEnv, regno: number, argType: number, meta: CallArgMeta): number {
  const type = env.cur().cur().mem[regAt(regno) + R_TYPE]!;
  const expected = compatible.get(baseType(argType));
  if (expected === undefined) throw new Unsupported(env.insnIdx, `argument type ${argType}`);

  if (!expected.includes(foldFlags(type, argType, regno, meta))) {
    verbose(env, `R${regno} type=${regTypeStr(env, type)} expected=`);
    for (const t of expected.slice(0, -1)) verbose(env, `${regTypeStr(env, t)}, `);
    verbose(env, `${regTypeStr(env, expected[expected.length - 1]!)}\n`);
    return -Errno.EACCES;
  }
  if (baseType(type) !== PTR_TO_BTF_ID) return 0;
  if (expected === memTypes) {
    if ((argType & MEM_RDONLY) !== 0) return 0;
    verbose(
      env,
      `${funcIdName(meta.funcId)}() may write into memory pointed by R${regno} type=${regTypeStr(env, type)}\n`,
    );
    return -Errno.EACCES;
  }
  throw new Unsupported(env.insnIdx, "pointer to a kernel object as argument");
}
