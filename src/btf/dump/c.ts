// SPDX-License-Identifier: MIT
import { type BtfIndex, indexBtf } from "../lazy.js";
import type { Btf } from "../types.js";
import { CEmitter } from "./c-emit.js";
import { DefinitionOrder } from "./c-order.js";
import { sortedIds } from "./c-sort.js";

/** What a C header holds. */
export interface CDumpOptions {
  /** Only these types and what they need, in this order. */
  readonly roots?: readonly number[];
  /** Whether definitions are ordered by name as far as C allows, default; else by type id. */
  readonly sorted?: boolean;
}

const HEAD = `#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif

#ifndef __weak
#define __weak __attribute__((weak))
#endif

`;

const TAIL = `#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
`;

/**
 * The types as a C header, in pieces: what `bpftool btf dump … format c` (7.5) prints. A program that includes it
 * reads the types' members by CO-RE. Functions that are tagged `bpf_kfunc` are declared at the end.
 * @throws InputError for types that C cannot say: that contain themselves, are nested too deep, or written out would be
 *   too long.
 */
export function* dumpC(btf: Btf, { roots, sorted = true }: CDumpOptions = {}): Generator<string> {
  const types = indexBtf(btf);
  const order = new DefinitionOrder(types);
  const emitter = new CEmitter(types);
  yield HEAD;
  for (const id of roots ?? (sorted ? sortedIds(types) : inOrder(types))) {
    for (const definition of order.definitionsFor(id)) {
      const text = emitter.definition(definition);
      if (text !== "") yield text;
    }
  }
  if (roots === undefined) yield kfuncs(types, emitter);
  yield TAIL;
}

function* inOrder({ types }: BtfIndex): Generator<number> {
  for (let id = 1; id < types.length; id++) yield id;
}

/** Declarations of the functions that BPF programs may call. */
function kfuncs(btf: BtfIndex, emitter: CEmitter): string {
  let text = "\n/* BPF kfuncs */\n#ifndef BPF_NO_KFUNC_PROTOTYPES\n";
  for (const id of btf.idsByName("bpf_kfunc", "declTag")) {
    const tag = btf.typeById(id);
    if (tag.kind !== "declTag" || tag.componentIdx !== -1) continue;
    const func = btf.typeById(tag.type);
    if (func.kind === "func") text += `extern ${emitter.declaration(func.type, func.name)} __weak __ksym;\n`;
  }
  return `${text}#endif\n\n`;
}
