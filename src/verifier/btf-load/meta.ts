// SPDX-License-Identifier: GPL-2.0-only
import { BTF_INT_ENCODING, BTF_KIND, BTF_LINKAGE, BTF_MAX_TYPE, BTF_TYPE_SIZE } from "../../btf/format.js";
import { Errno } from "../../kernel/errno.js";
import type { BtfEnv } from "./env.js";

/*
 * Every type for itself: whether it is complete, and what it says is possible. References to other types need only be
 * numbers that ids can have. Each function gives the bytes that follow the type's `struct btf_type`, or a negative errno.
 */

const INFO_MASK = 0x9f00ffff;
const INT_MASK = 0x0fffffff;
const KIND_MAX = BTF_KIND.enum64;
const BITS_PER_U128 = 128;
const EINVAL = -Errno.EINVAL;

const NO_KFLAG = "Invalid btf_info kind_flag";

/** BTF_TYPE_ID_VALID() */
function validId(id: number): boolean {
  return id <= BTF_MAX_TYPE;
}

function refuse(env: BtfEnv, id: number, message: string): number {
  env.sayType(id, message);
  return EINVAL;
}

/** Says that the type is right so far. */
function pass(env: BtfEnv, id: number, bytes: number): number {
  env.sayType(id);
  return bytes;
}

/** Whether there are fewer bytes left than the type takes. */
function isCut(env: BtfEnv, id: number, left: number, needed: number): boolean {
  if (left >= needed) return false;
  env.sayBasic(id, `meta_left:${left} meta_needed:${needed}`);
  return true;
}

/** Whether the type's name, which it must have, is none. */
function lacksName({ btf }: BtfEnv, id: number): boolean {
  const name = btf.nameOff(id);
  return name === 0 || !btf.validIdentifier(name);
}

/** Whether a name, which need not be there, is none. */
function misnamed({ btf }: BtfEnv, name: number): boolean {
  return name !== 0 && !btf.validIdentifier(name);
}

/** Mirrors btf_int_check_meta(). */
function checkInt(env: BtfEnv, id: number, left: number): number {
  const { btf } = env;
  if (isCut(env, id, left, 4)) return EINVAL;
  if (btf.vlen(id) !== 0) return refuse(env, id, "vlen != 0");
  if (btf.kflag(id)) return refuse(env, id, NO_KFLAG);
  const data = btf.u32(btf.rest(id));
  if ((data & ~INT_MASK) !== 0) {
    env.sayBasic(id, `Invalid int_data:${data.toString(16)}`);
    return EINVAL;
  }
  const bits = (data & 0xff) + ((data >>> 16) & 0xff);
  if (bits > BITS_PER_U128) return refuse(env, id, `nr_bits exceeds ${BITS_PER_U128}`);
  if (Math.ceil(bits / 8) > btf.word(id)) return refuse(env, id, "nr_bits exceeds type_size");
  const encoding = (data >>> 24) & 0xf;
  if (
    encoding !== BTF_INT_ENCODING.none &&
    encoding !== BTF_INT_ENCODING.signed &&
    encoding !== BTF_INT_ENCODING.char &&
    encoding !== BTF_INT_ENCODING.bool
  ) {
    env.sayType(id, "Unsupported encoding");
    return -Errno.ENOTSUPP;
  }
  return pass(env, id, 4);
}

/** Mirrors btf_ref_type_check_meta(). */
function checkReference(env: BtfEnv, id: number): number {
  const { btf } = env;
  const kind = btf.kind(id);
  if (btf.vlen(id) !== 0) return refuse(env, id, "vlen != 0");
  if (btf.kflag(id) && kind !== BTF_KIND.typeTag) return refuse(env, id, NO_KFLAG);
  if (!validId(btf.word(id))) return refuse(env, id, "Invalid type_id");
  const wrong =
    kind === BTF_KIND.typedef
      ? lacksName(env, id)
      : kind === BTF_KIND.typeTag
        ? btf.isEmpty(btf.nameOff(id))
        : btf.nameOff(id) !== 0;
  return wrong ? refuse(env, id, "Invalid name") : pass(env, id, 0);
}

