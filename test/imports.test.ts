// SPDX-License-Identifier: MIT
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";

const src = fileURLToPath(new URL("../src", import.meta.url));

/** Which rooms a room may import besides itself. The order of the house: see docs/architecture.md. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  util: [],
  kernel: ["util"],
  asm: ["util", "kernel"],
  btf: ["util", "kernel", "asm"],
  model: ["util", "kernel", "asm", "btf"],
  elf: ["util", "kernel", "asm", "btf", "model"],
  verifier: ["util", "kernel", "asm", "btf", "model"],
  vm: ["util", "kernel", "asm", "btf", "model"],
  dsl: ["util", "kernel", "asm", "btf", "model"],
  object: ["util", "kernel", "asm", "btf", "model", "elf"],
  syscall: ["util", "kernel", "asm"],
  link: ["util", "kernel", "asm", "syscall"],
  load: ["util", "kernel", "asm", "btf", "model", "elf", "object", "verifier", "syscall", "link"],
  cli: ["util", "kernel", "asm", "btf", "model", "elf", "verifier", "vm", "dsl", "object", "syscall", "link", "load"],
};

/** Rooms that run unchanged in a browser. */
const browserRooms = new Set(["util", "kernel", "asm", "btf", "model", "elf", "verifier", "vm", "dsl", "object"]);

interface Module {
  /** Path below src, with `/`. */
  readonly path: string;
  readonly text: string;
  /** Imports inside src, as paths below src. */
  readonly local: string[];
  readonly external: string[];
}

function readModules(): Map<string, Module> {
  const modules = new Map<string, Module>();
  for (const entry of readdirSync(src, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
    const full = join(entry.parentPath ?? entry.path, entry.name);
    const path = relative(src, full);
    const text = readFileSync(full, "utf8");
    const local: string[] = [];
    const external: string[] = [];
    for (const match of text.matchAll(
      /(?:^|[;}\s])(?:import|export)\s[^;"']*?from\s*"([^"]+)"|import\s*\(\s*"([^"]+)"\s*\)|^import\s+"([^"]+)"/gm,
    )) {
      const spec = match[1] ?? match[2] ?? match[3]!;
      if (spec.startsWith(".")) local.push(normalize(join(dirname(path), spec)).replace(/\.js$/, ".ts"));
      else external.push(spec);
    }
    modules.set(path, { path, text, local, external });
  }
  return modules;
}

const roomOf = (path: string): string => (path.includes("/") ? path.slice(0, path.indexOf("/")) : "");
const modules = readModules();

t.test("every room imports only rooms to its left", (t) => {
  t.ok(modules.size > 50, `found ${modules.size} modules`);
  for (const module of modules.values()) {
    const room = roomOf(module.path);
    if (room === "") continue;
    const allowed = mayImport[room];
    t.ok(allowed !== undefined, `${room} is a known room`);
    for (const target of module.local) {
      const other = roomOf(target);
      if (other !== room && !allowed?.includes(other)) t.fail(`${module.path} imports ${target}`);
      if (!modules.has(target)) t.fail(`${module.path} imports ${target}, which does not exist`);
    }
  }
  t.end();
});

t.test("browser rooms import nothing of Node", (t) => {
  for (const module of modules.values()) {
    if (!browserRooms.has(roomOf(module.path))) continue;
    // The grammar of text assembly runs in a browser too.
    const allowed = module.path.startsWith("asm/text/") ? ["typescript-parsec"] : [];
    const foreign = module.external.filter((name) => !allowed.includes(name));
    t.same(foreign, [], `${module.path} has no external imports`);
    t.notMatch(
      module.text,
      /\b(?:Buffer\.|process\.(?:env|argv|platform|exit)|require\()/,
      `${module.path} uses no Node global`,
    );
  }
  t.end();
});

t.test("only src/syscall touches the foreign function interface", (t) => {
  for (const module of modules.values()) {
    if (roomOf(module.path) === "syscall") continue;
    t.notMatch(module.text, /["'](?:koffi|ffi-napi|ref-napi)["']/, module.path);
  }
  t.end();
});

t.test("no import cycles", (t) => {
  const state = new Map<string, "open" | "done">();
  const trail: string[] = [];
  const visit = (path: string): void => {
    if (state.get(path) === "done") return;
    if (state.get(path) === "open") {
      t.fail(`cycle: ${[...trail.slice(trail.indexOf(path)), path].join(" -> ")}`);
      return;
    }
    state.set(path, "open");
    trail.push(path);
    for (const next of modules.get(path)?.local ?? []) visit(next);
    trail.pop();
    state.set(path, "done");
  };
  for (const path of modules.keys()) visit(path);
  t.equal([...state.values()].filter((s) => s === "done").length, modules.size, "every module was visited");
  t.end();
});

/**
 * The verifier's own layering (docs/architecture.md): a room imports its own level and those below.
 * `state/{reg,frame,vstate,tables}.ts` are pure data that `env.ts` is made of, so they stand at level 0.
 */
const verifierLevels: Readonly<Record<string, number>> = {
  num: 0,
  kinds: 0,
  state: 1,
  "btf-load": 1,
  prep: 2,
  progtype: 2,
  report: 3,
  track: 3,
  mem: 4,
  call: 5,
  insn: 6,
  rewrite: 6,
  search: 7,
};

t.test("the verifier's rooms import downwards only", (t) => {
  const level = (path: string): number => {
    const parts = path.split("/");
    if (parts.length === 2) return parts[1] === "verify.ts" || parts[1] === "index.ts" ? 8 : 0;
    if (/^verifier\/state\/(?:reg|frame|vstate|tables)\.ts$/.test(path)) return 0;
    const found = verifierLevels[parts[1]!];
    if (found === undefined) t.fail(`${path}: unknown room of the verifier`);
    return found ?? 0;
  };
  for (const module of modules.values()) {
    if (roomOf(module.path) !== "verifier") continue;
    for (const target of module.local) {
      if (roomOf(target) === "verifier" && level(target) > level(module.path)) {
        t.fail(`${module.path} (level ${level(module.path)}) imports ${target} (level ${level(target)})`);
      }
    }
  }
  t.pass("checked");
  t.end();
});

t.test("every file names its licence", (t) => {
  for (const module of modules.values()) {
    const licence = roomOf(module.path) === "verifier" ? "GPL-2.0-only" : "MIT";
    const first = module.text.startsWith("#!") ? module.text.split("\n")[1] : module.text.split("\n")[0];
    t.equal(first, `// SPDX-License-Identifier: ${licence}`, module.path);
  }
  t.end();
});
