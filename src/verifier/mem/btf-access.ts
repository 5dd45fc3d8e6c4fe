// SPDX-License-Identifier: GPL-2.0-only
import { resolveId, resolveType, sizeOf, typeById } from "../../btf/size.js";
import type { Btf, BtfMember, BtfType } from "../../btf/types.js";
import { TypeFlag } from "../../kernel/bpf-types.js";
import { Errno } from "../../kernel/errno.js";
import { type VerifierEnv, verbose } from "../env.js";

/* What a read of a kernel struct finds, by the kernel's BTF. */

/** Found: no pointer. */
export const WALK_SCALAR = 0;
/** Found: a pointer to a struct, {@link StructAccess.id}. */
export const WALK_PTR = 1;
/** Found: a pointer to something that is no struct. */
export const WALK_PTR_UNTRUSTED = 2;
/** Not yet found: go on with the inner struct. */
const WALK_STRUCT = 3;

type Struct = Extract<BtfType, { kind: "struct" | "union" }>;

/** A read, and where in the types it has come to. */
export interface StructAccess {
  readonly btf: Btf;
  /** Bytes read. */
  readonly size: number;
  /** Type that `off` counts in; of a pointer that was found, its target. */
  id: number;
  off: number;
  /** Flags of a pointer that was found. */
  flag: number;
}

/** A member's place: of an array, that of the element which is read. */
interface Place {
  /** Bytes from the struct's start. */
  readonly start: number;
  /** Bytes of the member, or of the element. */
  readonly size: number;
  /** End of the whole member. */
  readonly end: number;
  readonly typeId: number;
}

/** As the log names types and members. Mirrors __btf_name_by_offset(). */
function nameOf(named: BtfType | BtfMember): string {
  return ("name" in named && named.name) || "(anon)";
}

/** Behind the end of a struct there may be more of its last member. */
function walkBehind(env: VerifierEnv, a: StructAccess, t: Struct): number {
  const last = t.members.at(-1);
  const array = last === undefined ? undefined : resolveType(a.btf, last.type);
  if (last !== undefined && array?.kind === "array" && array.nelems === 0 && a.off >= last.bitOffset >> 3) {
    const element = resolveType(a.btf, array.type);
    if (element.kind === "int") return WALK_SCALAR;
    if ((element.kind === "struct" || element.kind === "union") && element.size !== 0) {
      a.off = (a.off - (last.bitOffset >> 3)) % element.size;
      a.id = array.type;
      return WALK_STRUCT;
    }
  }
  verbose(env, `access beyond struct ${nameOf(t)} at off ${a.off} size ${a.size}\n`);
  return -Errno.EACCES;
}

/** Null for an empty array. */
function placeOf({ btf, off }: StructAccess, member: BtfMember): Place | null {
  const start = member.bitOffset >> 3;
  const whole = sizeOf(btf, member.type);
  let typeId = resolveId(btf, member.type);
  let count = 1;
  for (let type = typeById(btf, typeId); type.kind === "array"; type = typeById(btf, typeId)) {
    count *= type.nelems;
    typeId = resolveId(btf, type.type);
  }
  if (whole === 0) return null;
  const size = whole / count;
  const index = Math.floor((off - start) / size);
  return { start: start + index * size, size, end: start + whole, typeId };
}

function walkPointer(env: VerifierEnv, a: StructAccess, t: Struct, name: string, place: Place): number {
  const pointer = typeById(a.btf, place.typeId);
  if (pointer.kind !== "ptr") return WALK_SCALAR;
  if (place.size !== a.size || a.off !== place.start) {
    const where = `moff ${place.start} in struct ${nameOf(t)} with off ${a.off} size ${a.size}`;
    verbose(env, `cannot access ptr member ${name} with ${where}\n`);
    return -Errno.EACCES;
  }
  const target = resolveType(a.btf, pointer.type);
  if (target.kind !== "struct" && target.kind !== "union") {
    return env.rules.untrustedMemory ? WALK_PTR_UNTRUSTED : WALK_SCALAR;
  }
  const tag = typeById(a.btf, pointer.type);
  if (tag.kind === "typeTag") {
    if (tag.name === "user") a.flag |= TypeFlag.MEM_USER;
    if (tag.name === "percpu") a.flag |= TypeFlag.MEM_PERCPU;
    if (tag.name === "rcu") a.flag |= TypeFlag.MEM_RCU;
  }
  a.id = resolveId(a.btf, pointer.type);
  return WALK_PTR;
}

/** One level of structs. Mirrors btf_struct_walk(). */
function walkStruct(env: VerifierEnv, a: StructAccess): number {
  const t = resolveType(a.btf, a.id);
  if (t.kind !== "struct" && t.kind !== "union") {
    verbose(env, `Type '${nameOf(t)}' is not a struct\n`);
    return -Errno.EINVAL;
  }
  // Which member of a union is the valid one nobody knows.
  if (t.kind === "union" && t.members.length !== 1) a.flag |= TypeFlag.PTR_UNTRUSTED;
  if (a.off + a.size > t.size) return walkBehind(env, a, t);
  for (const member of t.members) {
    const start = member.bitOffset >> 3;
    if (a.off + a.size <= start) break;
    if (member.bitSize !== 0) {
      const end = (member.bitOffset + member.bitSize + 7) >> 3;
      if (a.off <= start && end <= a.off + a.size) return WALK_SCALAR;
      continue;
    }
    if (a.off < start) break;
    const place = placeOf(a, member);
    if (place === null || a.off >= place.end) continue;
    const type = typeById(a.btf, place.typeId);
    if (type.kind === "struct" || type.kind === "union") {
      a.id = place.typeId;
      a.off -= place.start;
      return WALK_STRUCT;
    }
    if (type.kind === "ptr") return walkPointer(env, a, t, nameOf(member), place);
    if (a.off + a.size > place.end && (a.flag & TypeFlag.PTR_UNTRUSTED) === 0) {
      const where = `(mend:${place.end}) in struct ${nameOf(t)} with off ${a.off} size ${a.size}`;
      verbose(env, `access beyond the end of member ${nameOf(member)} ${where}\n`);
      return -Errno.EACCES;
    }
    return WALK_SCALAR;
  }
  verbose(env, `struct ${nameOf(t)} doesn't have field at offset ${a.off}\n`);
  return -Errno.EINVAL;
}

/**
 * What stands at an offset of a struct: WALK_SCALAR, WALK_PTR, WALK_PTR_UNTRUSTED, or a negative errno. Mirrors
 * btf_struct_access() for structs that the program did not allocate.
 */
export function btfStructAccess(env: VerifierEnv, access: StructAccess): number {
  for (;;) {
    const found = walkStruct(env, access);
    if (found !== WALK_STRUCT) return found;
  }
}
