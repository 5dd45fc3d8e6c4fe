// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import { type VerifierEnv, verbose } from "../env.js";
import { R_ID, R_SMIN_HI, R_SMIN_LO, R_TYPE, R_UMAX_HI, R_UMAX_LO, regAt } from "../state/reg.js";

const { PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, PTR_TO_PACKET, PTR_TO_PACKET_META, PTR_TO_PACKET_END } = RegType;
const EACCES = Errno.EACCES;
const BPF_MAX_VAR_OFF = Limit.BPF_MAX_VAR_OFF;

/** `smin_value + off` as a number; exact where it matters, which is within 32 bits. */
export function sminPlus(mem: Int32Array, o: number, off: number): number {
  return mem[o + R_SMIN_HI]! * 0x1_0000_0000 + (mem[o + R_SMIN_LO]! >>> 0) + off;
}

/** Whether umax_value is at least 2^29, the bound of variable offsets and sizes. */
export function umaxIsUnbounded(mem: Int32Array, o: number): boolean {
  return mem[o + R_UMAX_HI] !== 0 || mem[o + R_UMAX_LO]! >>> 0 >= BPF_MAX_VAR_OFF;
}

/** `size` bytes at fixed `off` inside `memSize` bytes (u32). Mirrors __check_mem_access(). */
export function checkMemAccessRaw(
  env: VerifierEnv,
  regno: number,
  off: number,
  size: number,
  memSize: number,
  zeroSizeAllowed: boolean,
): number {
  const sizeOk = size > 0 || (size === 0 && zeroSizeAllowed);
  if (off >= 0 && sizeOk && off + size <= memSize >>> 0) return 0;

  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  switch (mem[o + R_TYPE]) {
    case PTR_TO_MAP_KEY:
      verbose(env, `invalid access to map key, key_size=${memSize | 0} off=${off} size=${size}\n`);
      break;
    case PTR_TO_MAP_VALUE:
      verbose(env, `invalid access to map value, value_size=${memSize | 0} off=${off} size=${size}\n`);
      break;
    case PTR_TO_PACKET:
    case PTR_TO_PACKET_META:
    case PTR_TO_PACKET_END:
      verbose(
        env,
        `invalid access to packet, off=${off} size=${size}, R${regno}(id=${mem[o + R_ID]},off=${off},r=${memSize | 0})\n`,
      );
      break;
    default:
      verbose(env, `invalid access to memory, mem_size=${memSize >>> 0} off=${off} size=${size}\n`);
  }
  return -EACCES;
}

/** Like {@link checkMemAccessRaw} with the register's variable offset. Mirrors check_mem_region_access(). */
export function checkMemRegionAccess(
  env: VerifierEnv,
  regno: number,
  off: number,
  size: number,
  memSize: number,
  zeroSizeAllowed: boolean,
): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  if (mem[o + R_SMIN_HI]! < 0) {
    const low = sminPlus(mem, o, off);
    if (low !== (low | 0) || low < 0) {
      verbose(env, `R${regno} min value is negative, either use unsigned index or do a if (index >=0) check.\n`);
      return -EACCES;
    }
  }
  let err = checkMemAccessRaw(env, regno, (mem[o + R_SMIN_LO]! + off) | 0, size, memSize, zeroSizeAllowed);
  if (err !== 0) {
    verbose(env, `R${regno} min value is outside of the allowed memory range\n`);
    return err;
  }
  if (umaxIsUnbounded(mem, o)) {
    verbose(env, `R${regno} unbounded memory access, make sure to bounds check any such access\n`);
    return -EACCES;
  }
  err = checkMemAccessRaw(env, regno, (mem[o + R_UMAX_LO]! + off) | 0, size, memSize, zeroSizeAllowed);
  if (err !== 0) {
    verbose(env, `R${regno} max value is outside of the allowed memory range\n`);
    return err;
  }
  return 0;
}
