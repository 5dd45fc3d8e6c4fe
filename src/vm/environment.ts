// SPDX-License-Identifier: MIT
import { InputError } from "../util/errors.js";

/** What programs ask the kernel about the world. Everything has a value of its own that is the same in every run. */
export interface Environment {
  /** CPUs that per-CPU maps have values for; default 1. */
  readonly cpus: number;
  /** The CPU that runs the program; default 0. */
  readonly cpu: number;
  readonly numaNode: number;
  /** Nanoseconds since boot: bpf_ktime_get_ns(); by default 1 µs more each time that it is asked for. */
  readonly ktime: () => bigint;
  /** Nanoseconds since boot, sleep included; default {@link ktime}. */
  readonly bootTime: () => bigint;
  /** Nanoseconds of international atomic time; default {@link ktime}. */
  readonly taiTime: () => bigint;
  readonly jiffies: () => bigint;
  /** 32 random bits: bpf_get_prandom_u32(); by default the same row in each machine. */
  readonly random: () => number;
  /** Thread id. */
  readonly pid: number;
  /** Process id. */
  readonly tgid: number;
  readonly uid: number;
  readonly gid: number;
  /** Name of the thread; 15 bytes are used. */
  readonly comm: string;
  readonly cgroupId: bigint;
  readonly netnsCookie: bigint;
}

/** What random numbers come from (xorshift32): any row will do that is always the same. */
function randomRow(): () => number {
  let x = 0x2545f491;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

/** Fills in what was not given. */
export function completeEnvironment(given: Partial<Environment> = {}): Environment {
  let now = 0n;
  const ktime = given.ktime ?? (() => (now += 1000n));
  const environment: Environment = {
    cpus: 1,
    cpu: 0,
    numaNode: 0,
    ktime,
    bootTime: ktime,
    taiTime: ktime,
    jiffies: () => ktime() / 4_000_000n,
    random: randomRow(),
    pid: 1,
    tgid: 1,
    uid: 0,
    gid: 0,
    comm: "bpfsmith",
    cgroupId: 1n,
    netnsCookie: 1n,
    ...given,
  };
  const { cpus, cpu } = environment;
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > 1024) throw new InputError(`there cannot be ${cpus} CPUs`);
  if (!Number.isInteger(cpu) || cpu < 0 || cpu >= cpus) throw new InputError(`there is no CPU ${cpu} of ${cpus}`);
  return environment;
}