/** Mirrors btf_fwd_check_meta(). */
function checkFwd(env: BtfEnv, id: number): number {
  const { btf } = env;
  if (btf.vlen(id) !== 0) return refuse(env, id, "vlen != 0");
  if (btf.word(id) !== 0) return refuse(env, id, "type != 0");
  if (lacksName(env, id)) return refuse(env, id, "Invalid name");
  return pass(env, id, 0);
}

/** Mirrors btf_array_check_meta(). */
function checkArray(env: BtfEnv, id: number, left: number): number {
  const { btf } = env;
  if (isCut(env, id, left, 12)) return EINVAL;
  if (btf.nameOff(id) !== 0) return refuse(env, id, "Invalid name");
  if (btf.vlen(id) !== 0) return refuse(env, id, "vlen != 0");
  if (btf.kflag(id)) return refuse(env, id, NO_KFLAG);
  if (btf.word(id) !== 0) return refuse(env, id, "size != 0");
  const element = btf.u32(btf.rest(id));
  if (element === 0 || !validId(element)) return refuse(env, id, "Invalid elem");
  const index = btf.u32(btf.rest(id) + 4);
  if (index === 0 || !validId(index)) return refuse(env, id, "Invalid index");
  return pass(env, id, 12);
}

/** What is wrong with the member at `member`, "" when nothing is. */
function memberFault(env: BtfEnv, id: number, member: number, lastOffset: number): string {
  const { btf } = env;
  const name = btf.u32(member);
  if (!btf.nameOffsetValid(name)) return `Invalid member name_offset:${name}`;
  if (misnamed(env, name)) return "Invalid name";
  const type = btf.u32(member + 4);
  if (type === 0 || !validId(type)) return "Invalid type_id";
  const offset = btf.bitOffset(id, member);
  if (btf.kind(id) === BTF_KIND.union && offset !== 0) return "Invalid member bits_offset";
  // Members of size 0 may stand at the same place.
  if (lastOffset > offset) return "Invalid member bits_offset";
  return Math.ceil(offset / 8) > btf.word(id) ? "Member bits_offset exceeds its struct size" : "";
}

/** Mirrors btf_struct_check_meta(). */
function checkStruct(env: BtfEnv, id: number, left: number): number {
  const { btf } = env;
  const needed = btf.vlen(id) * 12;
  if (isCut(env, id, left, needed)) return EINVAL;
  if (misnamed(env, btf.nameOff(id))) return refuse(env, id, "Invalid name");
  env.sayType(id);
  const end = btf.rest(id) + needed;
  let lastOffset = 0;
  for (let member = btf.rest(id); member < end; member += 12) {
    const fault = memberFault(env, id, member, lastOffset);
    env.sayMember(id, member, btf.u32(member + 4), fault);
    if (fault !== "") return EINVAL;
    lastOffset = btf.bitOffset(id, member);
  }
  return needed;
}

/** Mirrors btf_enum_check_meta() and btf_enum64_check_meta(). */
function checkEnum(env: BtfEnv, id: number, left: number): number {
  const { btf } = env;
  const wide = btf.kind(id) === BTF_KIND.enum64;
  const step = wide ? 12 : 8;
  const needed = btf.vlen(id) * step;
  if (isCut(env, id, left, needed)) return EINVAL;
  const size = btf.word(id);
  if (size > 8 || size === 0 || (size & (size - 1)) !== 0) return refuse(env, id, "Unexpected size");
  if (misnamed(env, btf.nameOff(id))) return refuse(env, id, "Invalid name");
  env.sayType(id);
  const end = btf.rest(id) + needed;
  for (let at = btf.rest(id); at < end; at += step) {
    const name = btf.u32(at);
    if (!btf.nameOffsetValid(name)) {
      env.sayNumber("\tInvalid name_offset:", name);
      return EINVAL;
    }
    if (name === 0 || !btf.validIdentifier(name)) return refuse(env, id, "Invalid name");
    if (env.logs) env.sayValue(name, wide ? wideValue(env, id, at) : value(env, id, at));
  }
  return needed;
}

