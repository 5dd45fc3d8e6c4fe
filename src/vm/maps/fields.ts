// SPDX-License-Identifier: MIT
import { readBtf } from "../../btf/read.js";
import type { Btf } from "../../btf/types.js";
import type { MapLoad } from "../../model/load.js";

/** A part of a map's value that belongs to the kernel: it is not copied with the value. */
export interface SpecialField {
  /** Name of its type. */
  readonly type: string;
  readonly offset: number;
  readonly size: number;
}

/** Types of such members. */
const SPECIAL: ReadonlySet<string> = new Set(["bpf_spin_lock", "bpf_res_spin_lock", "bpf_timer", "bpf_wq"]);

const known = new WeakMap<Uint8Array, Btf>();

/** The special fields among the members of a map's value, by its BTF. */
export function specialFields(load: MapLoad, programBtf: Uint8Array | null): readonly SpecialField[] {
  const bytes = load.btf === "prog" ? programBtf : load.btf;
  if (bytes === null || load.btfValueTypeId === 0) return [];
  let btf = known.get(bytes);
  if (btf === undefined) {
    btf = readBtf(bytes);
    known.set(bytes, btf);
  }
  const { types } = btf;
  const value = types[load.btfValueTypeId];
  if (value?.kind !== "struct") return [];
  return value.members.flatMap(({ type, bitOffset }): SpecialField[] => {
    const member = types[type];
    if (member?.kind !== "struct" || !SPECIAL.has(member.name)) return [];
    return [{ type: member.name, offset: bitOffset / 8, size: member.size }];
  });
}
