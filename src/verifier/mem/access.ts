// SPDX-License-Identifier: GPL-2.0-only
import { sizeBytes } from "../../asm/opcode.js";
import { RegType, TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { Unsupported, type VerifierEnv, verbose } from "../env.js";
import { ACCESS_DIRECT, BPF_READ, BPF_WRITE } from "../kinds/access.js";
import {
  baseType,
  isPointerValue,
  typeIsRdonlyMem,
  typeIsSkPointer,
  typeMayBeNull,
  varOffIsConst,
} from "../kinds/reg-type.js";
import { coerceRegToSize, coerceRegToSizeSx, markRegKnownRaw, regBoundsSanityCheck } from "../num/bounds.js";
import { mayAccessDirectPktData } from "../progtype/packet-data.js";
import { checkRegArg, DST_OP_NO_MARK, markRegUnknown, SRC_OP } from "../state/mark.js";
import { regTypeStr } from "../state/print.js";
import { R_OFF, R_TYPE, R_U0, R_VAL_LO, regAt } from "../state/reg.js";
import { checkPtrAlignment } from "./align.js";
import { saveAuxPtrType } from "./aux-type.js";
import { checkBufferAccess, checkTpBufferAccess } from "./buffer.js";
import { checkCtxMemAccess } from "./ctx.js";
import { checkPtrToMapAccess } from "./map-ptr.js";
import {
  bpfMapDirectRead,
  bpfMapIsRdonly,
  checkMapAccess,
  checkMapAccessType,
  directRead,
  hasDirectValueAddr,
  mapOf,
  refuseKptrAccess,
} from "./map-value.js";
import { checkFlowKeysAccess, checkPacketAccess } from "./packet.js";
import { checkMemRegionAccess } from "./region.js";
import { checkSockAccess } from "./sock.js";
import { checkStackAccessWithinBounds } from "./stack-bounds.js";
import { checkStackRead } from "./stack-read.js";
import { checkStackWrite } from "./stack-write.js";

const { SCALAR_VALUE, PTR_TO_MAP_KEY, PTR_TO_MAP_VALUE, PTR_TO_MEM, PTR_TO_CTX, PTR_TO_STACK } = RegType;
const { PTR_TO_PACKET, PTR_TO_PACKET_META, PTR_TO_FLOW_KEYS, PTR_TO_TP_BUFFER, PTR_TO_BTF_ID } = RegType;
const { CONST_PTR_TO_MAP, PTR_TO_BUF, PTR_TO_ARENA } = RegType;
const EACCES = Errno.EACCES;

/** A pointer must not be stored where others can read it; `where` names the place. */
function leaksAddr(env: VerifierEnv, t: number, valueRegno: number, where: string): boolean {
  if (t !== BPF_WRITE || valueRegno < 0 || !isPointerValue(env, valueRegno)) return false;
  verbose(env, `R${valueRegno} leaks addr into ${where}\n`);
  return true;
}

/** What comes out of plain memory is an unknown scalar. */
function markRead(env: VerifierEnv, t: number, valueRegno: number): void {
  if (t === BPF_READ && valueRegno >= 0) markRegUnknown(env, env.cur().cur().mem, valueRegno);
}

function cannotWrite(env: VerifierEnv, regno: number, type: number): number {
  verbose(env, `R${regno} cannot write into ${regTypeStr(env, type)}\n`);
  return -EACCES;
}

function invalidMemAccess(env: VerifierEnv, regno: number, type: number): number {
  verbose(env, `R${regno} invalid mem access '${regTypeStr(env, type)}'\n`);
  return -EACCES;
}

function accessMapKey(env: VerifierEnv, regno: number, off: number, size: number, t: number, value: number): number {
  if (t === BPF_WRITE) {
    verbose(env, `write to change key R${regno} not allowed\n`);
    return -EACCES;
  }
  const mem = env.cur().cur().mem;
  const err = checkMemRegionAccess(env, regno, off, size, mapOf(env, mem, regAt(regno)).load.keySize, false);
  if (err === 0) markRead(env, t, value);
  return err;
}

/** The value read from a map: a constant when the map can never change. */
function readMapValue(env: VerifierEnv, regno: number, off: number, size: number, value: number, sx: boolean): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  const map = mapOf(env, mem, o).load;
  if (!varOffIsConst(mem, o) || !bpfMapIsRdonly(map) || !hasDirectValueAddr(map)) {
    markRegUnknown(env, mem, value);
    return 0;
  }
  const err = bpfMapDirectRead(map, (off + mem[o + R_VAL_LO]!) | 0, size, sx);
  if (err !== 0) return err;
  const d = regAt(value);
  mem[d + R_TYPE] = SCALAR_VALUE;
  markRegKnownRaw(mem, d, directRead[0]!, directRead[1]!);
  return 0;
}

