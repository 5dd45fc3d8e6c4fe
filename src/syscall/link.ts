// SPDX-License-Identifier: MIT
import { Cmd } from "../kernel/uapi.js";
import { Attr, bpf } from "./attr.js";
import type { Capability } from "./capabilities.js";
import { checked } from "./errors.js";
import { Fd } from "./fd.js";
import { LINK_CREATE, LINK_CREATE_PERF_EVENT, LINK_DETACH, RAW_TRACEPOINT } from "./layout.js";

/** What BPF_LINK_CREATE takes. */
export interface LinkRequest {
  readonly program: Fd;
  /** A descriptor, or the number of a network interface, by the attach type. */
  readonly target: number;
  /** BPF_* attach type. */
  readonly attachType: number;
  readonly flags?: number;
  /** Value of bpf_get_attach_cookie(), for perf events. */
  readonly perfEventCookie?: bigint;
}

/**
 * Attaches a program by a link (BPF_LINK_CREATE): it stays attached as long as the link is open or pinned.
 * @param where For messages: what is attached to.
 * @throws SyscallError
 */
export function createLink(request: LinkRequest, where: string, needs?: readonly Capability[]): Fd {
  const attr = new Attr()
    .u32(LINK_CREATE.prog_fd, request.program.number)
    .u32(LINK_CREATE.target_fd, request.target)
    .u32(LINK_CREATE.attach_type, request.attachType)
    .u32(LINK_CREATE.flags, request.flags ?? 0);
  if (request.perfEventCookie) attr.u64(LINK_CREATE_PERF_EVENT.bpf_cookie, request.perfEventCookie);
  const what = `${request.program.what} to ${where}`;
  return new Fd(
    checked(bpf(Cmd.LINK_CREATE, attr, LINK_CREATE.size), "BPF_LINK_CREATE", what, needs),
    `link of ${what}`,
  );
}

/**
 * Detaches a link's program although the link stays open (BPF_LINK_DETACH; not all kinds can).
 * @throws SyscallError
 */
export function detachLink(link: Fd): void {
  const attr = new Attr().u32(LINK_DETACH.link_fd, link.number);
  checked(bpf(Cmd.LINK_DETACH, attr, LINK_DETACH.size), "BPF_LINK_DETACH", link.what);
}

/**
 * Attaches a raw_tracepoint program to a tracepoint, or (without a name) a tracing program to what it
 * was loaded for (BPF_RAW_TRACEPOINT_OPEN). The result is a link.
 * @throws SyscallError
 */
export function openRawTracepoint(program: Fd, name: string | null, cookie = 0n): Fd {
  const attr = new Attr().u32(RAW_TRACEPOINT.prog_fd, program.number).u64(RAW_TRACEPOINT.cookie, cookie);
  if (name !== null) attr.text(RAW_TRACEPOINT.name, name);
  const what = `${program.what}${name === null ? "" : ` to ${name}`}`;
  // Kernels before 6.10 know no cookie and refuse a longer structure only if it is not zero.
  const result = bpf(Cmd.RAW_TRACEPOINT_OPEN, attr, RAW_TRACEPOINT.size);
  return new Fd(checked(result, "BPF_RAW_TRACEPOINT_OPEN", what, ["CAP_BPF", "CAP_PERFMON"]), `link of ${what}`);
}
