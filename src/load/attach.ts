// SPDX-License-Identifier: MIT
import { type ParsedSection, parseSection, SELF_ATTACHING } from "../kernel/sections.js";
import { attachKprobe } from "../link/kprobe.js";
import type { Link } from "../link/link.js";
import { attachRawTracepoint } from "../link/raw-tracepoint.js";
import { attachPacketFilter, attachSocketFilter } from "../link/socket-filter.js";
import { attachTrace } from "../link/trace.js";
import { attachTracepoint } from "../link/tracepoint.js";
import { attachUprobe } from "../link/uprobe.js";
import { attachXdp, type XdpMode } from "../link/xdp.js";
import type { Fd } from "../syscall/fd.js";
import { InputError } from "../util/errors.js";

/** What the sections' names do not say about attaching. */
export interface AttachOptions {
  /** Name or index of the network interface for XDP programs and socket filters. */
  readonly device?: string | number;
  /** How XDP programs are attached. */
  readonly xdpMode?: XdpMode;
  /** File descriptor of the socket for socket filters, in place of an interface. */
  readonly socket?: number;
  /** Process that uprobes observe; all by default. */
  readonly pid?: number;
  /** What bpf_get_attach_cookie() returns. */
  readonly cookie?: bigint;
}

function parse(section: string): ParsedSection {
  const parsed = parseSection(section);
  if (parsed === undefined) throw new InputError("the section's name stands for no program type", { section });
  return parsed;
}

/** Whether a program of this section can be attached with what the section and `options` say. */
export function attachesItself(section: string, options: AttachOptions = {}): boolean {
  const { def, target } = parse(section);
  if (def.attach === "xdp") return options.device !== undefined;
  if (def.attach === "socket") return options.device !== undefined || options.socket !== undefined;
  return SELF_ATTACHING.has(def.attach) && target !== null;
}

/**
 * Attaches a program to where its section's name (or, for kinds without a target there, `options`) says.
 * @throws InputError when the target is missing, not said, or of a kind that cannot be attached yet; SyscallError
 */
export function attachProgram(program: Fd, section: string, options: AttachOptions = {}): Link {
  const { def, target } = parse(section);
  const { cookie } = options;
  switch (def.attach) {
    case "tracepoint":
      return attachTracepoint(program, needTarget(section, target, "CATEGORY/NAME"), { cookie });
    case "rawTracepoint":
      return attachRawTracepoint(program, needTarget(section, target, "NAME"), { cookie });
    case "trace":
    case "lsm":
      return attachTrace(program, needTarget(section, target, "FUNCTION"));
    case "kprobe":
    case "kretprobe":
      return attachAtFunction(program, section, def.attach, needTarget(section, target, "FUNCTION"), cookie);
    case "uprobe":
    case "uretprobe":
      return attachAtOffset(program, section, def.attach, needTarget(section, target, "PATH:OFFSET"), options);
    case "xdp":
      return attachXdp(program, needDevice(section, options), { mode: options.xdpMode });
    case "socket":
      if (options.socket !== undefined) return attachSocketFilter(program, options.socket);
      return attachPacketFilter(program, needDevice(section, options));
    default:
      throw new InputError(`programs of this section can be loaded, but not attached yet`, { section });
  }
}

/** `FUNCTION` or `FUNCTION+OFFSET`. */
function attachAtFunction(program: Fd, section: string, kind: string, target: string, cookie?: bigint): Link {
  const match = /^([\w.]+)(?:\+(\d+|0x[0-9a-f]+))?$/i.exec(target);
  if (match === null) throw new InputError("expected FUNCTION or FUNCTION+OFFSET behind the slash", { section });
  return attachKprobe(program, match[1]!, { isReturn: kind === "kretprobe", offset: Number(match[2] ?? 0), cookie });
}

/** `PATH:OFFSET`. */
function attachAtOffset(program: Fd, section: string, kind: string, target: string, options: AttachOptions): Link {
  const match = /^(.+):(\d+|0x[0-9a-f]+)$/i.exec(target);
  if (match === null) {
    throw new InputError("expected PATH:OFFSET behind the slash; names of functions are not resolved yet", { section });
  }
  const { pid, cookie } = options;
  // As libbpf has it, the path may lack its first slash.
  const path = match[1]!.startsWith("/") ? match[1]! : `/${match[1]}`;
  return attachUprobe(program, path, Number(match[2]), { isReturn: kind === "uretprobe", pid, cookie });
}

function needTarget(section: string, target: string | null, what: string): string {
  if (target === null || target === "") {
    throw new InputError(`the section does not say what to attach to: ${section}/${what}`, { section });
  }
  return target;
}

function needDevice(section: string, options: AttachOptions): string | number {
  if (options.device === undefined)
    throw new InputError("to attach this program, name a network interface", { section });
  return options.device;
}
