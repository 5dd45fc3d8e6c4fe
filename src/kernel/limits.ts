// SPDX-License-Identifier: MIT

/**
 * The verifier's limits by their kernel names, in one place. Source: include/linux/{bpf,bpf_verifier,filter}.h
 * and kernel/bpf/verifier.c of Linux 6.18.
 */
export const Limit = {
  /** Bytes of stack per frame, and of all frames of a call chain together. */
  MAX_BPF_STACK: 512,
  /** Bytes of one stack slot and of one register. */
  BPF_REG_SIZE: 8,
  /** Registers r0..r10. */
  MAX_BPF_REG: 11,
  /** Instructions of an unprivileged program. */
  BPF_MAXINSNS: 4096,
  /** Instructions of a privileged program, and instructions that the verifier walks before it gives up. */
  BPF_COMPLEXITY_LIMIT_INSNS: 1_000_000,
  /** Branches waiting to be walked. */
  BPF_COMPLEXITY_LIMIT_JMP_SEQ: 8192,
  /** States kept per instruction of an unprivileged program. */
  BPF_COMPLEXITY_LIMIT_STATES: 64,
  /** Frames of a call chain. */
  MAX_CALL_FRAMES: 8,
  /** Subprograms, the main program included. */
  BPF_MAX_SUBPROGS: 256,
  /** Bound of a variable offset of a pointer. */
  BPF_MAX_VAR_OFF: 1 << 29,
  /** Bound of a variable size argument. */
  BPF_MAX_VAR_SIZ: 1 << 29,
  /** Bound of packet offsets for which a packet range is tracked. */
  MAX_PACKET_OFF: 0xffff,
  MAX_USED_MAPS: 64,
  MAX_USED_BTFS: 64,
  MAX_KFUNC_DESCS: 256,
  MAX_KFUNC_BTFS: 256,
  /** Values from which raw_tracepoint and BTF-tracing contexts are made. */
  MAX_BPF_FUNC_ARGS: 12,
  /** Registers that carry arguments. */
  MAX_BPF_FUNC_REG_ARGS: 5,
  /** Tail calls in a row before the next one falls through. */
  MAX_TAIL_CALL_CNT: 33,
  /** Bytes of a tracepoint's context that a program may touch. */
  PERF_MAX_TRACE_SIZE: 8192,
  /** Bytes of a dynptr on the stack. */
  BPF_DYNPTR_SIZE: 16,
  /** Stack slots of a dynptr. */
  BPF_DYNPTR_NR_SLOTS: 2,
  /** Rows of the id map that state comparison uses. */
  BPF_ID_MAP_SIZE: (11 + 512 / 8) * 8,
  /** Bytes of one message before it goes to the log. */
  BPF_VERIFIER_TMP_LOG_SIZE: 1024,
  /** Bytes of the buffer in which names of types are composed. */
  TMP_STR_BUF_LEN: 320,
  /** Arguments of bpf_snprintf() and bpf_trace_vprintk(). */
  MAX_BPRINTF_VARARGS: 12,
  /** Bytes of a record of func_info or line_info. */
  MAX_FUNCINFO_REC_SIZE: 252,
  MAX_LINEINFO_REC_SIZE: 252,
  /** Bytes that one bpf_trace_printk(), bpf_snprintf() or bpf_seq_printf() prints. */
  MAX_BPRINTF_BUF: 1024,
  /** Bytes of a name in BTF. */
  KSYM_NAME_LEN: 512,
  /** Types that lead to each other before one whose size is known. */
  MAX_RESOLVE_DEPTH: 32,
  /** Special fields of one type. */
  BTF_FIELDS_MAX: 11,
  /** The most that `attr.log_size` may say: UINT_MAX >> 2. */
  LOG_SIZE_MAX: 0x3fff_ffff,
} as const;
