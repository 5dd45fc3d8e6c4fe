// SPDX-License-Identifier: MIT
import fc from "fast-check";
import t from "tap";
import * as asm from "../../src/asm/index.js";
import { helperByName } from "../../src/kernel/helpers/index.js";
import { ProgType } from "../../src/kernel/uapi.js";
import { loadProgram, testRun } from "../../src/syscall/program.js";
import { InputError } from "../../src/util/errors.js";
import { whyNoBpf } from "./kernel-judge.js";

const noBpf = whyNoBpf() ?? false;

/** Loads a socket filter and runs it once in the kernel. */
function run(insns: readonly asm.Insn[]): number {
  const program = loadProgram({
    name: "labels",
    type: ProgType.SOCKET_FILTER,
    insns: asm.encodeInsns(insns),
    license: "GPL",
  });
  using fd = program.fd;
  return testRun(fd, { data: new Uint8Array(64) }).retval;
}

/** So many instructions that 16 bits cannot jump over them. */
const FAR = 33_000;

/**
 * Returns 1 when the branch is taken and 2 when it falls through, with `between` instructions up to
 * the label. The number in R6 is one that the verifier does not know, so that both ways stay.
 */
function bothWays(branch: asm.Insn, r6: number, between: number): readonly asm.Insn[] {
  const code = new asm.Code();
  const taken = code.newLabel("taken");
  const out = code.newLabel("out");
  // A random number less itself is 0, but the verifier does not see that.
  code.emit(asm.callHelper(helperByName("get_prandom_u32")!), asm.mov64Reg(6, 0), asm.alu64Reg("sub", 6, 0));
  code.emit(asm.alu64Imm("add", 6, r6), asm.mov64Imm(0, 0));
  code.branch(branch, taken);
  for (let i = 0; i < between; i++) code.emit(asm.alu64Imm("or", 0, 2));
  code.branch(asm.ja(0), out);
  code.bind(taken);
  code.emit(asm.mov64Imm(0, 1));
  for (let i = 0; i < between; i++) code.emit(asm.alu64Imm("or", 0, 1));
  code.bind(out).emit(asm.exit());
  return code.layout().insns;
}

t.test("branches go where their label is, near and far, in the kernel", { skip: noBpf }, async (t) => {
  const cases: readonly [string, asm.Insn, number, number][] = [
    ["jeq taken", asm.jmpImm("jeq", 6, 7, 0), 7, 1],
    ["jeq not taken", asm.jmpImm("jeq", 6, 7, 0), 8, 2],
    ["jslt taken", asm.jmp32Imm("jslt", 6, 0, 0), -1, 1],
    ["jslt not taken", asm.jmp32Imm("jslt", 6, 0, 0), 0, 2],
    ["jset taken", asm.jmpImm("jset", 6, 4, 0), 12, 1],
    ["jset not taken", asm.jmpImm("jset", 6, 4, 0), 11, 2],
  ];
  for (const [name, branch, r6, expected] of cases) {
    for (const between of [1, FAR]) {
      t.equal(run(bothWays(branch, r6, between)), expected, `${name} over ${between}`);
    }
  }
});

t.test("jumps backward and subprograms find their labels in the kernel", { skip: noBpf }, async (t) => {
  const code = new asm.Code<string, number>();
  const again = code.newLabel("again");
  const helper = code.newLabel("helper");
  code.emit(asm.mov64Imm(6, 0), asm.mov64Imm(7, 0));
  code.bind(again);
  code.emit(asm.mov64Reg(1, 6));
  code.branch(asm.callSubprog(0), helper);
  code.emit(asm.alu64Reg("add", 7, 0), asm.alu64Imm("add", 6, 1));
  code.branch(asm.jmpImm("jlt", 6, 5, 0), again);
  code.emit(asm.mov64Reg(0, 7), asm.exit());
  code.bind(helper);
  code.emit(asm.mov64Reg(0, 1), asm.alu64Reg("mul", 0, 1), asm.exit());
  t.equal(run(code.layout().insns), 0 + 1 + 4 + 9 + 16);
});

/** Follows unconditional jumps from a slot to the first instruction that is none. */
function follow(insns: readonly asm.Insn[], slot: number): number {
  while (slot < insns.length && asm.isUncondJump(insns[slot]!)) slot = asm.jumpTarget(insns[slot]!, slot)!;
  return slot;
}

