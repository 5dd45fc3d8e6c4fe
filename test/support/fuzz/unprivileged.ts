// SPDX-License-Identifier: MIT
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { InputError } from "../../../src/util/errors.js";

const SYSCTL = "/proc/sys/kernel/unprivileged_bpf_disabled";

/** Whether a process without capabilities may use bpf(2) now. */
export function unprivilegedAllowed(): boolean {
  return readFileSync(SYSCTL, "utf8").trim() === "0";
}

/**
 * Lets processes without capabilities use bpf(2). A second process waits for the end of this one, so that the setting
 * comes back also after a crash.
 */
export class UnprivilegedBpf implements Disposable {
  #before: string | null = null;
  #guard: ChildProcess | null = null;

  /** Allows it, also once more: another program may have set it back meanwhile. */
  allow(): void {
    const now = readFileSync(SYSCTL, "utf8").trim();
    if (now === "0") return;
    if (now === "1") throw new InputError(`${SYSCTL} is 1: unprivileged use of bpf(2) is off until the next boot`);
    if (this.#before === null) {
      this.#before = now;
      this.#guard = spawn("sh", ["-c", `trap "" INT TERM HUP; cat >/dev/null; echo ${now} >${SYSCTL}`], {
        stdio: ["pipe", "ignore", "ignore"],
        detached: true,
      });
      this.#guard.unref();
    }
    writeFileSync(SYSCTL, "0");
  }

  [Symbol.dispose](): void {
    if (this.#before === null) return;
    writeFileSync(SYSCTL, this.#before);
    this.#guard?.stdin?.end();
  }
}
