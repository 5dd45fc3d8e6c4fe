// SPDX-License-Identifier: MIT

/** Bounds on what the ELF reader takes in, so that a crafted file costs no more than its size deserves. */
export const ELF_LIMITS = {
  /** Bytes of a file. */
  fileSize: 256 * 1024 * 1024,
  sections: 1 << 18,
  symbols: 1 << 18,
  /** Relocations of all sections together. */
  relocations: 1 << 20,
  /** Instruction slots of all functions together. */
  insns: 1 << 22,
  /** Bytes of all global data sections together; `.bss` takes none of them in the file. */
  dataSize: 128 * 1024 * 1024,
  /** Alignment of global data: the largest page of a machine that runs BPF. What a file wants beyond counts as none. */
  align: 1 << 16,
} as const;
