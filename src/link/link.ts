// SPDX-License-Identifier: MIT
import type { Fd } from "../syscall/fd.js";
import { type LinkInfo, linkInfo } from "../syscall/info.js";
import { pinObject } from "../syscall/pin.js";
import { InputError } from "../util/errors.js";

/**
 * A program's attachment to one place. It ends when the link is closed, or the process; one that is a
 * BPF link in the kernel lives on while it is pinned.
 */
export class Link implements Disposable {
  /** Kind of attachment, e.g. `tracepoint`. */
  readonly kind: string;
  /** What is attached to, e.g. `syscalls/sys_enter_execve`. */
  readonly target: string;
  readonly #bpfLink: Fd | null;
  readonly #detach: Disposable;

  /**
   * @param bpfLink The BPF link, or null when the attachment is of an older kind.
   * @param detach What ends the attachment when disposed of, where that is not closing the link.
   */
  constructor(kind: string, target: string, bpfLink: Fd | null, detach?: Disposable) {
    const ends = detach ?? bpfLink;
    if (!ends) throw new TypeError("a link needs something that ends it");
    this.kind = kind;
    this.target = target;
    this.#bpfLink = bpfLink;
    this.#detach = ends;
  }

  /** Describes the BPF link; null when the attachment is of an older kind. @throws SyscallError */
  info(): LinkInfo | null {
    return this.#bpfLink === null ? null : linkInfo(this.#bpfLink);
  }

  /**
   * Keeps the program attached beyond this process, until the path on a bpf file system is removed.
   * @throws InputError when the attachment is no BPF link; SyscallError
   */
  pin(path: string): void {
    if (this.#bpfLink === null) throw new InputError(`the ${this.kind} attachment to ${this.target} cannot be pinned`);
    pinObject(this.#bpfLink, path);
  }

  /** Ends the attachment; does nothing when it is ended already. */
  close(): void {
    this.#detach[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
