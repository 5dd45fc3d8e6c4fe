// SPDX-License-Identifier: MIT
import { encodeUtf8 } from "../util/bytes.js";
import { Attr } from "./attr.js";
import { checked } from "./errors.js";
import { Fd } from "./fd.js";
import { sys } from "./sys.js";

/** Address families, socket types and options in use (linux/socket.h, asm-generic/socket.h). */
const AF = { INET: 2, PACKET: 17 } as const;
const SOCK = { DGRAM: 2, RAW: 3, NONBLOCK: 0o4000, CLOEXEC: 0o2000000 } as const;
const SOL_SOCKET = 1;
const SO = { DETACH_BPF: 27, ATTACH_BPF: 50 } as const;
/** `ioctl` of a socket: name to index (linux/sockios.h). */
const SIOCGIFINDEX = 0x8933;
/** `struct ifreq` and `IFNAMSIZ` (linux/if.h). */
const IFREQ = { name: 0, ifindex: 16, size: 40 } as const;
const IFNAMSIZ = 16;
/** `struct sockaddr_ll` (linux/if_packet.h). */
const SOCKADDR_LL = { family: 0, protocol: 2, ifindex: 4, size: 20 } as const;
/** ETH_P_ALL (linux/if_ether.h). */
const ETH_P_ALL = 3;

/** Index of a network interface in this process's network namespace; null when there is none of this name. */
export function interfaceIndex(name: string): number | null {
  const bytes = encodeUtf8(name);
  if (bytes.length === 0 || bytes.length >= IFNAMSIZ) return null;
  using socket = new Fd(checked(sys("socket", AF.INET, SOCK.DGRAM | SOCK.CLOEXEC, 0), "socket"), "socket");
  const request = new Attr(IFREQ.size);
  request.bytes.set(bytes, IFREQ.name);
  const result = request.call("ioctl", socket.number, SIOCGIFINDEX, request.address);
  return result < 0 ? null : request.getU32(IFREQ.ifindex);
}

/**
 * Opens a packet socket that sees every frame of an interface (needs CAP_NET_RAW).
 * @throws SyscallError
 */
export function openPacketSocket(ifindex: number): Fd {
  const protocol = ETH_P_ALL << 8;
  const type = SOCK.RAW | SOCK.NONBLOCK | SOCK.CLOEXEC;
  const what = `packet socket on interface ${ifindex}`;
  // Opened without a protocol, so that nothing comes in before the socket is bound to its interface.
  const socket = new Fd(checked(sys("socket", AF.PACKET, type, 0), "socket", what, []), what);
  try {
    const address = new Attr(SOCKADDR_LL.size);
    address.view.setUint16(SOCKADDR_LL.family, AF.PACKET, true);
    address.view.setUint16(SOCKADDR_LL.protocol, protocol, true);
    address.u32(SOCKADDR_LL.ifindex, ifindex);
    checked(address.call("bind", socket.number, address.address, SOCKADDR_LL.size), "bind", what);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Makes a program a socket's filter (SO_ATTACH_BPF), in place of one that it had. @throws SyscallError */
export function attachToSocket(socket: number, program: Fd): void {
  const option = new Attr(4).u32(0, program.number);
  const result = option.call("setsockopt", socket, SOL_SOCKET, SO.ATTACH_BPF, option.address, 4);
  checked(result, "SO_ATTACH_BPF", program.what);
}

/** Takes a socket's filter away (SO_DETACH_BPF); returns the negated errno when it has none or is closed. */
export function detachFromSocket(socket: number): number {
  const option = new Attr(4);
  return option.call("setsockopt", socket, SOL_SOCKET, SO.DETACH_BPF, option.address, 4);
}
