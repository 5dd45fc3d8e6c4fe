// SPDX-License-Identifier: MIT
import { closeSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { InputError } from "../util/errors.js";

/** Tells apart the temporary names of one process. */
let counter = 0;

/** What the usual failures mean for the one who named the file. */
const CAUSES: Readonly<Record<string, string>> = {
  ENOSPC: "no space left on the device",
  EDQUOT: "the disk quota is exhausted",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only",
  ENOENT: "no such directory",
  ENOTDIR: "a part of the path is no directory",
  EISDIR: "it is a directory",
  EFBIG: "the file would be too large",
  ENAMETOOLONG: "the name is too long",
  EIO: "input/output error",
};

/**
 * Writes a file so that it is there as a whole or not at all: into a temporary file in the same directory,
 * which is then renamed. A file that stood there before stays untouched when anything fails.
 * @throws InputError when the file cannot be written, with the cause; nothing is left behind then.
 */
export function writeFileAtomic(path: string, bytes: Uint8Array): void {
  const temporary = join(dirname(path), `.${basename(path).slice(0, 200)}.${process.pid}.${counter++}.tmp`);
  let created = false;
  try {
    const fd = openSync(temporary, "wx", 0o666);
    created = true;
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    } finally {
      // Some file systems tell of a full disk only here.
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    if (created) rmSync(temporary, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new InputError(`cannot be written: ${CAUSES[code] ?? code}`, { file: path }, { cause: error });
  }
}
