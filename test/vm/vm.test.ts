// SPDX-License-Identifier: MIT
import t, { type Test } from "tap";
import * as asm from "../../src/asm/build.js";
import type { Insn } from "../../src/asm/insn.js";
import { MapFlag, ProgType, XdpAction } from "../../src/kernel/uapi.js";
import {
  Debugger,
  type ProgramMap,
  prepareRun,
  type RingMap,
  testRun,
  Vm,
  VmFault,
  type VmOptions,
} from "../../src/vm/index.js";
import { helper } from "../support/live.js";
import { enginesDiffer, isAccepted, randomCase } from "../support/vm/campaign.js";
import { contain } from "../support/vm/contain.js";
import { computedForms, operandProgram } from "../support/vm/operands.js";
import { mapLoad, programLoad } from "../support/vm/program.js";

const data = new Uint8Array(64);
const ENGINES = ["interpreter", "wasm"] as const;
const u32 = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n).buffer);

/** Runs the program in both engines, which must agree; gives the compiled one's machine. */
function both(
  t: Test,
  insns: readonly (Insn | readonly Insn[])[],
  maps = [mapLoad("ARRAY", 4, 8, 4)],
  options: VmOptions = {},
) {
  const runs = ENGINES.map((engine) => {
    const vm = new Vm(programLoad(insns, maps), { ...options, engine });
    const { retval } = testRun(vm, { data });
    t.equal(vm.engine, engine, `the program runs in ${engine}`);
    return { vm, retval, executed: vm.executed };
  });
  t.equal(runs[0]!.retval, runs[1]!.retval, "both engines give the same");
  t.equal(runs[0]!.executed, runs[1]!.executed, "in as many instructions");
  return runs[1]!;
}

/** The fault that both engines end with. */
function fault(
  t: Test,
  insns: readonly (Insn | readonly Insn[])[],
  maps = [mapLoad("ARRAY", 4, 8, 4)],
  options: VmOptions = {},
): VmFault {
  const faults = ENGINES.map((engine): VmFault => {
    try {
      testRun(programLoad(insns, maps), { data, ...options, engine });
    } catch (error) {
      if (error instanceof VmFault) return error;
      throw error;
    }
    throw new Error("the program came to its end");
  });
  t.equal(faults[0]!.message, faults[1]!.message, "both engines say the same");
  return faults[1]!;
}

/** Looks key 0 of the first map up; goes on with its value in R0, or ends with 0. */
const lookup = [
  asm.stImm("w", 10, -4, 0),
  asm.mov64Reg(2, 10),
  asm.alu64Imm("add", 2, -4),
  asm.ldMapFd(1, 0),
  helper("map_lookup_elem"),
  asm.jmpImm("jne", 0, 0, 1),
  asm.exit(),
];

t.test("both engines compute the same from edge operands", (t) => {
  for (const form of computedForms) {
    const { load, value } = operandProgram(form);
    const [one, other] = ENGINES.map((engine) => {
      const vm = new Vm(load, { engine });
      vm.map("io").set(u32(0), value);
      testRun(vm, { data });
      return Buffer.from(vm.map("io").get(u32(0))!).toString("hex");
    });
    t.equal(one, other, form.name);
  }
  t.end();
});

t.test("both engines agree on random accepted programs, and registers lie where the verifier says", (t) => {
  const place = { cpu: 0, cpus: 2 };
  let agreed = 0;
  let contained = 0;
  for (let seed = 1; agreed < 25; seed++) {
    const it = randomCase(seed, 2);
    if (!isAccepted(it.load)) continue;
    t.equal(enginesDiffer(it, place), null, `seed ${seed}`);
    agreed++;
    const result = contain(it, place, 500);
    t.not(result.kind, "outside", `seed ${seed}: ${"what" in result ? result.what : ""}`);
    if (result.kind === "contained") contained++;
  }
  t.ok(contained > 10, `${contained} programs compared with the verifier`);
  t.end();
});

