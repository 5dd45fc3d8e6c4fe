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
  /** BPF-to-BPF call that leads to no function: nothing that reaches it can be loaded. */
  | { readonly kind: "nowhere"; readonly insn: number }
  /** `ld_imm64` of a function's address, for callbacks (BPF_PSEUDO_FUNC). */
  | { readonly kind: "func"; readonly insn: number; readonly func: string }
  /** Call of a function of the kernel that the object declares extern (BPF_PSEUDO_KFUNC_CALL). */
  | { readonly kind: "kfunc"; readonly insn: number; readonly extern: string }
  /** `ld_imm64` of an extern: a value of `.kconfig`, or the address of a kernel's variable or function. */
  | { readonly kind: "extern"; readonly insn: number; readonly extern: string };

/** Who may see a symbol beyond its own object (STV_*); a local symbol is always `default`. */
export type SymbolVisibility = "default" | "hidden" | "internal" | "protected";

/** A CO-RE relocation of one instruction (struct bpf_core_relo). */
export interface CoreReloSpec {
  /** Slot index of the instruction that is to be patched. */
  readonly insn: number;
  /** Root type in the object's BTF. */
  readonly typeId: number;
  /** How to get from the root to what is meant, e.g. `0:1:2`. */
  readonly access: string;
  /** enum bpf_core_relo_kind. */
  readonly kind: number;
}

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
  /** Unique in the object. */
  readonly name: string;
  /**
   * Name in the symbol table. It differs from `name` only when several local functions share it, as they may
   * in linked objects.
   */
  readonly symbol: string;
  /** ELF section, e.g. `tracepoint/syscalls/sys_enter_execve`; `.text` for subprograms. */
  readonly section: string;
  /** As the verifier sees it: a hidden function is `static` although other objects may link against it. */
  readonly linkage: "global" | "static";
  /** Whether another definition goes before this one in linking. */
  readonly weak: boolean;
  readonly visibility: SymbolVisibility;
  readonly insns: readonly Insn[];
  /** In ascending order of `insn`. */
  readonly refs: readonly Ref[];
  /** In ascending order of `insn`; empty without debug information. */
  readonly lines: readonly LineSpec[];
  /** In ascending order of `insn`. */
  readonly core: readonly CoreReloSpec[];
  /** BTF_KIND_FUNC id in the object's BTF, 0 when there is none. */
  readonly btfFuncId: number;
}

/** What an element of a map holds from the start: a map of a map of maps, a program of a program array. */
export interface MapInitSpec {
  readonly index: number;
  readonly kind: "map" | "func";
  /** Of the map or function. */
  readonly name: string;
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
  /** NUMA node to allocate on, which counts with BPF_F_NUMA_NODE in `flags`. */
  readonly numaNode: number;
  readonly keyTypeId: number;
  readonly valueTypeId: number;
  /** BTF_KIND_VAR of the map's definition in `.maps`, 0 when untyped. */
  readonly btfVarId: number;
  /** `pinByName` is LIBBPF_PIN_BY_NAME. */
  readonly pinning: "none" | "byName";
  /** The template of the inner maps for a map-in-map. */
  readonly inner: MapSpec | null;
  /** In ascending order of `index`; elements that are not named are empty. */
  readonly initial: readonly MapInitSpec[];
  readonly weak: boolean;
  readonly visibility: SymbolVisibility;
}

/** A global variable's place in its data section. */
export interface DataVariable {
  readonly name: string;
  /** Bytes from the section's start. */
  readonly offset: number;
  readonly size: number;
  /** BTF_KIND_VAR id, 0 when untyped. */
  readonly btfVarId: number;
  /** As user space sees it: a hidden variable is `static` although other objects may link against it. */
  readonly linkage: "global" | "static";
  readonly weak: boolean;
  readonly visibility: SymbolVisibility;
}

/**
 * An address inside of global data. Loaders leave it as the content has it (libbpf passes such relocations
 * over); linking needs it.
 */
export type DataRef = {
  /** Bytes from the section's start. */
  readonly offset: number;
  /** Bytes of the address. */
  readonly size: 4 | 8;
} & (
  | { readonly kind: "data"; readonly section: string; readonly target: number }
  | { readonly kind: "func"; readonly func: string }
  | { readonly kind: "map"; readonly map: string }
  | { readonly kind: "extern"; readonly extern: string }
);

/**
 * A global data section: `.rodata*` (frozen, read-only), `.data*` or `.bss*`, or `.addr_space.1`, the
 * initial content of the object's arena.
 */
export interface DataSpec {
  readonly section: string;
  readonly content: Uint8Array;
  /** Bytes, a power of two: what its variables need of the section's place. */
  readonly align: number;
  readonly variables: readonly DataVariable[];
  /** In ascending order of `offset`. */
  readonly refs: readonly DataRef[];
  /** BTF_KIND_DATASEC id, 0 when untyped. */
  readonly btfDatasecId: number;
}

/** What the object uses and does not define. */
export interface ExternSpec {
  readonly name: string;
  /**
   * `.kconfig`: a value of the kernel's configuration; `.ksyms`: a symbol of the kernel or its modules. Any
   * other one, or none (empty): something that another object defines, which only linking can give.
   */
  readonly section: string;
  readonly kind: "var" | "func";
  /** Whether the object can live without it. */
  readonly weak: boolean;
  readonly visibility: SymbolVisibility;
  /** BTF_KIND_VAR or BTF_KIND_FUNC id; 0 when there is none. */
  readonly btfId: number;
  /** Bytes; 0 for functions and for `void` (a symbol whose type does not matter). */
  readonly size: number;
  /** Bytes; 1 for functions and for `void`. */
  readonly align: number;
}

/** A variable of a `.struct_ops*` section: the initial content of a struct_ops map. */
export interface StructOpsSpec {
  /** The variable's name, which names the map. */
  readonly name: string;
  /** `.struct_ops` or `.struct_ops.link`, with a `?` before it when the map is not to be created by itself. */
  readonly section: string;
  /** Bytes from the section's start. */
  readonly offset: number;
  /** The struct's BTF id. */
  readonly typeId: number;
  readonly btfVarId: number;
  readonly content: Uint8Array;
  /** The members that are programs, in ascending order of `offset` (bytes from the struct's start). */
  readonly refs: readonly { readonly offset: number; readonly func: string }[];
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
  /** KERNEL_VERSION() of the `version` section; 0 without one. Kernels since 5.0 do not look at it. */
  readonly version: number;
  /** Byte order of the machine that the object is for: that of its data. */
  readonly endianness: "little" | "big";
  readonly functions: readonly FunctionSpec[];
  readonly maps: readonly MapSpec[];
  readonly data: readonly DataSpec[];
  readonly externs: readonly ExternSpec[];
  readonly structOps: readonly StructOpsSpec[];
  readonly btf: Btf | null;
  /** The string section of `btf` as the file has it, so that offsets into it stay; null when there is no file. */
  readonly btfStrings: Uint8Array | null;
}
