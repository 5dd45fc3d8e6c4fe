// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import t from "tap";
import { readBtf } from "../../../src/btf/read.js";
import type { Btf } from "../../../src/btf/types.js";
import { Errno } from "../../../src/kernel/errno.js";
import { ProgType } from "../../../src/kernel/uapi.js";
import type { ProgramLoad } from "../../../src/model/load.js";
import { InputError } from "../../../src/util/errors.js";
import { validateBtf, verify } from "../../../src/verifier/index.js";
import { loadCases } from "../../fixtures/btf-load/cases.js";
import { btfCase } from "../../support/fuzz-btf/cases.js";
import { BtfKernel, difference, ourAnswer, readerFault } from "../../support/fuzz-btf/compare.js";
import type { RecordedBtf } from "../../support/fuzz-btf/recorded.js";
import { needsBpf } from "../../support/live.js";

/** The kernel's structs, as far as the recordings ask for them. */
const structs: Btf = {
  types: [
    { kind: "void" },
    ...["task_struct", "cgroup", "sk_buff", "prog_test_ref_kfunc", "file"].map((name) => ({
      kind: "struct" as const,
      name,
      size: 8,
      members: [],
    })),
  ],
};

const recorded = readFileSync(fileURLToPath(new URL("../../fixtures/btf-load/recorded.jsonl", import.meta.url)), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as RecordedBtf);

t.test("answers what the kernel answered", (t) => {
  for (const { id, btf, logLevel, logSize, ...kernel } of recorded) {
    const input = { bytes: new Uint8Array(Buffer.from(btf, "base64")), logLevel, logSize };
    t.equal(
      difference(
        { ...kernel, log: Buffer.from(kernel.log, "latin1") },
        ourAnswer(input, () => structs),
      ),
      "",
      id,
    );
  }
  t.ok(recorded.length > loadCases.length, "random ones too");
  t.end();
});

t.test("the BTFs written by hand are those recorded", (t) => {
  const byId = new Map(recorded.map((line) => [line.id, line.btf]));
  for (const { name, bytes } of loadCases) t.equal(byId.get(name), Buffer.from(bytes).toString("base64"), name);
  t.end();
});

t.test("answers what the running kernel answers", needsBpf(), (t) => {
  const vmlinux = readBtf(readFileSync("/sys/kernel/btf/vmlinux"));
  const kernel = new BtfKernel();
  const seed = Math.floor(Date.now() / 1000);
  let accepted = 0;
  for (let i = 0; i < 1500; i++) {
    const input = btfCase(seed, i);
    const theirs = kernel.ask(input);
    if (theirs.errno === 0) accepted++;
    const fault =
      difference(
        theirs,
        ourAnswer(input, () => vmlinux),
      ) || readerFault(input, theirs);
    if (fault !== "") t.fail(`case ${i} of seed ${seed}: ${fault}`);
  }
  t.ok(accepted > 100 && accepted < 1400, `${accepted} of 1500 accepted`);
  t.end();
});

t.test("a program cannot come with a BTF that is refused", (t) => {
  const load: ProgramLoad = {
    name: "x",
    progType: ProgType.SOCKET_FILTER,
    expectedAttachType: 0,
    progFlags: 0,
    progIfindex: 0,
    kernVersion: 0,
    license: "GPL",
    attachBtfId: 0,
    insns: Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0),
    maps: [],
    badMapInsns: [],
    fdArray: null,
    btf: null,
    funcInfo: null,
    lineInfo: null,
  };
  t.equal(verify(load).verdict, "accepted");
  const bytes = (id: string): Uint8Array => loadCases.find(({ name }) => name === id)!.bytes;
  t.equal(verify({ ...load, btf: bytes("one int") }).verdict, "accepted");
  t.throws(() => verify({ ...load, btf: bytes("modifier of itself") }), {
    name: "InputError",
    message: "the kernel refuses this BTF (EEXIST): [1] CONST (anon) type_id=1 Loop detected",
  });
  t.throws(() => verify({ ...load, btf: bytes("two locks") }), {
    name: "InputError",
    message: "the kernel refuses this BTF (E2BIG): [8] struct owner: more than one lock of a kind",
  });
  t.end();
});

t.test("options are the kernel's", (t) => {
  const right = loadCases.find(({ name }) => name === "one int")!.bytes;
  const whole = validateBtf(right);
  t.match(whole.log, /^magic: 0xeb9f\n.*\n\[1\] INT int size=4 bits_offset=0 nr_bits=32 encoding=\(none\)\n$/s);
  t.equal(whole.logTrueSize, whole.log.length + 1);
  t.same(validateBtf(right, { logLevel: 0 }), {
    errno: 0,
    reason: "",
    log: "",
    logBytes: new Uint8Array(0),
    logTrueSize: 0,
  });
  const cut = validateBtf(right, { logSize: 20 });
  t.equal(cut.errno, Errno.ENOSPC);
  t.equal(cut.log, whole.log.slice(-19), "the end");
  t.equal(validateBtf(right, { logSize: 20, logLevel: 9 }).log, whole.log.slice(0, 19), "the beginning");
  t.equal(validateBtf(right, { logSize: 0, logLevel: 1 }).logTrueSize, whole.logTrueSize, "measured only");
  t.equal(validateBtf(right, { logLevel: 16 }).errno, Errno.EINVAL);
  t.equal(validateBtf(new Uint8Array((16 << 20) + 1)).errno, Errno.E2BIG);
  t.throws(() => validateBtf(right, { logLevel: -1 }), InputError);
  t.throws(() => validateBtf(right, { logSize: 0.5 }), InputError);
  t.end();
});
