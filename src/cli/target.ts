// SPDX-License-Identifier: MIT
import type { KernelProfile } from "../kernel/profile.js";
import { moduleOptions, packKernelVersion, runningKernel } from "../load/kernel-facts.js";
import { kernelTypes } from "../load/vmlinux.js";
import type { ResolveOptions } from "../object/options.js";
import { btfRefusal } from "../verifier/btf-load/validate.js";

/** A kernel that an object is resolved for, as the command line names it. */
export interface KernelTarget {
  /** Another release than the running one. */
  readonly kernel?: KernelProfile;
  readonly cpus?: number;
  /** File with the kernel's own types. */
  readonly vmlinux?: string;
  /** File with the types that CO-RE accesses are looked up in, in place of the kernel's. */
  readonly btf?: string;
  /** Files with types of modules, which continue `vmlinux`, else `btf`, else the running kernel's. */
  readonly moduleBtf?: readonly string[];
}

/** How to resolve an object: for the running kernel, or for one of which only what the user names is known. */
export function resolveFor({ kernel, cpus, vmlinux, btf, moduleBtf: modules }: KernelTarget = {}): ResolveOptions {
  if (kernel === undefined) {
    const running = runningKernel({ vmlinux, btf, modules });
    return { ...running, possibleCpus: cpus ?? running.possibleCpus, btfFault: btfFault(running.kernelTypes) };
  }
  const [major, minor] = kernel.release.split(".").map(Number);
  const types = vmlinux === undefined ? () => null : kernelTypes(vmlinux);
  const file = btf === undefined ? undefined : kernelTypes(btf);
  return {
    kernVersion: packKernelVersion(major!, minor!, 0),
    possibleCpus: cpus ?? 1,
    kernelTypes: types,
    ...(file && { coreTypes: () => file()! }),
    ...moduleOptions({ vmlinux, btf, modules }),
    btfFault: btfFault(types),
  };
}

function btfFault(vmlinux: ResolveOptions["kernelTypes"]): (blob: Uint8Array) => string | null {
  return (blob) => btfRefusal(blob, vmlinux)?.reason ?? null;
}
