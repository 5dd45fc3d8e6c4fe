// SPDX-License-Identifier: MIT
import { BugError } from "../util/errors.js";
import { sys } from "./sys.js";

/** An open file descriptor that is closed exactly once, by {@link Fd.close} or at the end of a `using` block. */
export class Fd implements Disposable {
  #number: number;
  /** What it is, for messages: `map events`. */
  readonly what: string;

  /** Takes over an open descriptor. */
  constructor(number: number, what: string) {
    this.#number = number;
    this.what = what;
  }

  /**
   * The descriptor's number. Valid until the handle is closed; don't keep it.
   * @throws BugError when the handle was closed.
   */
  get number(): number {
    if (this.#number < 0) throw new BugError(`the file descriptor of ${this.what} is closed`);
    return this.#number;
  }

  get closed(): boolean {
    return this.#number < 0;
  }

  /** Gives the descriptor away: this handle will not close it. */
  release(): number {
    const number = this.number;
    this.#number = -1;
    return number;
  }

  /** Closes the descriptor; does nothing when it is closed already. */
  close(): void {
    if (this.#number < 0) return;
    const number = this.#number;
    this.#number = -1;
    sys("close", number);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Disposes of all in reverse order, whatever single ones throw; then throws the first error.
 */
export function disposeAll(handles: readonly Disposable[]): void {
  const errors: unknown[] = [];
  for (let i = handles.length - 1; i >= 0; i--) {
    try {
      handles[i]![Symbol.dispose]();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}
