// SPDX-License-Identifier: MIT
export * from "./insn.js";
export * from "./opcode.js";
