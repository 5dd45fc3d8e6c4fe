// SPDX-License-Identifier: MIT
import type { BtfFuncLinkage, BtfKind, BtfVarLinkage } from "./types.js";

/*
 * The .BTF and .BTF.ext formats in numbers: include/uapi/linux/btf.h and Documentation/bpf/btf.rst.
 */

export const BTF_MAGIC = 0xeb9f;
export const BTF_VERSION = 1;
/** sizeof(struct btf_header). */
export const BTF_HEADER_SIZE = 24;
/** A header that is cut in the upper bytes of its last field is still one. */
export const BTF_MIN_HEADER_SIZE = 21;
/** sizeof(struct btf_type). */
export const BTF_TYPE_SIZE = 12;

/** Largest type id. */
export const BTF_MAX_TYPE = 0x000fffff;
/** Largest offset of a name in the string section. */
export const BTF_MAX_NAME_OFFSET = 0x00ffffff;
/** Most members, values, parameters or variables of one type. */
export const BTF_MAX_VLEN = 0xffff;
/** Largest blob that the kernel takes in bytes (BTF_MAX_SIZE in kernel/bpf/btf.c). */
export const BTF_MAX_SIZE = 16 * 1024 * 1024;

/** BTF_KIND_* numbers. */
export const BTF_KIND = {
  void: 0,
  int: 1,
  ptr: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  fwd: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  func: 12,
  funcProto: 13,
  var: 14,
  datasec: 15,
  float: 16,
  declTag: 17,
  typeTag: 18,
  enum64: 19,
} as const satisfies Record<BtfKind, number>;

/** BTF_INT_* encodings. */
export const BTF_INT_ENCODING = { none: 0, signed: 1, char: 2, signedChar: 3, bool: 4 } as const;

/** enum btf_func_linkage; the numbers of BTF_VAR_* are the same. */
export const BTF_LINKAGE = { static: 0, global: 1, extern: 2 } as const satisfies Record<
  BtfFuncLinkage | BtfVarLinkage,
  number
>;

/** The name of each linkage number. */
export const BTF_LINKAGE_NAMES = ["static", "global", "extern"] as const satisfies readonly BtfFuncLinkage[];

/** Size of the .BTF.ext header with the CO-RE fields. */
export const BTF_EXT_HEADER_SIZE = 32;
/** Size of the .BTF.ext header without the CO-RE fields. */
export const BTF_EXT_MIN_HEADER_SIZE = 24;
/** sizeof(struct bpf_func_info). */
export const FUNC_INFO_SIZE = 8;
/** sizeof(struct bpf_line_info). */
export const LINE_INFO_SIZE = 16;
/** sizeof(struct bpf_core_relo). */
export const CORE_RELO_SIZE = 16;
/** `line_col` of struct bpf_line_info holds the line above this many bits of column. */
export const LINE_COL_BITS = 10;
/** Largest column that fits in `line_col`. */
export const MAX_COLUMN = (1 << LINE_COL_BITS) - 1;
/** Largest line that fits in `line_col`. */
export const MAX_LINE = 2 ** (32 - LINE_COL_BITS) - 1;
