// SPDX-License-Identifier: MIT
import type { ProgramLoad } from "../../../src/model/load.js";
import { distanceIn, type Edited, putTogether, replaced, takeApart, without } from "./edit.js";

/** Programs tried at most: one costs about as much as a load. */
const MAX_TRIES = 3000;

/** Makes a program smaller as long as it keeps what makes it interesting. */
export class Minimiser {
  readonly #interesting: (load: ProgramLoad) => boolean;
  #tries = 0;

  /** @param interesting Whether a program still shows what the first one did. */
  constructor(interesting: (load: ProgramLoad) => boolean) {
    this.#interesting = interesting;
  }

  run(load: ProgramLoad): ProgramLoad {
    let best = this.#plainer(load);
    let program = takeApart(best);
    for (let before = -1; before !== program.units.length; ) {
      before = program.units.length;
      program = this.#fewer(program);
    }
    program = this.#simpler(program);
    best = putTogether(program);
    return this.#plainer(best);
  }

  #keeps(load: ProgramLoad): boolean {
    if (this.#tries++ >= MAX_TRIES) return false;
    try {
      return this.#interesting(load);
    } catch {
      return false;
    }
  }

  /** Without flags, lines, types as far as they do not matter. */
  #plainer(load: ProgramLoad): ProgramLoad {
    let best = load;
    const attempts: ((at: ProgramLoad) => ProgramLoad | null)[] = [
      (at) => (at.lineInfo === null ? null : { ...at, lineInfo: null }),
      (at) => (at.btf === null ? null : { ...at, btf: null, funcInfo: null, lineInfo: null }),
      ...Array.from({ length: 8 }, (_, bit) => (at: ProgramLoad) => {
        return (at.progFlags & (1 << bit)) === 0 ? null : { ...at, progFlags: at.progFlags & ~(1 << bit) };
      }),
      (at) => (at.license === "GPL" ? null : { ...at, license: "GPL" }),
    ];
    for (const attempt of attempts) {
      const plainer = attempt(best);
      if (plainer !== null && this.#keeps(plainer)) best = plainer;
    }
    return best;
  }

  /** Delta debugging: takes ever smaller pieces out. */
  #fewer(program: Edited): Edited {
    let best = program;
    for (let size = Math.ceil(best.units.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let at = 0; at < best.units.length; ) {
        const gone = new Set(Array.from({ length: Math.min(size, best.units.length - at) }, (_, i) => at + i));
        const smaller = without(best, gone);
        if (smaller.units.length > 0 && this.#keeps(putTogether(smaller))) best = smaller;
        else at += size;
      }
    }
    return best;
  }

  /** Plainer numbers in what is left. */
  #simpler(program: Edited): Edited {
    let best = program;
    for (let at = 0; at < best.units.length; at++) {
      const { insn, second } = best.units[at]!;
      const where = distanceIn(insn);
      if (second !== null || where === "imm") continue;
      const choices = [0, 1, insn.imm >> 1, insn.imm - 1].filter((imm) => Math.abs(imm) < Math.abs(insn.imm));
      for (const imm of choices) {
        const simpler = replaced(best, at, { ...best.units[at]!, insn: { ...insn, imm } });
        if (!this.#keeps(putTogether(simpler))) continue;
        best = simpler;
        break;
      }
    }
    return best;
  }
}
