// SPDX-License-Identifier: MIT
import { AttachType } from "../uapi.js";
import type { HelperName } from "./names.js";
import { helperSets } from "./sets.js";
import { base, baseBpf, basePerfmon, type HelperSet, type ProtoChoice } from "./sets-base.js";
import {
  cgroupDevice,
  cgroupSock,
  cgroupSockAddr,
  cgroupSockAddrOwn,
  cgroupSockopt,
  cgroupSysctl,
} from "./sets-cgroup.js";
import { lwtSeg6local, schedCls, skMsg, socketFilter } from "./sets-packet.js";
import { tracingBase } from "./sets-tracing.js";

/** Which helpers a release offers to whom, and where their prototypes differ from the tables. */
export interface HelperFacts {
  /** Where the search for a prototype begins, by program type. */
  readonly sets: ReadonlyMap<number, HelperSet>;
  /** Arguments that differ: variant → argument number (1–5) → type. */
  readonly args: Readonly<Record<string, Readonly<Record<number, string>>>>;
  /** Variants that may sleep although the tables do not say so. */
  readonly mightSleep: readonly string[];
}

/** Linux 6.18, which the tables are made for. */
export const helpers618: HelperFacts = { sets: helperSets, args: {}, mightSleep: [] };

/** How an older kernel's set differs from today's. */
interface SetChange {
  readonly without?: readonly HelperName[];
  readonly with?: Readonly<Partial<Record<HelperName, ProtoChoice>>>;
}

/** All sets with these changed; sets in front of a changed one follow it. */
function changedSets(changes: ReadonlyMap<HelperSet, SetChange>): ReadonlyMap<number, HelperSet> {
  const made = new Map<HelperSet, HelperSet>();
  const change = (set: HelperSet): HelperSet => {
    const known = made.get(set);
    if (known !== undefined) return known;
    const { without = [], with: added = {} } = changes.get(set) ?? {};
    const kept = Object.entries(set.helpers).filter(([name]) => !(without as readonly string[]).includes(name));
    const helpers = { ...Object.fromEntries(kept), ...added };
    const result: HelperSet = { ...set, helpers, next: set.next === null ? null : change(set.next) };
    made.set(set, result);
    return result;
  };
  return new Map([...helperSets].map(([type, set]) => [type, change(set)]));
}

/** What tracing programs had to themselves before 6.16 gave it to all. */
const tracingOnly = {
  get_current_uid_gid: "get_current_uid_gid",
  get_current_comm: "get_current_comm",
  perf_event_read: "perf_event_read",
  perf_event_read_value: "perf_event_read_value",
  current_task_under_cgroup: "current_task_under_cgroup",
  send_signal: "send_signal",
  send_signal_thread: "send_signal_thread",
  get_task_stack: { sleepable: "get_task_stack_sleepable", other: "get_task_stack" },
  copy_from_user: "copy_from_user",
  copy_from_user_task: "copy_from_user_task",
  task_storage_get: "task_storage_get",
  task_storage_delete: "task_storage_delete",
  get_branch_snapshot: "get_branch_snapshot",
  find_vma: "find_vma",
} as const satisfies Partial<Record<HelperName, ProtoChoice>>;

/** cgroup_current_func_proto(). */
const cgroupCurrent: SetChange = {
  with: {
    get_current_uid_gid: "get_current_uid_gid",
    get_current_comm: "get_current_comm",
    get_cgroup_classid: "get_cgroup_classid_curr",
    current_task_under_cgroup: "current_task_under_cgroup",
  },
};

const unixNames = [AttachType.CGROUP_UNIX_GETPEERNAME, AttachType.CGROUP_UNIX_GETSOCKNAME] as const;

const changes612: ReadonlyMap<HelperSet, SetChange> = new Map<HelperSet, SetChange>([
  [base, { without: ["get_current_uid_gid"] }],
  [
    baseBpf,
    { without: ["current_task_under_cgroup", "get_cgroup_classid", "task_storage_get", "task_storage_delete"] },
  ],
  [
    basePerfmon,
    {
      without: [
        "get_current_comm",
        "copy_from_user",
        "copy_from_user_task",
        "perf_event_read",
        "perf_event_read_value",
        "send_signal",
        "send_signal_thread",
        "get_task_stack",
        "get_branch_snapshot",
        "find_vma",
      ],
    },
  ],
  // bpf_probe_write_user() is there unless the kernel is locked down, which 6.18's profile takes for granted.
  [tracingBase, { with: { ...tracingOnly, probe_write_user: "probe_write_user" } }],
  [socketFilter, { without: ["get_netns_cookie"] }],
  [schedCls, { without: ["get_netns_cookie"] }],
  [skMsg, { with: { get_current_uid_gid: "get_current_uid_gid", get_cgroup_classid: "get_cgroup_classid_curr" } }],
  [lwtSeg6local, { with: { skb_pull_data: null } }],
  [cgroupSock, cgroupCurrent],
  [cgroupSockAddr, cgroupCurrent],
  [cgroupDevice, cgroupCurrent],
  [cgroupSysctl, cgroupCurrent],
  [cgroupSockopt, cgroupCurrent],
  [
    cgroupSockAddrOwn,
    {
      with: {
        setsockopt: { attach: unixNames, proto: null, other: "sock_addr_setsockopt" },
        getsockopt: { attach: unixNames, proto: null, other: "sock_addr_getsockopt" },
      },
    },
  ],
]);

/**
 * Memory that a helper writes is not always marked as such, and then may be read-only to the program; the ranks of
 * loops are scalars by a fix of 6.12's stable series.
 */
const args612: HelperFacts["args"] = {
  snprintf: { 1: "PTR_TO_MEM_OR_NULL" },
  kallsyms_lookup_name: { 1: "PTR_TO_MEM" },
  loop: { 1: "SCALAR" },
  get_stack_raw_tp: { 2: "PTR_TO_MEM | MEM_RDONLY" },
  read_branch_records: { 2: "PTR_TO_MEM_OR_NULL" },
  d_path: { 2: "PTR_TO_MEM" },
  snprintf_btf: { 1: "PTR_TO_MEM" },
  skb_fib_lookup: { 2: "PTR_TO_MEM" },
  xdp_fib_lookup: { 2: "PTR_TO_MEM" },
  sysctl_get_name: { 2: "PTR_TO_MEM" },
  tcp_raw_gen_syncookie_ipv4: { 1: "PTR_TO_FIXED_SIZE_MEM", 2: "PTR_TO_MEM" },
  tcp_raw_gen_syncookie_ipv6: { 1: "PTR_TO_FIXED_SIZE_MEM", 2: "PTR_TO_MEM" },
  tcp_raw_check_syncookie_ipv4: { 1: "PTR_TO_FIXED_SIZE_MEM", 2: "PTR_TO_FIXED_SIZE_MEM" },
  tcp_raw_check_syncookie_ipv6: { 1: "PTR_TO_FIXED_SIZE_MEM", 2: "PTR_TO_FIXED_SIZE_MEM" },
};

let sets612: ReadonlyMap<number, HelperSet> | undefined;

/** Linux 6.12. Its sets are made when somebody asks: every start of a program would pay for them. */
export const helpers612: HelperFacts = {
  get sets() {
    sets612 ??= changedSets(changes612);
    return sets612;
  },
  args: args612,
  mightSleep: ["sys_bpf", "btf_find_by_name_kind", "sys_close", "get_stack_sleepable", "get_task_stack_sleepable"],
};
