// SPDX-License-Identifier: MIT

/**
 * The verifier's type numbers as include/linux/bpf.h of Linux 6.18 lays them out: the low 8 bits are
 * the base type, the bits above are flags shared by registers, arguments and return values.
 */

/** Bits of the base type: `BPF_BASE_TYPE_BITS`. */
export const BASE_TYPE_BITS = 8;
const BASE_TYPE_MASK = (1 << BASE_TYPE_BITS) - 1;

/** `enum bpf_type_flag`. */
export const TypeFlag = {
  /** The pointer may be NULL: a register must be checked before use, an argument may be NULL. */
  PTR_MAYBE_NULL: 1 << 8,
  /** The memory may only be read. */
  MEM_RDONLY: 1 << 9,
  /** Memory of a ring-buffer reservation. */
  MEM_RINGBUF: 1 << 10,
  /** A user-space address. */
  MEM_USER: 1 << 11,
  /** Per-CPU memory: only through bpf_per_cpu_ptr() and bpf_this_cpu_ptr(). */
  MEM_PERCPU: 1 << 12,
  /** The argument's reference is released by the call. */
  OBJ_RELEASE: 1 << 13,
  /** The pointer may be stale: only probing reads. */
  PTR_UNTRUSTED: 1 << 14,
  /** The memory need not be initialised: the call writes it. */
  MEM_UNINIT: 1 << 15,
  /** Dynptr to memory of the program (stack, map value). */
  DYNPTR_TYPE_LOCAL: 1 << 16,
  /** Dynptr to a ring-buffer reservation. */
  DYNPTR_TYPE_RINGBUF: 1 << 17,
  /** The size of the memory is known from the prototype. */
  MEM_FIXED_SIZE: 1 << 18,
  /** Allocated by the program (bpf_obj_new). */
  MEM_ALLOC: 1 << 19,
  /** The pointer is trusted: valid while held. */
  PTR_TRUSTED: 1 << 20,
  /** Protected by RCU: valid within the read section. */
  MEM_RCU: 1 << 21,
  /** A borrowed reference to a graph node. */
  NON_OWN_REF: 1 << 22,
  /** Dynptr to an skb. */
  DYNPTR_TYPE_SKB: 1 << 23,
  /** Dynptr to an XDP buffer. */
  DYNPTR_TYPE_XDP: 1 << 24,
  /** The memory must be aligned to its size. */
  MEM_ALIGNED: 1 << 25,
  /** The call writes the memory. */
  MEM_WRITE: 1 << 26,
  /** Dynptr to an skb's metadata. */
  DYNPTR_TYPE_SKB_META: 1 << 27,
} as const;

/** Any kind of dynptr: `DYNPTR_TYPE_FLAG_MASK`. */
export const DYNPTR_TYPE_FLAG_MASK =
  TypeFlag.DYNPTR_TYPE_LOCAL |
  TypeFlag.DYNPTR_TYPE_RINGBUF |
  TypeFlag.DYNPTR_TYPE_SKB |
  TypeFlag.DYNPTR_TYPE_XDP |
  TypeFlag.DYNPTR_TYPE_SKB_META;

/** Kinds of dynptrs: `enum bpf_dynptr_type`. */
export const DynptrType = {
  INVALID: 0,
  LOCAL: 1,
  RINGBUF: 2,
  SKB: 3,
  XDP: 4,
  SKB_META: 5,
} as const;

