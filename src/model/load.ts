// SPDX-License-Identifier: MIT

/** A map as BPF_MAP_CREATE got it, and what the verifier may look at in it. */
export interface MapLoad {
  readonly name: string;
  /** BPF_MAP_TYPE_*. */
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** As the kernel holds them: it adds BPF_F_RDONLY_PROG to a devmap. */
  readonly flags: number;
  readonly extra: bigint;
  /** NUMA node to allocate on, which counts with BPF_F_NUMA_NODE in `flags`; 0 when absent. */
  readonly numaNode?: number;
  /** `prog`: the program's own BTF; bytes: a BTF of its own; null: untyped. */
  readonly btf: "prog" | Uint8Array | null;
  readonly btfKeyTypeId: number;
  readonly btfValueTypeId: number;
  readonly btfVmlinuxValueTypeId: number;
  /** BTF of the kernel module that `btfVmlinuxValueTypeId` is of; absent when it is vmlinux'. */
  readonly valueBtf?: Uint8Array;
  readonly inner: MapLoad | null;
  /** BPF_MAP_FREEZE was done. */
  readonly frozen: boolean;
  /**
   * The first (only) value of an array: initial content of global data; read by the verifier when frozen and
   * read-only. Of an arena: its initial content.
   */
  readonly value: Uint8Array | null;
}

/** What stands at one index of `fd_array`. */
export type FdArrayEntry =
  | { readonly kind: "map"; readonly map: number }
  | { readonly kind: "btf"; readonly btf: Uint8Array }
  | { readonly kind: "fd"; readonly fd: number };

/** BPF-side records of func_info or line_info as BPF_PROG_LOAD takes them. */
export interface InfoRecords {
  readonly bytes: Uint8Array;
  /** Bytes per record. */
  readonly recSize: number;
  readonly count: number;
}

/**
 * One program exactly as BPF_PROG_LOAD gets it, with file descriptors replaced by indices: in
 * `ld_imm64` with src_reg BPF_PSEUDO_MAP_FD or BPF_PSEUDO_MAP_VALUE, imm is an index into `maps`;
 * with BPF_PSEUDO_MAP_IDX(_VALUE), an index into `fdArray`. Verifier, VM and loader take only this.
 */
export interface ProgramLoad {
  readonly name: string;
  /** BPF_PROG_TYPE_*. */
  readonly progType: number;
  /** BPF_* attach type. */
  readonly expectedAttachType: number;
  /** BPF_F_* flags of BPF_PROG_LOAD. */
  readonly progFlags: number;
  readonly progIfindex: number;
  readonly kernVersion: number;
  readonly license: string;
  /** Type id in vmlinux BTF (or in a module's, or the attach program's), 0 for none. */
  readonly attachBtfId: number;
  /** BTF of the kernel module that `attachBtfId` is of; absent when it is vmlinux'. */
  readonly attachBtf?: Uint8Array;
  /** 8 bytes a slot, little-endian. */
  readonly insns: Uint8Array;
  readonly maps: readonly MapLoad[];
  /** Instruction slots whose map fd was no map at all: their imm is left as it was. */
  readonly badMapInsns: readonly number[];
  readonly fdArray: readonly FdArrayEntry[] | null;
  /**
   * BTF of the kernel modules whose variables the program names: in `ld_imm64` with BPF_PSEUDO_BTF_ID the imm of the
   * second slot is 0 for vmlinux, else an index into these plus 1. Without them it is left as it was.
   */
  readonly moduleBtfs?: readonly Uint8Array[];
  /** The program's BTF blob, null when it has none. */
  readonly btf: Uint8Array | null;
  readonly funcInfo: InfoRecords | null;
  readonly lineInfo: InfoRecords | null;
}
