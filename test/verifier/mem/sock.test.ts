// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import * as k from "../../fixtures/verifier/programs/kit.js";
import { differenceOf, judgeLive, needsMirroredKernel } from "../../support/live-parity.js";

const sizes = ["b", "h", "w", "dw"] as const;

/** Brings a pointer to a socket into R6, from the context's `sk` or through a helper. */
const pointers: Readonly<Record<string, k.Item[]>> = {
  sock_common: [],
  sock: [k.mov64Reg(1, 6), k.call("sk_fullsock"), k.ifImm("jeq", 0, 0, "none"), k.mov64Reg(6, 0)],
  tcp_sock: [k.mov64Reg(1, 6), k.call("tcp_sock"), k.ifImm("jeq", 0, 0, "none"), k.mov64Reg(6, 0)],
};

/** Upper halves of 8-byte fields: the verifier lets them through, the kernel's conversion then trips over them. */
const KERNEL_BUG = /^verifier bug: error during ctx access conversion/m;

for (const [name, load] of Object.entries(pointers)) {
  t.test(`reads and writes of a ${name}`, needsMirroredKernel(), (t) => {
    let accepted = 0;
    for (let offset = -2; offset < 116; offset += 2) {
      for (const size of sizes) {
        const access = offset % 16 === 6 ? k.stx(size, 6, 10, offset) : k.ldx(size, 2, 6, offset);
        const parity = judgeLive(
          k.good(
            `${name}/${size}-${offset}`,
            "SCHED_CLS",
            {},
            k.ldx("dw", 6, 1, 168),
            k.ifImm("jeq", 6, 0, "none"),
            ...load,
            access,
            "none:",
            k.ret(),
          ),
        );
        if (KERNEL_BUG.test(parity.kernel.log)) continue;
        if (parity.kernel.errno === 0) accepted++;
        const difference = differenceOf(parity);
        if (difference !== null) t.fail(difference);
      }
    }
    t.ok(accepted > 20, `${accepted} accesses are fine`);
    t.end();
  });
}
