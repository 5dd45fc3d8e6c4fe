// SPDX-License-Identifier: GPL-2.0-only
import { BTF_KIND } from "../../btf/format.js";
import { Errno } from "../../kernel/errno.js";
import type { LoadedBtf } from "./blob.js";
import type { BtfEnv } from "./env.js";
import type { ResolvedTypes } from "./resolved.js";

/*
 * Whether a member of a type that is resolved fits into its struct. `member` is where its `struct btf_member` stands;
 * its type is handed in, for that of a modifier is what it leads to.
 */

const POINTER_SIZE = 8;
const BITS_PER_U128 = 128;
const INT_BITS = 32;
const MAX_REGULAR_BYTES = 16;
const U32_MAX = 0xffffffff;

function bytesOf(bits: number): number {
  return Math.ceil(bits / 8);
}

/** Mirrors btf_type_int_is_regular(). */
export function intIsRegular(btf: LoadedBtf, id: number): boolean {
  const data = btf.u32(btf.rest(id));
  const bits = data & 0xff;
  const bytes = bits / 8;
  if (((data >>> 16) & 0xff) !== 0 || bits % 8 !== 0) return false;
  return bytes !== 0 && bytes <= MAX_REGULAR_BYTES && (bytes & (bytes - 1)) === 0;
}

/** Whether `bits` bits do not fit behind the byte that holds the bit at `offset`, or are too many to copy. */
function bitsFault(structSize: number, offset: number, bits: number): string {
  const from = Math.floor(offset / 8);
  const copied = bits + (offset % 8);
  if (copied > BITS_PER_U128) return "nr_copy_bits exceeds 128";
  return structSize < from || structSize - from < bytesOf(copied) ? "Member exceeds struct_size" : "";
}

/** Mirrors btf_int_check_member(). */
function intFault(btf: LoadedBtf, structSize: number, offset: number, type: number): string {
  const data = btf.u32(btf.rest(type));
  const inside = (data >>> 16) & 0xff;
  if (U32_MAX - offset < inside) return "bits_offset exceeds U32_MAX";
  return bitsFault(structSize, offset + inside, data & 0xff);
}

/** Mirrors btf_int_check_kflag_member(). */
function bitFieldFault(btf: LoadedBtf, structSize: number, offset: number, width: number, type: number): string {
  if (!intIsRegular(btf, type)) return "Invalid member base type";
  const bits = btf.u32(btf.rest(type)) & 0xff;
  if (width === 0 && offset % 8 !== 0) return "Invalid member offset";
  if (width > bits) return "Invalid member bitfield_size";
  return bitsFault(structSize, offset, width === 0 ? bits : width);
}

/** Mirrors btf_enum_check_kflag_member(). */
function enumBitFieldFault(structSize: number, offset: number, width: number): string {
  if (width === 0 && offset % 8 !== 0) return "Member is not byte aligned";
  if (width > INT_BITS) return "Invalid member bitfield_size";
  return structSize < bytesOf(offset + (width === 0 ? INT_BITS : width)) ? "Member exceeds struct_size" : "";
}

/** A member of whole bytes: pointer, array, struct, enum. The difference wraps as the kernel's does. */
function bytesFault(structSize: number, offset: number, size: number): string {
  if (offset % 8 !== 0) return "Member is not byte aligned";
  return (structSize - Math.floor(offset / 8)) >>> 0 < size ? "Member exceeds struct_size" : "";
}

/** Mirrors btf_float_check_member(). */
function floatFault(structSize: number, offset: number, size: number): string {
  if (offset % (Math.min(POINTER_SIZE, size) * 8) !== 0) return "Member is not properly aligned";
  return Math.floor(offset / 8) + size > structSize ? "Member exceeds struct_size" : "";
}

/** What is wrong with a member of a struct without bit-fields; null for a type that no member can have. */
function plainFault(env: BtfEnv, types: ResolvedTypes, struct: number, offset: number, type: number): string | null {
  const { btf } = env;
  const structSize = btf.word(struct);
  switch (btf.kind(type)) {
    case BTF_KIND.int:
      return intFault(btf, structSize, offset, type);
    case BTF_KIND.ptr:
      return bytesFault(structSize, offset, POINTER_SIZE);
    case BTF_KIND.array:
      return bytesFault(structSize, offset, types.sizeOf(type));
    case BTF_KIND.struct:
    case BTF_KIND.union:
    case BTF_KIND.enum:
    case BTF_KIND.enum64:
      return bytesFault(structSize, offset, btf.word(type));
    case BTF_KIND.float:
      return floatFault(structSize, offset, btf.word(type));
    default:
      return null;
  }
}

/** As {@link plainFault}, in a struct whose members say how many bits they have. */
function kflagFault(env: BtfEnv, types: ResolvedTypes, struct: number, member: number, type: number): string | null {
  const { btf } = env;
  const structSize = btf.word(struct);
  const whole = btf.u32(member + 8);
  const offset = whole & 0xffffff;
  const width = whole >>> 24;
  switch (btf.kind(type)) {
    case BTF_KIND.int:
      return bitFieldFault(btf, structSize, offset, width, type);
    case BTF_KIND.enum:
    case BTF_KIND.enum64:
      return enumBitFieldFault(structSize, offset, width);
    case BTF_KIND.ptr:
    case BTF_KIND.array:
    case BTF_KIND.struct:
    case BTF_KIND.union:
    case BTF_KIND.float:
      return width !== 0 ? "Invalid member bitfield_size" : plainFault(env, types, struct, offset, type);
    default:
      return null;
  }
}

/** Mirrors the check_member() and check_kflag_member() of all kinds. */
export function checkMember(env: BtfEnv, types: ResolvedTypes, struct: number, member: number): number {
  const { btf } = env;
  const kflag = btf.kflag(struct);
  let type = btf.u32(member + 4);
  if (btf.isModifier(type)) {
    const to = types.sized(type);
    if (to < 0) {
      env.sayMember(struct, member, type, "Invalid member");
      return -Errno.EINVAL;
    }
    type = to;
  }
  const fault = kflag
    ? kflagFault(env, types, struct, member, type)
    : plainFault(env, types, struct, btf.u32(member + 8), type);
  if (fault === "") return 0;
  if (fault === null) env.sayBasic(struct, `Unsupported check_${kflag ? "kflag_" : ""}member`);
  else env.sayMember(struct, member, type, fault);
  return -Errno.EINVAL;
}