function accessMapValue(
  env: VerifierEnv,
  regno: number,
  off: number,
  size: number,
  t: number,
  value: number,
  sx: boolean,
): number {
  if (leaksAddr(env, t, value, "map")) return -EACCES;
  let err = checkMapAccessType(env, regno, off, size, t);
  if (err !== 0) return err;
  err = checkMapAccess(env, regno, off, size, false, ACCESS_DIRECT);
  if (err !== 0) return err;
  refuseKptrAccess(env, env.cur().cur().mem, regAt(regno), off);
  return t === BPF_READ && value >= 0 ? readMapValue(env, regno, off, size, value, sx) : 0;
}

function accessMem(env: VerifierEnv, regno: number, off: number, size: number, t: number, value: number): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  const type = mem[o + R_TYPE]!;
  const rdonly = typeIsRdonlyMem(type);
  if (typeMayBeNull(type)) return invalidMemAccess(env, regno, type);
  if (t === BPF_WRITE && rdonly) return cannotWrite(env, regno, type);
  if (leaksAddr(env, t, value, "mem")) return -EACCES;
  // Untrusted memory is read by probing, so its bounds do not matter.
  if (!rdonly || (type & TypeFlag.PTR_UNTRUSTED) === 0) {
    const err = checkMemRegionAccess(env, regno, off, size, mem[o + R_U0]!, false);
    if (err !== 0) return err;
  }
  if (value >= 0 && (t === BPF_READ || rdonly)) markRegUnknown(env, mem, value);
  return 0;
}

function accessStack(
  env: VerifierEnv,
  idx: number,
  regno: number,
  off: number,
  size: number,
  t: number,
  value: number,
): number {
  const err = checkStackAccessWithinBounds(env, regno, off, size, t);
  if (err !== 0) return err;
  return t === BPF_READ
    ? checkStackRead(env, regno, off, size, value)
    : checkStackWrite(env, regno, off, size, value, idx);
}

function accessPacket(env: VerifierEnv, regno: number, off: number, size: number, t: number, value: number): number {
  if (t === BPF_WRITE && !mayAccessDirectPktData(env, null, t)) {
    verbose(env, "cannot write into packet\n");
    return -EACCES;
  }
  if (leaksAddr(env, t, value, "packet")) return -EACCES;
  const err = checkPacketAccess(env, regno, off, size, false);
  if (err === 0) markRead(env, t, value);
  return err;
}

function accessBuf(env: VerifierEnv, regno: number, off: number, size: number, t: number, value: number): number {
  const mem = env.cur().cur().mem;
  const type = mem[regAt(regno) + R_TYPE]!;
  const rdonly = typeIsRdonlyMem(type);
  if (rdonly && t === BPF_WRITE) return cannotWrite(env, regno, type);
  const err = checkBufferAccess(env, mem, regAt(regno), regno, off, size);
  if (err === 0 && value >= 0 && (rdonly || t === BPF_READ)) markRegUnknown(env, mem, value);
  return err;
}

/** The rarer kinds of memory. */
function accessOther(
  env: VerifierEnv,
  idx: number,
  regno: number,
  off: number,
  size: number,
  t: number,
  value: number,
): number {
  const mem = env.cur().cur().mem;
  const type = mem[regAt(regno) + R_TYPE]!;
  const base = baseType(type);
  let err = 0;
  if (type === PTR_TO_FLOW_KEYS) {
    if (leaksAddr(env, t, value, "flow keys")) return -EACCES;
    err = checkFlowKeysAccess(env, off, size);
    if (err === 0) markRead(env, t, value);
  } else if (typeIsSkPointer(type)) {
    if (t === BPF_WRITE) return cannotWrite(env, regno, type);
    err = checkSockAccess(env, idx, regno, off, size);
    if (err === 0) markRead(env, t, value);
  } else if (type === PTR_TO_TP_BUFFER) {
    err = checkTpBufferAccess(env, mem, regAt(regno), regno, off, size);
    if (err === 0) markRead(env, t, value);
  } else if (base === PTR_TO_BTF_ID && !typeMayBeNull(type)) {
    throw new Unsupported(idx, "access through a pointer to a kernel object");
  } else if (type === CONST_PTR_TO_MAP) {
    err = checkPtrToMapAccess(env, regno, off, size, t, value);
  } else if (base === PTR_TO_BUF && !typeMayBeNull(type)) {
    return accessBuf(env, regno, off, size, t, value);
  } else if (type === PTR_TO_ARENA) {
    markRead(env, t, value);
  } else {
    return invalidMemAccess(env, regno, type);
  }
  return err;
}

