// SPDX-License-Identifier: MIT
import { LINE_COL_BITS, LINE_INFO_SIZE, MAX_COLUMN } from "../btf/format.js";
import { readBtfBlob } from "../btf/read.js";
import type { ProgramLoad } from "../model/load.js";
import type { VerifyResult } from "../verifier/verify.js";

/** A line of the program's source. */
export interface SourceLine {
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  /** 1-based, 0 when unknown. */
  readonly column: number;
}

/** The instruction that a rejection is about: the last one in its log, or the one that the reason names. */
export function rejectedInsn({ construct, lastMessage, log }: VerifyResult): number | undefined {
  if (construct !== undefined) return construct.insn;
  const named = /\binsn (\d+)/.exec(lastMessage);
  if (named !== null) return Number(named[1]);
  const walked = [...log.matchAll(/^(\d+): \(/gm)].at(-1);
  return walked === undefined ? undefined : Number(walked[1]);
}

/** Where an instruction comes from; undefined when the program does not say. */
export function sourceLine({ btf, lineInfo }: ProgramLoad, insn: number): SourceLine | undefined {
  if (btf === null || lineInfo === null || lineInfo.recSize < LINE_INFO_SIZE) return undefined;
  const { bytes, recSize, count } = lineInfo;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = -1;
  for (let i = 0; i < count && view.getUint32(i * recSize, true) <= insn; i++) at = i * recSize;
  if (at < 0) return undefined;
  const lineCol = view.getUint32(at + 12, true);
  const file = readBtfBlob(btf).stringAt(view.getUint32(at + 4, true));
  return { file, line: lineCol >>> LINE_COL_BITS, column: lineCol & MAX_COLUMN };
}
