// SPDX-License-Identifier: MIT
import { AttachType } from "../kernel/uapi.js";
import type { Fd } from "../syscall/fd.js";
import { createLink } from "../syscall/link.js";
import { resolveInterface } from "./interface.js";
import { Link } from "./link.js";

/** XDP_FLAGS_* of linux/if_link.h that choose the attach mode. */
const MODE_FLAGS = { auto: 0, generic: 1 << 1, native: 1 << 2, offload: 1 << 3 } as const;

/** Where in the receive path the program runs: `auto` lets the kernel choose. */
export type XdpMode = keyof typeof MODE_FLAGS;

/** How to attach an XDP program. */
export interface XdpOptions {
  readonly mode?: XdpMode;
}

/**
 * Attaches an XDP program to a network interface.
 * @param device Name or index of the interface.
 * @throws InputError when there is no such interface; SyscallError
 */
export function attachXdp(program: Fd, device: string | number, options: XdpOptions = {}): Link {
  const request = {
    program,
    target: resolveInterface(device),
    attachType: AttachType.XDP,
    flags: MODE_FLAGS[options.mode ?? "auto"],
  };
  return new Link("xdp", String(device), createLink(request, String(device), ["CAP_BPF", "CAP_NET_ADMIN"]));
}
