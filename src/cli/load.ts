// SPDX-License-Identifier: MIT
import { mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { askKernel } from "../load/ask-kernel.js";
import { writeFileAtomic } from "../load/files.js";
import { loadObject } from "../load/load-object.js";
import type { LoadedObject } from "../load/loaded-object.js";
import { writeRecord } from "../model/record.js";
import { type ResolvedObject, resolveObject } from "../object/resolve.js";
import type { Fd } from "../syscall/fd.js";
import { pinObject } from "../syscall/pin.js";
import { paint } from "./colors.js";
import { readInput, stemOf } from "./input.js";
import { ExitCode, note, print } from "./output.js";
import { resolveFor } from "./target.js";

/** Options of `load`. */
export interface LoadOptions {
  readonly pin?: string;
  readonly record?: string;
  readonly log?: number;
  readonly json?: boolean;
}

/** Pins programs at DIR/NAME and maps at DIR/maps/NAME; when one cannot be pinned, none is. */
function pinAll(object: LoadedObject, dir: string): void {
  const made: string[] = [];
  const pin = (fd: Fd, path: string): void => {
    const first = mkdirSync(dirname(path), { recursive: true });
    if (first !== undefined) made.push(first);
    pinObject(fd, path);
    made.push(path);
  };
  try {
    for (const { name, fd } of object.maps.values()) pin(fd, join(dir, "maps", name));
    for (const { name, fd } of object.programs.values()) pin(fd, join(dir, name));
  } catch (error) {
    for (const path of made.reverse()) rmSync(path, { recursive: true, force: true });
    throw error;
  }
}

function record(resolved: ResolvedObject, stem: string, path: string): void {
  const lines = resolved.programs.map(({ name, load }) =>
    writeRecord({ id: `${stem}/${name}`, load, kernel: askKernel(load) }),
  );
  writeFileAtomic(path, new TextEncoder().encode(lines.map((line) => `${line}\n`).join("")));
  note(`wrote ${path}: ${lines.length} records`);
}

/** `bpfsmith load FILE` */
export async function loadCommand(file: string, options: LoadOptions): Promise<number> {
  const { spec } = await readInput(file);
  const resolved = resolveObject(spec, resolveFor());
  if (options.record !== undefined) record(resolved, stemOf(file), options.record);
  using object = loadObject(resolved, { logLevel: options.log ?? 0 });
  if (options.pin !== undefined) pinAll(object, options.pin);
  for (const { name, section, log, load } of object.programs.values()) {
    const pinned = options.pin === undefined ? null : join(options.pin, name);
    if (options.json) print(JSON.stringify({ program: name, section, insns: load.insns.length / 8, log, pinned }));
    else {
      if (log !== "") print(log.trimEnd());
      print(
        `${name}: ${paint("green", "loaded", 1)}${pinned === null ? ", and unloaded again" : `, pinned at ${pinned}`}`,
      );
    }
  }
  return ExitCode.OK;
}
