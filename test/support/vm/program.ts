// SPDX-License-Identifier: MIT
import { encodeInsns, type Insn } from "../../../src/asm/insn.js";
import { MapType, ProgType } from "../../../src/kernel/uapi.js";
import type { MapLoad, ProgramLoad } from "../../../src/model/load.js";

/** A map without anything special. */
export function mapLoad(
  type: keyof typeof MapType,
  keySize: number,
  valueSize: number,
  maxEntries: number,
  more: Partial<MapLoad> = {},
): MapLoad {
  return {
    name: type.toLowerCase(),
    type: MapType[type],
    keySize,
    valueSize,
    maxEntries,
    flags: 0,
    extra: 0n,
    btf: null,
    btfKeyTypeId: 0,
    btfValueTypeId: 0,
    btfVmlinuxValueTypeId: 0,
    inner: null,
    frozen: false,
    value: null,
    ...more,
  };
}

/** A program, by default a socket filter, of these instructions. */
export function programLoad(
  insns: readonly (Insn | readonly Insn[])[],
  maps: readonly MapLoad[] = [],
  more: Partial<ProgramLoad> = {},
): ProgramLoad {
  return {
    name: "test",
    progType: ProgType.SOCKET_FILTER,
    expectedAttachType: 0,
    progFlags: 0,
    progIfindex: 0,
    kernVersion: 0,
    license: "GPL",
    attachBtfId: 0,
    insns: encodeInsns(insns.flat() as Insn[]),
    maps,
    badMapInsns: [],
    fdArray: null,
    btf: null,
    funcInfo: null,
    lineInfo: null,
    ...more,
  };
}