function value({ btf }: BtfEnv, id: number, at: number): number {
  const bits = btf.u32(at + 4);
  return btf.kflag(id) ? bits | 0 : bits;
}

function wideValue({ btf }: BtfEnv, id: number, at: number): bigint {
  const bits = (BigInt(btf.u32(at + 8)) << 32n) | BigInt(btf.u32(at + 4));
  return btf.kflag(id) ? BigInt.asIntN(64, bits) : bits;
}

/** Mirrors btf_func_proto_check_meta(). */
function checkFuncProto(env: BtfEnv, id: number, left: number): number {
  const { btf } = env;
  const needed = btf.vlen(id) * 8;
  if (isCut(env, id, left, needed)) return EINVAL;
  if (btf.nameOff(id) !== 0) return refuse(env, id, "Invalid name");
  if (btf.kflag(id)) return refuse(env, id, NO_KFLAG);
  return pass(env, id, needed);
}

/** Mirrors btf_func_check_meta(). */
function checkFunc(env: BtfEnv, id: number): number {
  const { btf } = env;
  if (lacksName(env, id)) return refuse(env, id, "Invalid name");
  if (btf.vlen(id) > BTF_LINKAGE.global) return refuse(env, id, "Invalid func linkage");
  if (btf.kflag(id)) return refuse(env, id, NO_KFLAG);
  return pass(env, id, 0);
}

/** Mirrors btf_var_check_meta(). */
function checkVar(env: BtfEnv, id: number, left: number): number {
  const { btf } = env;
  if (isCut(env, id, left, 4)) return EINVAL;
  if (btf.vlen(id) !== 0) return refuse(env, id, "vlen != 0");
  if (btf.kflag(id)) return refuse(env, id, NO_KFLAG);
  if (lacksName(env, id)) return refuse(env, id, "Invalid name");
  const type = btf.word(id);
  if (type === 0 || !validId(type)) return refuse(env, id, "Invalid type_id");
  if (btf.u32(btf.rest(id)) > BTF_LINKAGE.global) return refuse(env, id, "Linkage not supported");
  return pass(env, id, 4);
}

/** What is wrong with the variable at `vsi` of a section, "" when nothing is. */
function variableFault({ btf }: BtfEnv, size: number, vsi: number, lastEnd: number): string {
  const type = btf.u32(vsi);
  const offset = btf.u32(vsi + 4);
  const bytes = btf.u32(vsi + 8);
  if (type === 0 || !validId(type)) return "Invalid type_id";
  if (offset < lastEnd || offset >= size) return "Invalid offset";
  if (bytes === 0 || bytes > size) return "Invalid size";
  // The sum wraps as the kernel's does.
  return (offset + bytes) >>> 0 > size ? "Invalid offset+size" : "";
}

/** Mirrors btf_datasec_check_meta(). */
function checkDatasec(env: BtfEnv, id: number, left: number): number {
  const { btf } = env;
  const needed = btf.vlen(id) * 12;
  if (isCut(env, id, left, needed)) return EINVAL;
  const size = btf.word(id);
  if (size === 0) return refuse(env, id, "size == 0");
  if (btf.kflag(id)) return refuse(env, id, NO_KFLAG);
  const name = btf.nameOff(id);
  if (name === 0 || !btf.validSection(name)) return refuse(env, id, "Invalid name");
  env.sayType(id);
  const end = btf.rest(id) + needed;
  let lastEnd = 0;
  let sum = 0;
  for (let vsi = btf.rest(id); vsi < end; vsi += 12) {
    const fault = variableFault(env, size, vsi, lastEnd);
    env.sayVariable(id, vsi, fault);
    if (fault !== "") return EINVAL;
    lastEnd = (btf.u32(vsi + 4) + btf.u32(vsi + 8)) >>> 0;
    sum += btf.u32(vsi + 8);
  }
  return size < sum ? refuse(env, id, "Invalid btf_info size") : needed;
}

