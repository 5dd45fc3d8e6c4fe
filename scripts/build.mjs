// SPDX-License-Identifier: MIT
// Builds dist/: declarations by tsc, one file a room by esbuild, with what rooms share in dist/chunks.
// Plain tsc output is some 150 modules, which take longer to load than execsnoop takes to be built and attached.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const src = join(root, "src");
const outdir = join(root, "dist");

rmSync(outdir, { recursive: true, force: true });
execFileSync(
  process.execPath,
  [join(root, "node_modules/typescript/bin/tsc"), "-p", join(root, "tsconfig.build.json")],
  {
    stdio: "inherit",
  },
);

const rooms = readdirSync(src).filter((room) => existsSync(join(src, room, "index.ts")));
await build({
  entryPoints: ["index.ts", ...rooms.map((room) => `${room}/index.ts`), "cli/main.ts", "cli/source.ts"].map((file) =>
    join(src, file),
  ),
  outbase: src,
  outdir,
  // Modules find their neighbours (package.json, the rooms' entries) by paths: every output lies one folder deep.
  chunkNames: "chunks/[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  sourcemap: true,
  sourcesContent: false,
  legalComments: "inline",
  logLevel: "warning",
});