function accessByType(
  env: VerifierEnv,
  idx: number,
  regno: number,
  type: number,
  off: number,
  size: number,
  t: number,
  value: number,
  sx: boolean,
): number {
  switch (baseType(type)) {
    case PTR_TO_STACK:
      if (type === PTR_TO_STACK) return accessStack(env, idx, regno, off, size, t, value);
      break;
    case PTR_TO_MAP_VALUE:
      if (type === PTR_TO_MAP_VALUE) return accessMapValue(env, regno, off, size, t, value, sx);
      break;
    case PTR_TO_CTX:
      if (type === PTR_TO_CTX) return checkCtxMemAccess(env, idx, regno, off, size, t, value, sx);
      break;
    case PTR_TO_MAP_KEY:
      if (type === PTR_TO_MAP_KEY) return accessMapKey(env, regno, off, size, t, value);
      break;
    case PTR_TO_MEM:
      return accessMem(env, regno, off, size, t, value);
    case PTR_TO_PACKET:
    case PTR_TO_PACKET_META:
      return accessPacket(env, regno, off, size, t, value);
  }
  return accessOther(env, idx, regno, off, size, t, value);
}

/**
 * Whether memory at register `regno` + `off` may be read or written (`t`), `bpfSize` being the size
 * bits of the opcode. `valueRegno` takes or gives the value, -1 when no register does.
 * Mirrors check_mem_access().
 */
export function checkMemAccess(
  env: VerifierEnv,
  insnIdx: number,
  regno: number,
  off: number,
  bpfSize: number,
  t: number,
  valueRegno: number,
  strictAlignmentOnce: boolean,
  isLdsx: boolean,
): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  const size = sizeBytes(bpfSize);
  let err = checkPtrAlignment(env, mem, o, off, size, strictAlignmentOnce);
  if (err !== 0) return err;

  const type = mem[o + R_TYPE]!;
  err = accessByType(env, insnIdx, regno, type, (off + mem[o + R_OFF]!) | 0, size, t, valueRegno, isLdsx);
  if (err !== 0) return err;
  if (size < 8 && valueRegno >= 0 && t === BPF_READ) {
    // A stack access may have replaced the frame's memory.
    const regs = env.cur().cur().mem;
    const d = regAt(valueRegno);
    if (regs[d + R_TYPE] === SCALAR_VALUE) {
      if (isLdsx) coerceRegToSizeSx(regs, d, size);
      else coerceRegToSize(regs, d, size);
    }
  }
  return 0;
}

/** A load instruction; `ctx` names it in a warning. Mirrors check_load_mem(). */
export function checkLoadMem(
  env: VerifierEnv,
  strictAlignmentOnce: boolean,
  isLdsx: boolean,
  allowTrustMismatch: boolean,
  ctx: string,
): number {
  const idx = env.insnIdx;
  const src = env.insns.src[idx]!;
  const dst = env.insns.dst[idx]!;
  let err = checkRegArg(env, src, SRC_OP);
  if (err !== 0) return err;
  err = checkRegArg(env, dst, DST_OP_NO_MARK);
  if (err !== 0) return err;

  const type = env.cur().cur().mem[regAt(src) + R_TYPE]!;
  const { off, code } = env.insns;
  err = checkMemAccess(env, idx, src, off[idx]!, code[idx]! & 0x18, BPF_READ, dst, strictAlignmentOnce, isLdsx);
  if (err !== 0) return err;
  err = saveAuxPtrType(env, type, allowTrustMismatch);
  if (err !== 0) return err;
  return regBoundsSanityCheck(env, env.cur().cur().mem, regAt(dst), ctx);
}

/** A store from a register. Mirrors check_store_reg(). */
export function checkStoreReg(env: VerifierEnv, strictAlignmentOnce: boolean): number {
  const idx = env.insnIdx;
  const src = env.insns.src[idx]!;
  const dst = env.insns.dst[idx]!;
  let err = checkRegArg(env, src, SRC_OP);
  if (err !== 0) return err;
  err = checkRegArg(env, dst, SRC_OP);
  if (err !== 0) return err;

  const type = env.cur().cur().mem[regAt(dst) + R_TYPE]!;
  const { off, code } = env.insns;
  err = checkMemAccess(env, idx, dst, off[idx]!, code[idx]! & 0x18, BPF_WRITE, src, strictAlignmentOnce, false);
  return err !== 0 ? err : saveAuxPtrType(env, type, false);
}
