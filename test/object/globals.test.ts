// SPDX-License-Identifier: MIT
import t from "tap";
import { BtfBuilder } from "../../src/btf/builder.js";
import { object, tracepoint } from "../../src/dsl/index.js";
import type { ObjectSpec } from "../../src/model/spec.js";
import { setGlobal } from "../../src/object/globals.js";
import { resolveObject } from "../../src/object/resolve.js";

function withGlobals(): ObjectSpec {
  const btf = new BtfBuilder();
  const int = btf.int("int");
  const mode = btf.enum("mode", [
    { name: "FAST", value: 3 },
    { name: "SLOW", value: 9 },
  ]);
  const config = btf.struct("config", [
    { name: "port", type: btf.array(btf.int("unsigned short"), 3) },
    { name: "mode", type: mode },
  ]);
  const types = { count: int, big: btf.int("unsigned long"), name: btf.array(btf.int("char"), 8), config };
  const sizes = { count: 4, big: 8, name: 8, config: 12 };
  let offset = 0;
  const variables = (Object.keys(types) as (keyof typeof types)[]).map((name) => {
    offset = Math.ceil(offset / 8) * 8;
    const variable = { name, offset, size: sizes[name], btfVarId: btf.var(name, types[name]) } as const;
    const symbol = { linkage: "global", weak: false, visibility: "default" } as const;
    offset += sizes[name];
    return { ...variable, ...symbol };
  });
  const vars = variables.map((one) => ({ type: one.btfVarId, offset: one.offset, size: one.size }));
  const btfDatasecId = btf.datasec(".rodata", offset, vars);
  const content = new Uint8Array(offset).fill(0xaa);
  const program = tracepoint("syscalls/sys_enter_execve", "nothing", () => {});
  const plain = object({ name: "globals", license: "GPL", programs: [program] }).build();
  return {
    ...plain,
    functions: [],
    btf: btf.build(),
    data: [{ section: ".rodata", content, variables, align: 8, refs: [], btfDatasecId }],
  };
}

const content = (spec: ObjectSpec): Buffer => Buffer.from(spec.data[0]!.content);

t.test("a global variable gets another value", (t) => {
  const spec = withGlobals();
  const set = (assignment: string): Buffer => content(setGlobal(spec, assignment));
  t.equal(set("count=-2").readInt32LE(0), -2);
  t.equal(set("count=0xfffffffe").readInt32LE(0), -2);
  t.equal(set("count=true").readInt32LE(0), 1);
  t.equal(set("big = 18446744073709551615").readBigUInt64LE(8), 2n ** 64n - 1n);
  t.equal(set("name=eth0").subarray(16, 24).toString("latin1"), "eth0\0\0\0\0");
  t.equal(set("config.port[2]=443").readUInt16LE(28), 443);
  t.equal(set("config.mode=SLOW").readUInt32LE(32), 9);
  t.same(set("count=1").subarray(4), content(spec).subarray(4), "everything else stays");
  t.equal(content(spec)[0], 0xaa, "what was given stays too");
  const { maps } = resolveObject(setGlobal(spec, "count=7"));
  t.equal(Buffer.from(maps[0]!.load.value!).readInt32LE(0), 7, "and the map is made with it");
  t.end();
});

t.test("what does not fit is refused, saying what would", (t) => {
  const spec = withGlobals();
  for (const [assignment, message] of [
    ["count", /expected NAME=VALUE/],
    ["missing=1", /no global variable missing; the object has count, big, name, config/],
    ["count=4294967296", /does not fit into 4 bytes/],
    ["count=-2147483649", /does not fit into 4 bytes/],
    ["count=many", /expected a number, true or false/],
    ["config=1", /name one of its members/],
    ["config.port=1", /name one of its elements/],
    ["config.port[3]=1", /has 3 elements/],
    ["config.mode=MEDIUM", /one of FAST, SLOW/],
    ["config.speed=1", /no member speed/],
    ["count[0]=1", /no array/],
    ["config!=1", /expected .member or \[index\]/],
    ["name=much too long", /do not fit into 8/],
  ] as const) {
    t.throws(() => setGlobal(spec, assignment), { name: "InputError", message }, assignment);
  }
  t.end();
});
