// SPDX-License-Identifier: MIT

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
  /** `enum bpf_reg_type` with flags that a read gives; a scalar when absent. */
  readonly regType?: number;
  /** Sign-extending loads are refused. */
  readonly noSignExtend?: boolean;
  /** Only with these expected attach types; with every one when absent. */
  readonly attach?: readonly number[];
  /** Writes only with these expected attach types; with every one when absent. */
  readonly writeAttach?: readonly number[];
}

/** The context of one program type. What lies in no field cannot be accessed. */
export interface CtxLayout {
  /** The C type a program declares. */
  readonly name: string;
  /** Bytes; accesses lie in [0, size). */
  readonly size: number;
  /** In ascending order of offset, not overlapping. */
  readonly fields: readonly CtxField[];
}

/** The field in which the byte at `offset` lies. */
export function ctxFieldAt(layout: CtxLayout, offset: number): CtxField | undefined {
  return layout.fields.find((f) => offset >= f.offset && offset < f.offset + f.size * f.count);
}
