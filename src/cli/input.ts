// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import type { BuildOptions } from "../dsl/index.js";
import { readObject } from "../elf/read-object.js";
import { writeObject } from "../elf/write-object.js";
import type { TracepointFormat } from "../kernel/tracepoints.js";
import { tracepointFormat } from "../link/tracefs.js";
import type { ObjectSpec } from "../model/spec.js";
import { InputError } from "../util/errors.js";
import type { LoadedSource } from "./source.js";

/** What the user named on the command line, read. */
export interface Input {
  readonly spec: ObjectSpec;
  /** The imported program, when it was a source file. */
  readonly source: LoadedSource | undefined;
}

/** The file's name without directory and without what follows the first dot. */
export function stemOf(path: string): string {
  return basename(path).split(".")[0] ?? "";
}

/** Whether a path names a text of instructions. */
function isText(path: string): boolean {
  return /\.(?:asm|s|bpf)$/.test(path);
}

/**
 * Assembles a text.
 * @throws InputError when it cannot be read or assembled
 */
export async function readText(path: string): Promise<ObjectSpec> {
  const { assembleObject } = await import("../model/assemble.js");
  return assembleObject(new TextDecoder().decode(readBytes(path)), { file: path });
}

function isSource(path: string): boolean {
  return /\.[cm]?[jt]s$/.test(path);
}

/** A tracepoint's record as this kernel lays it out; undefined where tracefs is not at hand. */
function runningFormat(category: string, name: string): TracepointFormat | undefined {
  try {
    return tracepointFormat({ category, name });
  } catch (error) {
    // A tracepoint that the kernel lacks is the user's to hear; a tracefs that cannot be read is not.
    if (error instanceof InputError) throw error;
    return undefined;
  }
}

interface Buildable {
  build(options?: BuildOptions): ObjectSpec;
}

function isBuildable(value: unknown): value is Buildable {
  return typeof value === "object" && value !== null && typeof (value as Buildable).build === "function";
}

async function readSource(path: string): Promise<Input> {
  const { loadSource } = await import("./source.js");
  const source = await loadSource(path);
  const decl = source.exports.default;
  if (!isBuildable(decl)) {
    throw new InputError("the default export must be what object({ … }) returns", { file: path });
  }
  return { spec: decl.build({ sources: source.positions, tracepoints: runningFormat }), source };
}

function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new InputError("no such file", { file: path });
    if (code === "EISDIR") throw new InputError("is a directory, expected an object file", { file: path });
    throw error;
  }
}

function readObjectFile(path: string): Input {
  const bytes = readBytes(path);
  try {
    return { spec: readObject(bytes, { name: stemOf(path) }), source: undefined };
  } catch (error) {
    if (error instanceof InputError && error.place.file === undefined) {
      throw new InputError(error.message, { file: path }, { cause: error });
    }
    throw error;
  }
}

/**
 * Reads an object file, builds the object that a TypeScript program declares, or assembles a text.
 * @throws InputError when it cannot be read or built.
 */
export async function readInput(path: string): Promise<Input> {
  if (isText(path)) return { spec: await readText(path), source: undefined };
  return isSource(path) ? readSource(path) : readObjectFile(path);
}

/**
 * The bytes of an object file, or of the one that a TypeScript program or a text makes.
 * @throws InputError when it cannot be read or built.
 */
export async function readObjectBytes(path: string): Promise<Uint8Array> {
  if (isText(path)) return writeObject(await readText(path));
  return isSource(path) ? writeObject((await readSource(path)).spec) : readBytes(path);
}
