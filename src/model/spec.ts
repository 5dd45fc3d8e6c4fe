// SPDX-License-Identifier: MIT
import type { Insn } from "../asm/insn.js";
import type { Btf } from "../btf/types.js";

/**
 * A symbolic reference of one instruction, resolved when the object meets a kernel (ELF relocations
 * say the same in another form). `insn` is the slot index of the instruction that refers.
 */
export type Ref =
  /** `ld_imm64` of a map's address (BPF_PSEUDO_MAP_FD). */
  | { readonly kind: "map"; readonly insn: number; readonly map: string }
  /** `ld_imm64` of an address inside a global data section (BPF_PSEUDO_MAP_VALUE). */
  | { readonly kind: "data"; readonly insn: number; readonly section: string; readonly offset: number }
  /** BPF-to-BPF call of a function of this object. */
  | { readonly kind: "call"; readonly insn: number; readonly func: string }
  /** `ld_imm64` of a function's address, for callbacks (BPF_PSEUDO_FUNC). */
  | { readonly kind: "func"; readonly insn: number; readonly func: string };

/** Ties an instruction to the source line that made it. */
export interface LineSpec {
  /** Slot index of the first instruction of the line. */
  readonly insn: number;
  readonly file: string;
  /** 1-based line. */
  readonly line: number;
  /** 1-based column. */
  readonly column: number;
  /** The line's text as it stands in the file; empty when the source is not at hand. */
  readonly text: string;
}

/** One function: a program when its section is a SEC name, a subprogram when it stands in `.text`. */
export interface FunctionSpec {
  readonly name: string;
  /** ELF section, e.g. `tracepoint/syscalls/sys_enter_execve`; `.text` for subprograms. */
  readonly section: string;
  readonly linkage: "global" | "static";
  readonly insns: readonly Insn[];
  /** In ascending order of `insn`. */
  readonly refs: readonly Ref[];
  /** In ascending order of `insn`; empty without debug information. */
  readonly lines: readonly LineSpec[];
  /** BTF_KIND_FUNC id in the object's BTF, 0 when there is none. */
  readonly btfFuncId: number;
}

/** A map as the object declares it. Type ids are ids in the object's BTF, 0 when untyped. */
export interface MapSpec {
  readonly name: string;
  /** BPF_MAP_TYPE_*. */
  readonly type: number;
  /** Bytes. */
  readonly keySize: number;
  /** Bytes. */
  readonly valueSize: number;
  readonly maxEntries: number;
  /** BPF_F_* flags of BPF_MAP_CREATE. */
  readonly flags: number;
  readonly extra: bigint;
  readonly keyTypeId: number;
  readonly valueTypeId: number;
  /** BTF_KIND_VAR of the map's definition in `.maps`, 0 when untyped. */
  readonly btfVarId: number;
  /** `pinByName` is LIBBPF_PIN_BY_NAME. */
  readonly pinning: "none" | "byName";
  /** The template of the inner maps for a map-in-map. */
  readonly inner: MapSpec | null;
}

/** A global variable's place in its data section. */
export interface DataVariable {
  readonly name: string;
  /** Bytes from the section's start. */
  readonly offset: number;
  readonly size: number;
  /** BTF_KIND_VAR id, 0 when untyped. */
  readonly btfVarId: number;
}

/** A global data section: `.rodata*` (frozen, read-only), `.data*` or `.bss*`. */
export interface DataSpec {
  readonly section: string;
  readonly content: Uint8Array;
  readonly variables: readonly DataVariable[];
  /** BTF_KIND_DATASEC id, 0 when untyped. */
  readonly btfDatasecId: number;
}

/**
 * Everything an object file says, references not yet resolved. Every front end (DSL, assembler, ELF
 * reader) makes one; `object/resolve` turns it into {@link ProgramLoad}s.
 */
export interface ObjectSpec {
  /** The object's name, without directory or ending; names the maps of its data sections. */
  readonly name: string;
  /** Content of the `license` section, e.g. `GPL`. */
  readonly license: string;
  readonly functions: readonly FunctionSpec[];
  readonly maps: readonly MapSpec[];
  readonly data: readonly DataSpec[];
  readonly btf: Btf | null;
}
