// SPDX-License-Identifier: MIT

/**
 * Structs of the kernel that a map or an object may own by a `__kptr` pointer, for the kernel says how to destroy them.
 * Source: register_btf_id_dtor_kfuncs() of Linux 6.18.
 */
export const KPTR_DESTRUCTORS: ReadonlySet<string> = new Set([
  "task_struct",
  "cgroup",
  "bpf_cpumask",
  "bpf_crypto_ctx",
  "prog_test_member",
  "prog_test_ref_kfunc",
]);
