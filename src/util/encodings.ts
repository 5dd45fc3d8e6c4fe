// SPDX-License-Identifier: MIT
import { InputError } from "./errors.js";

/** Bytes as lower-case hexadecimal digits, two a byte. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/**
 * The bytes of a hexadecimal text.
 * @throws InputError for an odd length or anything but digits.
 */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0) throw new InputError(`hexadecimal text has an odd length: ${text.length}`);
  const bad = /[^0-9a-fA-F]/.exec(text);
  if (bad !== null) throw new InputError(`no hexadecimal digit at position ${bad.index}: ${JSON.stringify(bad[0])}`);
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

const BASE64_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Bytes in base64 (RFC 4648, section 4), padded. */
export function toBase64(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const word = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    parts.push(
      BASE64_DIGITS[word >> 18]! +
        BASE64_DIGITS[(word >> 12) & 63]! +
        (left > 1 ? BASE64_DIGITS[(word >> 6) & 63]! : "=") +
        (left > 2 ? BASE64_DIGITS[word & 63]! : "="),
    );
  }
  return parts.join("");
}

/** What an ASCII character is worth as a digit; -1 for those that are none. */
const base64Values = new Int8Array(128).fill(-1);
for (let i = 0; i < BASE64_DIGITS.length; i++) base64Values[BASE64_DIGITS.charCodeAt(i)] = i;

/** The value of the digit at `i`, 0 behind the last one. */
function digitAt(text: string, i: number, digits: number): number {
  if (i >= digits) return 0;
  const value = base64Values[text.charCodeAt(i)] ?? -1;
  if (value < 0) throw new InputError(`no base64 digit at position ${i}: ${JSON.stringify(text[i])}`);
  return value;
}

/**
 * The bytes of a base64 text (RFC 4648, section 4), padded.
 * @throws InputError when the text is no base64.
 */
export function fromBase64(text: string): Uint8Array {
  if (text.length % 4 !== 0) throw new InputError(`base64 text has ${text.length} characters, no multiple of 4`);
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  const digits = text.length - padding;
  for (let i = 0, at = 0; i < text.length; i += 4, at += 3) {
    const word =
      (digitAt(text, i, digits) << 18) |
      (digitAt(text, i + 1, digits) << 12) |
      (digitAt(text, i + 2, digits) << 6) |
      digitAt(text, i + 3, digits);
    // What lies behind the array's end is dropped.
    bytes[at] = word >> 16;
    bytes[at + 1] = word >> 8;
    bytes[at + 2] = word;
  }
  return bytes;
}
