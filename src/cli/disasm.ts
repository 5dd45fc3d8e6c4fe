// SPDX-License-Identifier: MIT
import { disasmProgram } from "../asm/disasm-prog.js";
import type { AsmDialect } from "../asm/text/print.js";
import { objectText } from "../model/asm-text.js";
import type { FunctionSpec, Ref } from "../model/spec.js";
import { readInput } from "./input.js";
import { ExitCode, print } from "./output.js";

/** Options of `disasm`. */
export interface DisasmOptions {
  readonly opcodes?: boolean;
  readonly linum?: boolean;
  /** Text for the assembler in this dialect, in the place of a listing. */
  readonly dialect?: AsmDialect;
}

function refText(ref: Ref): string {
  switch (ref.kind) {
    case "map":
      return `map[${ref.map}]`;
    case "data":
      return `${ref.section}+${ref.offset}`;
    case "call":
    case "func":
      return ref.func;
    case "nowhere":
      return "nowhere";
    case "kfunc":
    case "extern":
      return ref.extern;
  }
}

function listing(func: FunctionSpec, options: DisasmOptions): string {
  const refs = new Map(func.refs.map((ref) => [ref.insn, refText(ref)]));
  return disasmProgram(func.insns, {
    opcodes: options.opcodes ?? false,
    linum: options.linum ?? false,
    lines: func.lines,
    reference: (slot) => refs.get(slot),
  });
}

/** `bpfsmith disasm FILE` */
export async function disasm(file: string, options: DisasmOptions): Promise<number> {
  const { spec } = await readInput(file);
  if (options.dialect !== undefined) {
    print(objectText(spec, options.dialect).trimEnd());
    return ExitCode.OK;
  }
  spec.functions.forEach((func, i) => {
    if (i > 0) print("");
    print(`${func.name} (${func.section}):`);
    print(listing(func, options).trimEnd());
  });
  return ExitCode.OK;
}
