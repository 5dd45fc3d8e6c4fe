// SPDX-License-Identifier: MIT
import type { Btf } from "../btf/types.js";
import type { SectionDef } from "../kernel/sections.js";

/** Facts about the machine that the creation of maps depends on. */
export interface MapEnvironment {
  /** Bytes; ring buffers are made of whole pages. */
  readonly pageSize: number;
  /** Size of a perf event array without one of its own; 0 leaves it to the loader. */
  readonly possibleCpus: number;
  /** Whether array maps can be mapped into memory (Linux 5.5). */
  readonly mmapableArrays: boolean;
}

/** The types of a kernel module. */
export interface ModuleTypes {
  readonly name: string;
  /** Continues the kernel's own types: its ids begin where theirs end. */
  readonly btf: Btf;
  /** The module's BTF as the kernel has it, split from vmlinux'. */
  readonly blob: Uint8Array;
}

/** What a loader finds out about a kernel by trying (libbpf: kernel_supports()). */
export interface KernelFeatures {
  /** bpf_get_attach_cookie(): the value of `LINUX_HAS_BPF_COOKIE`. Default true. */
  readonly bpfCookie?: boolean;
  /** System calls have wrappers (`__x64_sys_…`) that kprobes find: `LINUX_HAS_SYSCALL_WRAPPER`. Default true. */
  readonly syscallWrapper?: boolean;
  /** Links to many uprobes, which USDT programs are loaded for. Default true. */
  readonly uprobeMulti?: boolean;
}

/**
 * What resolving depends on besides the object. Nothing is asked of the running kernel: what depends on one is
 * handed in, as functions where getting it is dear, which are called when something of the object needs it.
 */
export interface ResolveOptions extends Partial<MapEnvironment> {
  /** `kern_version` of BPF_PROG_LOAD and `LINUX_KERNEL_VERSION`, as KERNEL_VERSION() makes it. Default 0. */
  readonly kernVersion?: number;
  /** The kernel's own types (vmlinux); null or absent when there are none. */
  readonly kernelTypes?: () => Btf | null;
  /** The types of its modules, in the order of their BTF ids. */
  readonly modules?: () => readonly ModuleTypes[];
  /** Types to relocate CO-RE accesses against in place of the kernel's own. */
  readonly coreTypes?: () => Btf;
  /** Modules whose types continue {@link coreTypes}; without, none are looked at. */
  readonly coreModules?: () => readonly ModuleTypes[];
  /** The kernel's configuration (`CONFIG_X=y` a line), or null. */
  readonly kconfig?: () => string | null;
  /** Addresses of the kernel's symbols of this name, as /proc/kallsyms lists them. */
  readonly kallsyms?: (name: string) => readonly bigint[];
  readonly features?: KernelFeatures;
  /**
   * Why the kernel would refuse BTF (BPF_BTF_LOAD), null when it takes it. Programs and maps then do without types,
   * as libbpf lets them. By default it takes all.
   */
  readonly btfFault?: (blob: Uint8Array) => string | null;
  /** SEC names beside libbpf's; they go before those. */
  readonly sections?: readonly SectionDef[];
  /** Programs that are to be resolved; by default those that the object wants loaded by itself. */
  readonly wanted?: (program: string, section: string) => boolean;
  /** Maps that are not to be created. An instruction that loads one becomes an invalid call. */
  readonly withoutMaps?: ReadonlySet<string>;
  /** Programs that are loaded as another type than their section says, or whose section says none. */
  readonly programTypes?: ReadonlyMap<string, ProgramKind>;
  /** Gather programs that cannot be resolved in {@link ResolvedObject.refused}, in place of throwing. */
  readonly keepGoing?: boolean;
}

/** What the kernel calls a program. */
export interface ProgramKind {
  /** BPF_PROG_TYPE_*. */
  readonly progType: number;
  /** BPF_* attach type. */
  readonly attachType: number;
}