t.test("stray accesses end as faults with instruction and address", (t) => {
  const below = fault(t, [asm.mov64Imm(1, 0), asm.stx("dw", 10, 1, -520), asm.exit()]);
  t.match({ ...below }, { kind: "access", insn: 1, size: 8 });
  t.match(below.message, /insn 1: write of 8 bytes at 0x[0-9a-f]+: outside of stack of frame 0/);
  const across = fault(t, [...lookup, asm.ldx("dw", 0, 0, 4), asm.exit()]);
  t.match(across.message, /outside of value 0 of map array \(offset 4 of 8 bytes\)/);
  t.match({ ...fault(t, [asm.mov64Imm(1, 0), asm.ldx("b", 0, 1, 0), asm.exit()]) }, { kind: "access", address: 0n });
  t.match(
    { ...fault(t, [asm.ldImm64(1, -1n), asm.ldx("w", 0, 1, 0), asm.exit()]) },
    { address: 0xffff_ffff_ffff_ffffn },
  );
  const readOnly = mapLoad("ARRAY", 4, 8, 1, { flags: MapFlag.RDONLY_PROG });
  t.equal(fault(t, [...lookup, asm.stImm("w", 0, 0, 1), asm.exit()], [readOnly]).kind, "write");
  t.equal(fault(t, [asm.mov64Imm(0, 0)]).kind, "instruction", "behind the end");
  t.equal(fault(t, [asm.rawInsn(0xff), asm.exit()]).kind, "instruction");
  t.equal(fault(t, [asm.mov64Imm(10, 0), asm.exit()]).kind, "instruction", "the frame pointer");
  t.equal(fault(t, [asm.ja(-1)], undefined, { budget: 1000 }).kind, "budget");
  t.equal(fault(t, [asm.callSubprog(-1), asm.exit()]).kind, "depth");
  t.match(
    fault(t, [helper("sk_lookup_tcp"), asm.exit()]).message,
    /insn 0: bpf_sk_lookup_tcp\(\) needs a kernel, or a fake/,
  );
  t.end();
});

t.test("memory of a frame that is gone cannot be read", (t) => {
  const insns = [asm.callSubprog(2), asm.ldx("b", 0, 0, -1), asm.exit(), asm.mov64Reg(0, 10), asm.exit()];
  t.match(fault(t, insns).message, /insn 1: read of 1 bytes .* outside of stack of frame 1/);
  t.end();
});

t.test("subprograms, callbacks and tail calls", (t) => {
  const loop = both(
    t,
    [
      asm.stImm("dw", 10, -8, 0),
      asm.mov64Imm(1, 100),
      asm.ldFunc(2, 6),
      asm.mov64Reg(3, 10),
      asm.alu64Imm("add", 3, -8),
      asm.mov64Imm(4, 0),
      helper("loop"),
      asm.ldx("dw", 0, 10, -8),
      asm.exit(),
      asm.ldx("dw", 3, 2, 0),
      asm.alu64Reg("add", 3, 1),
      asm.stx("dw", 2, 3, 0),
      asm.mov64Imm(0, 0),
      asm.exit(),
    ].map((insn, i) => (i === 2 ? asm.ldFunc(2, 7) : insn)),
  );
  t.equal(loop.retval, 4950);
  for (const engine of ENGINES) {
    const tail = [asm.ldMapFd(2, 0), asm.mov64Imm(3, 1), helper("tail_call"), asm.mov64Imm(0, 7), asm.exit()];
    const vm = new Vm(programLoad(tail, [mapLoad("PROG_ARRAY", 4, 4, 2)]), { engine });
    t.equal(testRun(vm, { data }).retval, 7, "there is no program to go on with");
    (vm.maps[0] as ProgramMap).put(1, programLoad([asm.ldx("w", 0, 1, 0), asm.exit()]));
    t.equal(testRun(vm, { data }).retval, 50, "the context is handed on");
    (vm.maps[0] as ProgramMap).put(1, vm.program);
    t.equal(testRun(vm, { data }).retval, 7, "it does not go on for ever");
  }
  t.end();
});

