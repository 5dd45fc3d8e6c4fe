// SPDX-License-Identifier: GPL-2.0-only
import { type BtfBlob, readBtfBlob } from "../../btf/read.js";
import type { Btf } from "../../btf/types.js";
import { errnoName } from "../../kernel/errno.js";
import type { VerifierRules } from "../../kernel/rules.js";
import { MapFlag, MapType } from "../../kernel/uapi.js";
import type { MapLoad } from "../../model/load.js";
import { InputError } from "../../util/errors.js";
import { btfRefusal } from "../btf-load/validate.js";
import type { BtfRecord, VerifierEnv } from "../env.js";
import { btfParseFields } from "./map-fields.js";

/* The maps of a load as the verifier looks at them: numbered, with their special fields. */

const blobs = new WeakMap<Uint8Array, BtfBlob>();

/**
 * A BTF blob taken apart, once for every array that holds one.
 * @throws InputError when it cannot be read, or the kernel refuses it: then no program can come with it
 */
export function btfBlobOf(env: VerifierEnv, bytes: Uint8Array): BtfBlob {
  let blob = blobs.get(bytes);
  if (blob === undefined) {
    blob = readBtfBlob(bytes);
    checkBtf(bytes, env.vmlinux);
    blobs.set(bytes, blob);
  }
  return blob;
}

function checkBtf(bytes: Uint8Array, vmlinux: () => Btf | null): void {
  const refusal = btfRefusal(bytes, vmlinux);
  if (refusal === null) return;
  throw new InputError(`the kernel refuses this BTF (${errnoName(refusal.errno)}): ${refusal.reason}`);
}

interface KnownRecord {
  readonly valueSize: number;
  readonly rules: VerifierRules;
  readonly record: BtfRecord | null;
}

const records = new WeakMap<Btf, Map<number, KnownRecord>>();

/** The special fields of a value, found once for each type: the kernel looks for them when the map is made. */
function recordOf(btf: Btf, id: number, valueSize: number, rules: VerifierRules): BtfRecord | null {
  let byType = records.get(btf);
  if (byType === undefined) {
    byType = new Map();
    records.set(btf, byType);
  }
  const known = byType.get(id);
  if (known !== undefined && known.valueSize === valueSize && known.rules === rules) return known.record;
  const fields = btfParseFields(btf, id, valueSize, rules);
  const record = fields === null ? null : { fields };
  byType.set(id, { valueSize, rules, record });
  return record;
}

/** The special fields of a map's value. */
function mapRecord(env: VerifierEnv, load: MapLoad): BtfRecord | null {
  if (load.btf === null || load.btfValueTypeId === 0) return null;
  const bytes = load.btf === "prog" ? env.load.btf : load.btf;
  if (bytes === null) return null;
  return recordOf(btfBlobOf(env, bytes).btf, load.btfValueTypeId, load.valueSize, env.rules);
}

/** The map as the kernel makes it: programs can never write into a device map. */
function asKept(load: MapLoad): MapLoad {
  if (load.type !== MapType.DEVMAP && load.type !== MapType.DEVMAP_HASH) return load;
  return { ...load, flags: load.flags | MapFlag.RDONLY_PROG };
}

/** Gives every map of the load its number, then every inner map. Looks at the program's BTF before all. */
export function addMaps(env: VerifierEnv): void {
  const { maps, btf } = env.load;
  if (btf !== null) btfBlobOf(env, btf);
  let inner = maps.length;
  for (const [i, load] of maps.entries()) {
    env.maps.push({
      index: i + 1,
      load: asKept(load),
      inner: load.inner === null ? 0 : ++inner,
      record: mapRecord(env, load),
    });
  }
  for (const load of maps) {
    if (load.inner === null) continue;
    // Of the inner map's template the kernel keeps neither name nor content.
    const template = { ...asKept(load.inner), name: "", frozen: false, value: null };
    env.maps.push({ index: env.maps.length + 1, load: template, inner: 0, record: mapRecord(env, load.inner) });
  }
}
