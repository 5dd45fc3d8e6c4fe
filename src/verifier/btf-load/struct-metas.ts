// SPDX-License-Identifier: GPL-2.0-only
import { BTF_KIND } from "../../btf/format.js";
import { Errno } from "../../kernel/errno.js";
import type { BtfFieldKind } from "../kinds/btf-record.js";
import type { LoadedBtf } from "./blob.js";
import { type Field, FieldFinder, RefusedFields } from "./fields.js";

/* Structs with special fields: which fields go together, and what may own what. */

/** What is asked about the kernel's own types. */
export interface KernelStructs {
  /** Whether the kernel has a struct of this name. */
  has(name: string): boolean;
  /** Whether it says how to destroy one, so that a map may own it. */
  hasDestructor(name: string): boolean;
}

/** Types of which a member makes a struct one to look at. */
const OBJECT_FIELDS = [
  "bpf_spin_lock",
  "bpf_list_head",
  "bpf_list_node",
  "bpf_rb_root",
  "bpf_rb_node",
  "bpf_refcount",
] as const;

/** __alignof__(struct bpf_list_node) and of struct bpf_rb_node. */
const NODE_ALIGN = 8;

const ROOTS: readonly BtfFieldKind[] = ["listHead", "rbRoot"];
const NODES: readonly BtfFieldKind[] = ["listNode", "rbNode"];

type Record = ReadonlyMap<BtfFieldKind, readonly Field[]>;

class StructMetas {
  private readonly btf: LoadedBtf;
  private readonly finder: FieldFinder;
  private readonly kernel: KernelStructs;

  constructor(btf: LoadedBtf, kernel: KernelStructs) {
    this.btf = btf;
    this.finder = new FieldFinder(btf);
    this.kernel = kernel;
  }

  /** By struct. Mirrors btf_parse_struct_metas(). */
  parse(): Map<number, Record> {
    const { btf } = this;
    const records = new Map<number, Record>();
    const special = this.specialTypes();
    if (special.size === 0) return records;
    for (let id = 1; id < btf.count; id++) {
      if (btf.kind(id) !== BTF_KIND.struct || !this.hasMemberOf(id, special)) continue;
      records.set(
        id,
        named(btf, id, () => this.record(id)),
      );
    }
    return records;
  }

  private specialTypes(): Set<number> {
    const { btf, finder } = this;
    const special = new Set<number>();
    const wanted = new Set<string>(OBJECT_FIELDS);
    for (let id = 1; id < btf.count && wanted.size > 0; id++) {
      if (btf.kind(id) !== BTF_KIND.struct) continue;
      for (const name of wanted) {
        if (!btf.textIs(btf.nameOff(id), name)) continue;
        special.add(id);
        wanted.delete(name);
      }
    }
    for (let id = 1; id < btf.count; id++) {
      const kind = btf.kind(id);
      if (kind !== BTF_KIND.ptr && kind !== BTF_KIND.volatile) continue;
      try {
        if (finder.pointer(id, 0) !== null) special.add(id);
      } catch (error) {
        // What is wrong with a pointer counts when a struct has it as a member.
        if (!(error instanceof RefusedFields)) throw error;
      }
    }
    return special;
  }

  private hasMemberOf(id: number, special: ReadonlySet<number>): boolean {
    const { btf } = this;
    const end = btf.rest(id) + btf.vlen(id) * 12;
    for (let member = btf.rest(id); member < end; member += 12) if (special.has(btf.u32(member + 4))) return true;
    return false;
  }

