// SPDX-License-Identifier: MIT
import { AttachType } from "../kernel/uapi.js";
import type { Fd } from "../syscall/fd.js";
import { createLink } from "../syscall/link.js";
import { MapAccess } from "../syscall/map.js";
import { Link } from "./link.js";

/** The only key of a struct_ops map: an int. */
const KEY_SIZE = 4;

/**
 * Has the kernel call the programs of a struct_ops map.
 * @param value The map's value, with the descriptors of its programs.
 * @param link By a link (the map has BPF_F_LINK); else the map's element itself is the attachment, which ends when
 *   it is deleted.
 * @throws SyscallError
 */
export function attachStructOps(map: Fd, name: string, value: Uint8Array, link: boolean): Link {
  const access = new MapAccess(map, KEY_SIZE, value.length);
  access.valueBytes.set(value);
  access.update();
  if (!link) return new Link("struct_ops", name, null, new Registration(access));
  const request = { program: map, target: 0, attachType: AttachType.STRUCT_OPS };
  return new Link("struct_ops", name, createLink(request, name));
}

/** The attachment of a map without a link. */
class Registration implements Disposable {
  readonly #access: MapAccess;
  #ended = false;

  constructor(access: MapAccess) {
    this.#access = access;
  }

  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#access.delete();
  }
}
