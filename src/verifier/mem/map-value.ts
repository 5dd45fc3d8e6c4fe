// SPDX-License-Identifier: GPL-2.0-only
import { Errno } from "../../kernel/errno.js";
import { MapFlag, MapType } from "../../kernel/uapi.js";
import type { MapLoad } from "../../model/load.js";
import { type BtfRecord, Unsupported, type VerifierEnv, type VerifierMap, verbose } from "../env.js";
import { ACCESS_DIRECT, BPF_READ, BPF_WRITE } from "../kinds/access.js";
import { btfFieldTypeName, isKptrKind } from "../kinds/btf-record.js";
import { varOffIsConst } from "../kinds/reg-type.js";
import { R_MASK_HI, R_MASK_LO, R_SMIN_LO, R_U0, R_UMAX_LO, R_VAL_LO, regAt } from "../state/reg.js";
import { checkMemRegionAccess } from "./region.js";

/** The map a register stands on. */
export function mapOf(env: VerifierEnv, mem: Int32Array, o: number): VerifierMap {
  return env.maps[mem[o + R_U0]! - 1]!;
}

/** Whether programs may read the map's values. Mirrors bpf_map_flags_to_cap() & BPF_MAP_CAN_READ. */
export function mapCanRead(map: MapLoad): boolean {
  return (map.flags & MapFlag.RDONLY_PROG) !== 0 || (map.flags & MapFlag.WRONLY_PROG) === 0;
}

/** Whether programs may write the map's values. Mirrors bpf_map_flags_to_cap() & BPF_MAP_CAN_WRITE. */
export function mapCanWrite(map: MapLoad): boolean {
  return (map.flags & MapFlag.RDONLY_PROG) === 0;
}

/** Mirrors check_map_access_type(). */
export function checkMapAccessType(env: VerifierEnv, regno: number, off: number, size: number, type: number): number {
  const map = mapOf(env, env.cur().cur().mem, regAt(regno)).load;
  if (type === BPF_WRITE && !mapCanWrite(map)) {
    verbose(env, `write into map forbidden, value_size=${map.valueSize} off=${off} size=${size}\n`);
    return -Errno.EACCES;
  }
  if (type === BPF_READ && !mapCanRead(map)) {
    verbose(env, `read from map forbidden, value_size=${map.valueSize} off=${off} size=${size}\n`);
    return -Errno.EACCES;
  }
  return 0;
}

/** What a kernel pointer stored in a map value asks of an access that touches it. */
function checkKptrTouch(
  env: VerifierEnv,
  mem: Int32Array,
  o: number,
  field: BtfRecord["fields"][number],
  off: number,
  size: number,
  src: number,
): number {
  const name = btfFieldTypeName(field.kind);
  const at = off + mem[o + R_VAL_LO]!;
  if (src !== ACCESS_DIRECT) {
    verbose(env, `${name} cannot be accessed indirectly by helper\n`);
  } else if ((mem[o + R_MASK_LO]! | mem[o + R_MASK_HI]!) !== 0) {
    verbose(env, `${name} access cannot have variable offset\n`);
  } else if (field.offset !== at) {
    verbose(env, `${name} access misaligned expected=${field.offset} off=${at}\n`);
  } else if (size !== 8) {
    verbose(env, `${name} access size must be BPF_DW\n`);
  } else {
    return 0;
  }
  return -Errno.EACCES;
}

/** Mirrors check_map_access(). `src` is ACCESS_DIRECT or ACCESS_HELPER. */
export function checkMapAccess(
  env: VerifierEnv,
  regno: number,
  off: number,
  size: number,
  zeroSizeAllowed: boolean,
  src: number,
): number {
  const mem = env.cur().cur().mem;
  const o = regAt(regno);
  const map = mapOf(env, mem, o);
  const err = checkMemRegionAccess(env, regno, off, size, map.load.valueSize, zeroSizeAllowed);
  if (err !== 0 || map.record === null) return err;

  // Both bounds are within the value by now, so the low words are the whole values.
  const from = mem[o + R_SMIN_LO]! + off;
  const to = mem[o + R_UMAX_LO]! + off + size;
  for (const field of map.record.fields) {
    if (from >= field.offset + field.size || field.offset >= to) continue;
    if (!isKptrKind(field.kind)) {
      verbose(env, `${btfFieldTypeName(field.kind)} cannot be accessed directly by load/store\n`);
      return -Errno.EACCES;
    }
    const bad = checkKptrTouch(env, mem, o, field, off, size, src);
    if (bad !== 0) return bad;
  }
  return 0;
}

/** Whether the access hits a kernel pointer of the value; those are not modelled. */
export function refuseKptrAccess(env: VerifierEnv, mem: Int32Array, o: number, off: number): void {
  const record = mapOf(env, mem, o).record;
  if (record === null || !varOffIsConst(mem, o)) return;
  const at = off + mem[o + R_VAL_LO]!;
  for (const field of record.fields) {
    if (field.offset === at && isKptrKind(field.kind)) throw new Unsupported(env.insnIdx, "kptr access");
  }
}

/** Mirrors bpf_map_is_rdonly(). */
export function bpfMapIsRdonly(map: MapLoad): boolean {
  return (map.flags & MapFlag.RDONLY_PROG) !== 0 && map.frozen;
}

/** Whether the kernel can give a direct address into the map's values (map_direct_value_addr of a plain array). */
export function hasDirectValueAddr(map: MapLoad): boolean {
  return map.type === MapType.ARRAY;
}

/** Where {@link bpfMapDirectRead} leaves the value: low and high word. */
export const directRead = new Int32Array(2);

/**
 * Reads a constant out of a frozen array into {@link directRead}; `signed` extends the sign as a
 * BPF_MEMSX load. Mirrors bpf_map_direct_read().
 */
export function bpfMapDirectRead(map: MapLoad, off: number, size: number, signed: boolean): number {
  if (map.maxEntries !== 1) return -Errno.ENOTSUPP;
  if (off >>> 0 >= map.valueSize) return -Errno.EINVAL;
  const bytes = map.value;
  let lo = 0;
  let hi = 0;
  for (let i = 0; i < size; i++) {
    const byte = bytes?.[off + i] ?? 0;
    if (i < 4) lo |= byte << (i * 8);
    else hi |= byte << ((i - 4) * 8);
  }
  if (size < 8) {
    if (signed && size < 4) lo = (lo << (32 - size * 8)) >> (32 - size * 8);
    hi = signed && lo < 0 ? -1 : 0;
  }
  directRead[0] = lo;
  directRead[1] = hi;
  return 0;
}
