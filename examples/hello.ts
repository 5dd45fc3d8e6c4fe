// SPDX-License-Identifier: MIT
// Says hello whenever a program is started. The lines come through the kernel's trace pipe.
import { object, tracepoint, u32 } from "bpfsmith";
import type { Session } from "bpfsmith/load";

const hello = tracepoint("syscalls/sys_enter_execve", "hello", (p) => {
  p.printk("hello from pid %d", p.getCurrentPidTgid().shr(32).as(u32));
});

export default object({ name: "hello", license: "GPL", programs: [hello] });

export async function main(session: Session): Promise<void> {
  session.tracePipe((line) => session.print(line));
  await session.ended;
}
