// SPDX-License-Identifier: GPL-2.0-only
import { Limit } from "../../kernel/limits.js";
import type { VerifierEnv } from "../env.js";
import { BPF_ADD_CONST } from "./reg.js";

/*
 * How ids of one state correspond to those of another: their numbers differ, what they tie together
 * must not.
 */

const oldIds = new Int32Array(Limit.BPF_ID_MAP_SIZE);
const curIds = new Int32Array(Limit.BPF_ID_MAP_SIZE);
let cnt = 0;
let tmpIdGen = 0;

/** Forgets every pair. Mirrors reset_idmap_scratch(). */
export function resetIdmapScratch(env: VerifierEnv): void {
  tmpIdGen = env.idGen;
  cnt = 0;
}

/** Whether the ids can be the same thing in both states, given what was said of others before. Mirrors check_ids(). */
export function checkIds(oldId: number, curId: number): boolean {
  if ((oldId !== 0) !== (curId !== 0)) return false;
  if (oldId === 0) return true;
  for (let i = 0; i < cnt; i++) {
    if (oldIds[i] === oldId) return curIds[i] === curId;
    if (curIds[i] === curId) return false;
  }
  if (cnt >= Limit.BPF_ID_MAP_SIZE) return false;
  oldIds[cnt] = oldId;
  curIds[cnt] = curId;
  cnt++;
  return true;
}

/**
 * Like {@link checkIds} for scalars. An old one without an id relied on no link; a current one without
 * an id has a link of its own. Mirrors check_scalar_ids().
 */
export function checkScalarIds(oldId: number, curId: number): boolean {
  if (oldId === 0) return true;
  const id = curId !== 0 ? curId : ++tmpIdGen;
  if (!checkIds(oldId, id)) return false;
  return (oldId & BPF_ADD_CONST) === 0 || checkIds(oldId & ~BPF_ADD_CONST, id & ~BPF_ADD_CONST);
}
