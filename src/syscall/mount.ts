// SPDX-License-Identifier: MIT
import { Attr, cText } from "./attr.js";

/** MS_NOSUID, MS_NODEV and MS_NOEXEC of mount(2). */
const MS_HARMLESS = 2 | 4 | 8;

/** Mounts a kernel file system such as tracefs (mount(2)). Returns 0, or the positive errno. */
export function mountFileSystem(type: string, directory: string): number {
  const text = cText(type);
  const place = cText(directory);
  const pointers = new Attr(16).pointer(0, text).pointer(8, place);
  const word = (offset: number) => Number(pointers.view.getBigUint64(offset, true));
  return -pointers.call("mount", word(0), word(8), word(0), MS_HARMLESS, 0);
}
