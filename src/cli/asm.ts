// SPDX-License-Identifier: MIT
import { writeObjectFile } from "./build.js";
import { readText, stemOf } from "./input.js";
import { ExitCode } from "./output.js";

/** Options of `asm`. */
export interface AsmCommandOptions {
  readonly output?: string;
}

/** `bpfsmith asm FILE.asm -o OUT.o` */
export async function asmCommand(file: string, options: AsmCommandOptions): Promise<number> {
  writeObjectFile(await readText(file), options.output ?? `${stemOf(file)}.o`);
  return ExitCode.OK;
}