t.test("whatever the distances, every branch reaches its label", async (t) => {
  const branches = [
    asm.ja(0),
    asm.jmpImm("jeq", 1, 0, 0),
    asm.jmp32Reg("jset", 1, 2, 0),
    asm.mayGoto(0),
    asm.jmpReg("jsge", 1, 2, 0),
  ];
  const item = fc.oneof(
    { weight: 2, arbitrary: fc.record({ fill: fc.constantFrom(1, 3, 16_380, 32_765) }) },
    { weight: 3, arbitrary: fc.record({ branch: fc.constantFrom(...branches), to: fc.nat(3) }) },
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.array(item, { maxLength: 12 }),
        fc.array(fc.nat(12), { minLength: 4, maxLength: 4 }),
        (items, places) => {
          const code = new asm.Code<never, asm.Insn>();
          const labels = places.map((_, i) => code.newLabel(`l${i}`));
          const bind = (at: number) => {
            for (const [i, place] of places.entries()) if (place === at) code.bind(labels[i]!);
          };
          const wanted: { branch: asm.Insn; label: asm.Label }[] = [];
          items.forEach((one, i) => {
            bind(i);
            if ("fill" in one) {
              code.emit(Array.from({ length: one.fill }, () => asm.mov64Imm(0, 1)));
              return;
            }
            // An instruction before it that nothing else makes tells where the branch begins.
            code.emit(asm.mov64Imm(9, wanted.length)).branch(one.branch, labels[one.to]!);
            wanted.push({ branch: one.branch, label: labels[one.to]! });
          });
          for (let at = items.length; at <= 12; at++) bind(at);
          code.emit(asm.exit());
          const laid = code.layout();
          wanted.forEach(({ branch, label }, i) => {
            const from = laid.insns.findIndex((insn) => insn.opcode === 0xb7 && insn.dst === 9 && insn.imm === i) + 1;
            const insn = laid.insns[from]!;
            const target = follow(laid.insns, laid.labels.get(label)!);
            if (asm.isUncondJump(branch)) {
              if (follow(laid.insns, from) !== target) throw new Error(`goto at ${from}`);
              return;
            }
            // Taken as written, or the opposite around a long jump.
            const isInverted = insn.opcode !== branch.opcode;
            const taken = isInverted ? from + 1 : asm.jumpTarget(insn, from)!;
            if (follow(laid.insns, taken) !== target) throw new Error(`branch at ${from} misses ${target}`);
            const size = isInverted ? 2 : asm.isUncondJump(laid.insns[from + 2] ?? insn) && insn.off === 1 ? 3 : 1;
            const after = isInverted
              ? asm.jumpTarget(insn, from)!
              : size === 3
                ? asm.jumpTarget(laid.insns[from + 1]!, from + 1)!
                : from + 1;
            if (after !== from + size) throw new Error(`branch at ${from} falls to ${after}`);
          });
        },
      ),
      { numRuns: 60 },
    ),
  );
});

t.test("references and marks know their slots", async (t) => {
  const code = new asm.Code<string, string>();
  const far = code.newLabel("far");
  code.mark("first").branch(asm.jmpImm("jeq", 1, 0, 0), far);
  code.mark("dropped").mark("second").ref(asm.ldMapFd(1, 0), "events");
  code.ref([asm.callHelper(1)], "call");
  code.emit(Array.from({ length: 40_000 }, () => asm.mov64Imm(0, 0)));
  code.bind(far).emit(asm.exit()).mark("after the end");
  const laid = code.layout();
  t.same(laid.refs, [
    { insn: 2, value: "events" },
    { insn: 4, value: "call" },
  ]);
  t.same(laid.marks, [
    { insn: 0, value: "first" },
    { insn: 2, value: "second" },
  ]);
  t.equal(laid.labels.get(far), 40_005);
  t.equal(laid.insns.length, 40_006);
});

t.test("what cannot be laid out is said", async (t) => {
  const unbound = new asm.Code();
  unbound.branch(asm.ja(0), unbound.newLabel("nowhere"));
  t.throws(() => unbound.layout(), /insn 0: label "nowhere" stands nowhere/);

  const twice = new asm.Code();
  const label = twice.newLabel("twice");
  twice.bind(label).emit(asm.exit()).bind(label);
  t.throws(() => twice.layout(), /label "twice" stands in two places/);

  const far = new asm.Code();
  const end = far.newLabel("end");
  far.branch(asm.jmpImm("jeq", 1, 0, 0), end);
  far.emit(Array.from({ length: 32_768 }, () => asm.mov64Imm(0, 0)));
  far.bind(end).emit(asm.exit());
  t.throws(() => far.layout({ longJumps: false }), /jump to label "end" spans 32768 instructions.*switched off/);
  t.equal(far.layout().insns.length, 32_771);

  for (const insn of [asm.mov64Imm(0, 0), asm.exit(), asm.callHelper(1), asm.ldMapFd(1, 3), asm.ldFunc(1, 0)[0]]) {
    t.throws(() => new asm.Code().branch(insn, end), InputError);
  }
});

t.test("the last distance of 16 bits stays short", async (t) => {
  const lay = (between: number) => {
    const code = new asm.Code();
    const end = code.newLabel("end");
    code.branch(asm.jmpImm("jeq", 1, 0, 0), end);
    code.emit(Array.from({ length: between }, () => asm.mov64Imm(0, 0)));
    return code.bind(end).emit(asm.exit()).layout().insns;
  };
  t.equal(lay(32_767)[0]?.off, 32_767);
  t.same(lay(32_768).slice(0, 2), [asm.jmpImm("jne", 1, 0, 1), asm.jaLong(32_768)]);
});
