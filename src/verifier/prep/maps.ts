// SPDX-License-Identifier: GPL-2.0-only
import { type BtfBlob, readBtfBlob } from "../../btf/read.js";
import type { Btf, BtfType } from "../../btf/types.js";
import { MapFlag, MapType } from "../../kernel/uapi.js";
import type { MapLoad } from "../../model/load.js";
import type { BtfRecord, VerifierEnv } from "../env.js";
import type { BtfFieldKind } from "../kinds/btf-record.js";

/* The maps of a load as the verifier looks at them: numbered, with their special fields. */

const blobs = new WeakMap<Uint8Array, BtfBlob>();

/** A BTF blob taken apart, once for every array that holds one. */
export function btfBlobOf(bytes: Uint8Array): BtfBlob {
  let blob = blobs.get(bytes);
  if (blob === undefined) {
    blob = readBtfBlob(bytes);
    blobs.set(bytes, blob);
  }
  return blob;
}

const STRUCT_FIELDS: ReadonlyMap<string, BtfFieldKind> = new Map<string, BtfFieldKind>([
  ["bpf_spin_lock", "spinLock"],
  ["bpf_res_spin_lock", "resSpinLock"],
  ["bpf_timer", "timer"],
  ["bpf_wq", "workqueue"],
  ["bpf_task_work", "taskWork"],
  ["bpf_list_head", "listHead"],
  ["bpf_list_node", "listNode"],
  ["bpf_rb_root", "rbRoot"],
  ["bpf_rb_node", "rbNode"],
  ["bpf_refcount", "refcount"],
]);

const POINTER_TAGS: ReadonlyMap<string, BtfFieldKind> = new Map<string, BtfFieldKind>([
  ["kptr_untrusted", "kptrUnref"],
  ["kptr", "kptrRef"],
  ["percpu_kptr", "kptrPercpu"],
  ["uptr", "uptr"],
]);

interface Field {
  readonly offset: number;
  readonly size: number;
  readonly kind: BtfFieldKind;
}

function skipModifiers(btf: Btf, id: number): BtfType | undefined {
  let type = btf.types[id];
  while (type?.kind === "typedef" || type?.kind === "const" || type?.kind === "volatile" || type?.kind === "restrict") {
    type = btf.types[type.type];
  }
  return type;
}

function typeSize(btf: Btf, id: number): number {
  const type = skipModifiers(btf, id);
  if (type?.kind === "array") return type.nelems * typeSize(btf, type.type);
  if (type?.kind === "ptr") return 8;
  return type !== undefined && "size" in type ? type.size : 0;
}

function findFields(btf: Btf, id: number, offset: number, out: Field[]): void {
  const type = skipModifiers(btf, id);
  if (type === undefined) return;
  if (type.kind === "array") {
    const size = typeSize(btf, type.type);
    for (let i = 0; i < type.nelems && out.length < 64; i++) {
      const before = out.length;
      findFields(btf, type.type, offset + i * size, out);
      if (out.length === before) return;
    }
  } else if (type.kind === "ptr") {
    const target = btf.types[type.type];
    const kind = target?.kind === "typeTag" ? POINTER_TAGS.get(target.name) : undefined;
    if (kind !== undefined) out.push({ offset, size: 8, kind });
  } else if (type.kind === "struct") {
    const kind = STRUCT_FIELDS.get(type.name);
    if (kind !== undefined) out.push({ offset, size: type.size, kind });
    else for (const m of type.members) if (m.bitSize === 0) findFields(btf, m.type, offset + (m.bitOffset >> 3), out);
  } else if (type.kind === "datasec") {
    for (const v of type.vars) {
      const variable = btf.types[v.type];
      if (variable?.kind === "var") findFields(btf, variable.type, offset + v.offset, out);
    }
  }
}

/** The special fields of a map's value. Mirrors btf_parse_fields(). */
function mapRecord(env: VerifierEnv, load: MapLoad): BtfRecord | null {
  if (load.btf === null || load.btfValueTypeId === 0) return null;
  const bytes = load.btf === "prog" ? env.load.btf : load.btf;
  if (bytes === null) return null;
  const fields: Field[] = [];
  findFields(btfBlobOf(bytes).btf, load.btfValueTypeId, 0, fields);
  return fields.length === 0 ? null : { fields };
}

/** The map as the kernel makes it: programs can never write into a device map. */
function asKept(load: MapLoad): MapLoad {
  if (load.type !== MapType.DEVMAP && load.type !== MapType.DEVMAP_HASH) return load;
  return { ...load, flags: load.flags | MapFlag.RDONLY_PROG };
}

/** Gives every map of the load its number, then every inner map. */
export function addMaps(env: VerifierEnv): void {
  const { maps } = env.load;
  let inner = maps.length;
  for (const [i, load] of maps.entries()) {
    env.maps.push({
      index: i + 1,
      load: asKept(load),
      inner: load.inner === null ? 0 : ++inner,
      record: mapRecord(env, load),
    });
  }
  for (const load of maps) {
    if (load.inner === null) continue;
    // Of the inner map's template the kernel keeps neither name nor content.
    const template = { ...asKept(load.inner), name: "", frozen: false, value: null };
    env.maps.push({ index: env.maps.length + 1, load: template, inner: 0, record: mapRecord(env, load.inner) });
  }
}
