// SPDX-License-Identifier: MIT
// Counts system calls by process twice: in a hash that all CPUs share, with atomic additions, and in one with a
// counter for each CPU, with plain ones. Both come to the same sums.
import { hashMap, object, percpuHashMap, tracepoint, u32, u64 } from "bpfsmith";
import type { RunArgs, Session } from "bpfsmith/load";

const shared = hashMap("shared", u32, u64, { maxEntries: 10240 });
const perCpu = percpuHashMap("per_cpu", u32, u64, { maxEntries: 10240 });

const onSyscall = tracepoint("raw_syscalls/sys_enter", "on_syscall", (p) => {
  const pid = p.getCurrentPidTgid().shr(32).as(u32);
  p.ifNotNull(
    shared.lookup(p, pid),
    (count) => count.atomicAdd(1),
    // Another CPU may have been faster: then its entry stays and one call is not counted.
    () => shared.update(p, pid, 1, "new"),
  );
  p.ifNotNull(
    perCpu.lookup(p, pid),
    (count) => count.set(count.add(1)),
    () => perCpu.update(p, pid, 1),
  );
});

export default object({ name: "count_by_pid", license: "GPL", programs: [onSyscall] });

export async function main(session: Session, args: RunArgs): Promise<void> {
  await session.ended;
  const sums = new Map<number, bigint>();
  for (const [pid, counts] of session.perCpu(perCpu).entries())
    sums.set(
      pid,
      counts.reduce((a, b) => a + b, 0n),
    );
  const rows = [...session.map(shared).entries()].sort(([, a], [, b]) => Number(b - a)).slice(0, 20);
  if (!args.json) session.print(`${"PID".padEnd(9)}${"SHARED".padStart(12)}${"PER CPU".padStart(12)}`);
  for (const [pid, count] of rows) {
    const sum = sums.get(pid) ?? 0n;
    if (args.json) session.print(JSON.stringify({ pid, shared: Number(count), perCpu: Number(sum) }));
    else session.print(`${`${pid}`.padEnd(9)}${`${count}`.padStart(12)}${`${sum}`.padStart(12)}`);
  }
}
