// SPDX-License-Identifier: MIT
import { dumpC } from "../btf/dump/c.js";
import { dumpRaw } from "../btf/dump/raw.js";
import { dumpTs } from "../btf/dump/ts.js";
import type { LazyBtf } from "../btf/lazy.js";
import { VMLINUX_BTF } from "../load/vmlinux.js";
import { openBtfFile, typesNamed } from "./btf-file.js";
import { ExitCode, printPieces } from "./output.js";

/** Options of `btf dump`. */
export interface BtfDumpOptions {
  readonly format: "raw" | "c" | "ts";
  /** Names or ids of types. */
  readonly root?: readonly string[];
  readonly base?: string;
  readonly unsorted?: boolean;
}

function* lines(texts: Iterable<string>): Generator<string> {
  for (const text of texts) yield `${text}\n`;
}

function dump(btf: LazyBtf, { format, root, unsorted }: BtfDumpOptions): Iterable<string> {
  const only = root === undefined ? {} : { roots: root.flatMap((name) => typesNamed(btf, name)) };
  switch (format) {
    case "raw":
      return lines(dumpRaw(btf, { ...only, firstId: btf.firstId }));
    case "c":
      return dumpC(btf, { ...only, sorted: !unsorted });
    case "ts":
      return dumpTs(btf, only);
  }
}

/** `bpfsmith btf dump [FILE]` */
export function btfDumpCommand(file: string | undefined, options: BtfDumpOptions): number {
  printPieces(dump(openBtfFile(file ?? VMLINUX_BTF, options.base), options));
  return ExitCode.OK;
}
