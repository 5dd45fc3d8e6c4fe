// SPDX-License-Identifier: MIT
import { release } from "node:os";
import { askKernel } from "../../src/load/ask-kernel.js";
import { bpfPermission } from "../../src/syscall/permissions.js";
import type { FixtureProgram } from "../fixtures/verifier/programs/kit.js";
import { judge, type Parity } from "./parity.js";

/** Options of a test that asks the running kernel what it thinks of a program: it must be the kernel that is mirrored. */
export function needsMirroredKernel(): { skip: string | false } {
  const permission = bpfPermission();
  if (!permission.permitted) return { skip: `skipped: no bpf(2): ${permission.reason}` };
  return { skip: release().startsWith("6.18.") ? false : "skipped: not Linux 6.18" };
}

/** A program to ask about. */
type Judged = Pick<FixtureProgram, "name" | "load"> & Partial<FixtureProgram>;

/** How the mirror's judgement of a program stands to the running kernel's. */
export function judgeLive({ name, load }: Judged): Parity {
  return judge({ id: name, load, kernel: askKernel(load) });
}

/** Says how mirror and kernel differ, null when they do not. */
export function differenceOf(parity: Parity): string | null {
  const { id, result, kernel, sameVerdict, difference } = parity;
  if (sameVerdict && difference === null) return null;
  const where =
    difference === null ? "" : `, line ${difference.line}: "${difference.kernel}", ours "${difference.ours}"`;
  const construct = result.construct === undefined ? "" : ` (${result.construct.what})`;
  return `${id}: kernel errno ${kernel.errno}, ours ${result.verdict} ${result.errno}${construct}${where}`;
}

/** What {@link sameAsKernel} needs of a tap test. */
interface Asserts {
  equal(found: unknown, wanted: unknown, message: string): unknown;
}

/** Asserts that mirror and running kernel say the same about a program, word by word; our log. */
export function sameAsKernel(t: Asserts, program: Judged): string {
  const parity = judgeLive(program);
  t.equal(differenceOf(parity), null, program.name);
  return parity.result.log;
}
