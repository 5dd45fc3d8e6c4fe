// SPDX-License-Identifier: MIT
import { INSN_SIZE } from "../../src/asm/insn.js";
import { BPF_CALL, BPF_JMP, BPF_LD_IMM64, BPF_PSEUDO_BTF_ID, BPF_PSEUDO_KFUNC_CALL } from "../../src/asm/opcode.js";
import { readBtfBlob } from "../../src/btf/read.js";
import type { Btf } from "../../src/btf/types.js";
import { ArgType, baseType, RetType } from "../../src/kernel/bpf-types.js";
import { helperById, helperProto } from "../../src/kernel/helpers/index.js";
import { MapType, ProgFlag, ProgType, progTypeName } from "../../src/kernel/uapi.js";
import type { MapLoad, ProgramLoad } from "../../src/model/load.js";

/*
 * What a program needs of the kernel's own types (BTF of vmlinux and modules). The untyped mirror is measured by the
 * programs that need none; which they are is decided from the load alone, before anybody verifies it:
 *
 * 1. program types that attach to kernel functions or types by BTF: tracing, lsm, ext, struct_ops; netfilter, whose
 *    context holds nothing but kernel objects; any attach_btf_id;
 * 2. calls of kfuncs, addresses of kernel symbols (ld_imm64 with BPF_PSEUDO_BTF_ID), BTF in fd_array;
 * 3. maps with values of a kernel type, struct_ops maps, maps whose values hold kptrs or uptrs;
 * 4. helpers whose prototype for this program type takes or returns a pointer to a kernel object;
 * 5. global functions with arguments tagged as kernel objects (arg:trusted, arg:untrusted).
 */

const TYPED_PROGRAMS: ReadonlySet<number> = new Set([
  ProgType.TRACING,
  ProgType.LSM,
  ProgType.EXT,
  ProgType.STRUCT_OPS,
  ProgType.NETFILTER,
]);

/** Arguments for which only a kernel object will do. A socket that may also be one of another kind is none of them. */
const TYPED_ARGS: ReadonlySet<number> = new Set([
  ArgType.PTR_TO_BTF_ID,
  ArgType.PTR_TO_PERCPU_BTF_ID,
  ArgType.KPTR_XCHG_DEST,
]);

const TYPED_RESULTS: ReadonlySet<number> = new Set([RetType.PTR_TO_BTF_ID, RetType.PTR_TO_MEM_OR_BTF_ID]);

const FIELD_TAGS: ReadonlySet<string> = new Set(["kptr", "kptr_untrusted", "percpu_kptr", "uptr"]);
const ARG_TAGS: ReadonlySet<string> = new Set(["arg:trusted", "arg:untrusted"]);

/** Why a load needs the kernel's types, null when it does not. */
export function needsKernelTypes(load: ProgramLoad): string | null {
  if (TYPED_PROGRAMS.has(load.progType)) return `program type ${progTypeName(load.progType)}`;
  if (load.attachBtfId !== 0) return "attached by BTF";
  return insnsNeed(load) ?? mapsNeed(load) ?? functionsNeed(load);
}

function insnsNeed(load: ProgramLoad): string | null {
  const { insns } = load;
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  for (let at = 0; at + INSN_SIZE <= insns.length; at += INSN_SIZE) {
    const code = insns[at]!;
    const src = insns[at + 1]! >> 4;
    if (code === BPF_LD_IMM64) {
      if (src === BPF_PSEUDO_BTF_ID) return "kernel symbol";
      at += INSN_SIZE;
    } else if (code === (BPF_JMP | BPF_CALL)) {
      if (src === BPF_PSEUDO_KFUNC_CALL) return "kfunc";
      const need = src === 0 ? helperNeed(load, view.getInt32(at + 4, true)) : null;
      if (need !== null) return need;
    }
  }
  return load.fdArray?.some(({ kind }) => kind === "btf") ? "BTF of a module" : null;
}

function helperNeed(load: ProgramLoad, id: number): string | null {
  const sleepable = (load.progFlags & ProgFlag.SLEEPABLE) !== 0;
  const proto = helperProto(load.progType, load.expectedAttachType, id, undefined, sleepable);
  if (proto === null) return null;
  const typed =
    proto.argTypes.some((type) => TYPED_ARGS.has(baseType(type))) || TYPED_RESULTS.has(baseType(proto.retType));
  return typed ? `helper bpf_${helperById(id)}` : null;
}

function mapsNeed(load: ProgramLoad): string | null {
  for (const map of load.maps.flatMap((map) => (map.inner === null ? [map] : [map, map.inner]))) {
    if (map.type === MapType.STRUCT_OPS) return "struct_ops map";
    if (map.btfVmlinuxValueTypeId !== 0) return "map of a kernel type";
    if (holdsKptr(load, map)) return "kptr in a map";
  }
  return null;
}

function holdsKptr(load: ProgramLoad, map: MapLoad): boolean {
  const bytes = map.btf === "prog" ? load.btf : map.btf;
  const btf = bytes === null || map.btfValueTypeId === 0 ? null : typesOf(bytes);
  return btf !== null && reachesTag(btf, map.btfValueTypeId, new Set());
}

/** Whether a pointer that stands in a type has one of the tags of kptrs. */
function reachesTag(btf: Btf, id: number, seen: Set<number>): boolean {
  const type = btf.types[id];
  if (type === undefined || seen.has(id)) return false;
  seen.add(id);
  switch (type.kind) {
    case "ptr": {
      const target = btf.types[type.type];
      return target?.kind === "typeTag" && FIELD_TAGS.has(target.name);
    }
    case "struct":
    case "union":
      return type.members.some((member) => reachesTag(btf, member.type, seen));
    case "datasec":
      return type.vars.some((variable) => reachesTag(btf, variable.type, seen));
    case "array":
    case "var":
    case "typedef":
    case "const":
    case "volatile":
    case "restrict":
      return reachesTag(btf, type.type, seen);
    default:
      return false;
  }
}

/** By the functions that func_info lists: the BTF of an object names those of its other programs too. */
function functionsNeed({ btf: bytes, funcInfo }: ProgramLoad): string | null {
  const btf = bytes === null || funcInfo === null ? null : typesOf(bytes);
  if (btf === null) return null;
  const view = new DataView(funcInfo!.bytes.buffer, funcInfo!.bytes.byteOffset, funcInfo!.bytes.byteLength);
  const functions = new Set<number>();
  for (let at = 0; at + 8 <= view.byteLength && funcInfo!.recSize >= 8; at += funcInfo!.recSize) {
    functions.add(view.getUint32(at + 4, true));
  }
  const tag = btf.types.find((type) => type.kind === "declTag" && ARG_TAGS.has(type.name) && functions.has(type.type));
  return tag?.kind === "declTag" ? `argument tagged ${tag.name}` : null;
}

/** Null for BTF that cannot be read, which is for the verifier to say. */
function typesOf(bytes: Uint8Array): Btf | null {
  try {
    return readBtfBlob(bytes).btf;
  } catch {
    return null;
  }
}
