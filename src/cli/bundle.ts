// SPDX-License-Identifier: MIT
import { existsSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { BuildOptions, OnResolveArgs, OnResolveResult, PluginBuild } from "esbuild";
import { InputError } from "../util/errors.js";

/** A user's program and all that it imports by path, as one file. */
export interface Bundle {
  readonly code: string;
  /** Source map (version 3) with absolute paths. */
  readonly map: string;
  /** Absolute paths of the files that went into it. */
  readonly inputs: readonly string[];
}

/** Where the rooms of bpfsmith stand: `dist/` or, when it runs from its source, `src/`. */
export const ownRoot: string = fileURLToPath(new URL("..", import.meta.url));

/** The message by which esbuild tells that `import.meta` has no meaning in a script. */
const IMPORT_META = "empty-import-meta";

const common = {
  bundle: true,
  write: false,
  platform: "node",
  target: "node20",
  sourcemap: "external",
  sourcesContent: false,
  metafile: true,
  logLevel: "silent",
} satisfies BuildOptions;

/**
 * Bundles a program into an ES module; packages stay outside and are named by absolute URL.
 * @throws InputError when it does not parse.
 */
export async function bundleModule(file: string): Promise<Bundle> {
  const { build } = await import("esbuild");
  try {
    const result = await build({
      ...common,
      entryPoints: [file],
      outfile: `${file}.mjs`,
      format: "esm",
      absWorkingDir: dirname(file),
      plugins: [{ name: "packages", setup: keepPackagesOutside }],
    });
    return bundleOf(file, result);
  } catch (error) {
    throw syntaxError(file, error);
  }
}

/**
 * Bundles a program into a CommonJS script that requires nothing but Node's own modules and the rooms of bpfsmith, by
 * their names. Undefined when it must be a module, or does not parse (bundling it into a module then says why).
 */
export async function bundleScript(file: string): Promise<Bundle | undefined> {
  const { build } = await import("esbuild");
  let packages = false;
  const resolvePackage = ({ kind, path }: OnResolveArgs): OnResolveResult | undefined => {
    if (kind === "entry-point") return undefined;
    if (!isBuiltin(path) && roomOf(path) === undefined) packages = true;
    return { path, external: true };
  };
  try {
    const result = await build({
      ...common,
      entryPoints: [file],
      outfile: `${file}.cjs`,
      format: "cjs",
      absWorkingDir: dirname(file),
      // A script has no loader for modules; what it imports late is Node's own.
      supported: { "dynamic-import": false },
      plugins: [{ name: "rooms", setup: (setup) => setup.onResolve({ filter: /^[^./]/ }, resolvePackage) }],
    });
    if (packages || result.warnings.some(({ id }) => id === IMPORT_META)) return undefined;
    return bundleOf(file, result);
  } catch {
    return undefined;
  }
}

interface Built {
  readonly outputFiles: readonly { readonly path: string; readonly text: string }[];
  readonly metafile: { readonly inputs: Readonly<Record<string, unknown>> };
}

function bundleOf(file: string, { outputFiles, metafile }: Built): Bundle {
  const text = (isMap: boolean): string => outputFiles.find(({ path }) => path.endsWith(".map") === isMap)?.text ?? "";
  const map = JSON.parse(text(true)) as { sources: string[] };
  map.sources = map.sources.map((source) => resolve(dirname(file), source));
  return {
    code: text(false),
    map: JSON.stringify(map),
    inputs: Object.keys(metafile.inputs).map((path) => resolve(dirname(file), path)),
  };
}

/** The room's folder that a specifier names: `load` for `bpfsmith/load`, empty for `bpfsmith`. */
function roomOf(specifier: string): string | undefined {
  const own = /^bpfsmith(?:\/([a-z]+))?$/.exec(specifier);
  return own === null ? undefined : (own[1] ?? "");
}

function keepPackagesOutside(build: PluginBuild): void {
  build.onResolve({ filter: /^[^./]/ }, async (args) => {
    if (args.kind === "entry-point" || args.pluginData === "resolving") return undefined;
    if (args.path.startsWith("node:")) return { path: args.path, external: true };
    const room = roomOf(args.path);
    if (room !== undefined) {
      // When bpfsmith itself runs from its source, its modules end in .ts.
      const names = ["index.js", "index.ts"].map((name) => join(ownRoot, room, name));
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
