// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { R_SMIN_HI, R_U0, regAt } from "../state/reg.js";
import { checkMemAccessRaw } from "./region.js";

/** Bytes of struct bpf_flow_keys. */
const FLOW_KEYS_SIZE = 56;

/** Mirrors check_packet_access(). */
export function checkPacketAccess(
  env: VerifierEnv,
  regno: number,
  off: number,
  size: number,
  zeroSizeAllowed: boolean,
): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  if (mem[o + R_SMIN_HI]! < 0) {
    verbose(env, `R${regno} min value is negative, either use unsigned index or do a if (index >=0) check.\n`);
    return -Errno.EACCES;
  }
  const range = mem[o + R_U0]!;
  const err = range < 0 ? -Errno.EINVAL : checkMemAccessRaw(env, regno, off, size, range, zeroSizeAllowed);
  if (err !== 0) verbose(env, `R${regno} offset is outside of the packet\n`);
  return err;
}

/** Mirrors check_flow_keys_access(). */
export function checkFlowKeysAccess(env: VerifierEnv, off: number, size: number): number {
  if (size < 0 || off < 0 || off + size > FLOW_KEYS_SIZE) {
    verbose(env, `invalid access to flow keys off=${off} size=${size}\n`);
    return -Errno.EACCES;
  }
  return 0;
}
