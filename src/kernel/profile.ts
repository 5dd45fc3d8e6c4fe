// SPDX-License-Identifier: MIT
import { type HelperFacts, helpers612, helpers618 } from "./helpers/facts.js";
import { helperNames } from "./helpers/names.js";
import { Limit } from "./limits.js";
import { rules612, rules618, type VerifierRules } from "./rules.js";
import { MapType, ProgType } from "./uapi.js";

/** What the verifier asks the architecture's JIT (bpf_jit_supports_*()) and the kernel's configuration. */
export interface KernelSwitches {
  /** CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS: unaligned packet and context-memory accesses pass without BPF_F_STRICT_ALIGNMENT. */
  readonly efficientUnalignedAccess: boolean;
  /** The JIT gives tracing programs stacks of their own, so that the depth limit counts per subprogram. */
  readonly privateStack: boolean;
  /** may_goto is bounded by time (two stack slots) instead of by count (one). */
  readonly timedMayGoto: boolean;
  /** Exceptions (bpf_throw()). */
  readonly exceptions: boolean;
  /** Arena pointers (addr_space_cast). */
  readonly arena: boolean;
  /** Sign-extending loads from an arena. */
  readonly arenaSignExtend: boolean;
  /** Per-CPU address instructions, on which inlined helpers rest. */
  readonly percpuInsn: boolean;
  /** load_acquire and store_release. */
  readonly loadAcquireStoreRelease: boolean;
}

/** What one kernel release on one architecture knows and how it judges. */
export interface KernelProfile {
  /** `major.minor` of the release. */
  readonly release: string;
  readonly arch: "x86_64";
  /** BPF_PROG_TYPE_* numbers that exist. */
  readonly progTypes: ReadonlySet<number>;
  /** BPF_MAP_TYPE_* numbers that exist. */
  readonly mapTypes: ReadonlySet<number>;
  /** Helpers have ids below this. */
  readonly helperMaxId: number;
  readonly limits: typeof Limit;
  readonly switches: KernelSwitches;
  /** Which helpers it offers to which programs. */
  readonly helpers: HelperFacts;
  readonly rules: VerifierRules;
}

const newerMapTypes: readonly number[] = [MapType.UNSPEC, MapType.INSN_ARRAY];

/** Not there: few kernels are built with CONFIG_BPF_LIRC_MODE2. */
const rareProgTypes: readonly number[] = [ProgType.UNSPEC, ProgType.LIRC_MODE2];

/** Linux 6.18 on x86-64, with every usual facility configured in. */
export const linux618: KernelProfile = {
  release: "6.18",
  arch: "x86_64",
  progTypes: new Set(Object.values(ProgType).filter((type) => !rareProgTypes.includes(type))),
  mapTypes: new Set(Object.values(MapType).filter((type) => !newerMapTypes.includes(type))),
  helperMaxId: helperNames.length,
  limits: Limit,
  switches: {
    efficientUnalignedAccess: true,
    privateStack: true,
    timedMayGoto: true,
    exceptions: true,
    arena: true,
    arenaSignExtend: true,
    percpuInsn: true,
    loadAcquireStoreRelease: true,
  },
  helpers: helpers618,
  rules: rules618,
};

/** Linux 6.12 on x86-64 as Debian builds 6.12.117, whose stable fixes 6.18 partly lacks. */
export const linux612: KernelProfile = {
  ...linux618,
  release: "6.12",
  switches: {
    ...linux618.switches,
    privateStack: false,
    timedMayGoto: false,
    arenaSignExtend: false,
    loadAcquireStoreRelease: false,
  },
  helpers: helpers612,
  rules: rules612,
};

const profiles: ReadonlyMap<string, KernelProfile> = new Map(
  [linux612, linux618].map((profile) => [profile.release, profile]),
);

/** A profile by release (`6.18`), undefined when there is none. */
export function kernelProfile(release: string): KernelProfile | undefined {
  return profiles.get(release);
}

/** The releases that there are profiles of, oldest first. */
export function kernelReleases(): readonly string[] {
  return [...profiles.keys()];
}

/** The profile that is used when nobody asks for another. */
export const DEFAULT_PROFILE: KernelProfile = linux618;
