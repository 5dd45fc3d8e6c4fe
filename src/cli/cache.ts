// SPDX-License-Identifier: MIT
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir, userInfo } from "node:os";
import { join } from "node:path";

/** One source file that went into a bundle, as it was then. */
interface Input {
  readonly path: string;
  readonly mtimeMs: number;
  readonly size: number;
}

/** A bundled program in the cache. */
export interface CachedBundle {
  /** The bundle, an ES module. */
  readonly module: string;
  /** Its source map (version 3). */
  readonly map: string;
}

interface Manifest {
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

/** Names the cache entry of a source file, for this build of bpfsmith. */
export function cacheKey(entry: string, build: string): string {
  return createHash("sha256").update(`${build}\0${entry}`).digest("hex").slice(0, 24);
}

/** The bundle kept under `key`, if every file that went into it is unchanged. */
export function readCache(dir: string, key: string): CachedBundle | undefined {
  try {
    const manifest = JSON.parse(readFileSync(join(dir, `${key}.json`), "utf8")) as Manifest;
    for (const input of manifest.inputs) {
      const stat = statSync(input.path);
      if (stat.mtimeMs !== input.mtimeMs || stat.size !== input.size) return undefined;
    }
    const bundle = { module: join(dir, `${key}.mjs`), map: join(dir, `${key}.mjs.map`) };
    statSync(bundle.module);
    return bundle;
  } catch {
    return undefined;
  }
}

const replaceFile = (path: string, content: string): void => {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, content, { mode: 0o600 });
  renameSync(temporary, path);
};

/** Keeps a bundle; `inputs` are the absolute paths of all files that went into it. */
export function writeCache(
  dir: string,
  key: string,
  code: string,
  map: string,
  inputs: readonly string[],
): CachedBundle {
  const manifest: Manifest = {
    inputs: inputs.map((path) => {
      const stat = statSync(path);
      return { path, mtimeMs: stat.mtimeMs, size: stat.size };
    }),
  };
  const bundle = { module: join(dir, `${key}.mjs`), map: join(dir, `${key}.mjs.map`) };
  replaceFile(bundle.module, code);
  replaceFile(bundle.map, map);
  replaceFile(join(dir, `${key}.json`), JSON.stringify(manifest));
  return bundle;
}
