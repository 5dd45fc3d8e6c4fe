// SPDX-License-Identifier: MIT
import { type LinkInput, linkObjects } from "../elf/link/link-objects.js";
import { writeFileAtomic } from "../load/files.js";
import { readObjectBytes } from "./input.js";
import { ExitCode, note } from "./output.js";

/** Options of `link`. */
export interface LinkOptions {
  readonly output: string;
}

/** `bpfsmith link FILE... -o OUT.o` */
export async function linkCommand(files: readonly string[], { output }: LinkOptions): Promise<number> {
  const inputs: LinkInput[] = [];
  for (const name of files) inputs.push({ name, bytes: await readObjectBytes(name) });
  const bytes = linkObjects(inputs);
  writeFileAtomic(output, bytes);
  note(`wrote ${output}: ${bytes.length} bytes, of ${files.length} object${files.length === 1 ? "" : "s"}`);
  return ExitCode.OK;
}
