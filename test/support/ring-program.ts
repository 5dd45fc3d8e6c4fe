// SPDX-License-Identifier: MIT
import {
  alu64Imm,
  exit,
  ja,
  jmpImm,
  ldMapFd,
  ldMapValue,
  ldx,
  mov64Imm,
  mov64Reg,
  stImm,
  stx,
} from "../../src/asm/build.js";
import { encodeInsns } from "../../src/asm/insn.js";
import { Code } from "../../src/asm/labels.js";
import { R0, R1, R2, R3, R6, R7, R8 } from "../../src/asm/opcode.js";
import { MapType, ProgType } from "../../src/kernel/uapi.js";
import { createMap, type Fd, loadProgram, MapAccess } from "../../src/syscall/index.js";
import { helper } from "./live.js";

/** Sizes of the records, by the lowest two bits of their number. */
export const RECORD_SIZES = [16, 24, 104, 1000] as const;
/** A record is discarded when its number modulo 7 is this. */
const DISCARDED_REST = 5;

/** Whether the program discards the record of this number. */
export function isDiscarded(number: number): boolean {
  return number % 7 === DISCARDED_REST;
}

/** What the program counts. */
export interface RingCounts {
  /** Runs so far: the number of the next record. */
  readonly next: number;
  /** Records for which there was no room. */
  readonly lost: number;
}

/**
 * A socket filter that writes one record per run: its number in the first 8 bytes and in the last 8,
 * its size in the 8 bytes between where there are any.
 */
export function loadRingWriter(size: number): { ring: Fd; program: Fd; counts: () => RingCounts; close: () => void } {
  const ring = createMap({ name: "ring", type: MapType.RINGBUF, keySize: 0, valueSize: 0, maxEntries: size });
  const counters = createMap({ name: "counters", type: MapType.ARRAY, keySize: 4, valueSize: 16, maxEntries: 1 });
  const insns = encodeInsns(writerCode(ring.number, counters.number));
  const program = loadProgram({ name: "ring_writer", type: ProgType.SOCKET_FILTER, insns, license: "GPL" }).fd;
  const access = new MapAccess(counters, 4, 16);
  return {
    ring,
    program,
    counts() {
      access.lookup();
      return { next: Number(access.value.getBigUint64(0, true)), lost: Number(access.value.getBigUint64(8, true)) };
    },
    close() {
      for (const fd of [program, counters, ring]) fd.close();
    },
  };
}

function writerCode(ring: number, counters: number) {
  const code = new Code();
  const full = code.newLabel("full");
  const discard = code.newLabel("discard");
  const out = code.newLabel("out");
  const sized = RECORD_SIZES.map((size) => code.newLabel(`size ${size}`));
  code
    .emit(ldMapValue(R6, counters, 0), ldx("dw", R7, R6, 0))
    .emit(mov64Reg(R1, R7), alu64Imm("add", R1, 1), stx("dw", R6, R1, 0))
    .emit(mov64Reg(R1, R7), alu64Imm("and", R1, RECORD_SIZES.length - 1));
  sized.forEach((label, i) => {
    code.branch(jmpImm("jeq", R1, i, 0), label);
  });
  code.branch(ja(0), out);
  const filled = code.newLabel("filled");
  RECORD_SIZES.forEach((size, i) => {
    code
      .bind(sized[i]!)
      .emit(ldMapFd(R1, ring), mov64Imm(R2, size), mov64Imm(R3, 0), helper("ringbuf_reserve"))
      .branch(jmpImm("jeq", R0, 0, 0), full)
      .emit(stx("dw", R0, R7, 0), stx("dw", R0, R7, size - 8));
    if (size > 16) code.emit(stImm("dw", R0, 8, size));
    code.branch(ja(0), filled);
  });
  code
    .bind(filled)
    .emit(mov64Reg(R8, R0), mov64Reg(R1, R7), alu64Imm("mod", R1, 7), mov64Imm(R2, 0))
    .branch(jmpImm("jeq", R1, DISCARDED_REST, 0), discard)
    .emit(mov64Reg(R1, R8), helper("ringbuf_submit"))
    .branch(ja(0), out)
    .bind(discard)
    .emit(mov64Reg(R1, R8), helper("ringbuf_discard"))
    .branch(ja(0), out)
    .bind(full)
    .emit(ldx("dw", R1, R6, 8), alu64Imm("add", R1, 1), stx("dw", R6, R1, 8))
    .bind(out)
    .emit(mov64Imm(R0, 0), exit());
  return code.layout().insns;
}

/** Checks the records of {@link loadRingWriter} as they come: none torn, none out of order, none made up. */
export class RecordChecker {
  /** Number that the next record should have at least. */
  expected = 0;
  received = 0;
  /** Numbers passed over that were not discarded by the program. */
  missing = 0;
  readonly faults: string[] = [];

  readonly check = (view: DataView, offset: number, length: number): void => {
    const number = Number(view.getBigUint64(offset, true));
    const size = RECORD_SIZES[number & 3];
    if (length !== size) this.faults.push(`record ${number} has ${length} bytes instead of ${size}`);
    if (Number(view.getBigUint64(offset + length - 8, true)) !== number) this.faults.push(`record ${number} is torn`);
    if (length > 16 && Number(view.getBigUint64(offset + 8, true)) !== size)
      this.faults.push(`record ${number} lacks its size`);
    if (isDiscarded(number)) this.faults.push(`record ${number} was discarded`);
    if (number < this.expected) this.faults.push(`record ${number} comes after ${this.expected - 1}`);
    for (let passed = this.expected; passed < number; passed++) if (!isDiscarded(passed)) this.missing++;
    this.expected = number + 1;
    this.received++;
  };
}
