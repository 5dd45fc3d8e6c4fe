// SPDX-License-Identifier: MIT
import type { Btf } from "../btf/types.js";
import { dataSectionKind, SECTION } from "../elf/format.js";
import { MapFlag, MapType, OBJ_NAME_LEN } from "../kernel/uapi.js";
import type { MapLoad } from "../model/load.js";
import type { MapSpec } from "../model/spec.js";
import { decodeUtf8, encodeUtf8 } from "../util/bytes.js";
import type { KernelBtf } from "./kernel-btf.js";
import { kernelTakesTypes } from "./map-types.js";
import type { MapEnvironment } from "./options.js";

/** Flags that the kernel adds by itself. */
const ADDED_FLAGS: Readonly<Record<number, number>> = {
  [MapType.DEVMAP]: MapFlag.RDONLY_PROG,
  [MapType.DEVMAP_HASH]: MapFlag.RDONLY_PROG,
};

/** The longest name that the kernel keeps. */
const MAX_NAME = OBJ_NAME_LEN - 1;

/** Cuts the name of a map or program to the 15 bytes that the kernel keeps. */
export function kernelName(name: string): string {
  const bytes = encodeUtf8(name);
  return bytes.length <= MAX_NAME ? name : decodeUtf8(bytes.subarray(0, MAX_NAME));
}

/** What BPF_MAP_CREATE gets for a map of the object, whose types the kernel knows as `btf`. */
export function mapLoad(spec: MapSpec, btf: Btf | null, env: MapEnvironment): MapLoad {
  const typed = btf !== null && kernelTakesTypes(btf, spec);
  return {
    name: kernelName(spec.name),
    type: spec.type,
    keySize: spec.keySize,
    valueSize: spec.valueSize,
    maxEntries: maxEntries(spec, env),
    flags: spec.flags | (ADDED_FLAGS[spec.type] ?? 0),
    extra: spec.extra,
    ...(spec.numaNode !== 0 && { numaNode: spec.numaNode }),
    btf: typed ? "prog" : null,
    btfKeyTypeId: typed ? spec.keyTypeId : 0,
    btfValueTypeId: typed ? spec.valueTypeId : 0,
    btfVmlinuxValueTypeId: 0,
    inner: spec.inner === null ? null : mapLoad(spec.inner, btf, env),
    frozen: false,
    value: null,
  };
}

function maxEntries(spec: MapSpec, env: MapEnvironment): number {
  switch (spec.type) {
    case MapType.PERF_EVENT_ARRAY:
      return spec.maxEntries === 0 ? env.possibleCpus : spec.maxEntries;
    case MapType.RINGBUF:
    case MapType.USER_RINGBUF:
      return ringSize(spec.maxEntries, env.pageSize);
    default:
      return spec.maxEntries;
  }
}

/** The kernel wants a power of two of whole pages; 0 stays, so that the kernel says what is wrong. */
function ringSize(bytes: number, pageSize: number): number {
  if (bytes === 0) return 0;
  let size = pageSize;
  while (size < bytes) size *= 2;
  // Beyond 2^31 no power of two fits the field: the kernel shall judge the number itself.
  return size > 0x80000000 ? bytes : size;
}

/** What BPF_MAP_CREATE gets for a section of global data, and what is done to the map then. */
export function dataMapLoad(
  objectName: string,
  section: string,
  content: Uint8Array,
  types: Pick<KernelBtf, "btf" | "sectionTypes"> | null,
  env: MapEnvironment,
): MapLoad {
  const readOnly = section === SECTION.KCONFIG || dataSectionKind(section) === "rodata";
  const typeId = types?.sectionTypes.get(section) ?? 0;
  const mmapable = env.mmapableArrays && types !== null && hasSharedVariable(types.btf, typeId);
  return {
    name: dataMapName(objectName, section),
    type: MapType.ARRAY,
    keySize: 4,
    valueSize: content.length,
    maxEntries: 1,
    flags: (readOnly ? MapFlag.RDONLY_PROG : 0) | (mmapable ? MapFlag.MMAPABLE : 0),
    extra: 0n,
    btf: typeId === 0 ? null : "prog",
    btfKeyTypeId: 0,
    btfValueTypeId: typeId,
    btfVmlinuxValueTypeId: 0,
    inner: null,
    frozen: readOnly,
    value: content,
  };
}

/** libbpf maps a section into memory only when it has a variable that user space can name. */
function hasSharedVariable(btf: Btf, datasecId: number): boolean {
  const datasec = btf.types[datasecId];
  if (datasec?.kind !== "datasec") return false;
  return datasec.vars.some(({ type }) => {
    const variable = btf.types[type];
    return variable?.kind === "var" && variable.linkage !== "static";
  });
}

/** At least this much of the name is the section's, as libbpf has it. */
const MIN_SECTION_PART = 7;

/**
 * The name of a data section's map, e.g. `my_objec.rodata`: up to 8 characters of the object's name and the
 * section's; a section with a name of its own (`.data.foo`) goes without the object's (libbpf:
 * internal_map_name()).
 */
export function dataMapName(objectName: string, section: string): string {
  const sectionLength = Math.min(MAX_NAME, Math.max(MIN_SECTION_PART, section.length));
  const prefixLength = section.indexOf(".", 1) >= 0 ? 0 : MAX_NAME - sectionLength;
  const dot = objectName.indexOf(".");
  const prefix = (dot < 0 ? objectName : objectName.slice(0, dot)).slice(0, prefixLength);
  return (prefix + section.slice(0, sectionLength)).replace(/[^A-Za-z0-9_.]/g, "_");
}
