// SPDX-License-Identifier: MIT
import { ByteWriter, decodeUtf8, encodeUtf8 } from "../util/bytes.js";
import { BugError, InputError } from "../util/errors.js";
import { BTF_MAX_NAME_OFFSET } from "./format.js";

const EMPTY = new Uint8Array(1);

/**
 * A string section under construction: NUL-terminated strings, each once, the empty string at offset 0.
 * Once {@link finish}ed, it answers for the strings that it has and takes no others.
 */
export class StringTable {
  readonly #offsets = new Map<string, number>();
  readonly #writer: ByteWriter;
  #finished = false;

  /**
   * @param standing a string section to begin with: its strings stay where they are, and new ones follow.
   * @throws InputError when it does not begin and end with NUL
   */
  constructor(standing: Uint8Array = EMPTY) {
    if (standing[0] !== 0 || standing[standing.length - 1] !== 0) {
      throw new InputError("BTF string section must begin and end with a NUL byte");
    }
    this.#writer = new ByteWriter({ capacity: standing.length + 16 }).bytes(standing);
    for (let at = 0; at < standing.length; ) {
      const end = standing.indexOf(0, at);
      const text = decodeUtf8(standing.subarray(at, end));
      // The first one counts, as for libbpf.
      if (!this.#offsets.has(text)) this.#offsets.set(text, at);
      at = end + 1;
    }
  }

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
