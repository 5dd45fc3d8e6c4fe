// SPDX-License-Identifier: MIT
// Adds up how long each task ran on a CPU, from one switch to the next.
import { array, char, hashMap, object, percpuArrayMap, struct, tracepoint, u32, u64 } from "bpfsmith";
import type { RunArgs, Session } from "bpfsmith/load";

const Usage = struct("usage", { ns: u64, switches: u64, comm: array(char, 16) });

const since = percpuArrayMap("since", u64, { maxEntries: 1 });
const usages = hashMap("usages", u32, Usage, { maxEntries: 10240 });

const onSwitch = tracepoint("sched/sched_switch", "on_switch", (p, ctx) => {
  const now = p.ktimeGetNs();
  const start = since.lookup(p, 0).orReturn();
  const before = start.get();
  start.set(now);
  // The first switch on a CPU only starts the clock.
  p.if(before.eq(0), () => p.return());

  const ran = now.sub(before);
  p.ifNotNull(
    usages.lookup(p, ctx.prev_pid),
    (usage) => {
      usage.ns.atomicAdd(ran);
      usage.switches.atomicAdd(1);
    },
    () => usages.update(p, ctx.prev_pid, { ns: ran, switches: 1, comm: ctx.prev_comm }),
  );
});

export default object({ name: "sched_switch", license: "GPL", programs: [onSwitch] });

export async function main(session: Session, args: RunArgs): Promise<void> {
  await session.ended;
  const all = [...session.map(usages).entries()].sort(([, a], [, b]) => Number(b.ns - a.ns));
  if (!args.json)
    session.print(`${"PID".padEnd(9)}${"COMM".padEnd(17)}${"ON CPU (ms)".padStart(12)}${"SWITCHES".padStart(10)}`);
  for (const [pid, { ns, switches, comm }] of all.slice(0, 20)) {
    const ms = Number(ns) / 1e6;
    if (args.json) session.print(JSON.stringify({ pid, comm, ms, switches: Number(switches) }));
    else
      session.print(
        `${`${pid}`.padEnd(9)}${comm.padEnd(17)}${ms.toFixed(3).padStart(12)}${`${switches}`.padStart(10)}`,
      );
  }
}
