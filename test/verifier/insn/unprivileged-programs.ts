// SPDX-License-Identifier: GPL-2.0-only
import * as build from "../../../src/asm/build.js";
import type { Insn } from "../../../src/asm/insn.js";
import { Errno } from "../../../src/kernel/errno.js";
import { helperNames } from "../../../src/kernel/helpers/names.js";

/*
 * Socket filters loaded with CAP_BPF alone, with one hash map (key 4 bytes, value 16, map index 0), and
 * what Linux 6.18.44 answered: the error number and the last message before the statistics.
 */

export interface UnprivilegedCase {
  readonly name: string;
  readonly insns: readonly Insn[];
  /** Positive, 0 when the program was accepted. */
  readonly errno: number;
  readonly message: string;
}

const PROHIBITED = "pointer arithmetic with it prohibited for !root";
const lookup = build.callHelper(helperNames.indexOf("map_lookup_elem"));

/** R6 = ctx, R8 = a value of the map, R7 = the packet's length. */
const setup: readonly Insn[] = [
  build.mov64Reg(6, 1),
  build.stImm("w", 10, -4, 0),
  build.mov64Reg(2, 10),
  build.alu64Imm("add", 2, -4),
  ...build.ldMapFd(1, 0),
  lookup,
  build.jmpImm("jne", 0, 0, 1),
  build.exit(),
  build.mov64Reg(8, 0),
  build.ldx("w", 7, 6, 0),
];
const end: readonly Insn[] = [build.mov64Imm(0, 0), build.exit()];

const with8 = (...insns: Insn[]): readonly Insn[] => [...setup, ...insns, ...end];
const alone = (...insns: Insn[]): readonly Insn[] => [...insns, ...end];
const refused = (name: string, insns: readonly Insn[], message: string): UnprivilegedCase => ({
  name,
  insns,
  errno: Errno.EACCES,
  message,
});

export const cases: readonly UnprivilegedCase[] = [
  {
    name: "a bounded offset is masked",
    insns: with8(build.alu64Imm("and", 7, 7), build.alu64Reg("add", 8, 7), build.stImm("b", 8, 0, 1)),
    errno: 0,
    message: "15: (95) exit",
  },
  refused(
    "an offset of either sign",
    with8(
      build.alu64Imm("and", 7, 7),
      build.alu64Imm("sub", 7, 3),
      build.alu64Imm("add", 8, 8),
      build.alu64Reg("add", 8, 7),
    ),
    `R7 has unknown scalar with mixed signed bounds, ${PROHIBITED}`,
  ),
  refused(
    "the same with the roles changed over",
    with8(
      build.alu64Imm("and", 7, 7),
      build.alu64Imm("sub", 7, 3),
      build.alu64Imm("add", 8, 8),
      build.alu64Reg("add", 7, 8),
    ),
    `R7 has unknown scalar with mixed signed bounds, ${PROHIBITED}`,
  ),
  refused(
    "from the end of the value",
    with8(build.alu64Imm("and", 7, 7), build.alu64Imm("add", 8, 15), build.alu64Reg("add", 8, 7)),
    "R8 pointer arithmetic of map value goes out of range, prohibited for !root",
  ),
  refused(
    "below the value",
    with8(build.alu64Imm("and", 7, 7), build.alu64Reg("sub", 8, 7)),
    "R8 pointer arithmetic of map value goes out of range, prohibited for !root",
  ),
  refused(
    "with limits that depend on the path",
    with8(
      build.alu64Imm("and", 7, 3),
      build.ldx("w", 9, 6, 4),
      build.jmpImm("jeq", 9, 0, 1),
      build.alu64Imm("and", 7, 1),
      build.alu64Reg("add", 8, 7),
    ),
    `R8 tried to add from different maps, paths or scalars, ${PROHIBITED}`,
  ),
  refused(
    "a packet's context by a register",
    alone(build.mov64Imm(2, 4), build.alu64Reg("add", 1, 2)),
    `R1 has pointer with unsupported alu operation, ${PROHIBITED}`,
  ),
  refused(
    "out of the stack",
    alone(build.mov64Reg(2, 10), build.alu64Imm("add", 2, -520)),
    "R2 stack pointer arithmetic goes out of range, prohibited for !root; off=-520",
  ),
  refused(
    "into the stack by a variable offset",
    alone(
      build.ldx("w", 7, 1, 0),
      build.alu64Imm("and", 7, 8),
      build.mov64Reg(2, 10),
      build.alu64Imm("add", 2, -16),
      build.alu64Reg("add", 2, 7),
    ),
    "R2 variable stack access prohibited for !root, var_off=(0x0; 0x8) off=-16",
  ),
  refused(
    "two pointers",
    alone(build.mov64Reg(2, 10), build.alu64Reg("sub", 2, 10)),
    "R2 pointer -= pointer prohibited",
  ),
  refused("half a pointer", alone(build.mov32Reg(2, 10)), "R10 partial copy of pointer"),
  refused("a byte of a pointer", alone(build.movsx64(2, 10, 8)), "R10 sign-extension part of pointer"),
  refused("minus a pointer", alone(build.neg64(1)), "R1 pointer arithmetic prohibited"),
  refused("a pointer's bytes", alone(build.toBe(1, 64)), "R1 pointer arithmetic prohibited"),
  refused("a pointer compared with a number", alone(build.jmpImm("jgt", 1, 5, 0)), "R1 pointer comparison prohibited"),
  refused(
    "a number compared with a pointer",
    alone(build.mov64Imm(2, 1), build.jmpReg("jgt", 2, 1, 0)),
    "R1 pointer comparison prohibited",
  ),
  refused(
    "32 bits of a pointer",
    alone(build.mov64Reg(2, 10), build.alu32Imm("sub", 2, 1)),
    "R2 32-bit pointer arithmetic prohibited",
  ),
];
