// SPDX-License-Identifier: MIT
import type { ProgramLoad } from "../model/load.js";
import { testRun as testRunOn, type VmTestRunRequest, type VmTestRunResult } from "./test-run.js";
import { Vm, type VmOptions } from "./vm.js";

export { Debugger, type Stop } from "./debugger.js";
export type { Environment } from "./environment.js";
export { type FaultKind, VmFault } from "./fault.js";
export { vmHelperNames } from "./helpers/index.js";
export type { Action, Effects, Fake, Machine } from "./machine.js";
export { MapOfMaps, ReferenceMap } from "./maps/array.js";
export { ProgramMap, TargetMap } from "./maps/create.js";
export { PerfMap, RingMap, type VmRecord } from "./maps/events.js";
export { VmMap } from "./maps/map.js";
export { QueueMap } from "./maps/queue.js";
export { type PreparedRun, prepareRun, type VmTestRunRequest, type VmTestRunResult } from "./test-run.js";
export { Vm, type VmOptions } from "./vm.js";

/**
 * Runs a program on given input without a kernel, with the shape of BPF_PROG_TEST_RUN.
 * @param program A program, or a machine that keeps its maps from run to run.
 * @throws VmFault when the program does what it must not; InputError when the input is not what the kernel takes.
 */
export function testRun(program: ProgramLoad | Vm, request: VmTestRunRequest & VmOptions = {}): VmTestRunResult {
  return testRunOn(program instanceof Vm ? program : new Vm(program, request), request);
}
