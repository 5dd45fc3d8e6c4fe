// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { varOffStr } from "../state/print.js";
import { R_MASK_LO, R_OFF, R_TYPE, R_VAL_LO } from "../state/reg.js";

const { PTR_TO_PACKET, PTR_TO_PACKET_META, PTR_TO_FLOW_KEYS, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE } = RegType;
const { PTR_TO_CTX, PTR_TO_STACK, PTR_TO_SOCKET, PTR_TO_SOCK_COMMON, PTR_TO_TCP_SOCK } = RegType;
const { PTR_TO_XDP_SOCK, PTR_TO_ARENA } = RegType;

/** What strict mode assumes of the start of a packet: NET_IP_ALIGN. */
const IP_ALIGN = 2;

/**
 * Whether `var_off + add` is aligned to `size` (a power of two up to 8). The low bits of a tnum sum
 * depend on the low bits of its parts only, so the low words suffice.
 */
function isAligned(mem: Int32Array, o: number, add: number, size: number): boolean {
  const low = size - 1;
  const value = mem[o + R_VAL_LO]! + add;
  const sigma = mem[o + R_MASK_LO]! + value;
  const unknown = (sigma ^ value) | mem[o + R_MASK_LO]!;
  return (((value & ~unknown) | unknown) & low) === 0;
}

/** Mirrors check_pkt_ptr_alignment(). */
function checkPktPtrAlignment(
  env: VerifierEnv,
  mem: Int32Array,
  o: number,
  off: number,
  size: number,
  strict: boolean,
): number {
  if (!strict || size === 1) return 0;
  const regOff = mem[o + R_OFF]!;
  if (isAligned(mem, o, (IP_ALIGN + regOff + off) | 0, size)) return 0;
  verbose(env, `misaligned packet access off ${IP_ALIGN}+${varOffStr(mem, o)}+${regOff}+${off} size ${size}\n`);
  return -Errno.EACCES;
}

/** Mirrors check_generic_ptr_alignment(). */
function checkGenericPtrAlignment(
  env: VerifierEnv,
  mem: Int32Array,
  o: number,
  what: string,
  off: number,
  size: number,
): number {
  const regOff = mem[o + R_OFF]!;
  if (size === 1 || isAligned(mem, o, (regOff + off) | 0, size)) return 0;
  verbose(env, `misaligned ${what}access off ${varOffStr(mem, o)}+${regOff}+${off} size ${size}\n`);
  return -Errno.EACCES;
}

/** How the log names memory in a complaint about alignment; empty for what has no name of its own. */
function pointerDesc(type: number): string {
  switch (type) {
    case PTR_TO_FLOW_KEYS:
      return "flow keys ";
    case PTR_TO_MAP_KEY:
      return "key ";
    case PTR_TO_MAP_VALUE:
      return "value ";
    case PTR_TO_CTX:
      return "context ";
    case PTR_TO_STACK:
      return "stack ";
    case PTR_TO_SOCKET:
      return "sock ";
    case PTR_TO_SOCK_COMMON:
      return "sock_common ";
    case PTR_TO_TCP_SOCK:
      return "tcp_sock ";
    case PTR_TO_XDP_SOCK:
      return "xdp_sock ";
    default:
      return "";
  }
}

/** Mirrors check_ptr_alignment(). */
export function checkPtrAlignment(
  env: VerifierEnv,
  mem: Int32Array,
  o: number,
  off: number,
  size: number,
  strictAlignmentOnce: boolean,
): number {
  const type = mem[o + R_TYPE]!;
  const strict = env.strictAlignment || strictAlignmentOnce;
  if (type === PTR_TO_PACKET || type === PTR_TO_PACKET_META) {
    return checkPktPtrAlignment(env, mem, o, off, size, strict);
  }
  if (type === PTR_TO_ARENA) return 0;
  // Spills and fills are tracked by whole aligned slots, so the stack is always strict.
  if (!strict && type !== PTR_TO_STACK) return 0;
  return checkGenericPtrAlignment(env, mem, o, pointerDesc(type), off, size);
}
