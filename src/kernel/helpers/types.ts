// SPDX-License-Identifier: MIT
import type { HelperName } from "./names.js";

/** A prototype as the tables state it: types by the kernel's enum names, without `ARG_` and `RET_`, flags after ` | `. */
export interface ProtoRow {
  readonly helper: HelperName;
  readonly ret: string;
  readonly args: readonly string[];
  /** Argument number (1–5) → name of the kernel type that a PTR_TO_BTF_ID argument must have; `*`: set by the verifier. */
  readonly argBtf?: Readonly<Record<number, string>>;
  /** Argument number (1–5) → bytes of a MEM_FIXED_SIZE argument. */
  readonly argSize?: Readonly<Record<number, number>>;
  /** Name of the kernel type of a returned PTR_TO_BTF_ID; `*`: set by the verifier. */
  readonly retBtf?: string;
  readonly gpl?: boolean;
  readonly pktAccess?: boolean;
  readonly mightSleep?: boolean;
  readonly fastcall?: boolean;
  /** Name of the kernel function that judges whether the attach target may use the helper. */
  readonly allowed?: string;
}

export type ProtoRows = Readonly<Record<string, ProtoRow>>;

/** A helper's prototype with its types as numbers (see bpf-types.ts): `struct bpf_func_proto`. */
export interface HelperProto {
  /** `BPF_FUNC_*`. */
  readonly id: number;
  /** Without `bpf_`. */
  readonly name: HelperName;
  /** The kernel's name of the prototype, without `bpf_` and `_proto`; tells variants of one helper apart. */
  readonly variant: string;
  /** `enum bpf_return_type` with flags. */
  readonly retType: number;
  /** Five `enum bpf_arg_type` with flags; ARG_DONTCARE (0) after the last argument. */
  readonly argTypes: readonly number[];
  /** Bytes of a MEM_FIXED_SIZE argument, 0 elsewhere; five. */
  readonly argSizes: readonly number[];
  /** Kernel type that a PTR_TO_BTF_ID argument must have, `*` when the verifier sets it, null elsewhere; five. */
  readonly argBtf: readonly (string | null)[];
  /** Kernel type of a returned PTR_TO_BTF_ID, `*` when the verifier sets it. */
  readonly retBtf: string | null;
  /** Only for programs with a GPL-compatible licence. */
  readonly gplOnly: boolean;
  /** May be given packet pointers. */
  readonly pktAccess: boolean;
  /** Only for sleepable programs. */
  readonly mightSleep: boolean;
  /** Keeps r1–r5 when called by the bpf_fastcall convention. */
  readonly allowFastcall: boolean;
  /** Kernel function that judges the attach target, null when every target will do. */
  readonly allowed: string | null;
}

/** What the loading process may do, as far as helpers depend on it. */
export interface HelperCaps {
  /** CAP_BPF (or CAP_SYS_ADMIN). */
  readonly bpf: boolean;
  /** CAP_PERFMON (or CAP_SYS_ADMIN). */
  readonly perfmon: boolean;
}
