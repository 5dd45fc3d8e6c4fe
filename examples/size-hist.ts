// SPDX-License-Identifier: MIT
// A histogram of how many bytes write(2) is asked to write, in powers of two, kept in the kernel.
import { arrayMap, object, tracepoint, u64 } from "bpfsmith";
import type { RunArgs, Session } from "bpfsmith/load";

const SLOTS = 64;
const BAR = 40;

const sizes = arrayMap("sizes", u64, { maxEntries: SLOTS });

const onWrite = tracepoint("syscalls/sys_enter_write", "on_write", (p, ctx) => {
  const slot = sizes.lookup(p, p.log2(ctx.count)).orReturn();
  slot.atomicAdd(1);
});

export default object({ name: "size_hist", license: "GPL", programs: [onWrite] });

export async function main(session: Session, args: RunArgs): Promise<void> {
  await session.ended;
  const counts = [...session.map(sizes).entries()].filter(([, count]) => count > 0n);
  const most = Math.max(1, ...counts.map(([, count]) => Number(count)));
  for (const [slot, count] of counts) {
    const [from, to] = [slot === 0 ? 0n : 1n << BigInt(slot), (2n << BigInt(slot)) - 1n];
    if (args.json) session.print(JSON.stringify({ from: Number(from), to: Number(to), count: Number(count) }));
    else
      session.print(`${`${from}`.padStart(12)} -> ${`${to}`.padEnd(12)} ${`${count}`.padStart(8)} ${bar(count, most)}`);
  }
}

function bar(count: bigint, most: number): string {
  return `|${"@".repeat(Math.round((Number(count) * BAR) / most)).padEnd(BAR)}|`;
}
