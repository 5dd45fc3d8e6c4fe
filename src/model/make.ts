// SPDX-License-Identifier: MIT
import type { DataSpec, DataVariable, FunctionSpec, MapSpec, ObjectSpec } from "./spec.js";

/*
 * Specifications by what is special about them. Everything that is not said has its neutral value: nothing
 * refers, nothing is typed, nothing is weak or hidden.
 */

/** A function; its symbol is named like it. */
export function functionSpec(
  parts: Pick<FunctionSpec, "name" | "section" | "linkage" | "insns"> & Partial<FunctionSpec>,
): FunctionSpec {
  return {
    symbol: parts.name,
    weak: false,
    visibility: "default",
    refs: [],
    lines: [],
    core: [],
    btfFuncId: 0,
    ...parts,
  };
}

/** A map. */
export function mapSpec(parts: Pick<MapSpec, "name" | "type"> & Partial<MapSpec>): MapSpec {
  return {
    keySize: 0,
    valueSize: 0,
    maxEntries: 0,
    flags: 0,
    extra: 0n,
    numaNode: 0,
    keyTypeId: 0,
    valueTypeId: 0,
    btfVarId: 0,
    pinning: "none",
    inner: null,
    initial: [],
    weak: false,
    visibility: "default",
    ...parts,
  };
}

/** A global variable. */
export function dataVariable(
  parts: Pick<DataVariable, "name" | "offset" | "size"> & Partial<DataVariable>,
): DataVariable {
  return { btfVarId: 0, linkage: "global", weak: false, visibility: "default", ...parts };
}

/** A section of global data. */
export function dataSpec(parts: Pick<DataSpec, "section" | "content"> & Partial<DataSpec>): DataSpec {
  return { align: 8, variables: [], refs: [], btfDatasecId: 0, ...parts };
}

/** An object for a little-endian machine. */
export function objectSpec(parts: Pick<ObjectSpec, "name"> & Partial<ObjectSpec>): ObjectSpec {
  return {
    license: "",
    version: 0,
    endianness: "little",
    functions: [],
    maps: [],
    data: [],
    externs: [],
    structOps: [],
    btf: null,
    btfStrings: null,
    ...parts,
  };
}
