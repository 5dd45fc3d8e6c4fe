// SPDX-License-Identifier: MIT
import { decodeInsns, encodeInsns, type Insn } from "../../../src/asm/insn.js";
import * as op from "../../../src/asm/opcode.js";
import type { InfoRecords, MapLoad, ProgramLoad } from "../../../src/model/load.js";

/* Programs in a form in which instructions come and go and jumps still lead where they led. */

/** One instruction (two slots of ld_imm64 are one), and the unit that it leads to. */
export interface Unit {
  readonly insn: Insn;
  /** Second slot of ld_imm64. */
  readonly second: Insn | null;
  /** Index of the unit that a jump, call or function address leads to; -1 for none, or none that exists. */
  readonly target: number;
}

/** A row of func_info or line_info. */
interface Row {
  readonly unit: number;
  readonly bytes: Uint8Array;
}

export interface Edited {
  readonly units: readonly Unit[];
  readonly funcs: readonly Row[] | null;
  readonly lines: readonly Row[] | null;
  /** Everything else. */
  readonly load: ProgramLoad;
}

/** Where an instruction holds a distance: in `off`, in `imm`, or nowhere. */
export function distanceIn({ opcode, src }: Insn): "off" | "imm" | null {
  const klass = opcode & 7;
  if (opcode === op.BPF_LD_IMM64) return src === op.BPF_PSEUDO_FUNC ? "imm" : null;
  if (klass !== op.BPF_JMP && klass !== op.BPF_JMP32) return null;
  const kind = opcode & 0xf0;
  if (kind === op.BPF_EXIT) return null;
  if (kind === op.BPF_CALL) return src === op.BPF_PSEUDO_CALL ? "imm" : null;
  return kind === op.BPF_JA && klass === op.BPF_JMP32 ? "imm" : "off";
}

/** The index of the map that an instruction names, -1 for none. */
function mapIndexOf({ opcode, src, imm }: Insn): number {
  if (opcode !== op.BPF_LD_IMM64) return -1;
  return src === op.BPF_PSEUDO_MAP_FD || src === op.BPF_PSEUDO_MAP_VALUE ? imm : -1;
}

/** Takes a program apart. */
export function takeApart(load: ProgramLoad): Edited {
  const insns = decodeInsns(load.insns);
  const unitOf = new Int32Array(insns.length + 1).fill(-1);
  const slots: number[] = [];
  for (let slot = 0; slot < insns.length; slot++) {
    unitOf[slot] = slots.push(slot) - 1;
    if (insns[slot]!.opcode === op.BPF_LD_IMM64 && slot + 1 < insns.length) slot++;
  }
  const units = slots.map((slot, i): Unit => {
    const insn = insns[slot]!;
    const wide = (slots[i + 1] ?? insns.length) - slot === 2;
    const where = distanceIn(insn);
    const to = where === null ? -1 : slot + 1 + insn[where];
    return { insn, second: wide ? insns[slot + 1]! : null, target: to >= 0 && to < insns.length ? unitOf[to]! : -1 };
  });
  return { units, funcs: rows(load.funcInfo, unitOf), lines: rows(load.lineInfo, unitOf), load };
}

function rows(info: InfoRecords | null, unitOf: Int32Array): Row[] | null {
  if (info === null) return null;
  const { bytes, recSize, count } = info;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: count }, (_, i) => {
    const slot = view.getUint32(i * recSize, true);
    return { unit: unitOf[slot] ?? -1, bytes: bytes.subarray(i * recSize, (i + 1) * recSize) };
  });
}

