// SPDX-License-Identifier: GPL-2.0-only

/** What a special field of a map value is. Mirrors enum btf_field_type. */
export type BtfFieldKind =
  | "spinLock"
  | "resSpinLock"
  | "timer"
  | "workqueue"
  | "taskWork"
  | "kptrUnref"
  | "kptrRef"
  | "kptrPercpu"
  | "uptr"
  | "listHead"
  | "listNode"
  | "rbRoot"
  | "rbNode"
  | "refcount";

const names: Readonly<Record<BtfFieldKind, string>> = {
  spinLock: "bpf_spin_lock",
  resSpinLock: "bpf_res_spin_lock",
  timer: "bpf_timer",
  workqueue: "bpf_wq",
  taskWork: "bpf_task_work",
  kptrUnref: "kptr",
  kptrRef: "kptr",
  kptrPercpu: "percpu_kptr",
  uptr: "uptr",
  listHead: "bpf_list_head",
  listNode: "bpf_list_node",
  rbRoot: "bpf_rb_root",
  rbNode: "bpf_rb_node",
  refcount: "bpf_refcount",
};

/** How the log names a field of this kind. Mirrors btf_field_type_name(). */
export function btfFieldTypeName(kind: BtfFieldKind): string {
  return names[kind];
}

/** Pointers that live in map values: BPF_KPTR | BPF_UPTR. */
export function isKptrKind(kind: BtfFieldKind): boolean {
  return kind === "kptrUnref" || kind === "kptrRef" || kind === "kptrPercpu" || kind === "uptr";
}
