// SPDX-License-Identifier: MIT
/*
 * What the running kernel prints for instructions that refer to something: maps, subprograms, kernel
 * functions. Run as a program it prints the answers as JSON, for asking with other capabilities.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as asm from "../../src/asm/index.js";
import { findType, readBtf } from "../../src/btf/index.js";
import { MapType } from "../../src/kernel/uapi.js";
import type { Fd } from "../../src/syscall/fd.js";
import { createMap } from "../../src/syscall/map.js";
import { loadLog } from "./kernel-judge.js";

/** A kernel function that every kernel with kfuncs has. */
export const KFUNC = "bpf_rcu_read_lock";

export interface RefAnswer {
  readonly name: string;
  /** The referring instruction as it was loaded. */
  readonly insns: readonly asm.Insn[];
  /** What the log shows, undefined when nothing. */
  readonly text: string | undefined;
}

export function askRefs(): RefAnswer[] {
  using array = createMap({ name: "probe", type: MapType.ARRAY, keySize: 4, valueSize: 64, maxEntries: 1 });
  const kfunc = findType(readBtf(readFileSync("/sys/kernel/btf/vmlinux")), "func", KFUNC);
  if (kfunc === undefined) throw new Error(`no kernel function ${KFUNC}`);
  const cases: Record<string, readonly asm.Insn[]> = {
    map_fd: asm.ldMapFd(1, array.number),
    map_value: asm.ldMapValue(1, array.number, 8),
    map_idx: asm.ldMapIdx(1, 0),
    map_idx_value: asm.ldMapIdxValue(1, 0, 8),
    func: asm.ldFunc(1, 3),
    subprog: [asm.callSubprog(2)],
    kfunc: [asm.callKfunc(kfunc)],
  };
  return Object.entries(cases).map(([name, insns]) => ({ name, insns, text: textOf(insns, array) }));
}

function textOf(insns: readonly asm.Insn[], map: Fd): string | undefined {
  const end = [asm.mov64Imm(0, 0), asm.exit()];
  const isSubprog = asm.subprogTarget(insns[0]!, 0) !== undefined;
  const log = loadLog([...insns, ...end, ...(isSubprog ? end : [])], new Int32Array([map.number]));
  return /^ *0: [0-9.]{10} (.*)$/m.exec(log)?.[1];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(JSON.stringify(askRefs()));
