// SPDX-License-Identifier: MIT
// Prints every exec on this machine: when, who, from which program, and what is started.
import { array, char, object, ringbuf, struct, tracepoint, u32, u64 } from "bpfsmith";
import type { RunArgs, Session } from "bpfsmith/load";

const Event = struct("event", {
  ts: u64,
  pid: u32,
  uid: u32,
  comm: array(char, 16),
  filename: array(char, 256),
});

const events = ringbuf("events", Event, { bytes: 256 * 1024 });

const onExec = tracepoint("syscalls/sys_enter_execve", "on_exec", (p, ctx) => {
  const event = events.reserve(p).orReturn();
  event.ts.set(p.ktimeGetNs());
  event.pid.set(p.getCurrentPidTgid().shr(32));
  event.uid.set(p.getCurrentUidGid());
  p.getCurrentComm(event.comm);
  p.probeReadUserStr(event.filename, ctx.filename);
  event.submit();
});

export default object({ name: "execsnoop", license: "GPL", programs: [onExec] });

/** The kernel counts from boot, by the clock that process.hrtime() reads. */
function wallClock(ts: bigint): Date {
  return new Date(Date.now() - Number((process.hrtime.bigint() - ts) / 1_000_000n));
}

export async function main(session: Session, args: RunArgs): Promise<void> {
  if (!args.json) session.print(`${"TIME".padEnd(13)}${"PID".padEnd(9)}${"UID".padEnd(7)}${"COMM".padEnd(17)}FILENAME`);
  session.events(events, ({ ts, pid, uid, comm, filename }) => {
    const time = wallClock(ts).toISOString();
    if (args.json) {
      session.print(JSON.stringify({ time, pid, uid, comm, filename }));
    } else {
      const clock = time.slice(11, 23).padEnd(13);
      session.print(`${clock}${`${pid}`.padEnd(9)}${`${uid}`.padEnd(7)}${comm.padEnd(17)}${filename}`);
    }
  });
  await session.ended;
}
