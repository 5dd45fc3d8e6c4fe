// SPDX-License-Identifier: MIT
import { existsSync } from "node:fs";
import { Errno } from "../kernel/errno.js";
import { MapFlag, MapType, mapTypeName } from "../kernel/uapi.js";
import type { MapLoad } from "../model/load.js";
import { SyscallError } from "../syscall/errors.js";
import type { Fd } from "../syscall/fd.js";
import { mapInfo } from "../syscall/info.js";
import { createMap, freezeMap, MapAccess, type MapRequest } from "../syscall/map.js";
import { Mapping, pageSize } from "../syscall/memory.js";
import { getPinned, pinObject } from "../syscall/pin.js";
import { InputError } from "../util/errors.js";
import { possibleCpus } from "./cpus.js";
import type { ModuleBtfs } from "./module-btf.js";

/** Flags that the kernel adds by itself, and does not take from user space on creation. */
const ADDED_FLAGS: Readonly<Record<number, number>> = {
  [MapType.DEVMAP]: MapFlag.RDONLY_PROG,
  [MapType.DEVMAP_HASH]: MapFlag.RDONLY_PROG,
};

/**
 * Creates a map with its initial value, frozen if it is to be.
 * @param btf BTF that its type ids refer to; null for an untyped map.
 * @param innerBtf the same for its inner map: maps of maps have no types themselves.
 * @throws SyscallError
 */
export function createLoadedMap(map: MapLoad, btf: Fd | null, innerBtf: Fd | null = btf): Fd {
  const inner = map.inner === null ? null : createLoadedMap(map.inner, map.inner.btf === null ? null : innerBtf);
  let fd: Fd;
  try {
    fd = createTyped(requestFor(map, inner), map, btf);
  } finally {
    inner?.close();
  }
  try {
    fill(fd, map);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

function requestFor(map: MapLoad, innerMap: Fd | null): MapRequest {
  return {
    name: map.name,
    type: map.type,
    keySize: map.keySize,
    valueSize: map.valueSize,
    maxEntries: map.maxEntries === 0 && map.type === MapType.PERF_EVENT_ARRAY ? possibleCpus() : map.maxEntries,
    flags: map.flags & ~(ADDED_FLAGS[map.type] ?? 0),
    extra: map.extra,
    numaNode: map.numaNode ?? 0,
    innerMap,
    btfVmlinuxValueTypeId: map.btfVmlinuxValueTypeId,
  };
}

/**
 * Creates the map of a struct that programs implement.
 * @param btf Some BTF, which libbpf hands over too; the value's type is one of vmlinux' all the same.
 * @throws SyscallError; InputError when it is a struct of a module that is not loaded
 */
export function createStructOpsMap(map: MapLoad, btf: Fd | null, modules: ModuleBtfs): Fd {
  const valueTypeBtfFd = map.valueBtf === undefined ? 0 : modules.fd(map.valueBtf);
  return createMap({ ...requestFor(map, null), btf, valueTypeBtfFd });
}

/** Creates the map with its types, or without them where the kernel does not take types for such a map. */
function createTyped(request: MapRequest, map: MapLoad, btf: Fd | null): Fd {
  if (btf === null || (map.btfKeyTypeId === 0 && map.btfValueTypeId === 0)) return createMap(request);
  try {
    return createMap({ ...request, btf, btfKeyTypeId: map.btfKeyTypeId, btfValueTypeId: map.btfValueTypeId });
  } catch (error) {
    if (!(error instanceof SyscallError) || (error.errno !== Errno.EINVAL && error.errno !== Errno.ENOTSUPP))
      throw error;
    return createMap(request);
  }
}

/** Bytes of an arena, which is made of pages. */
function arenaSize(map: MapLoad): number {
  return map.maxEntries * pageSize();
}

/**
 * Gives an arena its address in this process, without which no program that uses it can be loaded, and its content.
 * Null when the map says the address itself and has no content.
 * @throws SyscallError
 */
export function mapArena(fd: Fd, map: MapLoad): Mapping | null {
  if (map.type !== MapType.ARENA || (map.extra !== 0n && map.value === null)) return null;
  const mapping = new Mapping(fd, 0, arenaSize(map), "read-write", Number(map.extra));
  if (map.value !== null) mapping.bytes.set(map.value);
  return mapping;
}

/** Puts maps or programs, by descriptor, into a map of maps or of programs. @throws SyscallError */
export function fillSlots(fd: Fd, slots: readonly { readonly index: number; readonly fd: number }[]): void {
  const access = new MapAccess(fd, 4, 4);
  for (const slot of slots) {
    access.key.setUint32(0, slot.index, true);
    access.value.setUint32(0, slot.fd, true);
    access.update();
  }
}

function fill(fd: Fd, map: MapLoad): void {
  if (map.value !== null && map.type !== MapType.ARENA) {
    if (map.value.length !== map.valueSize) {
      throw new InputError(`the content of map ${map.name} has ${map.value.length} bytes, its value ${map.valueSize}`);
    }
    const access = new MapAccess(fd, map.keySize, map.valueSize);
    access.valueBytes.set(map.value);
    access.update();
  }
  if (map.frozen) freezeMap(fd);
}

/**
 * Opens the map that is pinned at a path, or creates it and pins it there.
 * @returns The map, and whether it was created.
 * @throws InputError when the pinned map differs from what the object declares; SyscallError
 */
export function openPinnedMap(
  map: MapLoad,
  path: string,
  btf: Fd | null,
  innerBtf: Fd | null = btf,
): { fd: Fd; created: boolean } {
  if (existsSync(path)) {
    const fd = getPinned(path);
    try {
      checkSame(fd, map, path);
      return { fd, created: false };
    } catch (error) {
      fd.close();
      throw error;
    }
  }
  const fd = createLoadedMap(map, btf, innerBtf);
  try {
    pinObject(fd, path);
    return { fd, created: true };
  } catch (error) {
    fd.close();
    throw error;
  }
}

function checkSame(fd: Fd, map: MapLoad, path: string): void {
  const info = mapInfo(fd);
  const differences = [
    info.type === map.type
      ? ""
      : `type ${mapTypeName(info.type) ?? info.type} instead of ${mapTypeName(map.type) ?? map.type}`,
    info.keySize === map.keySize ? "" : `key size ${info.keySize} instead of ${map.keySize}`,
    info.valueSize === map.valueSize ? "" : `value size ${info.valueSize} instead of ${map.valueSize}`,
    info.maxEntries === map.maxEntries ? "" : `${info.maxEntries} entries instead of ${map.maxEntries}`,
    info.flags === (map.flags | (ADDED_FLAGS[map.type] ?? 0)) ? "" : `flags ${info.flags} instead of ${map.flags}`,
  ].filter((text) => text !== "");
  if (differences.length > 0) {
    throw new InputError(`the map pinned at ${path} is another than ${map.name}: ${differences.join(", ")}`);
  }
}
