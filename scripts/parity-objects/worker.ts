// SPDX-License-Identifier: MIT
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { openBtf } from "../../src/btf/lazy.js";
import type { Btf } from "../../src/btf/types.js";
import { readObject } from "../../src/elf/read-object.js";
import { ProgFlag } from "../../src/kernel/uapi.js";
import { readKallsyms } from "../../src/load/kernel-facts.js";
import { InexpressibleLoad, readRecord } from "../../src/model/record.js";
import type { ObjectSpec } from "../../src/model/spec.js";
import type { ModuleTypes, ResolveOptions } from "../../src/object/options.js";
import { type ResolvedObject, resolveObject } from "../../src/object/resolve.js";
import { InputError } from "../../src/util/errors.js";
import { once } from "../../src/util/once.js";
import { validateBtf } from "../../src/verifier/btf-load/validate.js";
import { compareLoads } from "../../test/support/compare-loads.js";
import { applyFixup } from "./fixup.js";
import type { Done, Outcome, Settings, Work } from "./outcome.js";

const settings = workerData as Settings;
const inCorpus = (...path: string[]): string => join(settings.corpus, ...path);
let time = 0;

function timed<T>(body: () => T): T {
  const start = performance.now();
  try {
    return body();
  } finally {
    time += performance.now() - start;
  }
}

/** A program that libbpf gave up. */
interface Skipped {
  readonly program: string | null;
  readonly messages: string;
}

const skipped = once(() => {
  const byObject = new Map<string, Skipped[]>();
  for (const line of readFileSync(inCorpus("skipped.jsonl"), "utf8").split("\n")) {
    if (line === "") continue;
    const { object, ...rest } = JSON.parse(line) as Skipped & { readonly object: string };
    const list = byObject.get(object);
    if (list === undefined) byObject.set(object, [rest]);
    else list.push(rest);
  }
  return byObject;
});

const kernelTypes = once(() => openBtf(readFileSync(inCorpus("vmlinux.btf"))));
/** Files whose names, but for a number in front that orders them, are those of the modules. */
const modules = once((): ModuleTypes[] => {
  if (!existsSync(inCorpus("modules"))) return [];
  return readdirSync(inCorpus("modules"))
    .sort()
    .map((file) => {
      const blob = readFileSync(inCorpus("modules", file));
      const name = file.replace(/^\d+-/, "").replace(/\.btf$/, "");
      return { name, blob, btf: openBtf(blob, { base: kernelTypes() }) };
    });
});
const kconfig = once(() => readFileSync(inCorpus("kernel.config"), "utf8"));
const kallsyms = once(readKallsyms);

const base: ResolveOptions = {
  kernVersion: settings.kernVersion,
  possibleCpus: settings.possibleCpus,
  kernelTypes,
  modules,
  kconfig,
  kallsyms: (name) => kallsyms()(name),
  features: { syscallWrapper: settings.kprobes },
  btfFault: (blob) => {
    const { errno, reason } = validateBtf(blob, { vmlinux: kernelTypes });
    return errno === 0 ? null : reason;
  },
  keepGoing: true,
  wanted: () => true,
};

/** BTF to relocate against, in place of the kernel's, by its path beside the objects. */
const otherTypes = new Map<string, Btf>();
function typesOf(path: string): Btf {
  let btf = otherTypes.get(path);
  if (btf === undefined) {
    btf = readBtfOf(inCorpus("objects", path));
    otherTypes.set(path, btf);
  }
  return btf;
}

/** BTF of an object file or a raw one. */
function readBtfOf(path: string): Btf {
  const bytes = readFileSync(path);
  if (bytes.readUInt16LE(0) === 0xeb9f) return openBtf(bytes);
  const { btf } = readObject(bytes, { name: "types" });
  if (btf === null) throw new InputError("no BTF in it", { file: path });
  return btf;
}

/** What of a record is not in its load. */
interface RecordExtras {
  readonly program: string;
  readonly fixup: string | null;
  readonly annotations: { readonly flags: readonly string[]; readonly btf_path: string | null } | null;
}

class ObjectComparison {
  readonly outcomes: Outcome[] = [];
  readonly #file: string;
  #spec: ObjectSpec | InputError | undefined;
  /** By fixup and types, which change what the programs share. */
  readonly #resolved = new Map<string, ResolvedObject | InputError>();

  constructor(file: string) {
    this.#file = file;
  }

