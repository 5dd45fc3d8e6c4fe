// SPDX-License-Identifier: MIT
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createRequire, SourceMap, type SourceMapPayload } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { compileFunction } from "node:vm";
import { InputError } from "../util/errors.js";
import { type Bundle, bundleModule, bundleScript, ownRoot } from "./bundle.js";
import { type CachedBundle, cacheDir, readCache, writeCache } from "./cache.js";
import { joinedRooms, NeedsMore, type Rooms } from "./rooms.js";

/** A user's program, imported. */
export interface LoadedSource {
  /** Absolute path of the file the user named. */
  readonly file: string;
  /** The module's exports. */
  readonly exports: Readonly<Record<string, unknown>>;
  /** Leads positions in the running module back to the user's files. */
  readonly positions: SourcePositions;
}

/** A line of the user's source. */
export interface SourceLine {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** The line's text; empty when the file cannot be read. */
  readonly text: string;
}

/** Maps positions of a bundle back to the files it was made of, and quotes them. */
export class SourcePositions {
  private readonly moduleUrl: string;
  private readonly mapFile: string;
  private map: SourceMap | undefined;
  private readonly lines = new Map<string, readonly string[]>();

  constructor(bundle: CachedBundle) {
    this.moduleUrl = pathToFileURL(bundle.module).href;
    this.mapFile = bundle.map;
  }

  /** The user's line behind a position (1-based) in `file`, a path or `file:` URL. */
  locate(file: string, line: number, column: number): SourceLine {
    const url = file.startsWith("/") ? pathToFileURL(file).href : file;
    // An import of the bundle carries a query so that a changed program is imported afresh.
    if (url.split("?")[0] === this.moduleUrl) {
      this.map ??= new SourceMap(JSON.parse(readFileSync(this.mapFile, "utf8")) as SourceMapPayload);
      const entry = this.map.findEntry(line - 1, column - 1);
      if ("originalSource" in entry) {
        const source = resolve(dirname(this.mapFile), entry.originalSource);
        return this.quote(source, entry.originalLine + 1, entry.originalColumn + 1);
      }
    }
    return this.quote(url.startsWith("file:") ? fileURLToPath(url.split("?")[0]!) : file, line, column);
  }

  private quote(file: string, line: number, column: number): SourceLine {
    let lines = this.lines.get(file);
    if (lines === undefined) {
      lines = existsSync(file) ? readFileSync(file, "utf8").split("\n") : [];
      this.lines.set(file, lines);
    }
    return { file, line, column, text: lines[line - 1] ?? "" };
  }
}

/** Tells builds of bpfsmith apart: bundles hold absolute paths of this one. */
function buildId(): string {
  return `${ownRoot}:${statSync(fileURLToPath(import.meta.url)).mtimeMs}`;
}

type Exports = Readonly<Record<string, unknown>>;

function importModule({ module }: CachedBundle): Promise<Exports> {
  return import(`${pathToFileURL(module).href}?${statSync(module).mtimeMs}`) as Promise<Exports>;
}

/** @throws NeedsMore when the program is none for a script. */
function runScript({ module: path }: CachedBundle, rooms: Rooms): Exports {
  const code = readFileSync(path, "utf8");
  if (code === "") throw new NeedsMore("modules");
  const requireNode = createRequire(import.meta.url);
  const require = (specifier: string): unknown => rooms(specifier) ?? requireNode(specifier);
  const module = { exports: {} };
  compileFunction(code, ["module", "exports", "require"], { filename: path })(module, module.exports, require);
  return module.exports;
}

/** The program as a script; without code when it can only be a module, which the cache then remembers. */
async function scriptOrNothing(file: string): Promise<Bundle> {
  return (await bundleScript(file)) ?? { ...(await bundleModule(file)), code: "" };
}

/**
 * Imports a TypeScript (or JavaScript) program. Types are stripped, not checked. The bundle is
 * cached, so that an unchanged program starts without the bundler.
 * @throws InputError when the file is missing or does not parse; NeedsMore when bpfsmith runs as one script and the
 * program cannot; whatever the program itself throws.
 */
export async function loadSource(path: string): Promise<LoadedSource> {
  const file = resolve(path);
  if (!existsSync(file)) throw new InputError("no such file", { file: path });
  const rooms = joinedRooms();
  const ending = rooms === undefined ? ".mjs" : ".cjs";
  const dir = cacheDir();
  let found = dir === undefined ? undefined : readCache(dir, file, ending, buildId());
  let scratch: string | undefined;
  if (found === undefined) {
    const bundle = rooms === undefined ? await bundleModule(file) : await scriptOrNothing(file);
    const keepIn = (place: string): CachedBundle => writeCache(place, file, ending, buildId(), bundle);
    try {
      if (dir !== undefined) found = keepIn(dir);
    } catch {
      // Where nothing can be kept, the bundle lives as long as this run.
    }
    if (found === undefined) {
      scratch = mkdtempSync(join(tmpdir(), "bpfsmith-"));
      found = keepIn(scratch);
    }
  }
  try {
    const exports = rooms === undefined ? await importModule(found) : runScript(found, rooms);
    return { file, exports, positions: new SourcePositions(found) };
  } finally {
    if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true });
  }
}
