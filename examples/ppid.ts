// SPDX-License-Identifier: MIT
// Prints every exec with its parent, and how long that one runs. Pids and names of other processes stand in no
// tracepoint: they are read out of the kernel's own structs, wherever the running kernel has their members (CO-RE).
import { array, char, kernelStruct, object, ptr, ringbuf, s32, struct, tracepoint, u64 } from "bpfsmith";
import type { RunArgs, Session } from "bpfsmith/load";

const Task = kernelStruct("task_struct", {
  tgid: s32,
  comm: array(char, 16),
  start_boottime: u64,
  get real_parent() {
    return ptr(Task);
  },
});

const Event = struct("event", {
  pid: s32,
  ppid: s32,
  grandparent: s32,
  comm: array(char, 16),
  parent: array(char, 16),
  age: u64,
});

const events = ringbuf("events", Event, { bytes: 64 * 1024 });

const onExec = tracepoint("sched/sched_process_exec", "on_exec", (p) => {
  const event = events.reserve(p).orReturn();
  const task = p.kernelObject(Task, p.getCurrentTask());
  // Each member is read when it is used, with all pointers on the way; coreRead() keeps one of them.
  const parent = p.coreRead(task.real_parent);
  event.pid.set(task.tgid);
  event.ppid.set(parent.tgid);
  event.grandparent.set(parent.real_parent.tgid);
  p.coreReadStr(event.comm, task.comm);
  p.coreReadStr(event.parent, parent.comm);
  event.age.set(0);
  // Linux 5.5 gave this member its name.
  p.if(p.fieldExists(parent.start_boottime), () => {
    event.age.set(p.ktimeGetBootNs().sub(parent.start_boottime));
  });
  event.submit();
});

export default object({ name: "ppid", license: "GPL", programs: [onExec] });

export async function main(session: Session, args: RunArgs): Promise<void> {
  if (!args.json)
    session.print(`${"PID".padEnd(9)}${"COMM".padEnd(17)}${"PPID".padEnd(9)}${"PARENT".padEnd(17)}STARTED`);
  session.events(events, ({ pid, ppid, grandparent, comm, parent, age }) => {
    const seconds = Number(age / 1_000_000n) / 1000;
    if (args.json) session.print(JSON.stringify({ pid, comm, ppid, parent, grandparent, seconds }));
    else
      session.print(
        `${`${pid}`.padEnd(9)}${comm.padEnd(17)}${`${ppid}`.padEnd(9)}${parent.padEnd(17)}${seconds} s ago`,
      );
  });
  await session.ended;
}