  /** Mirrors btf_parse_fields(). */
  private record(id: number): Record {
    const fields = this.finder.ofStruct(id);
    if (fields.length === 0)
      throw new RefusedFields(Errno.EFAULT, "a field of a special type that is none: size or place is wrong");
    const record = new Map<BtfFieldKind, Field[]>();
    let next = 0;
    for (const field of fields) {
      if ((field.offset + field.size) >>> 0 > this.btf.word(id))
        throw new RefusedFields(Errno.EFAULT, "a field behind its end");
      if (field.offset < next) throw new RefusedFields(Errno.EEXIST, "fields over each other");
      next = field.offset + field.size;
      if (field.kind === "kptrRef") this.checkOwned(field.type);
      if (field.kind === "listHead") this.checkNode(field, "bpf_list_node");
      if (field.kind === "rbRoot") this.checkNode(field, "bpf_rb_node");
      const same = record.get(field.kind);
      if (same === undefined) record.set(field.kind, [field]);
      else same.push(field);
    }
    const locked = record.has("spinLock") || record.has("resSpinLock");
    if (record.has("spinLock") && record.has("resSpinLock"))
      throw new RefusedFields(Errno.EINVAL, "locks of both kinds");
    if (hasAny(record, ROOTS) && !locked) throw new RefusedFields(Errno.EINVAL, "a list or tree without a lock");
    // What stands in a list and in a tree has two owners, and has to be counted.
    if (NODES.every((kind) => record.has(kind)) && !record.has("refcount")) {
      throw new RefusedFields(Errno.EINVAL, "nodes of a list and of a tree, but no bpf_refcount");
    }
    return record;
  }

  /** A pointer owns what it leads to: of the kernel's types only those that it can destroy. Mirrors btf_parse_kptr(). */
  private checkOwned(type: number): void {
    const name = this.btf.shownName(this.btf.nameOff(type));
    if (this.kernel.has(name) && !this.kernel.hasDestructor(name)) {
      throw new RefusedFields(Errno.ENOENT, `a kptr that owns the kernel's struct ${name}, which cannot be destroyed`);
    }
  }

  /** Mirrors btf_parse_graph_root(). */
  private checkNode({ type, node }: Field, nodeType: string): void {
    const { btf } = this;
    const end = btf.rest(type) + btf.vlen(type) * 12;
    let found = false;
    for (let member = btf.rest(type); member < end; member += 12) {
      const name = btf.u32(member);
      if (name === 0 ? node !== "(anon)" : !btf.textIs(name, node)) continue;
      const of = btf.u32(member + 4);
      // How the offset is to be read, the kernel asks of the member's type.
      const isNode =
        btf.kind(of) === BTF_KIND.struct &&
        btf.textIs(btf.nameOff(of), nodeType) &&
        btf.bitOffset(of, member) % (NODE_ALIGN * 8) === 0;
      if (found || !isNode) throw new RefusedFields(Errno.EINVAL, `a list or tree by ${node}, which is no ${nodeType}`);
      found = true;
    }
    if (!found) throw new RefusedFields(Errno.ENOENT, `a list or tree by ${node}, which is no member of its elements`);
  }
}

function hasAny(record: Record, kinds: readonly BtfFieldKind[]): boolean {
  return kinds.some((kind) => record.has(kind));
}

/** What is owned and owns must not own owners. Mirrors btf_check_and_fixup_fields(). */
function checkOwned(records: ReadonlyMap<number, Record>, record: Record): void {
  const roots = ROOTS.flatMap((kind) => record.get(kind) ?? []).sort((a, b) => a.offset - b.offset);
  for (const { type } of roots) {
    const element = records.get(type);
    if (element === undefined)
      throw new RefusedFields(Errno.EFAULT, "a list or tree of structs without special fields");
    if (hasAny(record, NODES) && hasAny(element, ROOTS)) {
      throw new RefusedFields(Errno.ELOOP, "an element of a list or tree that owns elements which own others");
    }
  }
}

/** Says of a fault in which struct it is. */
function named<T>(btf: LoadedBtf, id: number, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof RefusedFields)) throw error;
    throw new RefusedFields(error.errno, `[${id}] struct ${btf.shownName(btf.nameOff(id))}: ${error.message}`);
  }
}

/** What is wrong with the special fields of any struct, null when nothing is. */
export function faultOfStructs(btf: LoadedBtf, kernel: KernelStructs): RefusedFields | null {
  try {
    const records = new StructMetas(btf, kernel).parse();
    for (const [id, record] of records) named(btf, id, () => checkOwned(records, record));
    return null;
  } catch (error) {
    if (error instanceof RefusedFields) return error;
    throw error;
  }
}