/** Argument types: `enum bpf_arg_type`, composed ones included. */
export const ArgType = {
  DONTCARE: 0,
  CONST_MAP_PTR: 1,
  PTR_TO_MAP_KEY: 2,
  PTR_TO_MAP_VALUE: 3,
  PTR_TO_MEM: 4,
  PTR_TO_ARENA: 5,
  CONST_SIZE: 6,
  CONST_SIZE_OR_ZERO: 7,
  PTR_TO_CTX: 8,
  ANYTHING: 9,
  PTR_TO_SPIN_LOCK: 10,
  PTR_TO_SOCK_COMMON: 11,
  PTR_TO_SOCKET: 12,
  PTR_TO_BTF_ID: 13,
  PTR_TO_RINGBUF_MEM: 14,
  CONST_ALLOC_SIZE_OR_ZERO: 15,
  PTR_TO_BTF_ID_SOCK_COMMON: 16,
  PTR_TO_PERCPU_BTF_ID: 17,
  PTR_TO_FUNC: 18,
  PTR_TO_STACK: 19,
  PTR_TO_CONST_STR: 20,
  PTR_TO_TIMER: 21,
  KPTR_XCHG_DEST: 22,
  PTR_TO_DYNPTR: 23,
  /** Of 6.12's stable series; its number here is not the kernel's. */
  SCALAR: 31,
  PTR_TO_MAP_VALUE_OR_NULL: 3 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_MEM_OR_NULL: 4 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_CTX_OR_NULL: 8 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_SOCKET_OR_NULL: 12 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_STACK_OR_NULL: 19 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_BTF_ID_OR_NULL: 13 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_UNINIT_MEM: 4 | TypeFlag.MEM_UNINIT | TypeFlag.MEM_WRITE,
  PTR_TO_FIXED_SIZE_MEM: 4 | TypeFlag.MEM_FIXED_SIZE,
} as const;

/** Return types: `enum bpf_return_type`, composed ones included. */
export const RetType = {
  INTEGER: 0,
  VOID: 1,
  PTR_TO_MAP_VALUE: 2,
  PTR_TO_SOCKET: 3,
  PTR_TO_TCP_SOCK: 4,
  PTR_TO_SOCK_COMMON: 5,
  PTR_TO_MEM: 6,
  PTR_TO_MEM_OR_BTF_ID: 7,
  PTR_TO_BTF_ID: 8,
  PTR_TO_MAP_VALUE_OR_NULL: 2 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_SOCKET_OR_NULL: 3 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_TCP_SOCK_OR_NULL: 4 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_SOCK_COMMON_OR_NULL: 5 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_RINGBUF_MEM_OR_NULL: 6 | TypeFlag.PTR_MAYBE_NULL | TypeFlag.MEM_RINGBUF,
  PTR_TO_DYNPTR_MEM_OR_NULL: 6 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_BTF_ID_OR_NULL: 8 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_BTF_ID_TRUSTED: 8 | TypeFlag.PTR_TRUSTED,
} as const;

/** Register types: `enum bpf_reg_type`, composed ones included. */
export const RegType = {
  NOT_INIT: 0,
  SCALAR_VALUE: 1,
  PTR_TO_CTX: 2,
  CONST_PTR_TO_MAP: 3,
  PTR_TO_MAP_VALUE: 4,
  PTR_TO_MAP_KEY: 5,
  PTR_TO_STACK: 6,
  PTR_TO_PACKET_META: 7,
  PTR_TO_PACKET: 8,
  PTR_TO_PACKET_END: 9,
  PTR_TO_FLOW_KEYS: 10,
  PTR_TO_SOCKET: 11,
  PTR_TO_SOCK_COMMON: 12,
  PTR_TO_TCP_SOCK: 13,
  PTR_TO_TP_BUFFER: 14,
  PTR_TO_XDP_SOCK: 15,
  PTR_TO_BTF_ID: 16,
  PTR_TO_MEM: 17,
  PTR_TO_ARENA: 18,
  PTR_TO_BUF: 19,
  PTR_TO_FUNC: 20,
  CONST_PTR_TO_DYNPTR: 21,
  PTR_TO_MAP_VALUE_OR_NULL: 4 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_SOCKET_OR_NULL: 11 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_SOCK_COMMON_OR_NULL: 12 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_TCP_SOCK_OR_NULL: 13 | TypeFlag.PTR_MAYBE_NULL,
  PTR_TO_BTF_ID_OR_NULL: 16 | TypeFlag.PTR_MAYBE_NULL,
} as const;

/** The type without its flags: base_type(). */
export function baseType(type: number): number {
  return type & BASE_TYPE_MASK;
}

/** The flags without the type: type_flag(). */
export function typeFlags(type: number): number {
  return type & ~BASE_TYPE_MASK;
}

/** Whether a register of this type may be NULL: type_may_be_null(). */
export function typeMayBeNull(type: number): boolean {
  return (type & TypeFlag.PTR_MAYBE_NULL) !== 0;
}
