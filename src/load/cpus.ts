// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { BugError } from "../util/errors.js";

let cached = 0;

/** Number of CPUs that the machine may ever have: as many values per key a per-CPU map holds. */
export function possibleCpus(): number {
  if (cached === 0) cached = countCpuList(readFileSync("/sys/devices/system/cpu/possible", "utf8"));
  return cached;
}

/** One more than the highest number that a CPU of the machine may have (nr_cpu_ids). */
export function nrCpuIds(): number {
  const list = readFileSync("/sys/devices/system/cpu/possible", "utf8").trim();
  return Number(/(\d+)$/.exec(list)?.[1] ?? 0) + 1;
}

/** Number of CPUs in a list such as `0-3,8`. */
export function countCpuList(list: string): number {
  let count = 0;
  for (const range of list.trim().split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(range);
    if (match === null) throw new BugError(`not a list of CPUs: ${JSON.stringify(list)}`);
    const first = Number(match[1]);
    count += (match[2] === undefined ? first : Number(match[2])) - first + 1;
  }
  return count;
}
