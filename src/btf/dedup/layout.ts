// SPDX-License-Identifier: MIT
import { PART_WORDS } from "../blob.js";
import { BTF_KIND } from "../format.js";

/*
 * The binary form of a BTF type as 32-bit words (struct btf_type and what follows it, linux/btf.h): which words
 * are names, which are type ids. Every field of BTF is one word, so a type is a run of a Uint32Array.
 */

/** Word of struct btf_type that holds the name's offset. */
export const NAME = 0;
/** Word of struct btf_type with kind, kind_flag and vlen. */
export const INFO = 1;
/** Word of struct btf_type with size or type. */
export const SIZE_OR_TYPE = 2;
/** Words of struct btf_type. */
export const HEAD_WORDS = 3;

/** Where a kind has names and type ids. */
export interface KindLayout {
  /** Whether SIZE_OR_TYPE is a type id. */
  readonly headRef: boolean;
  /** Whether the parts begin with a name. */
  readonly named: boolean;
  /** First word behind the head that holds a type id; the next ones follow at {@link stride}. */
  readonly refAt: number;
  /** How many of them: a number, or one in each part. */
  readonly refs: number | "parts";
  /** Words of a part; 1 when there are no parts. */
  readonly stride: number;
}

const PLAIN = { headRef: false, named: false, refAt: 0, refs: 0 } as const;
const REFERENCE = { ...PLAIN, headRef: true } as const;
const AGGREGATE = { ...PLAIN, named: true, refAt: 1, refs: "parts" } as const;
const ENUM = { ...PLAIN, named: true } as const;

const BY_KIND: { readonly [kind: number]: Omit<KindLayout, "stride"> | undefined } = {
  [BTF_KIND.int]: PLAIN,
  [BTF_KIND.ptr]: REFERENCE,
  [BTF_KIND.array]: { ...PLAIN, refs: 2 },
  [BTF_KIND.struct]: AGGREGATE,
  [BTF_KIND.union]: AGGREGATE,
  [BTF_KIND.enum]: ENUM,
  [BTF_KIND.fwd]: PLAIN,
  [BTF_KIND.typedef]: REFERENCE,
  [BTF_KIND.volatile]: REFERENCE,
  [BTF_KIND.const]: REFERENCE,
  [BTF_KIND.restrict]: REFERENCE,
  [BTF_KIND.func]: REFERENCE,
  [BTF_KIND.funcProto]: { headRef: true, named: true, refAt: 1, refs: "parts" },
  [BTF_KIND.var]: REFERENCE,
  [BTF_KIND.datasec]: { ...PLAIN, refs: "parts" },
  [BTF_KIND.float]: PLAIN,
  [BTF_KIND.declTag]: REFERENCE,
  [BTF_KIND.typeTag]: REFERENCE,
  [BTF_KIND.enum64]: ENUM,
};

/** Layout by BTF_KIND_*. */
export const KIND_LAYOUTS: readonly KindLayout[] = Array.from(PART_WORDS, (stride, kind) => ({
  ...(BY_KIND[kind] ?? PLAIN),
  stride: Math.max(1, stride),
}));

/** BTF_KIND_* in an info word. */
export function kindOf(info: number): number {
  return (info >>> 24) & 0x1f;
}

/** Number of parts in an info word. */
export function vlenOf(info: number): number {
  return info & 0xffff;
}

/** The kind_flag of an info word. */
export function kindFlagOf(info: number): boolean {
  return info >>> 31 !== 0;
}
