// SPDX-License-Identifier: GPL-2.0-only
import type { BtfFieldKind } from "./btf-record.js";

/* How the kernel knows special fields: by the name of their type, or by a tag behind a pointer. */

/** A type of which a field is special. */
export interface FieldFacts {
  readonly kind: BtfFieldKind;
  /** Bytes. */
  readonly size: number;
  readonly align: number;
  /** One in a struct at most. */
  readonly unique: boolean;
}

const facts = (kind: BtfFieldKind, size: number, align: number, unique: boolean): FieldFacts => ({
  kind,
  size,
  align,
  unique,
});

/** By name of the type. Mirrors the table of btf_get_field_type(), btf_field_type_size() and btf_field_type_align(). */
export const FIELDS_BY_NAME: ReadonlyMap<string, FieldFacts> = new Map([
  ["bpf_spin_lock", facts("spinLock", 4, 4, true)],
  ["bpf_res_spin_lock", facts("resSpinLock", 4, 4, true)],
  ["bpf_timer", facts("timer", 16, 8, true)],
  ["bpf_wq", facts("workqueue", 16, 8, true)],
  ["bpf_task_work", facts("taskWork", 8, 8, true)],
  ["bpf_list_head", facts("listHead", 16, 8, false)],
  ["bpf_list_node", facts("listNode", 24, 8, false)],
  ["bpf_rb_root", facts("rbRoot", 16, 8, false)],
  ["bpf_rb_node", facts("rbNode", 32, 8, false)],
  ["bpf_refcount", facts("refcount", 4, 4, false)],
]);

/** A field of any other type but a struct: it may be a pointer, of which the tag says the kind. */
export const POINTER_FIELD: FieldFacts = facts("kptrRef", 8, 8, false);

/** Mirrors the names in btf_find_kptr(). */
export const POINTER_TAGS: ReadonlyMap<string, BtfFieldKind> = new Map<string, BtfFieldKind>([
  ["kptr_untrusted", "kptrUnref"],
  ["kptr", "kptrRef"],
  ["percpu_kptr", "kptrPercpu"],
  ["uptr", "uptr"],
]);

/** Kinds that an array may hold more than one of. Mirrors the switch of btf_repeat_fields(). */
export const REPEATABLE_FIELDS: ReadonlySet<BtfFieldKind> = new Set<BtfFieldKind>([
  "kptrUnref",
  "kptrRef",
  "kptrPercpu",
  "uptr",
  "listHead",
  "rbRoot",
]);
