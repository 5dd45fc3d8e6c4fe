// SPDX-License-Identifier: GPL-2.0-only
import { isKnownOpcode } from "../../asm/isa.js";
import {
  BPF_ATOMIC,
  BPF_B,
  BPF_H,
  BPF_LDX,
  BPF_MEM,
  BPF_MEMSX,
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_IMM64,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_IDX,
  BPF_PSEUDO_MAP_IDX_VALUE,
  BPF_PSEUDO_MAP_VALUE,
  BPF_STX,
} from "../../asm/opcode.js";
import { RegType } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { Limit } from "../../kernel/limits.js";
import { MapType } from "../../kernel/uapi.js";
import { Unsupported, type VerifierEnv, type VerifierMap, verbose } from "../env.js";
import { bpfIsLdimm64 } from "../kinds/insn.js";
import { checkMapProgCompatibility } from "./map-compat.js";

/* Which maps the program's 64-bit loads name, and whether every instruction is one at all. */

const known = new Uint8Array(256);
for (let code = 0; code < 256; code++) known[code] = isKnownOpcode(code) ? 1 : 0;

/** Mirrors __bpf_map_get() for what is no map: the standard files are open, other numbers are taken for closed. */
function notAMap(fd: number): number {
  return fd >= 0 && fd <= 2 ? -Errno.EINVAL : -Errno.EBADF;
}

/** Index into `env.maps` (1-based) of the map that an instruction names, or a negative errno. */
function mapOfInsn(env: VerifierEnv, i: number): number {
  const { insns, load } = env;
  const src = insns.src[i]!;
  const imm = insns.imm[i]!;
  if (src === BPF_PSEUDO_MAP_IDX || src === BPF_PSEUDO_MAP_IDX_VALUE) {
    if (load.fdArray === null) {
      verbose(env, "fd_idx without fd_array is invalid\n");
      return -Errno.EPROTO;
    }
    const entry = load.fdArray[imm];
    if (entry === undefined) return -Errno.EFAULT;
    if (entry.kind === "map") return entry.map + 1;
    if (entry.kind === "btf") throw new Unsupported(i, "BTF in place of a map");
    verbose(env, `fd ${entry.fd} is not pointing to valid bpf_map\n`);
    return notAMap(entry.fd);
  }
  if (load.badMapInsns.includes(i) || load.maps[imm] === undefined) {
    verbose(env, `fd ${imm} is not pointing to valid bpf_map\n`);
    return notAMap(imm);
  }
  return imm + 1;
}

/** Mirrors __add_used_map(). */
function addUsedMap(env: VerifierEnv, map: VerifierMap, insn: number): number {
  if (env.usedMaps.includes(map)) return 0;
  if (env.usedMaps.length >= Limit.MAX_USED_MAPS) {
    verbose(env, `The total number of maps per program has reached the limit of ${Limit.MAX_USED_MAPS}\n`);
    return -Errno.E2BIG;
  }
  const err = checkMapProgCompatibility(env, map, insn);
  if (err !== 0) return err;
  env.usedMaps.push(map);
  return 0;
}

function refuseDirectValue(env: VerifierEnv, err: number, valueSize: number, off: number): number {
  verbose(env, `invalid access to map value pointer, value_size=${valueSize} off=${off}\n`);
  return err;
}

/** Bytes of a page, which an arena counts its size in. */
const ARENA_PAGE = 4096;

/** An address inside a map's value: arenas and arrays of one element have a fixed one. Mirrors map_direct_value_addr(). */
function checkDirectValue(env: VerifierEnv, i: number, map: VerifierMap): number {
  const off = env.insns.imm[i + 1]! >>> 0;
  const { type, maxEntries, valueSize } = map.load;
  if (off >= Limit.BPF_MAX_VAR_OFF) {
    verbose(env, `direct value offset of ${off} is not allowed\n`);
    return -Errno.EINVAL;
  }
  if (type === MapType.ARENA) {
    if (off > maxEntries * ARENA_PAGE) return refuseDirectValue(env, -Errno.ERANGE, valueSize, off);
    env.aux.mapOff[i] = off;
    return 0;
  }
  if (type !== MapType.ARRAY) {
    verbose(env, "no direct value access support for this map type\n");
    return -Errno.EINVAL;
  }
  const err = maxEntries !== 1 ? -Errno.ENOTSUPP : off >= valueSize ? -Errno.EINVAL : 0;
  if (err !== 0) return refuseDirectValue(env, err, valueSize, off);
  env.aux.mapOff[i] = off;
  return 0;
}

function resolveLdimm64(env: VerifierEnv, i: number): number {
  const { insns, aux } = env;
  const src = insns.src[i]!;
  const n = i + 1;
  if (i === insns.len - 1 || (insns.code[n]! | insns.dst[n]! | insns.src[n]! | insns.off[n]!) !== 0) {
    verbose(env, "invalid bpf_ld_imm64 insn\n");
    return -Errno.EINVAL;
  }
  if (src === BPF_PSEUDO_IMM64) return 0;
  if (src === BPF_PSEUDO_BTF_ID) throw new Unsupported(i, "kernel symbol");
  if (src === BPF_PSEUDO_FUNC) {
    aux.ptrType[i] = RegType.PTR_TO_FUNC;
    return 0;
  }
  const isValue = src === BPF_PSEUDO_MAP_VALUE || src === BPF_PSEUDO_MAP_IDX_VALUE;
  const isMap = src === BPF_PSEUDO_MAP_FD || src === BPF_PSEUDO_MAP_IDX;
  if (!isValue && (!isMap || insns.imm[n] !== 0)) {
    verbose(env, "unrecognized bpf_ld_imm64 insn\n");
    return -Errno.EINVAL;
  }
  const index = mapOfInsn(env, i);
  if (index < 0) return index;
  const map = env.maps[index - 1]!;
  const err = addUsedMap(env, map, i);
  if (err !== 0) return err;
  aux.mapIndex[i] = index;
  return isValue ? checkDirectValue(env, i, map) : 0;
}

/** Atomics of bytes and half words, of which there are load_acquire and store_release only. */
function isNarrowAtomic(code: number): boolean {
  return code === (BPF_STX | BPF_ATOMIC | BPF_B) || code === (BPF_STX | BPF_ATOMIC | BPF_H);
}

/** Mirrors resolve_pseudo_ldimm64(). */
export function resolvePseudoLdimm64(env: VerifierEnv): number {
  const { insns } = env;
  for (let i = 0; i < insns.len; i++) {
    const code = insns.code[i]!;
    if ((code & 7) === BPF_LDX) {
      const mode = code & 0xe0;
      if ((mode !== BPF_MEM && mode !== BPF_MEMSX) || insns.imm[i] !== 0) {
        verbose(env, "BPF_LDX uses reserved fields\n");
        return -Errno.EINVAL;
      }
    }
    if (bpfIsLdimm64(insns, i)) {
      const err = resolveLdimm64(env, i);
      if (err !== 0) return err;
      i++;
    } else if (known[code] === 0 || (isNarrowAtomic(code) && !env.switches.loadAcquireStoreRelease)) {
      verbose(env, `unknown opcode ${code.toString(16).padStart(2, "0")}\n`);
      return -Errno.EINVAL;
    }
  }
  return 0;
}
