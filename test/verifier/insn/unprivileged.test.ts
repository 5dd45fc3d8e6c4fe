// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import { verify } from "../../../src/verifier/index.js";
import { map } from "../../fixtures/verifier/programs/kit.js";
import { loadOf } from "./one-insn.js";
import { cases } from "./unprivileged-programs.js";

const caps = { bpf: true, perfmon: false, netAdmin: false };

t.test("programs loaded with CAP_BPF alone are judged as the kernel judged them", (t) => {
  for (const { name, insns, errno, message } of cases) {
    const load = { ...loadOf(insns), maps: [map("HASH", 4, 16, 8)] };
    const result = verify(load, { logLevel: 2, caps });
    t.equal(result.errno, errno, name);
    t.equal(result.log.trimEnd().split("\n").at(-2), message, name);
  }
  t.end();
});

t.test("with CAP_PERFMON pointers need no masks", (t) => {
  const masked = cases.filter(({ message }) => message.includes("for !root") && !message.startsWith("R2"));
  t.ok(masked.length >= 5);
  for (const { name, insns } of masked) {
    const result = verify({ ...loadOf(insns), maps: [map("HASH", 4, 16, 8)] }, { logLevel: 2 });
    t.notMatch(result.log, "for !root", name);
  }
  t.end();
});
