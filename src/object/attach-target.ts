// SPDX-License-Identifier: MIT
import type { Btf, BtfKind } from "../btf/types.js";
import type { ParsedSection } from "../kernel/sections.js";
import { AttachType, ProgType } from "../kernel/uapi.js";
import { InputError } from "../util/errors.js";
import { findOwnType } from "./kernel-types.js";
import type { ResolveOptions } from "./options.js";

/** Names of types that stand for something to attach to: kernel/trace/bpf_trace.c, include/linux/bpf_lsm.h. */
const TARGETS: Readonly<Record<number, { readonly prefix: string; readonly kind: BtfKind }>> = {
  [AttachType.TRACE_RAW_TP]: { prefix: "btf_trace_", kind: "typedef" },
  [AttachType.LSM_MAC]: { prefix: "bpf_lsm_", kind: "func" },
  [AttachType.LSM_CGROUP]: { prefix: "bpf_lsm_", kind: "func" },
  [AttachType.TRACE_ITER]: { prefix: "bpf_iter_", kind: "func" },
};

/** The kernel's name for a target is no longer than this, prefix included (libbpf: BTF_MAX_NAME_SIZE). */
const MAX_NAME = 127;

/** What a program attaches to, in the kernel's BTF or a module's. */
export interface AttachTarget {
  readonly attachBtfId: number;
  /** Absent for vmlinux. */
  readonly attachBtf?: Uint8Array;
}

/**
 * What the section of a program names in BTF; id 0 for other programs, and when no kernel's types are at hand.
 * @throws InputError when the kernel has no such target.
 */
export function attachTarget(program: string, section: ParsedSection, options: ResolveOptions): AttachTarget {
  const { def, target } = section;
  const kernelTypes = options.kernelTypes;
  if (!def.targetIsBtf || kernelTypes === undefined) return { attachBtfId: 0 };
  if (target === null)
    throw new InputError(`program ${program}: its section ${def.name} does not say what to attach to`);
  if (def.progType === ProgType.EXT) {
    throw new InputError(`program ${program}: it replaces a function of another program, which is not at hand`);
  }
  const kernel = kernelTypes();
  if (kernel === null) throw new InputError(`program ${program}: the kernel's types are not at hand`);
  const colon = target.indexOf(":");
  const moduleName = colon < 0 ? null : target.slice(0, colon);
  const { prefix, kind } = TARGETS[def.attachType] ?? { prefix: "", kind: "func" };
  const name = prefix + (colon < 0 ? target : target.slice(colon + 1));
  if (name.length > MAX_NAME) throw new InputError(`program ${program}: the name ${name} is too long for a target`);
  const find = (btf: Btf, base: Btf | null) => findOwnType(btf, base, kind, name);
  // libbpf compares as many characters as the section names, here and below.
  if (moduleName === null || "vmlinux".startsWith(moduleName)) {
    const id = find(kernel, null);
    if (id !== undefined) return { attachBtfId: id };
  }
  for (const module of options.modules?.() ?? []) {
    if (moduleName !== null && !module.name.startsWith(moduleName)) continue;
    // A module's types continue the kernel's, and what those have is found first.
    const id = find(kernel, null) ?? find(module.btf, kernel);
    if (id !== undefined) return { attachBtfId: id, attachBtf: module.blob };
  }
  throw new InputError(`program ${program}: the kernel's types know no ${kind === "func" ? "function" : kind} ${name}`);
}
