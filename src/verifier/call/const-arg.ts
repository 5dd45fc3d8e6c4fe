// SPDX-License-Identifier: GPL-2.0-only
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { MapType } from "../../kernel/uapi.js";
import { type VerifierEnv, verbose } from "../env.js";
import { ACCESS_HELPER } from "../kinds/access.js";
import { getSpi, isSpilledScalarReg, varOffIsConst } from "../kinds/reg-type.js";
import { bpfMapIsRdonly, checkMapAccess, hasDirectValueAddr, mapOf } from "../mem/map-value.js";
import { func } from "../mem/stack-bounds.js";
import {
  R_FRAMENO,
  R_OFF,
  R_TYPE,
  R_VAL_HI,
  R_VAL_LO,
  regAt,
  STACK_SPILL,
  STACK_ZERO,
  slotAt,
  slotType,
} from "../state/reg.js";
import { markChainPrecisionBatch } from "../track/backtrack.js";
import { btSetFrameSlot } from "../track/bt.js";

/** Whether the value at the register is a constant string. Mirrors check_reg_const_str(). */
export function checkRegConstStr(env: VerifierEnv, regno: number): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  if (mem[o + R_TYPE] !== RegType.PTR_TO_MAP_VALUE) return -Errno.EINVAL;
  const map = mapOf(env, mem, o).load;
  if (!bpfMapIsRdonly(map)) {
    verbose(env, `R${regno} does not point to a readonly map'\n`);
    return -Errno.EACCES;
  }
  if (!varOffIsConst(mem, o)) {
    verbose(env, `R${regno} is not a constant address'\n`);
    return -Errno.EACCES;
  }
  if (!hasDirectValueAddr(map)) {
    verbose(env, "no direct value access support for this map type\n");
    return -Errno.EACCES;
  }
  const off = mem[o + R_OFF]!;
  const err = checkMapAccess(env, regno, off, (map.valueSize - off) | 0, false, ACCESS_HELPER);
  if (err !== 0) return err;

  const at = (off + mem[o + R_VAL_LO]!) | 0;
  if (map.maxEntries !== 1 || at >>> 0 >= map.valueSize) {
    verbose(env, "direct value access on string failed\n");
    return map.maxEntries !== 1 ? -Errno.ENOTSUPP : -Errno.EINVAL;
  }
  if (map.value !== null && map.value.indexOf(0, at) < 0) {
    verbose(env, "string is not zero-terminated\n");
    return -Errno.EINVAL;
  }
  return 0;
}

/** Map types whose elements always exist. Mirrors can_elide_value_nullness(). */
export function canElideValueNullness(mapType: number): boolean {
  return mapType === MapType.ARRAY || mapType === MapType.PERCPU_ARRAY;
}

/** How many bytes from `byte` downwards have slot type `type`. */
function runOf(mem: Int32Array, at: number, byte: number, type: number): number {
  let n = 0;
  for (let i = byte; i >= 0 && slotType(mem, at, i) === type; i--) n++;
  return n;
}

/**
 * The key that the register points to when it is a constant, -1 when that is not known (also for
 * keys that are no s64 >= 0), below -1 a negative errno - 1. Mirrors get_constant_map_key().
 */
export function getConstantMapKey(env: VerifierEnv, regno: number, keySize: number): number {
  const regs = env.cur().cur().mem;
  const o = regAt(regno);
  if (!env.bpfCapable || regs[o + R_TYPE] !== RegType.PTR_TO_STACK || !varOffIsConst(regs, o)) return -1;

  const state = func(env, regs, o);
  const stackOff = (regs[o + R_OFF]! + regs[o + R_VAL_LO]!) | 0;
  const byte = (-stackOff - 1) & 7;
  const spi = getSpi(stackOff);
  const at = slotAt(spi);
  const mem = state.mem;
  if (runOf(mem, at, byte, STACK_ZERO) >= keySize) return 0;
  if (!isSpilledScalarReg(mem, at)) return -1;
  if (runOf(mem, at, byte, STACK_SPILL) !== keySize || !varOffIsConst(mem, at)) return -1;

  btSetFrameSlot(env.bt, regs[o + R_FRAMENO]!, spi);
  const err = markChainPrecisionBatch(env, env.cur());
  if (err < 0) return err - 1;
  const hi = mem[at + R_VAL_HI]!;
  return hi < 0 ? -1 : hi * 0x1_0000_0000 + (mem[at + R_VAL_LO]! >>> 0);
}
