// SPDX-License-Identifier: MIT

/**
 * BTF as data (kernel documentation, bpf/btf.rst). A `Btf` is an array of types whose index is the
 * type id; `types[0]` is void. References between types are ids.
 */
export interface Btf {
  readonly types: readonly BtfType[];
}

/** A member of a struct or union. */
export interface BtfMember {
  readonly name: string;
  readonly type: number;
  /** Bits from the start of the aggregate. */
  readonly bitOffset: number;
  /** Bit-field width, 0 when the member is no bit field. */
  readonly bitSize: number;
}

export interface BtfParam {
  /** Empty for an unnamed parameter. */
  readonly name: string;
  /** 0 in the last place stands for a vararg. */
  readonly type: number;
}

/** One variable of a BTF_KIND_DATASEC. */
export interface BtfSecInfo {
  readonly type: number;
  readonly offset: number;
  readonly size: number;
}

/** `linkage` of a BTF_KIND_FUNC (enum btf_func_linkage). */
export type BtfFuncLinkage = "static" | "global" | "extern";
/** `linkage` of a BTF_KIND_VAR. */
export type BtfVarLinkage = "static" | "global" | "extern";

/** One BTF type. Anonymous types have the empty name. Sizes are bytes unless said otherwise. */
export type BtfType =
  | { readonly kind: "void" }
  | {
      readonly kind: "int";
      readonly name: string;
      readonly size: number;
      /** Value bits. */
      readonly bits: number;
      readonly bitOffset: number;
      /** `signedChar` is GCC's `char`, both bits at once; the kernel refuses it. */
      readonly encoding: "none" | "signed" | "char" | "signedChar" | "bool";
    }
  | { readonly kind: "float"; readonly name: string; readonly size: number }
  | { readonly kind: "ptr"; readonly type: number }
  | { readonly kind: "array"; readonly type: number; readonly indexType: number; readonly nelems: number }
  | {
      readonly kind: "struct" | "union";
      readonly name: string;
      readonly size: number;
      readonly members: readonly BtfMember[];
      /** Set when kind_flag is, though no member is a bit field; with a bit field it always is. */
      readonly kindFlag?: boolean;
    }
  | {
      readonly kind: "enum";
      readonly name: string;
      readonly size: number;
      readonly signed: boolean;
      readonly values: readonly { readonly name: string; readonly value: number }[];
    }
  | {
      readonly kind: "enum64";
      readonly name: string;
      readonly size: number;
      readonly signed: boolean;
      readonly values: readonly { readonly name: string; readonly value: bigint }[];
    }
  | { readonly kind: "fwd"; readonly name: string; readonly isUnion: boolean }
  | { readonly kind: "typedef"; readonly name: string; readonly type: number }
  | { readonly kind: "volatile" | "const" | "restrict"; readonly type: number }
  | {
      readonly kind: "typeTag";
      readonly name: string;
      readonly type: number;
      /** Linux 6.14: the name is a whole `__attribute__`, not the argument of `btf_type_tag`. */
      readonly kindFlag?: boolean;
    }
  | {
      readonly kind: "declTag";
      readonly name: string;
      readonly type: number;
      /** -1 when the tag is on the type itself, else the member or parameter index. */
      readonly componentIdx: number;
      /** Linux 6.14: the name is a whole `__attribute__`, not the argument of `btf_decl_tag`. */
      readonly kindFlag?: boolean;
    }
  | { readonly kind: "func"; readonly name: string; readonly type: number; readonly linkage: BtfFuncLinkage }
  | { readonly kind: "funcProto"; readonly returnType: number; readonly params: readonly BtfParam[] }
  | { readonly kind: "var"; readonly name: string; readonly type: number; readonly linkage: BtfVarLinkage }
  | {
      readonly kind: "datasec";
      readonly name: string;
      readonly size: number;
      readonly vars: readonly BtfSecInfo[];
    };

/** Names of the BTF kinds as this library spells them. */
export type BtfKind = BtfType["kind"];