  run(): void {
    const bytes = readFileSync(inCorpus("objects", this.#file));
    this.#spec = attempt(() => timed(() => readObject(bytes, { name: basename(this.#file).split(".")[0]! })));
    const records = inCorpus("records", this.#file.replace(/\.bpf\.o$/, ".jsonl"));
    if (existsSync(records)) {
      for (const line of readFileSync(records, "utf8").split("\n")) if (line !== "") this.#record(line);
    }
    for (const { program, messages } of skipped().get(this.#file) ?? []) this.#refusal(program, messages);
  }

  #add(id: string, first: string | null, detail = "", setAside: string | null = null): void {
    if (id.includes(settings.only)) this.outcomes.push({ id, first, detail, setAside });
  }

  #record(line: string): void {
    const extras = JSON.parse(line) as RecordExtras;
    const id = `${this.#file}/${extras.program}`;
    if (!id.includes(settings.only)) return;
    let load: ReturnType<typeof readRecord>["load"];
    try {
      load = readRecord(line).load;
    } catch (error) {
      if (!(error instanceof InexpressibleLoad)) throw error;
      this.#add(id, null, "", error.construct);
      return;
    }
    const ours = this.#load(extras);
    if (ours instanceof InputError) {
      this.#add(id, "refused", ours.message);
      return;
    }
    const progFlags = testFlags(ours.progFlags, extras.annotations);
    const difference = compareLoads({ ...ours, progFlags }, load);
    this.#add(id, difference?.what ?? null, difference?.detail);
  }

  #load({ program, fixup, annotations }: RecordExtras) {
    const resolved = this.#resolve(program, fixup, annotations?.btf_path ?? null);
    if (resolved instanceof InputError) return resolved;
    const refused = resolved.refused.find(({ name }) => name === program);
    if (refused !== undefined) return refused.error;
    const found = resolved.programs.find(({ name }) => name === program);
    return found?.load ?? new InputError(`we read no program ${program}`);
  }

  #resolve(program: string, fixup: string | null, btfPath: string | null): ResolvedObject | InputError {
    if (this.#spec instanceof InputError) return this.#spec;
    const spec = this.#spec!;
    const key = `${fixup?.includes("loaded as") ? program : ""} ${fixup} ${btfPath}`;
    let resolved = this.#resolved.get(key);
    if (resolved === undefined) {
      resolved = attempt(() => {
        const fixed = applyFixup(spec, program, fixup);
        const coreTypes = btfPath === null ? undefined : () => typesOf(btfPath);
        return timed(() => resolveObject(fixed.spec, { ...base, ...fixed.options, coreTypes }));
      });
      this.#resolved.set(key, resolved);
    }
    return resolved;
  }

  /** libbpf gave the program, or the whole object, up. */
  #refusal(program: string | null, messages: string): void {
    const id = program === null ? this.#file : `${this.#file}/${program}`;
    // The recorder passes over programs that load a map which it could not create.
    if (messages.includes(": BPF program load failed: ")) {
      this.#add(id, null, "", "a program that needs a map whose size user space sets");
      return;
    }
    const resolved = this.#resolve("", null, null);
    const refused =
      resolved instanceof InputError || (program !== null && resolved.refused.some(({ name }) => name === program));
    this.#add(id, refused ? null : "accepted", messages.split("\n")[0]);
  }
}

function attempt<T>(body: () => T): T | InputError {
  try {
    return body();
  } catch (error) {
    if (error instanceof InputError) return error;
    return new InputError(`not an InputError: ${(error as Error).stack}`);
  }
}

/** Programs of objects with test annotations are loaded with the flags that the kernel's test runner adds. */
function testFlags(flags: number, annotations: RecordExtras["annotations"]): number {
  if (annotations === null) return flags;
  let set: number = ProgFlag.TEST_RND_HI32 | ProgFlag.TEST_REG_INVARIANTS;
  let clear = 0;
  for (const text of annotations.flags) {
    const name = text.replace(/^!?(BPF_F_)?/, "");
    const flag = (ProgFlag as Readonly<Record<string, number>>)[name] ?? Number(name);
    if (text.startsWith("!")) {
      clear |= flag;
      set &= ~flag;
    } else {
      set |= flag;
      clear &= ~flag;
    }
  }
  return flags | (set & ~clear);
}

parentPort!.on("message", ({ objects }: Work) => {
  time = 0;
  const outcomes = objects.flatMap((file) => {
    const comparison = new ObjectComparison(file);
    comparison.run();
    return comparison.outcomes;
  });
  parentPort!.postMessage({ outcomes, time } satisfies Done);
});
