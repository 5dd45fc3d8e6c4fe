// SPDX-License-Identifier: MIT
import { hashMap, object, tracepoint, u32, u64 } from "bpfsmith";
import type { Session } from "bpfsmith/load";

const opens = hashMap("opens", u32, u64, { maxEntries: 1024 });

const onOpen = tracepoint("syscalls/sys_enter_openat", "on_open", (p) => {
  const pid = p.getCurrentPidTgid().shr(32);
  p.ifNotNull(
    opens.lookup(p, pid),
    (count) => count.atomicAdd(1),
    () => opens.update(p, pid, 1),
  );
});

export default object({ name: "opens", license: "GPL", programs: [onOpen] });

export async function main(session: Session) {
  await session.ended;
  for (const [pid, count] of session.map(opens).entries()) session.print(`${pid} opened ${count} files`);
}
