// SPDX-License-Identifier: MIT
import { Attr } from "./attr.js";
import { checked } from "./errors.js";
import { Fd } from "./fd.js";
import { PERF_EVENT_ATTR } from "./layout.js";
import { sys } from "./sys.js";

/** `enum perf_type_id`; kprobe and uprobe have numbers of their own under /sys/bus/event_source. */
export const PerfType = { HARDWARE: 0, SOFTWARE: 1, TRACEPOINT: 2 } as const;

const PERF_FLAG_FD_CLOEXEC = 8;

/** _IO('$', 0), _IO('$', 1), _IOW('$', 8, __u32) of linux/perf_event.h. */
const PERF_EVENT_IOC = { ENABLE: 0x2400, DISABLE: 0x2401, SET_BPF: 0x4004_2408 } as const;

/** What perf_event_open(2) takes, as far as BPF has use for it. */
export interface PerfEventRequest {
  /** One of {@link PerfType}, or a dynamic type. */
  readonly type: number;
  /** Event within the type: the id of a tracepoint. */
  readonly config: bigint | number;
  /** A string's address: the function of a kprobe, the path of a uprobe. */
  readonly config1?: string;
  /** The offset of a probe. */
  readonly config2?: number;
  /** Every how many events to sample; 0 for none. */
  readonly samplePeriod?: number;
  /** Process to observe; -1 for all (then `cpu` must be one). */
  readonly pid?: number;
  /** CPU to observe; -1 for all (then `pid` must be one). */
  readonly cpu?: number;
}

/**
 * Opens a perf event (perf_event_open(2)).
 * @param what For messages.
 * @throws SyscallError
 */
export function openPerfEvent(request: PerfEventRequest, what: string): Fd {
  const attr = new Attr(PERF_EVENT_ATTR.size)
    .u32(PERF_EVENT_ATTR.type, request.type)
    .u32(PERF_EVENT_ATTR.size_field, PERF_EVENT_ATTR.size)
    .u64(PERF_EVENT_ATTR.config, request.config)
    .u64(PERF_EVENT_ATTR.sample_period, request.samplePeriod ?? 0)
    .u64(PERF_EVENT_ATTR.config2, request.config2 ?? 0);
  if (request.config1 !== undefined) attr.text(PERF_EVENT_ATTR.config1, request.config1);
  const result = attr.call(
    "perf_event_open",
    attr.address,
    request.pid ?? -1,
    request.cpu ?? 0,
    -1,
    PERF_FLAG_FD_CLOEXEC,
  );
  return new Fd(checked(result, "perf_event_open", what, ["CAP_PERFMON"]), `perf event ${what}`);
}

/** Attaches a program to a perf event (ioctl PERF_EVENT_IOC_SET_BPF). @throws SyscallError */
export function setPerfEventProgram(event: Fd, program: Fd): void {
  const result = sys("ioctl", event.number, PERF_EVENT_IOC.SET_BPF, program.number);
  checked(result, "PERF_EVENT_IOC_SET_BPF", `${program.what} to ${event.what}`, ["CAP_PERFMON"]);
}

/** Lets a perf event count (ioctl PERF_EVENT_IOC_ENABLE). @throws SyscallError */
export function enablePerfEvent(event: Fd): void {
  checked(sys("ioctl", event.number, PERF_EVENT_IOC.ENABLE, 0), "PERF_EVENT_IOC_ENABLE", event.what);
}
