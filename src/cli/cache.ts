// SPDX-License-Identifier: MIT
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";

/** One source file that went into a bundle, as it was then. */
interface Input {
  readonly path: string;
  readonly mtimeMs: number;
  readonly size: number;
}

/** A bundled program in the cache. */
export interface CachedBundle {
  /** The bundle, an ES module (`.mjs`) or a CommonJS script (`.cjs`). */
  readonly module: string;
  /** Its source map (version 3). */
  readonly map: string;
}

/** Of a bundle's file: a module's or a script's. */
type Ending = ".mjs" | ".cjs";

/** Bundles lie below `dir` as the programs lie below the root directory. */
const pathsOf = (dir: string, program: string, ending: Ending): CachedBundle & { readonly manifest: string } => {
  const module = join(dir, "bundles", `${program}${ending}`);
  return { module, map: `${module}.map`, manifest: `${module}.json` };
};

interface Manifest {
  /** The build of bpfsmith that made the bundle: it may hold paths of that one. */
  readonly build: string;
  readonly inputs: readonly Input[];
}

const ownDir = (path: string): string | undefined => {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const stat = statSync(path);
    // A directory that somebody else owns could feed us their code.
    if (process.getuid !== undefined && stat.uid !== process.getuid()) return undefined;
    return path;
  } catch {
    return undefined;
  }
};

/** The directory that bundles are kept in: `$XDG_CACHE_HOME/bpfsmith`, `~/.cache/bpfsmith`, or one under the temporary directory. */
export function cacheDir(): string | undefined {
  const xdg = process.env.XDG_CACHE_HOME;
  return (
    (xdg?.startsWith("/") ? ownDir(join(xdg, "bpfsmith")) : undefined) ??
    ownDir(join(homedir(), ".cache", "bpfsmith")) ??
    ownDir(join(tmpdir(), `bpfsmith-${userInfo().uid}`))
  );
}

/** The bundle kept of a program (an absolute path), if this build made it and every file that went into it is unchanged. */
export function readCache(dir: string, program: string, ending: Ending, build: string): CachedBundle | undefined {
  try {
    const bundle = pathsOf(dir, program, ending);
    const manifest = JSON.parse(readFileSync(bundle.manifest, "utf8")) as Manifest;
    if (manifest.build !== build) return undefined;
    for (const input of manifest.inputs) {
      const stat = statSync(input.path);
      if (stat.mtimeMs !== input.mtimeMs || stat.size !== input.size) return undefined;
    }
    statSync(bundle.module);
    return bundle;
  } catch {
    return undefined;
  }
}

/** Writes a file beside its place and puts it there, so that nobody ever reads half of it. */
export const replaceFile = (path: string, content: string | Uint8Array): void => {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, content, { mode: 0o600 });
  renameSync(temporary, path);
};

/** Keeps a bundle. */
export function writeCache(
  dir: string,
  program: string,
  ending: Ending,
  build: string,
  { code, map, inputs }: { readonly code: string; readonly map: string; readonly inputs: readonly string[] },
): CachedBundle {
  const manifest: Manifest = {
    build,
    inputs: inputs.map((path) => {
      const stat = statSync(path);
      return { path, mtimeMs: stat.mtimeMs, size: stat.size };
    }),
  };
  const bundle = pathsOf(dir, program, ending);
  mkdirSync(dirname(bundle.module), { recursive: true, mode: 0o700 });
  replaceFile(bundle.module, code);
  replaceFile(bundle.map, map);
  replaceFile(bundle.manifest, JSON.stringify(manifest));
  return bundle;
}
