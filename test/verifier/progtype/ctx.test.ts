// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import { AttachType, type CtxLayout, ctxLayout, ProgType } from "../../../src/kernel/index.js";
import { loadProgram, VerifierRejection } from "../../../src/syscall/index.js";
import { verify } from "../../../src/verifier/index.js";
import * as k from "../../fixtures/verifier/programs/kit.js";
import { needsMirroredKernel } from "../../support/live-parity.js";

/** Program types, with an expected attach type where they need one. */
const contexts: readonly (readonly [keyof typeof ProgType, number])[] = [
  ["TRACEPOINT", 0],
  ["KPROBE", 0],
  ["PERF_EVENT", 0],
  ["RAW_TRACEPOINT", 0],
  ["RAW_TRACEPOINT_WRITABLE", 0],
  ["XDP", AttachType.XDP],
  ["XDP", AttachType.XDP_DEVMAP],
  ["SOCKET_FILTER", 0],
  ["SCHED_CLS", 0],
  ["CGROUP_SKB", AttachType.CGROUP_INET_EGRESS],
  ["LWT_XMIT", 0],
  ["SK_SKB", 0],
  ["SYSCALL", 0],
  ["CGROUP_DEVICE", AttachType.CGROUP_DEVICE],
  ["CGROUP_SYSCTL", AttachType.CGROUP_SYSCTL],
  ["CGROUP_SOCKOPT", AttachType.CGROUP_GETSOCKOPT],
  ["CGROUP_SOCKOPT", AttachType.CGROUP_SETSOCKOPT],
  ["CGROUP_SOCK_ADDR", AttachType.CGROUP_UDP4_SENDMSG],
  ["CGROUP_SOCK_ADDR", AttachType.CGROUP_UDP6_SENDMSG],
  ["CGROUP_SOCK", AttachType.CGROUP_INET_SOCK_CREATE],
  ["CGROUP_SOCK", AttachType.CGROUP_INET6_POST_BIND],
  ["SOCK_OPS", AttachType.CGROUP_SOCK_OPS],
  ["SK_MSG", AttachType.SK_MSG_VERDICT],
  ["SK_REUSEPORT", AttachType.SK_REUSEPORT_SELECT],
  ["SK_LOOKUP", AttachType.SK_LOOKUP],
  ["FLOW_DISSECTOR", AttachType.FLOW_DISSECTOR],
];

const sizes = ["b", "h", "w", "dw"] as const;

/** Offsets around the edges of every field, and around the context's own. */
function edges(layout: CtxLayout): number[] {
  const at = new Set<number>([-8, -4, -1, 0, 1, layout.size - 1, layout.size, layout.size + 8]);
  for (const { offset, size, count } of layout.fields) {
    for (const edge of [offset, offset + size, offset + size * count]) for (const d of [-1, 0, 2]) at.add(edge + d);
  }
  return [...at].filter((offset) => offset < 400).sort((a, b) => a - b);
}

/** The kernel's errno and the line that says why. */
function kernelSays(load: k.FixtureProgram["load"]): { errno: number; log: string } {
  try {
    const { name, progType: type, expectedAttachType, insns, license, progFlags: flags } = load;
    const { fd, log } = loadProgram({ name, type, expectedAttachType, insns, license, flags }, 1);
    fd.close();
    return { errno: 0, log };
  } catch (error) {
    if (error instanceof VerifierRejection) return { errno: error.errno, log: error.log };
    throw error;
  }
}

for (const [type, attach] of contexts) {
  t.test(`${type}, attach type ${attach}: every access at a field's edge`, needsMirroredKernel(), (t) => {
    const layout =
      ctxLayout(ProgType[type]) ?? ctxLayout(type === "CGROUP_SOCK" ? ProgType.SOCK_OPS : ProgType.RAW_TRACEPOINT)!;
    const progFlags = type === "SYSCALL" ? k.ProgFlag.SLEEPABLE : 0;
    let accepted = 0;
    let checked = 0;
    for (const offset of edges(layout)) {
      for (const size of sizes) {
        const accesses: k.Item[][] = [
          [k.ldx(size, 2, 1, offset)],
          [k.mov64Imm(2, 0), k.stx(size, 1, 2, offset)],
          ...(size === "dw" ? [] : [[k.ldxs(size, 2, 1, offset)]]),
        ];
        for (const [i, access] of accesses.entries()) {
          const name = `ctx/${["read", "write", "signed"][i]}-${size}-${offset}`;
          const { load } = k.good(name, type, { expectedAttachType: attach, progFlags }, ...access, k.ret());
          const kernel = kernelSays(load);
          const ours = verify(load, { logLevel: 1 });
          checked++;
          if (kernel.errno === 0) accepted++;
          if (kernel.errno !== ours.errno || kernel.log !== ours.log) {
            t.fail(`${name}: kernel ${kernel.errno}, ours ${ours.verdict} ${ours.errno}`);
          }
        }
      }
    }
    t.ok(checked > 100 && accepted > 2, `${accepted} of ${checked} accesses are fine`);
    t.end();
  });
}
