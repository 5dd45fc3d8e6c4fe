// SPDX-License-Identifier: MIT
import { RegType, TypeFlag } from "../bpf-types.js";

/**
 * Which sizes an access to a context field may have. Every access is naturally aligned besides.
 * - `full`: the field's size and no other.
 * - `narrow`: a power of two up to the field's size, anywhere in it (bpf_ctx_narrow_access_ok()).
 * - `narrow2`: as `narrow`, but 2 bytes at least.
 * - `narrowStart`: as `narrow`, but only from the field's first byte.
 * - `narrowPair`, `fullPair`: as `narrow` and `full`, or two elements of the array at once.
 * - `padded`: as `narrow`, or 4 bytes together with the padding behind the field.
 * - `any`: 1, 2, 4 or 8 bytes that end within the field with all its elements.
 */
export type CtxSizes = "full" | "narrow" | "narrow2" | "narrowStart" | "narrowPair" | "fullPair" | "padded" | "any";

/** What a pointer in a context leads to; `OrNull` when it must be checked. */
export type CtxPointee =
  | "packet"
  | "packetEnd"
  | "packetMeta"
  | "flowKeys"
  | "socket"
  | "socketOrNull"
  | "sockCommonOrNull";

/** `enum bpf_reg_type` with flags that reading such a pointer gives. */
export const CTX_POINTERS: Readonly<Record<CtxPointee, number>> = {
  packet: RegType.PTR_TO_PACKET,
  packetEnd: RegType.PTR_TO_PACKET_END,
  packetMeta: RegType.PTR_TO_PACKET_META,
  flowKeys: RegType.PTR_TO_FLOW_KEYS,
  socket: RegType.PTR_TO_SOCKET,
  socketOrNull: RegType.PTR_TO_SOCKET | TypeFlag.PTR_MAYBE_NULL,
  sockCommonOrNull: RegType.PTR_TO_SOCK_COMMON | TypeFlag.PTR_MAYBE_NULL,
};

/** One field of a program's context, as the program sees it (not as the kernel holds it). */
export interface CtxField {
  readonly name: string;
  /** Bytes from the start of the context. */
  readonly offset: number;
  /** Bytes of one element. */
  readonly size: number;
  /** Elements of an array, 1 for a plain field. */
  readonly count: number;
  /** Sizes of reads, null when the program type may not read the field. */
  readonly read: CtxSizes | null;
  /** Sizes of writes, null when the program type may not write the field. */
  readonly write: CtxSizes | null;
  /** What the field points to; a scalar when absent. */
  readonly points?: CtxPointee;
  /** Bits of a number in network order that the field holds, in its first bytes. */
  readonly network?: 16 | 32;
  /** Sign-extending loads are refused. */
  readonly noSignExtend?: boolean;
  /** Only with these expected attach types; with every one when absent. */
  readonly attach?: readonly number[];
  /** Writes only with these expected attach types; with every one when absent. */
  readonly writeAttach?: readonly number[];
}

/** The context of one program type. What lies in no field cannot be accessed. */
export interface CtxLayout<F extends CtxField = CtxField> {
  /** The C type a program declares. */
  readonly name: string;
  /** Bytes; accesses lie in [0, size). */
  readonly size: number;
  /** In ascending order of offset, not overlapping. */
  readonly fields: readonly F[];
}

/** The field in which the byte at `offset` lies. */
export function ctxFieldAt(layout: CtxLayout, offset: number): CtxField | undefined {
  return layout.fields.find((f) => offset >= f.offset && offset < f.offset + f.size * f.count);
}

/** A plain field as the compiler knows it. */
export type FieldRow<N extends string, S extends number, R extends CtxSizes | null, M> = Omit<
  {
    readonly name: N;
    readonly offset: number;
    readonly size: S;
    readonly count: 1;
    readonly read: R;
    readonly write: null;
  },
  keyof M
> &
  M;

/** One field: it can be read and not written unless `more` says so. */
export function field<const N extends string, const S extends number, const R extends CtxSizes | null>(
  name: N,
  offset: number,
  size: S,
  read: R,
): FieldRow<N, S, R, object>;
export function field<
  const N extends string,
  const S extends number,
  const R extends CtxSizes | null,
  const M extends Partial<CtxField>,
>(name: N, offset: number, size: S, read: R, more: M): FieldRow<N, S, R, M>;
export function field(
  name: string,
  offset: number,
  size: number,
  read: CtxSizes | null,
  more?: Partial<CtxField>,
): CtxField {
  return { name, offset, size, count: 1, read, write: null, ...more };
}

/** Fields of 4 bytes one behind the other, from `offset`. */
export function words<const Names extends readonly string[], const R extends CtxSizes>(
  offset: number,
  read: R,
  names: Names,
): FieldRow<Names[number], 4, R, object>[] {
  return names.map((name: Names[number], i) => field(name, offset + 4 * i, 4, read));
}
