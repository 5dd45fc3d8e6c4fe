// SPDX-License-Identifier: MIT
import { Limit } from "../kernel/limits.js";
import { callHelper } from "./call.js";
import type { Code, Mem } from "./code.js";
import type { Reg } from "./codegen/ir.js";
import { isMemory, MEMORY, type Memory } from "./internals.js";
import { s64, u64 } from "./types.js";
import { coerce, describeValue, type IntArg, isInt } from "./values.js";

/** What `p.printk` prints: integers and, for `%s`, memory that holds a string. */
export type PrintArg = IntArg | Memory;

/** Values that bpf_trace_printk() takes; with more it is bpf_trace_vprintk() of Linux 5.16. */
const MAX_PRINTK_ARGS = 3;

interface Conversion {
  readonly text: string;
  /** Bits of an integer, null for what takes a pointer. */
  readonly bits: 32 | 64 | null;
  readonly isString: boolean;
}

/** The conversions of a format, as bpf_bprintf_prepare() of kernel/bpf/helpers.c takes it apart. */
function conversions(code: Code, format: string): Conversion[] {
  const found: Conversion[] = [];
  for (const match of format.matchAll(/%(%|[-+ #0]*\d*(l{0,2})([a-zA-Z])[A-Za-z0-9]*)?/g)) {
    const [text, body, long, letter] = match;
    if (body === "%") continue;
    if (letter === undefined) throw code.fail(`"${text}" in the format is no conversion: a percent sign is %%`);
    if (letter === "s") found.push({ text, bits: null, isString: true });
    else if (letter === "p") found.push({ text, bits: null, isString: false });
    else if ("diuxXc".includes(letter)) found.push({ text, bits: long === "" ? 32 : 64, isString: false });
    else throw code.fail(`the kernel cannot print "${text}": it knows %d %i %u %x %c with l or ll, %s and %p`);
  }
  return found;
}

function checkFormat(code: Code, format: string): void {
  // The kernel refuses a format with any of these (bpf_bprintf_prepare).
  if (/[^\x20-\x7e\n\t\r]/.test(format)) throw code.fail("a format can hold printable ASCII only");
}

function argument(code: Code, value: PrintArg, { text, bits, isString }: Conversion, index: number): Reg {
  const which = `${text}, argument ${index + 1}`;
  if (isMemory(value) && !isInt(value)) {
    if (bits !== null) throw code.fail(`${which}: expected an integer, got memory`);
    return code.addressOf(value[MEMORY].mem);
  }
  if (isString) throw code.fail(`${which}: expected memory with a string, got ${describeValue(value)}`);
  if (!isInt(value) && typeof value !== "number" && typeof value !== "bigint") {
    throw code.fail(`${which}: expected an integer, got ${describeValue(value)}`);
  }
  if (isInt(value) && bits === 32 && value.type.bits === 64) {
    const wide = text.replace(/([a-zA-Z])$/, "ll$1");
    throw code.fail(
      `${which} prints 32 bits, but the value is ${value.type.name}: write ${wide}, or convert with .as(u32)`,
    );
  }
  const kind = isInt(value) ? (value.type.signed ? s64 : u64) : value < 0 ? s64 : u64;
  return code.toReg(coerce(code, value, kind));
}

/** `bpf_printk(format, …)`. */
export function printk(code: Code, program: string, format: string, args: readonly PrintArg[]): void {
  checkFormat(code, format);
  const wanted = conversions(code, format);
  if (wanted.length !== args.length) {
    throw code.fail(`the format has ${wanted.length} conversions, but ${args.length} values are given`);
  }
  if (args.length > Limit.MAX_BPRINTF_VARARGS) {
    throw code.fail(`at most ${Limit.MAX_BPRINTF_VARARGS} values can be printed, got ${args.length}`);
  }
  const regs = args.map((value, i) => argument(code, value, wanted[i]!, i));
  const text = code.symbol(code.surroundings.useString(program, format));
  const size = code.toReg({ value: BigInt(new TextEncoder().encode(format).length + 1) });
  if (regs.length <= MAX_PRINTK_ARGS) {
    callHelper(code, "trace_printk", [text, size, ...regs], "printk");
    return;
  }
  const bytes = regs.length * 8;
  code.withTemporary(bytes, 8, "values to print", (slot) => {
    const mem: Mem = { base: { slot }, offset: 0, align: 8 };
    regs.forEach((reg, i) => {
      code.store({ ...mem, offset: i * 8 }, u64, { reg });
    });
    const length = code.toReg({ value: BigInt(bytes) });
    callHelper(code, "trace_vprintk", [text, size, code.addressOf(mem), length], "printk");
  });
}
