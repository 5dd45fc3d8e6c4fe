// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import { loadProgram, SyscallError, VerifierRejection } from "../../../src/syscall/index.js";
import { verify } from "../../../src/verifier/index.js";
import * as k from "../../fixtures/verifier/programs/kit.js";
import { places } from "../../support/access-matrix.js";
import { needsMirroredKernel } from "../../support/live-parity.js";

/* What the programs of each type may do besides reading their context, by the running kernel's word. */

type Load = k.FixtureProgram["load"];

/** Errno and log of the running kernel at level 2. */
function kernelSays(load: Load): string {
  const { name, progType: type, expectedAttachType, insns, license, progFlags: flags, progIfindex: ifindex } = load;
  try {
    const request = { name, type, expectedAttachType, insns, license, flags, ifindex };
    const { fd, log } = loadProgram(request, 2);
    fd.close();
    return `0\n${log}`;
  } catch (error) {
    if (error instanceof VerifierRejection) return `${error.errno}\n${error.log}`;
    if (error instanceof SyscallError) return `${error.errno}\n`;
    throw error;
  }
}

function mirrorSays(load: Load): string {
  const { verdict, errno, log, construct } = verify(load, { logLevel: 2 });
  return verdict === "unsupported" ? `unsupported: ${construct?.what}` : `${errno}\n${log}`;
}

/** Program types with the attach types that make a difference. */
const types = places.filter(({ key }) => key.split("/").length === 2);

const nameOf = (progType: number): keyof typeof k.ProgType =>
  (Object.keys(k.ProgType) as (keyof typeof k.ProgType)[]).find((name) => k.ProgType[name] === progType)!;

/** What {@link compare} needs of a tap test. */
interface Asserts {
  equal(found: unknown, wanted: unknown, message: string): unknown;
  ok(value: boolean, message: string): unknown;
  end(): void;
}

function compare(t: Asserts, programs: readonly k.FixtureProgram[], leastAccepted: number): void {
  let accepted = 0;
  for (const { name, load: named } of programs) {
    // A load's name has no blanks.
    const load = { ...named, name: "rights" };
    const kernel = kernelSays(load);
    if (kernel.startsWith("0\n")) accepted++;
    if (mirrorSays(load) !== kernel) t.equal(mirrorSays(load), kernel, name);
  }
  t.ok(accepted >= leastAccepted && accepted < programs.length, `${accepted} of ${programs.length} are accepted`);
  t.end();
}

/** Every type's program of this body. */
function everywhere(what: string, ...body: k.Item[]): k.FixtureProgram[] {
  return types.map(({ key, progType, attachType }) => {
    const progFlags = progType === k.ProgType.SYSCALL ? k.ProgFlag.SLEEPABLE : 0;
    const type = nameOf(progType);
    return k.good(`${key}/${what}`, type, { expectedAttachType: attachType, progFlags }, ...body);
  });
}

t.test("what a program may return", needsMirroredKernel(), (t) => {
  const random = k.call("get_prandom_u32");
  const programs = [
    ...[-1, 0, 1, 2, 3, 4].flatMap((value) => everywhere(`return ${value}`, ...k.ret(value))),
    ...[1, 2, 3].flatMap((mask) => everywhere(`return & ${mask}`, random, k.alu64Imm("and", 0, mask), k.exit())),
    ...everywhere("return anything", random, k.exit()),
    ...everywhere("return a pointer", k.mov64Reg(0, 10), k.exit()),
    ...everywhere("return nothing", k.exit()),
  ];
  compare(t, programs, 200);
});

