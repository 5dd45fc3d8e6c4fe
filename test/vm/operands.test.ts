// SPDX-License-Identifier: MIT
import { availableParallelism } from "node:os";
import t from "tap";
import { testRun, Vm } from "../../src/vm/index.js";
import { needsBpf } from "../support/live.js";
import { KernelProgram } from "../support/vm/kernel.js";
import { computedForms, operandProgram } from "../support/vm/operands.js";

const KEY = new Uint8Array(4);
const data = new Uint8Array(64);

t.test("every form computes from edge operands what the kernel computes", needsBpf(), (t) => {
  let cases = 0;
  for (const form of computedForms) {
    const { load, value, cases: count } = operandProgram(form);
    using kernel = new KernelProgram(load, availableParallelism());
    kernel.set(0, [KEY, value]);
    kernel.run({ data });
    const expected = kernel.elements(0)[0]![1];
    const vm = new Vm(load);
    vm.map("io").set(KEY, value);
    testRun(vm, { data });
    const got = vm.map("io").get(KEY)!;
    const at = got.findIndex((byte, i) => byte !== expected[i]);
    if (at >= 0) {
      const row = Math.floor(at / 40) * 40;
      const hex = (bytes: Uint8Array): string => Buffer.from(bytes.slice(row, row + 40)).toString("hex");
      t.fail(`${form.name}: kernel ${hex(expected)}, machine ${hex(got)}`);
    }
    cases += count;
  }
  t.ok(computedForms.length > 150, `${computedForms.length} forms, ${cases} cases`);
  t.end();
});
