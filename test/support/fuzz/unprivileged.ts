// SPDX-License-Identifier: MIT
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { InputError } from "../../../src/util/errors.js";

const SYSCTL = "/proc/sys/kernel/unprivileged_bpf_disabled";

/**
 * Lets processes without capabilities use bpf(2) until the function that it gives is called. A second process
 * waits for the end of this one, so that the setting comes back also after a crash.
 */
export function allowUnprivileged(): () => void {
  const before = readFileSync(SYSCTL, "utf8").trim();
  if (before === "0") return () => {};
  if (before === "1") throw new InputError(`${SYSCTL} is 1: unprivileged use of bpf(2) is off until the next boot`);
  const guard = spawn("sh", ["-c", `trap "" INT TERM HUP; cat >/dev/null; echo ${before} >${SYSCTL}`], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  guard.unref();
  writeFileSync(SYSCTL, "0");
  return () => {
    writeFileSync(SYSCTL, before);
    guard.stdin.end();
  };
}
