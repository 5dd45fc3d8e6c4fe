// SPDX-License-Identifier: MIT
import { setTimeout as sleep } from "node:timers/promises";
import type { Test } from "tap";
import type { ObjectDecl } from "../../src/dsl/object.js";
import { askKernelOnce, type LoadedObject, loadObject, runningKernel } from "../../src/load/index.js";
import { resolveObject } from "../../src/object/resolve.js";
import { testRun } from "../../src/syscall/program.js";
import { needsMirroredKernel, sameAsKernel } from "../support/live-parity.js";
import { judge } from "../support/parity.js";

/** An Ethernet frame that is long enough for test runs: an IPv4 header of 20 bytes with this protocol, to nowhere. */
export function packet(protocol = 17, size = 64): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint16(12, 0x0800);
  if (size > 23) {
    bytes[14] = 0x45;
    view.setUint16(16, size - 14);
    bytes[23] = protocol;
  }
  return bytes;
}

/** Builds an object and brings it into the kernel. */
export function load(decl: ObjectDecl): LoadedObject {
  return loadObject(resolveObject(decl.build()));
}

/** Runs a program of a loaded object on a packet and gives its result. */
export function runOn(object: LoadedObject, program: string, data: Uint8Array = packet()): number {
  return testRun(object.program(program).fd, { data, dataOutSize: 2048 }).retval;
}

/** Builds an object, asks mirror and kernel about each of its programs, and brings it into the kernel. */
export function loadSame(t: Test, decl: ObjectDecl): LoadedObject {
  const resolved = resolveObject(decl.build());
  if (needsMirroredKernel().skip === false) for (const program of resolved.programs) sameAsKernel(t, program);
  return loadObject(resolved);
}

/** Builds an object and has mirror and kernel judge its programs: both must accept, with the same log. */
export async function sameAnswers(t: Test, decl: ObjectDecl, what: string): Promise<void> {
  for (const { load } of resolveObject(decl.build(), runningKernel()).programs) {
    const kernel = askKernelOnce(load);
    t.equal(kernel.errno, 0, `the kernel accepts ${what}: ${kernel.log.split("\n").slice(-4).join("; ")}`);
    if (kernel.errno !== 0) continue;
    const { kind, difference } = judge({ id: what, load, kernel });
    t.equal(kind, null, `the mirror says the same of ${what}: ${JSON.stringify(difference)}`);
  }
  await sleep(1);
}
