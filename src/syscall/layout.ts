// SPDX-License-Identifier: MIT

/**
 * Byte offsets within the structures of the kernel's interface, as data: member names are those of
 * include/uapi/linux/bpf.h and perf_event.h (6.18). `size` is what is handed to the kernel; an older
 * kernel takes a longer structure as long as what it does not know is zero.
 */

/** Size of the largest `union bpf_attr` in use, in bytes. */
export const ATTR_SIZE = 168;

/** BPF_MAP_CREATE. */
export const MAP_CREATE = {
  map_type: 0,
  key_size: 4,
  value_size: 8,
  max_entries: 12,
  map_flags: 16,
  inner_map_fd: 20,
  numa_node: 24,
  map_name: 28,
  map_ifindex: 44,
  btf_fd: 48,
  btf_key_type_id: 52,
  btf_value_type_id: 56,
  btf_vmlinux_value_type_id: 60,
  map_extra: 64,
  value_type_btf_obj_fd: 72,
  map_token_fd: 76,
  size: 80,
} as const;

/** BPF_MAP_LOOKUP_ELEM and the other commands on one element; BPF_MAP_FREEZE takes `map_fd` alone. */
export const MAP_ELEM = { map_fd: 0, key: 8, value: 16, next_key: 16, flags: 24, size: 32 } as const;

/** BPF_MAP_LOOKUP_BATCH and its kin. */
export const MAP_BATCH = {
  in_batch: 0,
  out_batch: 8,
  keys: 16,
  values: 24,
  count: 32,
  map_fd: 36,
  elem_flags: 40,
  flags: 48,
  size: 56,
} as const;

/** BPF_PROG_LOAD. */
export const PROG_LOAD = {
  prog_type: 0,
  insn_cnt: 4,
  insns: 8,
  license: 16,
  log_level: 24,
  log_size: 28,
  log_buf: 32,
  kern_version: 40,
  prog_flags: 44,
  prog_name: 48,
  prog_ifindex: 64,
  expected_attach_type: 68,
  prog_btf_fd: 72,
  func_info_rec_size: 76,
  func_info: 80,
  func_info_cnt: 88,
  line_info_rec_size: 92,
  line_info: 96,
  line_info_cnt: 104,
  attach_btf_id: 108,
  attach_prog_fd: 112,
  attach_btf_obj_fd: 112,
  core_relo_cnt: 116,
  fd_array: 120,
  core_relos: 128,
  core_relo_rec_size: 136,
  log_true_size: 140,
  prog_token_fd: 144,
  fd_array_cnt: 148,
  size: 152,
} as const;

/** BPF_OBJ_PIN and BPF_OBJ_GET. */
export const OBJ = { pathname: 0, bpf_fd: 8, file_flags: 12, path_fd: 16, size: 20 } as const;

/** BPF_PROG_TEST_RUN. */
export const TEST_RUN = {
  prog_fd: 0,
  retval: 4,
  data_size_in: 8,
  data_size_out: 12,
  data_in: 16,
  data_out: 24,
  repeat: 32,
  duration: 36,
  ctx_size_in: 40,
  ctx_size_out: 44,
  ctx_in: 48,
  ctx_out: 56,
  flags: 64,
  cpu: 68,
  batch_size: 72,
  size: 80,
} as const;

/** BPF_*_GET_NEXT_ID and BPF_*_GET_FD_BY_ID. */
export const BY_ID = { start_id: 0, next_id: 4, open_flags: 8, size: 12 } as const;

/** BPF_OBJ_GET_INFO_BY_FD. */
export const INFO = { bpf_fd: 0, info_len: 4, info: 8, size: 16 } as const;

/** BPF_RAW_TRACEPOINT_OPEN. */
export const RAW_TRACEPOINT = { name: 0, prog_fd: 8, cookie: 16, size: 24 } as const;

/** BPF_BTF_LOAD. */
export const BTF_LOAD = {
  btf: 0,
  btf_log_buf: 8,
  btf_size: 16,
  btf_log_size: 20,
  btf_log_level: 24,
  btf_log_true_size: 28,
  btf_flags: 32,
  btf_token_fd: 36,
  size: 40,
} as const;

/** BPF_LINK_CREATE, up to the member that depends on the attach type. */
export const LINK_CREATE = {
  prog_fd: 0,
  target_fd: 4,
  target_ifindex: 4,
  attach_type: 8,
  flags: 12,
  size: 64,
} as const;
/** `link_create.perf_event`. */
export const LINK_CREATE_PERF_EVENT = { bpf_cookie: 16 } as const;
/** `link_create.tracing`. */
export const LINK_CREATE_TRACING = { target_btf_id: 16, cookie: 24 } as const;

/** BPF_LINK_DETACH. */
export const LINK_DETACH = { link_fd: 0, size: 4 } as const;

/** `struct bpf_prog_info`. */
export const PROG_INFO = {
  type: 0,
  id: 4,
  tag: 8,
  jited_prog_len: 16,
  xlated_prog_len: 20,
  jited_prog_insns: 24,
  xlated_prog_insns: 32,
  load_time: 40,
  created_by_uid: 48,
  nr_map_ids: 52,
  map_ids: 56,
  name: 64,
  ifindex: 80,
  btf_id: 128,
  func_info_rec_size: 132,
  func_info: 136,
  nr_func_info: 144,
  nr_line_info: 148,
  line_info: 152,
  line_info_rec_size: 172,
  run_time_ns: 192,
  run_cnt: 200,
  recursion_misses: 208,
  verified_insns: 216,
  attach_btf_obj_id: 220,
  attach_btf_id: 224,
  size: 232,
} as const;

/** `struct bpf_map_info`. */
export const MAP_INFO = {
  type: 0,
  id: 4,
  key_size: 8,
  value_size: 12,
  max_entries: 16,
  map_flags: 20,
  name: 24,
  ifindex: 40,
  btf_vmlinux_value_type_id: 44,
  btf_id: 64,
  btf_key_type_id: 68,
  btf_value_type_id: 72,
  map_extra: 80,
  size: 88,
} as const;

/** `struct bpf_btf_info`. */
export const BTF_INFO = { btf: 0, btf_size: 8, id: 12, name: 16, name_len: 24, kernel_btf: 28, size: 32 } as const;

/** `struct bpf_link_info`, up to the member that depends on the type. */
export const LINK_INFO = { type: 0, id: 4, prog_id: 8, size: 64 } as const;

/** `struct perf_event_attr`; `flags` is the word of bit fields that begins with `disabled`. */
export const PERF_EVENT_ATTR = {
  type: 0,
  size_field: 4,
  config: 8,
  sample_period: 16,
  sample_type: 24,
  read_format: 32,
  flags: 40,
  wakeup_events: 48,
  config1: 56,
  config2: 64,
  size: 112,
} as const;
