// SPDX-License-Identifier: MIT
// Builds dist/: declarations by tsc, JavaScript by esbuild. Loaded one by one, the 190 modules of src/ take longer than
// all the work on a small program, so they are joined: dist/core.js holds what runs in a browser too, dist/node.js the
// rest, and each room's index.js names its part of them.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const src = join(root, "src");
const outdir = join(root, "dist");

/** Rooms that need Node; the others run in a browser. */
const nodeRooms = new Set(["syscall", "link", "load", "cli"]);

/** Modules that are imported from outside, without their ending. */
const entries = readdirSync(src, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(join(src, entry.name, "index.ts")))
  .map(({ name }) => `${name}/index`)
  .concat("index", "cli/source");
const isNode = (entry) => nodeRooms.has(entry.split("/")[0]);

const settings = {
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  logLevel: "warning",
};

/** The names that a module exports. */
async function exportsOf(entry) {
  const result = await build({
    ...settings,
    entryPoints: [join(src, `${entry}.ts`)],
    write: false,
    metafile: true,
    outdir,
  });
  return Object.values(result.metafile.outputs)[0].exports;
}

/** What the joint modules call an entry's export, so that names of different rooms do not clash. */
const jointName = (entry, name) => `${entry.replace("/", "_")}$${name}`;

rmSync(outdir, { recursive: true, force: true });
execFileSync(
  process.execPath,
  [join(root, "node_modules/typescript/bin/tsc"), "-p", join(root, "tsconfig.build.json")],
  {
    stdio: "inherit",
  },
);

const names = new Map(await Promise.all(entries.map(async (entry) => [entry, await exportsOf(entry)])));

/** Source of a joint module: everything that its entries export. */
function joint(ofNode) {
  const lines = entries
    .filter((entry) => isNode(entry) === ofNode)
    .map((entry) => {
      const list = names.get(entry).map((name) => `${name} as ${jointName(entry, name)}`);
      return `export { ${list.join(", ")} } from "./${entry}.js";`;
    });
  return lines.join("\n");
}

const jointModules = {
  name: "joint",
  setup(plugin) {
    plugin.onResolve({ filter: /^joint:/ }, ({ path }) => ({ path: path.slice("joint:".length), namespace: "joint" }));
    plugin.onLoad({ filter: /.*/, namespace: "joint" }, ({ path }) => ({
      contents: joint(path === "node"),
      resolveDir: src,
      loader: "ts",
    }));
  },
};

/** typescript-parsec is many small files that every start would load one by one: it is joined too. */
const { dependencies, optionalDependencies, peerDependencies } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8"),
);
const external = Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies }).filter(
  (name) => name !== "typescript-parsec",
);

await build({
  ...settings,
  entryPoints: { core: "joint:core", node: "joint:node", "cli/command-line": join(src, "cli/command-line.ts") },
  plugins: [jointModules],
  packages: "bundle",
  external,
  outdir,
  // Modules find package.json and the rooms' entries by paths: what they stand in lies one folder deep.
  chunkNames: "chunks/[hash]",
  splitting: true,
  sourcemap: true,
  sourcesContent: false,
});

for (const entry of entries) {
  const list = names.get(entry).map((name) => `${jointName(entry, name)} as ${name}`);
  const from = `${entry.includes("/") ? "../" : "./"}${isNode(entry) ? "node" : "core"}.js`;
  writeFileSync(
    join(outdir, `${entry}.js`),
    `// SPDX-License-Identifier: MIT\nexport { ${list.join(", ")} } from "${from}";\n`,
  );
}

/** commander starts programs only for subcommands that are programs of their own; here the module would cost 3 ms. */
const lazyChildProcess = {
  name: "lazy-child-process",
  setup(plugin) {
    plugin.onResolve({ filter: /^node:child_process$/ }, ({ path, namespace }) =>
      namespace === "lazy" ? { path, external: true } : { path, namespace: "lazy" },
    );
    plugin.onLoad({ filter: /.*/, namespace: "lazy" }, ({ path }) => ({
      contents: `module.exports = { get spawn() { return require("${path}").spawn; } };`,
    }));
  },
};

/** What the script for `verify` imports on demand is not in it: whoever needs that runs the script that holds all. */
const verifyOnly = {
  name: "verify-only",
  setup(plugin) {
    plugin.onResolve({ filter: /^\./ }, ({ path, kind }) =>
      kind === "dynamic-import" && path !== "./verify.js" ? { path: join(src, "cli/elsewhere.ts") } : undefined,
    );
  },
};

// The command: a small script that starts a large one from V8's compiled code.
const script = {
  ...settings,
  format: "cjs",
  outdir,
  outExtension: { ".js": ".cjs" },
  minifyWhitespace: true,
  minifySyntax: true,
};
await build({ ...script, entryPoints: { "cli/main": join(src, "cli/main.ts") }, external: ["./command-line.js"] });
const large = {
  ...script,
  packages: "bundle",
  external: ["esbuild"],
  // Code that is kept compiled cannot import() modules.
  supported: { "dynamic-import": false },
  define: { "import.meta.url": "scriptUrl" },
  banner: { js: 'const scriptUrl = require("node:url").pathToFileURL(__filename).href;' },
};
await build({ ...large, entryPoints: { "cli/app": join(src, "cli/app.ts") }, plugins: [lazyChildProcess] });
await build({
  ...large,
  entryPoints: { "cli/verify": join(src, "cli/command-line.ts") },
  plugins: [lazyChildProcess, verifyOnly],
});
