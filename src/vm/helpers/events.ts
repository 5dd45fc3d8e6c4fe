// SPDX-License-Identifier: MIT
import { Errno } from "../../kernel/errno.js";
import type { HelperName } from "../../kernel/helpers/index.js";
import type { Helper, Machine } from "../machine.js";
import { PerfMap, RingMap, RingRecord } from "../maps/events.js";

/* Ring buffers and perf event arrays: kernel/bpf/ringbuf.c, kernel/trace/bpf_trace.c. */

/** BPF_F_INDEX_MASK, the lower half of the flags; BPF_F_CURRENT_CPU is all of it. */
const CURRENT_CPU = 0xffff_ffff;
/** BPF_RB_NO_WAKEUP and BPF_RB_FORCE_WAKEUP. */
const WAKEUP_FLAGS = 3;
/** bpf_ringbuf_query(): BPF_RB_AVAIL_DATA and so on, in order. */
const QUERIES: readonly ((ring: RingMap) => number)[] = [
  (ring) => ring.available,
  (ring) => ring.load.maxEntries,
  (ring) => ring.consumed,
  (ring) => ring.produced,
];

function commit(machine: Machine, discard: boolean): void {
  const record = machine.ownerOf(1);
  if (!(record instanceof RingRecord)) throw machine.fault("argument", "R1 is no record of a ring buffer");
  if (record.state !== "reserved") throw machine.fault("argument", `${record.what} was ${record.state} before`);
  record.ring.commit(record, machine.memory.regionOf(machine.high(1)), discard);
}

function perfOutput(machine: Machine): void {
  const map = machine.map(2, PerfMap);
  const size = machine.size(5);
  const data = machine.memory.copy(machine.at(4, size), size);
  machine.setNumber(sendEvent(machine, map, data));
}

/** Sends to the index that the third argument's lower half says. */
function sendEvent(machine: Machine, map: PerfMap, data: Uint8Array): number {
  if (machine.high(3) !== 0) return -Errno.EINVAL;
  const index = machine.u32(3);
  return map.output(index === CURRENT_CPU ? machine.environment.cpu : index, data);
}

/** Packet types send part of the packet behind the data: the upper half of the flags says how much of it. */
function packetOutput(machine: Machine): void {
  const { packet } = machine;
  if (packet === null) {
    perfOutput(machine);
    return;
  }
  const map = machine.map(2, PerfMap);
  const size = machine.size(5);
  const meta = machine.memory.copy(machine.at(4, size), size);
  const more = machine.high(3) & 0xf_ffff;
  if ((machine.high(3) & ~0xf_ffff) !== 0) {
    machine.setNumber(-Errno.EINVAL);
    return;
  }
  if (more > packet.length) {
    machine.setNumber(-Errno.EFAULT);
    return;
  }
  const data = new Uint8Array(size + more);
  data.set(meta);
  data.set(packet.bytes().subarray(0, more), size);
  const index = machine.u32(3);
  machine.setNumber(map.output(index === CURRENT_CPU ? machine.environment.cpu : index, data));
}

export const eventHelpers = {
  ringbuf_output: (machine) => {
    const ring = machine.map(1, RingMap);
    const size = machine.size(3);
    const at = machine.at(2, size);
    if ((machine.flags(4) & ~WAKEUP_FLAGS) !== 0) machine.setNumber(-Errno.EINVAL);
    else machine.setNumber(ring.output(at, size));
  },
  ringbuf_reserve: (machine) => {
    const ring = machine.map(1, RingMap);
    if (machine.isNull(3)) machine.setResultPointer(ring.reserve(machine.size(2)));
  },
  ringbuf_submit: (machine) => commit(machine, false),
  ringbuf_discard: (machine) => commit(machine, true),
  ringbuf_query: (machine) => {
    const query = machine.high(2) === 0 ? QUERIES[machine.u32(2)] : undefined;
    machine.setResult(BigInt(query?.(machine.map(1, RingMap)) ?? 0));
  },
  perf_event_output: packetOutput,
} satisfies Partial<Record<HelperName, Helper>>;
