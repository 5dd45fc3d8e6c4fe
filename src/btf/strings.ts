// SPDX-License-Identifier: MIT
import { ByteWriter, encodeUtf8 } from "../util/bytes.js";
import { BugError, InputError } from "../util/errors.js";
import { BTF_MAX_NAME_OFFSET } from "./format.js";

/**
 * A string section under construction: NUL-terminated strings, each once, the empty string at offset 0.
 * Once {@link finish}ed, it answers for the strings that it has and takes no others.
 */
export class StringTable {
  readonly #offsets = new Map<string, number>([["", 0]]);
  readonly #writer = new ByteWriter().u8(0);
  #finished = false;

  /**
   * Offset of the string in the section; adds it when it is new.
   * @throws InputError when the string holds a NUL or the section grows beyond what BTF can address.
   */
  add(text: string): number {
    const known = this.#offsets.get(text);
    if (known !== undefined) return known;
    if (this.#finished) throw new BugError(`string ${JSON.stringify(text)} comes after the string section was written`);
    if (text.includes("\0")) throw new InputError(`a name must not hold a NUL character: ${JSON.stringify(text)}`);
    const at = this.#writer.length;
    if (at > BTF_MAX_NAME_OFFSET) throw new InputError("BTF string section is larger than 16 MiB");
    this.#writer.bytes(encodeUtf8(text)).u8(0);
    this.#offsets.set(text, at);
    return at;
  }

  /** The section's bytes. */
  finish(): Uint8Array {
    this.#finished = true;
    return this.#writer.finish();
  }
}
