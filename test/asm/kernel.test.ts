// SPDX-License-Identifier: MIT
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { fileURLToPath } from "node:url";
import t from "tap";
import { disasmInsn } from "../../src/asm/disasm.js";
import { decodeInsns } from "../../src/asm/insn.js";
import { formsOfOpcode, insnFault, insnInfo } from "../../src/asm/isa.js";
import { BPF_PSEUDO_KFUNC_CALL } from "../../src/asm/opcode.js";
import { judge, whyNoBpf } from "./kernel-judge.js";
import { askRefs, KFUNC, type RefAnswer } from "./kernel-refs.js";
import { hexOf, probes } from "./probes.js";

/** What a recorded kernel answered: see record-kernel.ts. */
interface Recording {
  readonly release: string;
  /** By bytes in hexadecimal: text in the log, complaint about the encoding. */
  readonly probes: Readonly<Record<string, readonly [string | null, string | null]>>;
}

const recording = JSON.parse(
  readFileSync(new URL("../fixtures/asm/kernel-6.18.json", import.meta.url), "utf8"),
) as Recording;
const recorded = Object.entries(recording.probes).map(([hex, [text, complaint]]) => {
  const [insn, next] = decodeInsns(Buffer.from(hex, "hex"));
  return { hex, insn: insn!, next, text, complaint };
});
/** Other kernels print otherwise: older ones lack the list of live registers, newer ones know more instructions. */
const minor = recording.release.split(".", 2).join(".");
const isSameMinor = release().split(".", 2).join(".") === minor;
const noBpf = whyNoBpf() ?? (isSameMinor ? false : `skipped: this is Linux ${release()}, not ${minor}`);

t.test("disassembly is the recorded kernel's, byte for byte", async (t) => {
  const printed = recorded.filter(({ text }) => text !== null);
  t.ok(printed.length > 1500, `${printed.length} instructions were printed`);
  const wrong = printed.filter(({ insn, next, text }) => disasmInsn(insn, next) !== text);
  t.same(wrong, []);
});

t.test("the table takes what the recorded kernel takes", async (t) => {
  const wrong = recorded.filter(
    ({ insn, next, complaint }) => (insnFault(insn, next) === undefined) !== (complaint === null),
  );
  // What the table is stricter about, because the kernel comes to speak of other things first.
  const expected: Record<string, string> = {
    bfb1010000000100: "the kernel asks for an arena before it looks at the source register",
    "48c0000005000000": "the kernel asks for the context in R6 before it looks at the source register",
    "40f0000005000000": "the kernel asks for the context in R6 before it looks at the source register",
    "9500020000000000":
      "the kernel does not look at the offset of exit; RFC 9669, section 3: unused fields shall be zero",
  };
  t.same(wrong.map(({ hex }) => hex).sort(), Object.keys(expected).sort());
  t.ok(wrong.every(({ complaint }) => complaint === null));
});

t.test("the table knows the opcodes that the recorded kernel knows", async (t) => {
  const unknown = recorded.filter(({ complaint }) => complaint?.startsWith("unknown opcode"));
  t.ok(unknown.length > 90);
  t.same(
    unknown.filter(({ insn }) => formsOfOpcode(insn.opcode).length > 0),
    [],
  );
  const printed = recorded.filter(({ text }) => text !== null);
  t.same(
    printed.filter(({ insn }) => formsOfOpcode(insn.opcode).length === 0),
    [],
  );
  for (const { insn, complaint } of unknown) {
    t.equal(complaint, insnFault(insn)?.replace("0x", ""));
  }
});

t.test("disassembly is the running kernel's, byte for byte", { skip: noBpf }, async (t) => {
  const texts = probes().map((probe) => ({
    hex: hexOf(probe),
    text: judge(probe).text,
    ours: disasmInsn(probe[0]!, probe[1]),
  }));
  const printed = texts.filter(({ text }) => text !== null);
  t.ok(printed.length > 1500, `${printed.length} instructions were printed`);
  t.same(
    printed.filter(({ text, ours }) => text !== ours),
    [],
  );
  if (release() !== recording.release) return;
  t.same(
    Object.fromEntries(texts.map(({ hex, text }) => [hex, text])),
    Object.fromEntries(recorded.map(({ hex, text }) => [hex, text])),
  );
});

/** Compares with our text; the address of a map is taken from the kernel's own, unless it is hidden. */
function compareRefs(
  t: Pick<typeof import("tap").t, "equal">,
  answers: readonly RefAnswer[],
  allowPtrLeaks: boolean,
): void {
  t.equal(answers.length, 7);
  for (const { name, insns, text } of answers) {
    const [insn, next] = insns;
    const isMap = name.startsWith("map_");
    const address = BigInt(isMap ? (text?.split(" = ")[1] ?? 0) : 0);
    const isHidden = !allowPtrLeaks && (name === "map_fd" || name === "map_value");
    if (isMap) t.equal(address === 0n, isHidden, `${name} is hidden or not`);
    // Hidden addresses are given to us as something else than 0, so that it is us who hide them.
    const shown = isHidden ? 0x1234_5678_9abcn : address;
    const ours = isMap
      ? disasmInsn(
          { ...insn!, imm: Number(BigInt.asIntN(32, shown)) },
          { ...next!, imm: Number(BigInt.asIntN(32, shown >> 32n)) },
          { allowPtrLeaks },
        )
      : disasmInsn(insn!, next, {
          allowPtrLeaks,
          call: ({ src }) => (src === BPF_PSEUDO_KFUNC_CALL ? KFUNC : undefined),
        });
    t.equal(ours, text, name);
  }
}

t.test("references print as the running kernel prints them", { skip: noBpf }, async (t) => {
  compareRefs(t, askRefs(), true);
});

const asBpfOnly = (...command: string[]) =>
  spawnSync(
    "setpriv",
    ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+bpf", "--ambient-caps=+bpf", ...command],
    { encoding: "utf8" },
  );
const noSetpriv = asBpfOnly("true").status === 0 ? false : "skipped: setpriv cannot drop to CAP_BPF here";

t.test("without CAP_PERFMON the addresses of maps are hidden", { skip: noBpf || noSetpriv }, async (t) => {
  const script = fileURLToPath(new URL("./kernel-refs.ts", import.meta.url));
  const child = asBpfOnly(process.execPath, "--import", "tsx", script);
  if (child.status !== 0) {
    t.plan(0, `skipped: the unprivileged user cannot run the test's script: ${child.stderr.trim().split("\n").at(-1)}`);
    return;
  }
  compareRefs(t, JSON.parse(child.stdout) as RefAnswer[], false);
});

t.test("callees nobody knows", async (t) => {
  const call = { opcode: 0x85, dst: 0, off: 0 };
  t.equal(disasmInsn({ ...call, src: 2, imm: 9 }), "(85) call kernel-function#9");
  t.equal(disasmInsn({ ...call, src: 0, imm: 9999 }), "(85) call unknown#9999");
  t.equal(insnInfo({ ...call, src: 2, imm: 9 })?.form.name, "call_kfunc");
});
