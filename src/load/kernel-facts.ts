// SPDX-License-Identifier: MIT
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { release, version } from "node:os";
import { type LazyBtf, openBtf } from "../btf/lazy.js";
import type { KernelFeatures, ModuleTypes, ResolveOptions } from "../object/options.js";
import { once } from "../util/once.js";
import { possibleCpus } from "./cpus.js";
import { moduleBtfs } from "./module-btf.js";
import { kernelTypes, readModule } from "./vmlinux.js";

/*
 * What resolving an object for the running kernel depends on, gathered from where libbpf gets it.
 */

/** KERNEL_VERSION(): a patch level beyond 255 is 255 to it. */
export function packKernelVersion(major: number, minor: number, patch: number): number {
  return ((major << 16) | (minor << 8) | Math.min(patch, 255)) >>> 0;
}

const VERSION = /^(\d+)\.(\d+)\.(\d+)/;

/**
 * The version that the running kernel was built as, packed; 0 when it cannot be told. Debian and Ubuntu say it
 * elsewhere than in the release (libbpf: get_kernel_version()).
 */
export function runningKernelVersion(): number {
  const ubuntu = readText("/proc/version_signature")?.split(" ")[2] ?? "";
  const debian = /Debian (\d+\.\d+\.\d+)/.exec(version())?.[1] ?? "";
  for (const text of [ubuntu, debian, release()]) {
    const match = VERSION.exec(text);
    if (match !== null) return packKernelVersion(Number(match[1]), Number(match[2]), Number(match[3]));
  }
  return 0;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return null;
  }
}

/** Loaded when needed: the module takes longer than all else at the start. */
function gunzip(bytes: Uint8Array): Uint8Array {
  const { gunzipSync } = createRequire(import.meta.url)("node:zlib") as typeof import("node:zlib");
  return gunzipSync(bytes);
}

/** The running kernel's configuration; null when it tells it nowhere. */
export function runningKconfig(): string | null {
  for (const path of [`/boot/config-${release()}`, "/proc/config.gz"]) {
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(path);
    } catch {
      continue;
    }
    const zipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
    return new TextDecoder().decode(zipped ? gunzip(bytes) : bytes);
  }
  return null;
}

/**
 * Addresses of kernel symbols by name, out of /proc/kallsyms (or a text like it). Without rights all of them
 * are 0.
 */
export function readKallsyms(text: string = readText("/proc/kallsyms") ?? ""): (name: string) => readonly bigint[] {
  return (name) => {
    const addresses: bigint[] = [];
    for (let at = text.indexOf(` ${name}`); at >= 0; at = text.indexOf(` ${name}`, at + 1)) {
      const end = text.slice(at + 1 + name.length, at + 7 + name.length);
      // Link-time optimization gives static data a suffix.
      const whole = end === "" || end[0] === "\n" || end[0] === "\t" || (end === ".llvm." && text[at - 1] === "d");
      const line = text.lastIndexOf("\n", at) + 1;
      if (whole) addresses.push(BigInt(`0x${text.slice(line, text.indexOf(" ", line))}`));
    }
    return addresses;
  };
}

const runningTypes = kernelTypes();

const runningModules = once((): readonly ModuleTypes[] => {
  const base = runningTypes();
  if (base === null) return [];
  return moduleBtfs().map(({ name, blob }) => ({ name, blob, btf: openBtf(blob, { base }) }));
});

/** Modules' types out of files, which continue a kernel's; a file's name up to its first dot is the module's. */
function modulesOf(files: readonly string[], base: () => LazyBtf | null): () => readonly ModuleTypes[] {
  return once(() => files.map((file) => readModule(file, base())));
}

const kallsyms = once(() => readKallsyms());
const kconfig = once(runningKconfig);

/** What libbpf would find out by trying. */
const features = once(
  (): KernelFeatures => ({
    syscallWrapper: hasKprobes() && kallsyms()("__x64_sys_bpf").length + kallsyms()("__arm64_sys_bpf").length > 0,
  }),
);

function hasKprobes(): boolean {
  return (
    existsSync("/sys/bus/event_source/devices/kprobe/type") ||
    existsSync("/sys/kernel/tracing/kprobe_events") ||
    existsSync("/sys/kernel/debug/tracing/kprobe_events")
  );
}

/** Other types than the running kernel's. */
export interface OtherTypes {
  /** File with raw BTF that stands for the kernel's own types. */
  readonly vmlinux?: string;
  /** File with raw BTF that CO-RE accesses are looked up in. */
  readonly btf?: string;
  /**
   * Files with the types of modules, raw or in the module itself (`.ko`): they continue `vmlinux`, or without that `btf`,
   * or else the running kernel's, whose own modules are then left out.
   */
  readonly modules?: readonly string[];
}

/** Where modules of files belong: to the kernel, or to the types for CO-RE only. */
export function moduleOptions({ vmlinux, btf, modules }: OtherTypes): Pick<ResolveOptions, "modules" | "coreModules"> {
  if (modules === undefined || modules.length === 0) return {};
  if (vmlinux === undefined && btf !== undefined) return { coreModules: modulesOf(modules, kernelTypes(btf)) };
  return { modules: modulesOf(modules, kernelTypes(vmlinux)) };
}

/**
 * How to resolve objects for the running kernel. Whatever costs time is read when an object needs it, once; then
 * a file that is missing or holds no BTF throws an InputError.
 */
export function runningKernel(others: OtherTypes = {}): ResolveOptions {
  const { vmlinux, btf } = others;
  const coreTypes = btf === undefined ? undefined : kernelTypes(btf);
  return {
    ...(coreTypes === undefined ? {} : { coreTypes: () => coreTypes()! }),
    kernVersion: runningKernelVersion(),
    possibleCpus: possibleCpus(),
    kernelTypes: kernelTypes(vmlinux),
    modules: vmlinux === undefined ? runningModules : () => [],
    ...moduleOptions(others),
    kconfig,
    kallsyms: (name) => kallsyms()(name),
    features: {
      get syscallWrapper() {
        return features().syscallWrapper;
      },
    },
  };
}
