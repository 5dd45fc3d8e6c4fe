// SPDX-License-Identifier: MIT
import { Errno } from "../../kernel/errno.js";
import type { HelperName } from "../../kernel/helpers/index.js";
import { BPF_MAX_LOOPS, type Callback, type Helper, type Machine } from "../machine.js";
import { ArrayMap } from "../maps/array.js";
import { ProgramMap } from "../maps/create.js";
import { type MapElement, VmMap } from "../maps/map.js";
import { StorageMap } from "../maps/storage.js";

/* Helpers on maps: kernel/bpf/helpers.c, and those that call functions of the program. */

function updateElem(machine: Machine): void {
  const map = machine.map(1, VmMap);
  const keyAt = machine.at(2, map.load.keySize);
  const valueAt = machine.at(3, map.load.valueSize);
  machine.setNumber(map.update(keyAt, valueAt, machine.flags(4), machine.environment.cpu));
}

/** Calls a function of the program with each element; it stops when one call returns something but 0. */
class EachElement implements Callback {
  readonly code;
  readonly slot;
  index = 0;
  readonly #machine: Machine;
  readonly #map: VmMap;
  readonly #elements: readonly MapElement[];
  readonly #context: readonly [number, number];

  constructor(machine: Machine, map: VmMap, elements: readonly MapElement[]) {
    ({ code: this.code, slot: this.slot } = machine.functionOf(2));
    this.#machine = machine;
    this.#map = map;
    this.#elements = elements;
    this.#context = [machine.low(3), machine.high(3)];
  }

  next(): boolean {
    const machine = this.#machine;
    const stopped = this.index > 0 && (machine.low(0) | machine.high(0)) !== 0;
    const element = this.#elements[this.index];
    if (stopped || element === undefined) {
      machine.setNumber(this.index);
      return false;
    }
    this.index++;
    const { keySize } = this.#map.load;
    machine.setPointer(1, this.#map.region);
    machine.setPointer(2, machine.keyRegion(element.keyAt, keySize));
    machine.setPointer(3, element.region);
    machine.setArg(4, ...this.#context);
    machine.setArg(5, 0, 0);
    return true;
  }
}

class Loop implements Callback {
  readonly code;
  readonly slot;
  index = 0;
  readonly #machine: Machine;
  readonly #turns: number;
  readonly #context: readonly [number, number];

  constructor(machine: Machine, turns: number) {
    ({ code: this.code, slot: this.slot } = machine.functionOf(2));
    this.#machine = machine;
    this.#turns = turns;
    this.#context = [machine.low(3), machine.high(3)];
  }

  next(): boolean {
    const machine = this.#machine;
    const stopped = this.index > 0 && (machine.low(0) | machine.high(0)) !== 0;
    if (stopped || this.index >= this.#turns) {
      machine.setNumber(this.index);
      return false;
    }
    machine.setArg(1, this.index, 0);
    machine.setArg(2, ...this.#context);
    for (let n = 3; n <= 5; n++) machine.setArg(n, 0, 0);
    this.index++;
    return true;
  }
}

/** As inline_bpf_loop() writes it: it looks at all of R1, and the error does not get its sign in the upper half. */
function loop(machine: Machine): Callback | undefined {
  // The flags are the fourth argument: none is known.
  if (!machine.isNull(4)) {
    machine.setNumber(-Errno.EINVAL);
    return undefined;
  }
  if (machine.high(1) !== 0 || machine.u32(1) > BPF_MAX_LOOPS) {
    machine.setArg(0, -Errno.E2BIG, 0);
    return undefined;
  }
  return new Loop(machine, machine.u32(1));
}

function forEach(machine: Machine): Callback | undefined {
  const map = machine.map(1, VmMap);
  const elements = machine.isNull(4) ? map.elements(machine.environment.cpu) : null;
  if (elements === null) {
    machine.setNumber(-Errno.EINVAL);
    return undefined;
  }
  return new EachElement(machine, map, elements);
}

function storageGet(machine: Machine): void {
  const map = machine.map(1, StorageMap);
  const flags = machine.flags(4);
  if (machine.isNull(2) || (flags & ~1) !== 0) return;
  const initAt = machine.isNull(3) ? -1 : machine.at(3, map.load.valueSize);
  machine.setResultPointer(map.storageOf(machine.u64(2), flags === 1, initAt));
}

function storageDelete(machine: Machine): void {
  const map = machine.map(1, StorageMap);
  machine.setNumber(machine.isNull(2) ? -Errno.EINVAL : map.removeOf(machine.u64(2)));
}

function tailCall(machine: Machine): void {
  const programs = machine.map(2, ProgramMap);
  const index = machine.u32(3);
  const load = index < programs.load.maxEntries ? programs.item(index) : undefined;
  if (load !== undefined) machine.tailCall = machine.decode(load);
}

export const mapHelpers = {
  map_lookup_elem: (machine) => {
    const map = machine.map(1, VmMap);
    machine.setResultPointer(map.lookup(machine.at(2, map.load.keySize), machine.environment.cpu));
  },
  map_update_elem: updateElem,
  map_delete_elem: (machine) => {
    const map = machine.map(1, VmMap);
    machine.setNumber(map.remove(machine.at(2, map.load.keySize)));
  },
  map_push_elem: (machine) => {
    const map = machine.map(1, VmMap);
    machine.setNumber(map.push(machine.at(2, map.load.valueSize), machine.flags(3)));
  },
  map_pop_elem: (machine) => {
    const map = machine.map(1, VmMap);
    machine.setNumber(map.pop(machine.at(2, map.load.valueSize, true)));
  },
  map_peek_elem: (machine) => {
    const map = machine.map(1, VmMap);
    machine.setNumber(map.peek(machine.at(2, map.load.valueSize, true)));
  },
  map_lookup_percpu_elem: (machine) => {
    const map = machine.map(1, VmMap);
    const keyAt = machine.at(2, map.load.keySize);
    const cpu = machine.u32(3);
    machine.setResultPointer(cpu < machine.environment.cpus ? map.lookup(keyAt, cpu) : -1);
  },
  get_local_storage: (machine) => machine.setResultPointer(machine.map(1, ArrayMap).element(0)),
  sk_storage_get: storageGet,
  task_storage_get: storageGet,
  inode_storage_get: storageGet,
  cgrp_storage_get: storageGet,
  sk_storage_delete: storageDelete,
  task_storage_delete: storageDelete,
  inode_storage_delete: storageDelete,
  cgrp_storage_delete: storageDelete,
  tail_call: tailCall,
  for_each_map_elem: forEach,
  loop,
  spin_lock: () => {},
  spin_unlock: () => {},
} satisfies Partial<Record<HelperName, Helper>>;
