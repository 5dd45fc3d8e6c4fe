// SPDX-License-Identifier: MIT

import { MapType } from "../kernel/uapi.js";
import { loadObject } from "../load/load-object.js";
import type { LoadedObject } from "../load/loaded-object.js";
import { type RunArgs, runSession, type Session } from "../load/session.js";
import type { ObjectSpec } from "../model/spec.js";
import { type ResolvedObject, resolveObject } from "../object/resolve.js";
import { SyscallError } from "../syscall/errors.js";
import { FfiUnavailableError } from "../syscall/ffi.js";
import { RingBufferReader } from "../syscall/ringbuf.js";
import { InputError } from "../util/errors.js";
import { writeObjectFile } from "./build.js";
import { paint } from "./colors.js";
import { readInput, stemOf } from "./input.js";
import { ExitCode, note, print } from "./output.js";
import type { LoadedSource } from "./source.js";
import { resolveFor } from "./target.js";
import { timedVerify, verdictLine } from "./verdict.js";

/** Options of `run`. */
export interface RunOptions {
  /** Seconds. */
  readonly duration?: number;
  readonly json?: boolean;
  readonly output?: string;
  readonly verbose?: boolean;
  /** Network interface for XDP programs and socket filters. */
  readonly device?: string;
}

type Main = (session: Session, args: RunArgs) => void | Promise<void>;

/** Says what the mirror finds; false when it rejects a program. */
function verifyAll(resolved: ResolvedObject, logLevel: number): boolean {
  let accepted = true;
  for (const { name, load } of resolved.programs) {
    let verdict = timedVerify(load, logLevel);
    if (verdict.result.verdict === "rejected") {
      accepted = false;
      if (logLevel === 0) verdict = timedVerify(load, 1);
    }
    if (verdict.result.log !== "") note(verdict.result.log.trimEnd());
    note(verdictLine(name, load.insns.length, verdict, 2));
  }
  return accepted;
}

/** Without a `main` of its own, an object shows the records of its ring buffers as they are. */
function defaultMain(spec: ObjectSpec): Main {
  return async (session, args) => {
    const rings = spec.maps.filter((map) => map.type === MapType.RINGBUF);
    const readers = rings.map((map) => {
      const reader = new RingBufferReader(session.object.mapEntry(map.name).fd);
      reader.start((view, offset, length) => {
        const bytes = Buffer.from(view.buffer, view.byteOffset + offset, length).toString("hex");
        session.print(args.json ? JSON.stringify({ map: map.name, bytes }) : `${map.name}: ${bytes}`);
      });
      return reader;
    });
    await session.ended;
    for (const reader of readers) reader.close();
  };
}

function mainOf(spec: ObjectSpec, source: LoadedSource | undefined): Main {
  const main = source?.exports.main;
  if (main === undefined) return defaultMain(spec);
  if (typeof main !== "function") throw new InputError("the export `main` must be a function", { file: source?.file });
  return main as Main;
}

/** Brings the object into the kernel and attaches it; undefined when this process may not. */
function loadAndAttach(resolved: ResolvedObject, options: RunOptions): LoadedObject | undefined {
  let object: LoadedObject | undefined;
  try {
    object = loadObject(resolved);
    object.attachAll({ device: options.device });
    return object;
  } catch (error) {
    object?.close();
    const refused = error instanceof FfiUnavailableError || (error instanceof SyscallError && error.isPermission);
    if (!refused) throw error;
    note(`not loaded: ${error.message}. As root, this would load the object, attach it and show its events.`);
    return undefined;
  }
}

/** Ends a session: by Ctrl-C, by SIGTERM, or some time after it was told to. */
interface EndSignal {
  readonly signal: AbortSignal;
  /** Starts the clock. */
  endAfter(seconds: number): void;
  /** Gives the handlers back. */
  stop(): void;
}

function endSignal(): EndSignal {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  let timer: NodeJS.Timeout | undefined;
  process.once("SIGINT", abort);
  process.once("SIGTERM", abort);
  // Readers of ring buffers keep the process alive, a program that only waits needs something too.
  const keepAlive = setInterval(() => {}, 1 << 30);
  const stop = (): void => {
    clearTimeout(timer);
    clearInterval(keepAlive);
    process.removeListener("SIGINT", abort);
    process.removeListener("SIGTERM", abort);
  };
  return {
    signal: controller.signal,
    endAfter(seconds) {
      timer = setTimeout(abort, seconds * 1000);
    },
    stop,
  };
}

/** `bpfsmith run FILE`: build, verify, write the object, load, attach, show events until the end. */
export async function runCommand(file: string, rest: readonly string[], options: RunOptions): Promise<number> {
  const { spec, source } = await readInput(file);
  const resolved = resolveObject(spec, resolveFor());
  if (!verifyAll(resolved, options.verbose ? 2 : 0)) return ExitCode.REJECTED;
  if (source !== undefined) writeObjectFile(spec, options.output ?? `${stemOf(file)}.o`);
  const main = mainOf(spec, source);

  const end = endSignal();
  try {
    const object = loadAndAttach(resolved, options);
    if (object === undefined) {
      if (!options.verbose) verifyAll(resolved, 2);
      return ExitCode.OK;
    }
    try {
      note(
        object.links.length === 0
          ? "loaded; no program says where it attaches"
          : `attached to ${object.links.map((link) => link.target).join(", ")}; ${paint("dim", "Ctrl-C ends it", 2)}`,
      );
      if (options.duration !== undefined) end.endAfter(options.duration);
      const args = { json: options.json === true, rest };
      await runSession(object, main, { args, print, signal: end.signal });
    } finally {
      object.close();
    }
    return ExitCode.OK;
  } finally {
    end.stop();
  }
}
