// SPDX-License-Identifier: MIT

/** How one program of an object came out. */
export interface Outcome {
  /** `object/program`, or the object alone where libbpf could not open it. */
  readonly id: string;
  /**
   * What differs first; null when nothing does. `refused`: we refuse what libbpf brought to the kernel;
   * `accepted`: the other way round.
   */
  readonly first: string | null;
  readonly detail: string;
  /** Why the record itself cannot be compared; null when it was. */
  readonly setAside: string | null;
}

/** What a worker is told once. */
export interface Settings {
  readonly corpus: string;
  readonly only: string;
  /** KERNEL_VERSION of the kernel that the records are of. */
  readonly kernVersion: number;
  readonly possibleCpus: number;
  /** Whether kprobes could be attached on that machine, which LINUX_HAS_SYSCALL_WRAPPER says. */
  readonly kprobes: boolean;
}

/** From the main thread: the next objects. */
export interface Work {
  readonly objects: readonly string[];
}

/** From a worker: what became of them. */
export interface Done {
  readonly outcomes: readonly Outcome[];
  /** Milliseconds in reading and resolving. */
  readonly time: number;
}
