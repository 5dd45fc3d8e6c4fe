// SPDX-License-Identifier: MIT
import { Cmd } from "../kernel/uapi.js";
import { Attr, bpf } from "./attr.js";
import { checked } from "./errors.js";
import { Fd } from "./fd.js";
import { OBJ } from "./layout.js";

/**
 * Pins a program, map or link at a path on a bpf file system (BPF_OBJ_PIN): it lives on until the
 * path is removed.
 * @throws SyscallError
 */
export function pinObject(object: Fd, path: string): void {
  const attr = new Attr().text(OBJ.pathname, path).u32(OBJ.bpf_fd, object.number);
  checked(bpf(Cmd.OBJ_PIN, attr, OBJ.size), "BPF_OBJ_PIN", `${object.what} at ${path}`);
}

/**
 * Opens what is pinned at a path (BPF_OBJ_GET).
 * @param fileFlags BPF_F_RDONLY, BPF_F_WRONLY or 0.
 * @throws SyscallError
 */
export function getPinned(path: string, fileFlags = 0): Fd {
  const attr = new Attr().text(OBJ.pathname, path).u32(OBJ.file_flags, fileFlags);
  return new Fd(checked(bpf(Cmd.OBJ_GET, attr, OBJ.size), "BPF_OBJ_GET", path), path);
}
