// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";
import { InsnAccessAux } from "../progtype/access-aux.js";
import {
  bpfSockCommonIsValidAccess,
  bpfSockIsValidAccess,
  bpfTcpSockIsValidAccess,
  bpfXdpSockIsValidAccess,
} from "../progtype/sock.js";
import { regTypeStr } from "../state/print.js";
import { R_SMIN_HI, R_TYPE, regAt } from "../state/reg.js";

const info = new InsnAccessAux();

function isValid(type: number, off: number, size: number): boolean {
  switch (type) {
    case RegType.PTR_TO_SOCK_COMMON:
      return bpfSockCommonIsValidAccess(off, size, info);
    case RegType.PTR_TO_SOCKET:
      return bpfSockIsValidAccess(off, size, info);
    case RegType.PTR_TO_TCP_SOCK:
      return bpfTcpSockIsValidAccess(off, size);
    case RegType.PTR_TO_XDP_SOCK:
      return bpfXdpSockIsValidAccess(off, size);
    default:
      return false;
  }
}

/** A read of a socket's fields. Mirrors check_sock_access(). */
export function checkSockAccess(env: VerifierEnv, insnIdx: number, regno: number, off: number, size: number): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  if (mem[o + R_SMIN_HI]! < 0) {
    verbose(env, `R${regno} min value is negative, either use unsigned index or do a if (index >=0) check.\n`);
    return -Errno.EACCES;
  }
  info.reset(false);
  const type = mem[o + R_TYPE]!;
  if (isValid(type, off, size)) {
    env.aux.ctxFieldSize[insnIdx] = info.ctxFieldSize;
    return 0;
  }
  verbose(env, `R${regno} invalid ${regTypeStr(env, type)} access off=${off} size=${size}\n`);
  return -Errno.EACCES;
}