t.test("maps and events are there for who runs the program", (t) => {
  const count = [...lookup, asm.mov64Imm(1, 1), asm.atomic("add", "dw", 0, 1, 0), asm.ldx("w", 0, 0, 0), asm.exit()];
  const vm = new Vm(programLoad(count, [mapLoad("HASH", 4, 8, 4)]));
  t.equal(testRun(vm, { data }).retval, 0, "nothing there");
  vm.map("hash").set(u32(0), new Uint8Array(8));
  t.equal(testRun(vm, { data, repeat: 3 }).retval, 3);
  t.same(vm.map("hash").entries(), [[u32(0), new Uint8Array([3, 0, 0, 0, 0, 0, 0, 0])]]);
  t.throws(() => vm.map("none"), /the program has no map none, only hash/);
  const { vm: rings } = both(
    t,
    [
      asm.ldMapFd(1, 0),
      asm.mov64Imm(2, 8),
      asm.mov64Imm(3, 0),
      helper("ringbuf_reserve"),
      asm.jmpImm("jne", 0, 0, 1),
      asm.exit(),
      asm.stImm("dw", 0, 0, 258),
      asm.mov64Reg(1, 0),
      asm.mov64Imm(2, 0),
      helper("ringbuf_submit"),
      asm.mov64Imm(0, 1),
      asm.exit(),
    ],
    [mapLoad("RINGBUF", 0, 0, 4096)],
  );
  t.same(
    (rings.map("ringbuf") as RingMap).drain().map((it) => [...it.data]),
    [[2, 1, 0, 0, 0, 0, 0, 0]],
  );
  t.end();
});

t.test("the world is given, and helpers can be faked", (t) => {
  const environment = { pid: 5, tgid: 7, ktime: () => 99n };
  t.equal(
    both(t, [helper("get_current_pid_tgid"), asm.alu64Imm("rsh", 0, 32), asm.exit()], [], { environment }).retval,
    7,
  );
  t.equal(both(t, [helper("ktime_get_ns"), asm.exit()], [], { environment }).retval, 99);
  const helpers = { bpf_get_socket_uid: (_: unknown, skb: bigint) => (skb === 0n ? 1n : 1000n) };
  t.equal(both(t, [helper("get_socket_uid"), asm.exit()], [], { helpers }).retval, 1000);
  t.throws(
    () => new Vm(programLoad([asm.exit()]), { helpers: { bpf_nothing: () => 0n } }),
    /there is no helper bpf_nothing/,
  );
  t.end();
});

t.test("packets move", (t) => {
  const insns = [
    asm.mov64Reg(6, 1),
    asm.mov64Imm(2, -4),
    helper("xdp_adjust_head"),
    asm.ldx("w", 2, 6, 0),
    asm.ldx("w", 3, 6, 4),
    asm.mov64Reg(4, 2),
    asm.alu64Imm("add", 4, 4),
    asm.mov64Imm(0, XdpAction.DROP),
    asm.jmpReg("jgt", 4, 3, 2),
    asm.stImm("w", 2, 0, 0x04030201),
    asm.mov64Imm(0, XdpAction.TX),
    asm.exit(),
  ];
  const result = testRun(programLoad(insns, [], { progType: ProgType.XDP }), { data: new Uint8Array(14).fill(9) });
  t.equal(result.retval, XdpAction.TX);
  t.same([...result.data], [1, 2, 3, 4, ...new Array<number>(14).fill(9)]);
  t.throws(() => testRun(programLoad(insns), { data: new Uint8Array(3) }), /a packet has at least 14 bytes/);
  t.end();
});

t.test("the debugger goes forwards and back", (t) => {
  const vm = new Vm(
    programLoad([...lookup, asm.stImm("dw", 0, 0, 77), asm.ldx("w", 0, 0, 0), asm.exit()], [mapLoad("ARRAY", 4, 8, 1)]),
  );
  const stepper = new Debugger(vm, prepareRun(vm, { data }));
  t.equal(stepper.text, "(62) *(u32 *)(r10 -4) = 0");
  stepper.breakAt(8);
  t.same(stepper.continue(), { kind: "breakpoint", slot: 8 });
  const address = stepper.register(0);
  t.ok(stepper.watch(address, 8));
  t.match(stepper.continue(), { kind: "watch", slot: 8, address });
  t.equal(vm.maps[0]!.get(u32(0))![0], 77);
  t.ok(stepper.back());
  t.equal(vm.maps[0]!.get(u32(0))![0], 0, "the map is as it was");
  t.same(stepper.continueBack(), { kind: "start" });
  t.equal(stepper.slot, 0);
  stepper.removeWatch(address);
  stepper.removeBreak(8);
  t.same(stepper.continue(), { kind: "end", retval: 77 });
  t.equal(stepper.result().retval, 77);
  t.end();
});
