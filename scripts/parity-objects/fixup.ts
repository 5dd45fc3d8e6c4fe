// SPDX-License-Identifier: MIT
import { MapType, ProgType } from "../../src/kernel/uapi.js";
import { mapSpec } from "../../src/model/make.js";
import type { MapSpec, ObjectSpec } from "../../src/model/spec.js";
import type { ProgramKind, ResolveOptions } from "../../src/object/options.js";
import { InputError } from "../../src/util/errors.js";

/*
 * What the recorder changed before a load, as the field `fixup` of a record says it: the user space of these
 * objects would have done something alike.
 */

/** A recorder's changes, in our terms. */
export interface Fixup {
  readonly spec: ObjectSpec;
  readonly options: Pick<ResolveOptions, "withoutMaps" | "programTypes">;
}

const CHANGE = /^map (\S+?):? (?:(max_entries|value_size)=(\d+)|(inner map made up)|(not created))$/;
const TYPE = /^(?:freplace without a target|section names no type): loaded as (\w+)$/;

/** Applies what the record says to the object. */
export function applyFixup(spec: ObjectSpec, program: string, fixup: string | null): Fixup {
  if (fixup === null) return { spec, options: {} };
  const maps = new Map(spec.maps.map((map) => [map.name, map]));
  const withoutMaps = new Set<string>();
  const programTypes = new Map<string, ProgramKind>();
  for (const change of fixup.split("; ")) {
    const type = TYPE.exec(change);
    if (type !== null) {
      const progType = (ProgType as Readonly<Record<string, number>>)[type[1]!.toUpperCase()];
      if (progType === undefined) throw new InputError(`fixup: no program type ${type[1]}`);
      programTypes.set(program, { progType, attachType: 0 });
      continue;
    }
    const match = CHANGE.exec(change);
    if (match === null) throw new InputError(`fixup: not understood: ${change}`);
    const [, name, field, value, inner] = match;
    const map = maps.get(name!);
    if (field !== undefined && map !== undefined) {
      maps.set(name!, { ...map, [field === "max_entries" ? "maxEntries" : "valueSize"]: Number(value) });
    } else if (inner !== undefined && map !== undefined) maps.set(name!, { ...map, inner: innerMap(spec.name) });
    else if (field === undefined) withoutMaps.add(name!);
    else throw new InputError(`fixup: the object has no map ${name}`);
  }
  return { spec: { ...spec, maps: [...maps.values()] }, options: { withoutMaps, programTypes } };
}

/** The map that the recorder puts where user space would put its own. */
function innerMap(object: string): MapSpec {
  const base = { name: "inner", keySize: 4 };
  return object.includes("select_reuseport")
    ? mapSpec({ ...base, type: MapType.REUSEPORT_SOCKARRAY, valueSize: 8, maxEntries: 16 })
    : mapSpec({ ...base, type: MapType.ARRAY, valueSize: 4, maxEntries: 1 });
}
