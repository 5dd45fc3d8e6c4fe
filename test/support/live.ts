// SPDX-License-Identifier: MIT
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { callHelper } from "../../src/asm/build.js";
import type { Insn } from "../../src/asm/insn.js";
import { type HelperName, helperNames } from "../../src/kernel/helpers/names.js";
import { bpfPermission } from "../../src/syscall/permissions.js";

/** Options of a test that loads programs: skips it, saying why, where bpf(2) is not allowed. */
export function needsBpf(): { skip: string | false } {
  const permission = bpfPermission();
  return { skip: permission.permitted ? false : `skipped: no bpf(2): ${permission.reason}` };
}

/** Options of a test that also runs a command: skips it where the command is missing. */
export function needsBpfAnd(...commands: readonly string[]): { skip: string | false } {
  const missing = commands.find((command) => spawnSync("which", [command]).status !== 0);
  return missing === undefined ? needsBpf() : { skip: `skipped: no ${missing}` };
}

/** What bpftool answers with `-j`. */
export function bpftool<T>(...args: readonly string[]): T {
  const text = execFileSync("bpftool", ["-j", ...args], { stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 28 });
  return JSON.parse(text.toString()) as T;
}

/** Call of a helper by its name. */
export function helper(name: HelperName): Insn {
  return callHelper(helperNames.indexOf(name));
}

/** Open descriptors of this process that are BPF objects or perf events, as /proc names them. */
export function openBpfFds(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return /bpf|perf_event/.test(target) ? [target] : [];
    } catch {
      return [];
    }
  });
}
