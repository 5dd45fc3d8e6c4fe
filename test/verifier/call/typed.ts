// SPDX-License-Identifier: MIT

/*
 * Programs with BTF: maps whose values hold special fields, functions with prototypes.
 */
import { BtfBuilder } from "../../../src/btf/builder.js";
import { writeBtf } from "../../../src/btf/write.js";
import type { InfoRecords, MapLoad } from "../../../src/model/load.js";
import * as k from "../../fixtures/verifier/programs/kit.js";

/** BTF with the types of values that hold a spin lock at 4 or a timer at 8. */
export interface Typed {
  readonly builder: BtfBuilder;
  readonly int: number;
  readonly lockValue: number;
  readonly timerValue: number;
}

export function typed(): Typed {
  const builder = new BtfBuilder();
  const int = builder.int("int");
  const long = builder.int("long");
  const lock = builder.struct("bpf_spin_lock", [{ name: "val", type: builder.int("unsigned int") }]);
  const timer = builder.struct("bpf_timer", [
    { name: "a", type: long },
    { name: "b", type: long },
  ]);
  const lockValue = builder.struct("lock_value", [
    { name: "count", type: int },
    { name: "lock", type: lock },
    { name: "more", type: long },
  ]);
  const timerValue = builder.struct("timer_value", [
    { name: "count", type: long },
    { name: "timer", type: timer },
  ]);
  return { builder, int, lockValue, timerValue };
}

/** A map whose value is of a BTF type. */
export function typedMap(types: Typed, mapType: "HASH" | "ARRAY", valueSize: number, valueType: number): MapLoad {
  return k.map(mapType, 4, valueSize, 4, {
    name: "typed",
    btf: writeBtf(types.builder.build()),
    btfKeyTypeId: types.int,
    btfValueTypeId: valueType,
  });
}

/** func_info of functions by the label that they begin at (`main` at 0) and their BTF id. */
export function functionsOf(items: readonly k.Item[], ids: Readonly<Record<string, number>>): InfoRecords {
  const names = Object.keys(ids);
  const bytes = new Uint8Array(names.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [row, name] of names.entries()) {
    view.setUint32(row * 8, name === "main" ? 0 : slotOf(items, `${name}:`), true);
    view.setUint32(row * 8 + 4, ids[name]!, true);
  }
  return { bytes, recSize: 8, count: names.length };
}

function slotOf(items: readonly k.Item[], label: string): number {
  let slot = 0;
  for (const item of items) {
    if (item === label) return slot;
    if (typeof item === "string") continue;
    if ("branch" in item) slot += "opcode" in item.branch ? 1 : item.branch.length;
    else slot += "opcode" in item ? 1 : item.length;
  }
  throw new RangeError(`no label ${label}`);
}

/** Looks key 0 of map `index` up and leaves the program when it is missing. */
export function lookupOrLeave(index: number, on = "found"): k.Item[] {
  return [...k.lookup(index), k.ifImm("jne", 0, 0, on), k.ret(), `${on}:`];
}
