// SPDX-License-Identifier: MIT
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { SourceMap, type SourceMapPayload } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { InputError } from "../util/errors.js";
import { type CachedBundle, cacheDir, cacheKey, readCache, writeCache } from "./cache.js";

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

const ownRoot = fileURLToPath(new URL("..", import.meta.url));

/** Tells builds of bpfsmith apart: bundles hold absolute paths of this one. */
function buildId(): string {
  return `${ownRoot}:${statSync(fileURLToPath(import.meta.url)).mtimeMs}`;
}

/** Bundles `file` with everything it imports by path; packages stay outside and are named by absolute URL. */
async function bundle(file: string): Promise<{ code: string; map: string; inputs: string[] }> {
  const esbuild = await import("esbuild");
  try {
    const result = await esbuild.build({
      entryPoints: [file],
      outfile: `${file}.mjs`,
      bundle: true,
      write: false,
      format: "esm",
      platform: "node",
      target: "node20",
      sourcemap: "external",
      sourcesContent: false,
      metafile: true,
      logLevel: "silent",
      absWorkingDir: dirname(file),
      plugins: [{ name: "packages", setup: keepPackagesOutside }],
    });
    const output = (ending: string): string => result.outputFiles.find((f) => f.path.endsWith(ending))?.text ?? "";
    const map = JSON.parse(output(".mjs.map")) as { sources: string[] };
    map.sources = map.sources.map((source) => resolve(dirname(file), source));
    return {
      code: output(".mjs"),
      map: JSON.stringify(map),
      inputs: Object.keys(result.metafile.inputs).map((path) => resolve(dirname(file), path)),
    };
  } catch (error) {
    throw syntaxError(file, error);
  }
}

function keepPackagesOutside(build: import("esbuild").PluginBuild): void {
  build.onResolve({ filter: /^[^./]/ }, async (args) => {
    if (args.kind === "entry-point" || args.pluginData === "resolving") return undefined;
    if (args.path.startsWith("node:")) return { path: args.path, external: true };
    const own = /^bpfsmith(?:\/([a-z]+))?$/.exec(args.path);
    if (own !== null) {
      // When bpfsmith itself runs from its source, its modules end in .ts.
      const names = ["index.js", "index.ts"].map((name) => join(ownRoot, own[1] ?? "", name));
      const path = names.find((name) => existsSync(name));
      return path === undefined ? undefined : { path: pathToFileURL(path).href, external: true };
    }
    const found = await build.resolve(args.path, {
      kind: args.kind,
      resolveDir: args.resolveDir,
      importer: args.importer,
      pluginData: "resolving",
    });
    if (found.errors.length > 0 || found.external) return found;
    return { path: pathToFileURL(found.path).href, external: true };
  });
}

interface BuildMessage {
  readonly text: string;
  readonly location: { readonly file: string; readonly line: number; readonly column: number } | null;
}

function syntaxError(file: string, error: unknown): Error {
  const messages = (error as { errors?: readonly BuildMessage[] }).errors;
  const first = messages?.[0];
  if (first === undefined) return error as Error;
  const at = first.location;
  return new InputError(
    first.text,
    at === null
      ? { file }
      : { file: resolve(dirname(file), at.file.replace(/^[a-z]+:/, "")), line: at.line, column: at.column + 1 },
  );
}

/**
 * Imports a TypeScript (or JavaScript) program. Types are stripped, not checked. The bundle is
 * cached, so that an unchanged program starts without the bundler.
 * @throws InputError when the file is missing or does not parse; whatever the module itself throws.
 */
export async function loadSource(path: string): Promise<LoadedSource> {
  const file = resolve(path);
  if (!existsSync(file)) throw new InputError("no such file", { file: path });
  const dir = cacheDir();
  const key = cacheKey(file, buildId());
  let found = dir === undefined ? undefined : readCache(dir, key);
  let scratch: string | undefined;
  if (found === undefined) {
    const { code, map, inputs } = await bundle(file);
    scratch = dir === undefined ? mkdtempSync(join(tmpdir(), "bpfsmith-")) : undefined;
    found = writeCache(dir ?? scratch!, key, code, map, inputs);
  }
  const positions = new SourcePositions(found);
  try {
    const version = statSync(found.module).mtimeMs;
    const exports = (await import(`${pathToFileURL(found.module).href}?${version}`)) as Record<string, unknown>;
    return { file, exports, positions };
  } finally {
    if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true });
  }
}
