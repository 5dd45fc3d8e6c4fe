// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { readBtf } from "../../src/btf/read.js";
import { readObject } from "../../src/elf/read-object.js";
import { type ResolveOptions, resolveObject } from "../../src/object/index.js";
import { bytesOf } from "../support/core-judge.js";
import { readAnyBtf } from "../support/core-log.js";

const fixtures = fileURLToPath(new URL("../fixtures/core", import.meta.url));
const read = (name: string) => readObject(bytesOf(join(fixtures, name)), { name });

/** What libbpf made of an object's program (scripts/record-core.ts). */
interface Recorded {
  readonly object: string;
  readonly target: string;
  readonly program: string;
  readonly refusal: string | null;
  /** With the subprograms behind it. */
  readonly insns: string | null;
}

const { answers } = JSON.parse(readFileSync(join(fixtures, "answers.json"), "utf8")) as {
  answers: readonly Recorded[];
};

t.test("programs are relocated on the way to the kernel as libbpf does it, or refused", async (t) => {
  for (const { object, target, program, refusal, insns } of answers) {
    const spec = read(object);
    const options: ResolveOptions = {
      coreTypes: () => readAnyBtf(bytesOf(join(fixtures, target))),
      wanted: (name) => name === program,
    };
    if (refusal !== null) {
      t.throws(() => resolveObject(spec, options), { name: "InputError" }, `${program} of ${object} on ${target}`);
      continue;
    }
    const [resolved] = resolveObject(spec, options).programs;
    t.equal(Buffer.from(resolved!.load.insns).toString("hex"), insns, `${program} of ${object} on ${target}`);
  }
});

t.test("a function that nothing calls must be relocatable too", async (t) => {
  const spec = read("subprograms.bpf.o");
  const btf = readBtf(bytesOf(join(fixtures, "subprograms-ambiguous.btf")));
  const options: ResolveOptions = { coreTypes: () => btf };
  const recorded = answers.filter(({ target }) => target === "subprograms-ambiguous.btf");
  t.ok(recorded.length === 2 && recorded.every(({ refusal }) => refusal?.includes("ambiguity")), "as libbpf says");
  t.throws(() => resolveObject(spec, options), /^section \.text, insn 0: function forgotten: CO-RE relocation #0/);
  const { programs, refused } = resolveObject(spec, { ...options, keepGoing: true });
  t.same([programs.length, refused.length], [0, 2], "whichever program is wanted");
});

t.test("without types there is nothing to relocate against", async (t) => {
  t.throws(() => resolveObject(read("enums.bpf.o")), /types of a kernel, and none were given/);
});
