// SPDX-License-Identifier: MIT
export * from "./build.js";
export * from "./disasm.js";
export * from "./disasm-llvm.js";
export * from "./disasm-mnemonic.js";
export * from "./disasm-prog.js";
export * from "./insn.js";
export * from "./isa.js";
export * from "./labels.js";
export * from "./opcode.js";
export * from "./ops.js";
export { assemble } from "./text/assemble.js";
export { type AsmOptions, assembleCode } from "./text/assemble-code.js";
export { ASM_DIALECTS, type AsmDialect, codeLines, type PrintCallbacks } from "./text/print.js";
export type * from "./text/unit.js";
