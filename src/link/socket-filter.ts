// SPDX-License-Identifier: MIT
import type { Fd } from "../syscall/fd.js";
import { attachToSocket, detachFromSocket, openPacketSocket } from "../syscall/socket.js";
import { resolveInterface } from "./interface.js";
import { Link } from "./link.js";

/**
 * Attaches a socket filter to an open socket, in place of a filter that it has.
 * @param socket Its file descriptor, which stays the caller's.
 * @throws SyscallError
 */
export function attachSocketFilter(program: Fd, socket: number): Link {
  attachToSocket(socket, program);
  let attached = true;
  const detach: Disposable = {
    [Symbol.dispose]() {
      if (attached) detachFromSocket(socket);
      attached = false;
    },
  };
  return new Link("socket", `socket ${socket}`, null, detach);
}

/**
 * Runs a socket filter on every frame that passes an interface, by a packet socket of its own that
 * nobody reads.
 * @param device Name or index of the interface.
 * @throws InputError when there is no such interface; SyscallError
 */
export function attachPacketFilter(program: Fd, device: string | number): Link {
  const socket = openPacketSocket(resolveInterface(device));
  try {
    attachToSocket(socket.number, program);
  } catch (error) {
    socket.close();
    throw error;
  }
  return new Link("socket", String(device), null, socket);
}