/** Puts a program together again, with the maps that it still names. */
export function putTogether({ units, funcs, lines, load }: Edited): ProgramLoad {
  const slots: number[] = [];
  let length = 0;
  for (const { second } of units) {
    slots.push(length);
    length += second === null ? 1 : 2;
  }
  const { maps, renumber } = usedMaps(units, load);
  const insns: Insn[] = [];
  units.forEach(({ insn, second, target }, i) => {
    const where = distanceIn(insn);
    let out = insn;
    if (where !== null && target >= 0) {
      const far = slots[target]! - slots[i]! - 1;
      out = where === "off" ? { ...insn, off: clamp16(far) } : { ...insn, imm: far };
    }
    const map = mapIndexOf(insn);
    if (map >= 0 && renumber.has(map)) out = { ...out, imm: renumber.get(map)! };
    insns.push(out);
    if (second !== null) insns.push(second);
  });
  return {
    ...load,
    insns: encodeInsns(insns),
    maps,
    funcInfo: joinRows(funcs, load.funcInfo, slots),
    lineInfo: joinRows(lines, load.lineInfo, slots),
  };
}

function clamp16(n: number): number {
  return Math.max(-0x8000, Math.min(0x7fff, n));
}

function usedMaps(
  units: readonly Unit[],
  load: ProgramLoad,
): { maps: readonly MapLoad[]; renumber: Map<number, number> } {
  const renumber = new Map<number, number>();
  if (load.fdArray !== null || load.badMapInsns.length > 0) return { maps: load.maps, renumber };
  const maps: MapLoad[] = [];
  for (const { insn } of units) {
    const map = mapIndexOf(insn);
    const known = load.maps[map];
    if (known !== undefined && !renumber.has(map)) renumber.set(map, maps.push(known) - 1);
  }
  return { maps, renumber };
}

function joinRows(
  rowsIn: readonly Row[] | null,
  info: InfoRecords | null,
  slots: readonly number[],
): InfoRecords | null {
  if (rowsIn === null || info === null) return null;
  const fit = rowsIn.filter(({ unit }) => unit >= 0 && unit < slots.length);
  const bytes = new Uint8Array(fit.length * info.recSize);
  const view = new DataView(bytes.buffer);
  fit.forEach((row, i) => {
    bytes.set(row.bytes, i * info.recSize);
    view.setUint32(i * info.recSize, slots[row.unit]!, true);
  });
  return fit.length === 0 ? null : { bytes, recSize: info.recSize, count: fit.length };
}

/** Without the units at the indices; what led to one leads to the next that stays. */
export function without(program: Edited, gone: ReadonlySet<number>): Edited {
  const { units } = program;
  const after = new Int32Array(units.length + 1);
  let n = 0;
  for (let i = 0; i < units.length; i++) {
    after[i] = n;
    if (!gone.has(i)) n++;
  }
  const move = (i: number): number => (i < 0 ? -1 : after[i]! < n ? after[i]! : -1);
  const seen = new Set<number>();
  // Two functions that now begin at the same place are one.
  const rowsMoved = (list: readonly Row[] | null): Row[] | null => {
    if (list === null) return null;
    seen.clear();
    return list.flatMap((row) => {
      const unit = move(row.unit);
      if (unit < 0 || seen.has(unit)) return [];
      seen.add(unit);
      return [{ ...row, unit }];
    });
  };
  return {
    ...program,
    units: units.filter((_, i) => !gone.has(i)).map((unit) => ({ ...unit, target: move(unit.target) })),
    funcs: rowsMoved(program.funcs),
    lines: rowsMoved(program.lines),
  };
}

/** With more units before the one at `at`; targets inside of them count from their first. */
export function withUnits(program: Edited, at: number, more: readonly Unit[]): Edited {
  const move = (i: number): number => (i >= at ? i + more.length : i);
  const moved = (list: readonly Row[] | null): Row[] | null =>
    list === null ? null : list.map((row) => ({ ...row, unit: row.unit > at ? row.unit + more.length : row.unit }));
  const there = program.units.map((unit) => ({ ...unit, target: move(unit.target) }));
  const placed = more.map((unit) => ({ ...unit, target: unit.target < 0 ? -1 : at + unit.target }));
  return {
    ...program,
    units: [...there.slice(0, at), ...placed, ...there.slice(at)],
    funcs: moved(program.funcs),
    lines: moved(program.lines),
  };
}

/** With another unit at the index. */
export function replaced(program: Edited, at: number, unit: Unit): Edited {
  return { ...program, units: program.units.map((there, i) => (i === at ? unit : there)) };
}
