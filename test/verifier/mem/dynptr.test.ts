// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import { verify } from "../../../src/verifier/index.js";
import * as k from "../../fixtures/verifier/programs/kit.js";
import { differenceOf, judgeLive, needsMirroredKernel } from "../../support/live-parity.js";

const maps = [k.map("RINGBUF", 0, 0, 4096), k.map("ARRAY", 4, 64, 1)];
const AT = -32;

const reserve: k.Item[] = [
  k.ldMapFd(1, 0),
  k.mov64Imm(2, 16),
  k.mov64Imm(3, 0),
  k.lea(4, 10, AT),
  k.call("ringbuf_reserve_dynptr"),
];
const submit: k.Item[] = [k.lea(1, 10, AT), k.mov64Imm(2, 0), k.call("ringbuf_submit_dynptr")];
const slice: k.Item[] = [k.lea(1, 10, AT), k.mov64Imm(2, 0), k.mov64Imm(3, 8), k.call("dynptr_data")];
const fromMem: k.Item[] = [
  ...k.lookup(1),
  k.mov64Reg(1, 0),
  k.mov64Imm(2, 32),
  k.mov64Imm(3, 0),
  k.lea(4, 10, AT),
  k.call("dynptr_from_mem"),
];

/** What one may do near a dynptr, `off` bytes from its first. */
const touches: Readonly<Record<string, (size: "b" | "w" | "dw", off: number) => k.Item[]>> = {
  read: (size, off) => [k.ldx(size, 0, 10, AT + off)],
  store: (size, off) => [k.stImm(size, 10, AT + off, 1)],
  spill: (size, off) => [k.stx(size, 10, 10, AT + off)],
  add: (size, off) => [k.mov64Imm(2, 1), k.atomic("add", size === "b" ? "w" : size, 10, 2, AT + off)],
  fill: (size, off) => [
    k.lea(1, 10, AT + off),
    k.mov64Imm(2, { b: 1, w: 4, dw: 8 }[size]),
    k.mov64Imm(3, 0),
    k.call("probe_read_kernel"),
  ],
  make: (_, off) => [
    k.ldMapFd(1, 0),
    k.mov64Imm(2, 8),
    k.mov64Imm(3, 0),
    k.lea(4, 10, AT + off),
    k.call("ringbuf_reserve_dynptr"),
  ],
  release: (_, off) => [k.lea(1, 10, AT + off), k.mov64Imm(2, 0), k.call("ringbuf_discard_dynptr")],
};

for (const [kind, make] of Object.entries({ local: fromMem, ring: reserve })) {
  t.test(`what may be done at and around a dynptr: ${kind}`, needsMirroredKernel(), (t) => {
    let accepted = 0;
    for (const [name, touch] of Object.entries(touches)) {
      for (const size of ["b", "w", "dw"] as const) {
        for (let off = -8; off <= 16; off += size === "dw" ? 4 : size === "w" ? 2 : 3) {
          const tail: k.Item[] = kind === "ring" && off % 8 === 0 ? submit : [];
          const program = k.good(
            `${name}-${size}-${off}`,
            "TRACEPOINT",
            { maps },
            k.stImm("dw", 10, -40, 0),
            ...make,
            ...slice,
            k.mov64Reg(7, 0),
            ...touch(size, off),
            k.mov64Reg(8, 7),
            ...tail,
            k.ret(),
          );
          const parity = judgeLive(program);
          if (parity.kernel.errno === 0) accepted++;
          const difference = differenceOf(parity);
          if (difference !== null) t.fail(difference);
        }
      }
    }
    t.ok(accepted >= 20, `${accepted} accepted`);
    t.end();
  });
}

t.test("what is left of a spilled slice trips the kernel when its dynptr is released", (t) => {
  // Not put before the kernel, which would warn in its own log: this is what 6.18.44 said.
  const { load } = k.bad(
    "half-overwritten",
    "TRACEPOINT",
    { maps },
    ...reserve,
    ...slice,
    k.stx("dw", 10, 0, -40),
    k.stImm("b", 10, -39, 0),
    ...submit,
    k.ret(),
  );
  const { errno, log } = verify(load, { logLevel: 2 });
  t.equal(errno, 14);
  t.match(
    log,
    "\n17: (85) call bpf_ringbuf_submit_dynptr#199\nverifier bug: misconfigured ref_obj_id\n" +
      "func bpf_ringbuf_submit_dynptr#199 reference has not been acquired before\nprocessed 17 insns ",
  );
  t.end();
});
