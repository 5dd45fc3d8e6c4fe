// SPDX-License-Identifier: MIT
import { writeObject } from "../elf/write-object.js";
import { writeFileAtomic } from "../load/files.js";
import type { ObjectSpec } from "../model/spec.js";
import { readInput, stemOf } from "./input.js";
import { ExitCode, note } from "./output.js";

/** Options of `build`. */
export interface BuildOptions {
  readonly output?: string;
}

/** Writes the object file of a program, all of it or none; says where. */
export function writeObjectFile(spec: ObjectSpec, path: string): void {
  const bytes = writeObject(spec);
  writeFileAtomic(path, bytes);
  const insns = spec.functions.reduce((sum, func) => sum + func.insns.length, 0);
  note(`wrote ${path}: ${bytes.length} bytes, ${insns} instructions`);
}

/** `bpfsmith build FILE.ts -o OUT.o` */
export async function build(file: string, options: BuildOptions): Promise<number> {
  const { spec } = await readInput(file);
  writeObjectFile(spec, options.output ?? `${stemOf(file)}.o`);
  return ExitCode.OK;
}
