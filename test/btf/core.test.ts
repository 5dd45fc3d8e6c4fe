// SPDX-License-Identifier: MIT
import t from "tap";
import { BtfBuilder } from "../../src/btf/builder.js";
import { coreTypes, essentialName } from "../../src/btf/core/index.js";
import { openBtf } from "../../src/btf/lazy.js";
import { writeBtf } from "../../src/btf/write.js";

t.test("a flavour is what follows the last three underscores that stand between other characters", async (t) => {
  // The left column through bpf_core_essential_name_len() of libbpf 1.5 gives the right one.
  const cases = {
    task_struct: "task_struct",
    task_struct___old: "task_struct",
    a___b___c: "a___b",
    a___: "a___",
    ___a: "___a",
    a____b: "a____b",
    a___b____c: "a",
    a___b___: "a",
    x___y: "x",
    "": "",
    ___: "___",
    ____: "____",
  };
  for (const [name, essential] of Object.entries(cases)) t.equal(essentialName(name), essential, name);
});

t.test("types are found by name with and without flavour, decoded or not", async (t) => {
  const builder = new BtfBuilder();
  const int = builder.int("int");
  const names = ["s", "s___v2", "other", "s___v3", "t___only", "s____x", "___s"];
  const ids = names.map((name) => builder.struct(name, [{ name: "a", type: int }]));
  const btf = builder.build();
  for (const types of [coreTypes(btf), coreTypes(openBtf(writeBtf(btf)))]) {
    t.same(types.idsByEssentialName("s"), [ids[0], ids[1], ids[3]]);
    t.same(types.idsByEssentialName("t"), [ids[4]]);
    t.same(types.idsByEssentialName("s___v2"), []);
    t.same(types.idsByEssentialName("s____x"), [ids[5]]);
    t.same(types.idsByEssentialName("none"), []);
  }
});