/** Mirrors btf_float_check_meta(). */
function checkFloat(env: BtfEnv, id: number): number {
  const { btf } = env;
  if (btf.vlen(id) !== 0) return refuse(env, id, "vlen != 0");
  if (btf.kflag(id)) return refuse(env, id, NO_KFLAG);
  const size = btf.word(id);
  if (size !== 2 && size !== 4 && size !== 8 && size !== 12 && size !== 16) return refuse(env, id, "Invalid type_size");
  return pass(env, id, 0);
}

/** Mirrors btf_decl_tag_check_meta(). */
function checkDeclTag(env: BtfEnv, id: number, left: number): number {
  const { btf } = env;
  if (isCut(env, id, left, 4)) return EINVAL;
  if (btf.isEmpty(btf.nameOff(id))) return refuse(env, id, "Invalid value");
  if (btf.vlen(id) !== 0) return refuse(env, id, "vlen != 0");
  if ((btf.u32(btf.rest(id)) | 0) < -1) return refuse(env, id, "Invalid component_idx");
  return pass(env, id, 4);
}

function checkKind(env: BtfEnv, id: number, left: number): number {
  switch (env.btf.kind(id)) {
    case BTF_KIND.int:
      return checkInt(env, id, left);
    case BTF_KIND.array:
      return checkArray(env, id, left);
    case BTF_KIND.struct:
    case BTF_KIND.union:
      return checkStruct(env, id, left);
    case BTF_KIND.enum:
    case BTF_KIND.enum64:
      return checkEnum(env, id, left);
    case BTF_KIND.fwd:
      return checkFwd(env, id);
    case BTF_KIND.func:
      return checkFunc(env, id);
    case BTF_KIND.funcProto:
      return checkFuncProto(env, id, left);
    case BTF_KIND.var:
      return checkVar(env, id, left);
    case BTF_KIND.datasec:
      return checkDatasec(env, id, left);
    case BTF_KIND.float:
      return checkFloat(env, id);
    case BTF_KIND.declTag:
      return checkDeclTag(env, id, left);
    default:
      return checkReference(env, id);
  }
}

/** Bytes of the type at `offset`, with all that belongs to it, or a negative errno. Mirrors btf_check_meta(). */
function checkMeta(env: BtfEnv, offset: number, left: number): number {
  const { btf } = env;
  const at = `[${env.logTypeId}]`;
  if (left < BTF_TYPE_SIZE) {
    env.say(`${at} meta_left:${left} meta_needed:${BTF_TYPE_SIZE}`);
    return EINVAL;
  }
  btf.look(offset);
  const id = btf.count;
  const info = btf.info(id);
  if ((info & ~INFO_MASK) !== 0) {
    env.say(`${at} Invalid btf_info:${info.toString(16)}`);
    return EINVAL;
  }
  const kind = btf.kind(id);
  if (kind > KIND_MAX || kind === BTF_KIND.void) {
    env.say(`${at} Invalid kind:${kind}`);
    return EINVAL;
  }
  if (!btf.nameOffsetValid(btf.nameOff(id))) {
    env.say(`${at} Invalid name_offset:${btf.nameOff(id)}`);
    return EINVAL;
  }
  const rest = checkKind(env, id, left - BTF_TYPE_SIZE);
  return rest < 0 ? rest : BTF_TYPE_SIZE + rest;
}

/** Counts the type just looked at. Beyond the last id the kernel says so, and goes on. Mirrors btf_add_type(). */
function addType(env: BtfEnv): void {
  if (env.btf.count === BTF_MAX_TYPE) env.say("Exceeded max num of types");
  else env.btf.count++;
}

/** Mirrors btf_check_all_metas(). */
export function checkAllMetas(env: BtfEnv): number {
  const { hdrLen, typeOff, typeLen } = env.btf.header;
  let at = hdrLen + typeOff;
  const end = at + typeLen;
  while (at < end) {
    const bytes = checkMeta(env, at, end - at);
    if (bytes < 0) return bytes;
    addType(env);
    at += bytes;
    env.logTypeId++;
  }
  return 0;
}
