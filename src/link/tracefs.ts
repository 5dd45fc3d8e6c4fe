// SPDX-License-Identifier: MIT
import { readdirSync, readFileSync, statSync } from "node:fs";
import { Errno } from "../kernel/errno.js";
import { parseTracepointFormat, type TracepointFormat } from "../kernel/tracepoints.js";
import { SyscallError } from "../syscall/errors.js";
import { mountFileSystem } from "../syscall/mount.js";
import { InputError } from "../util/errors.js";
import { similarNote } from "../util/similar.js";

/** Where tracefs may stand; the second place is the one of before Linux 4.1. */
const PLACES = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] as const;

let found: string | undefined;

/**
 * Directory at which tracefs is mounted. Mounts it at /sys/kernel/tracing when it is not mounted
 * anywhere and this process may do so.
 * @throws SyscallError when it may not be read or mounted; InputError when the kernel has no tracefs.
 */
export function tracefsRoot(): string {
  found ??= PLACES.find(isMounted) ?? mountTracefs();
  return found;
}

function isMounted(place: string): boolean {
  try {
    return statSync(`${place}/events`).isDirectory();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EACCES") return false;
    throw new SyscallError(
      "open",
      Errno.EACCES,
      `${place}/events`,
      [],
      "tracefs may be read by root only: run as root",
    );
  }
}

function mountTracefs(): string {
  const place = PLACES[0];
  const errno = mountFileSystem("tracefs", place);
  if (errno === 0) return place;
  const manual = `mount -t tracefs tracefs ${place}`;
  if (errno === Errno.EPERM || errno === Errno.EACCES) {
    throw new SyscallError(
      "mount",
      errno,
      "tracefs",
      [],
      `tracefs is not mounted, and mounting it needs root: ${manual}`,
    );
  }
  if (errno === Errno.ENOENT || errno === Errno.ENODEV) {
    throw new InputError("this kernel has no tracefs (CONFIG_TRACING), so there are no tracepoints to attach to");
  }
  throw new SyscallError("mount", errno, "tracefs", [], `mount it by hand: ${manual}`);
}

/** A tracepoint by its category and name, e.g. `syscalls` and `sys_enter_execve`. */
export interface TracepointName {
  readonly category: string;
  readonly name: string;
}

/**
 * Splits `category/name`.
 * @throws InputError when it is something else.
 */
export function parseTracepointName(text: string): TracepointName {
  const match = /^([A-Za-z0-9_-]+)[/:]([A-Za-z0-9_-]+)$/.exec(text);
  if (match === null) {
    throw new InputError(
      `a tracepoint is named CATEGORY/NAME, e.g. syscalls/sys_enter_execve, not ${JSON.stringify(text)}`,
    );
  }
  return { category: match[1]!, name: match[2]! };
}

function readEventFile({ category, name }: TracepointName, file: string): string {
  try {
    return readFileSync(`${found ?? PLACES[0]}/events/${category}/${name}/${file}`, "utf8");
  } catch {
    // The quick way failed; now find out why.
  }
  try {
    return readFileSync(`${tracefsRoot()}/events/${category}/${name}/${file}`, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") throw missingTracepoint(category, name);
    throw error;
  }
}

function missingTracepoint(category: string, name: string): InputError {
  const categories = listDirectories(`${tracefsRoot()}/events`);
  if (!categories.includes(category)) {
    return new InputError(
      `this kernel has no tracepoint ${category}/${name}: there is no category ${category}${similarNote(category, categories)}`,
    );
  }
  const names = listDirectories(`${tracefsRoot()}/events/${category}`);
  return new InputError(
    `this kernel has no tracepoint ${category}/${name}${similarNote(name, names)}; ` +
      `those that it has stand in ${tracefsRoot()}/events/${category}`,
  );
}

function listDirectories(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

/**
 * Number by which perf_event_open(2) knows a tracepoint.
 * @throws InputError, naming similar ones, when the kernel does not have it; SyscallError when tracefs cannot be read.
 */
export function tracepointId(tracepoint: TracepointName): number {
  return Number.parseInt(readEventFile(tracepoint, "id"), 10);
}

/**
 * Layout of a tracepoint's record in the running kernel.
 * @throws InputError, naming similar ones, when the kernel does not have it; SyscallError when tracefs cannot be read.
 */
export function tracepointFormat(tracepoint: TracepointName): TracepointFormat {
  return parseTracepointFormat(readEventFile(tracepoint, "format"));
}

/** Names of all events, without their categories: raw tracepoints have (mostly) the same ones. */
export function eventNames(): string[] {
  const events = `${tracefsRoot()}/events`;
  return listDirectories(events).flatMap((category) => listDirectories(`${events}/${category}`));
}