/** Offsets of data and of its end in contexts that have them, and the size of both. */
const packets: readonly (readonly [keyof typeof k.ProgType, number, "w" | "dw", data: number, end: number])[] = [
  ["SOCKET_FILTER", 0, "w", 76, 80],
  ["SCHED_CLS", 0, "w", 76, 80],
  ["SCHED_ACT", 0, "w", 76, 80],
  ["SCHED_CLS", 0, "w", 140, 76],
  ["XDP", 0, "w", 0, 4],
  ["XDP", 0, "w", 8, 0],
  ["CGROUP_SKB", 0, "w", 76, 80],
  ["LWT_IN", 0, "w", 76, 80],
  ["LWT_OUT", 0, "w", 76, 80],
  ["LWT_XMIT", 0, "w", 76, 80],
  ["LWT_SEG6LOCAL", 0, "w", 76, 80],
  ["SK_SKB", 0, "w", 76, 80],
  ["FLOW_DISSECTOR", 0, "w", 76, 80],
  ["SK_MSG", 0, "dw", 0, 8],
  ["SK_REUSEPORT", 0, "dw", 0, 8],
  ["CGROUP_SOCKOPT", k.AttachType.CGROUP_GETSOCKOPT, "dw", 8, 16],
  ["CGROUP_SOCKOPT", k.AttachType.CGROUP_SETSOCKOPT, "dw", 8, 16],
  ["SOCK_OPS", k.AttachType.CGROUP_SOCK_OPS, "dw", 192, 200],
];

/** Programs that look at the packet's first 20 bytes and do something with them. */
function packetPrograms(): k.FixtureProgram[] {
  const uses: Readonly<Record<string, readonly k.Item[]>> = {
    load: [k.ldx("w", 2, 6, 16)],
    "load too far": [k.ldx("w", 2, 6, 17)],
    "signed load": [k.ldxs("h", 2, 6, 4)],
    store: [k.stImm("w", 6, 0, 1)],
    "store a pointer": [k.stx("dw", 6, 10, 0)],
    atomic: [k.mov64Imm(2, 1), k.atomic("add", "dw", 6, 2, 0)],
    "read by a helper": [
      k.mov64Reg(1, 6),
      k.mov64Imm(2, 4),
      k.mov64Imm(3, 0),
      k.mov64Imm(4, 0),
      k.mov64Imm(5, 0),
      k.call("csum_diff"),
    ],
    "filled by a helper": [
      k.mov64Reg(1, 9),
      k.mov64Imm(2, 0),
      k.mov64Reg(3, 6),
      k.mov64Imm(4, 8),
      k.call("skb_load_bytes"),
    ],
    "lost by a helper": [k.mov64Reg(1, 9), k.mov64Imm(2, 0), k.call("skb_pull_data"), k.ldx("b", 2, 6, 0)],
  };
  return packets.flatMap(([type, expectedAttachType, size, data, end]) =>
    Object.entries(uses).map(([use, items]) =>
      k.good(
        `${type}/${use}`,
        type,
        { expectedAttachType },
        k.mov64Reg(9, 1),
        k.ldx(size, 6, 1, data),
        k.ldx(size, 7, 1, end),
        k.lea(8, 6, 20),
        k.ifReg("jgt", 8, 7, "out"),
        ...items,
        "out:",
        ...k.ret(1),
      ),
    ),
  );
}

t.test("what a program may do with packets", needsMirroredKernel(), (t) => {
  const classic = [0x20, 0x28, 0x30, 0x40].flatMap((opcode) =>
    everywhere(
      `classic load ${opcode}`,
      k.mov64Reg(6, 1),
      k.mov64Imm(2, 4),
      { opcode, dst: 0, src: opcode >= 0x40 ? 2 : 0, off: 0, imm: 4 },
      ...k.ret(1),
    ),
  );
  compare(t, [...packetPrograms(), ...classic], 60);
});

t.test("types, attach types and flags that a load may name", needsMirroredKernel(), (t) => {
  const byBtf: readonly string[] = ["UNSPEC", "TRACING", "STRUCT_OPS", "EXT", "LSM"];
  const programs = Object.keys(k.ProgType).flatMap((name) => {
    const type = name as keyof typeof k.ProgType;
    if (byBtf.includes(name)) return [];
    const loads: k.FixtureProgram[] = [];
    for (let expectedAttachType = 0; expectedAttachType < 62; expectedAttachType++) {
      loads.push(k.good(`${name}/${expectedAttachType}`, type, { expectedAttachType }, ...k.ret(1)));
    }
    for (let bit = 0; bit < 12; bit++) {
      loads.push(k.good(`${name}/flag ${bit}`, type, { progFlags: 1 << bit }, ...k.ret(1)));
    }
    if (name !== "XDP" && name !== "SCHED_CLS")
      loads.push(k.good(`${name}/device`, type, { progIfindex: 1 }, ...k.ret(1)));
    return loads;
  });
  compare(t, programs, 300);
});
