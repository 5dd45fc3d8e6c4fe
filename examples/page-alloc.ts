// SPDX-License-Identifier: MIT
// Counts page allocations by their order (2^order pages), without a lock: each CPU has counters of its own.
import { object, percpuArrayMap, struct, tracepoint, u64 } from "bpfsmith";
import type { RunArgs, Session } from "bpfsmith/load";

const MAX_ORDERS = 11;

const Count = struct("count", { allocations: u64, pages: u64 });

const orders = percpuArrayMap("orders", Count, { maxEntries: MAX_ORDERS });

const onAlloc = tracepoint("kmem/mm_page_alloc", "on_alloc", (p, ctx) => {
  const order = ctx.order.get();
  const count = orders.lookup(p, order).orReturn();
  count.allocations.set(count.allocations.add(1));
  count.pages.set(count.pages.add(p.let(u64, 1).shl(order)));
});

export default object({ name: "page_alloc", license: "GPL", programs: [onAlloc] });

export async function main(session: Session, args: RunArgs): Promise<void> {
  await session.ended;
  for (const [order, perCpu] of session.perCpu(orders).entries()) {
    const allocations = perCpu.reduce((sum, count) => sum + count.allocations, 0n);
    const pages = perCpu.reduce((sum, count) => sum + count.pages, 0n);
    if (args.json) session.print(JSON.stringify({ order, allocations: Number(allocations), pages: Number(pages) }));
    else session.print(`order ${`${order}`.padStart(2)}: ${allocations} allocations, ${pages} pages`);
  }
}
