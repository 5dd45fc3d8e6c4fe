// SPDX-License-Identifier: GPL-2.0-only
import t from "tap";
import { kernelTypes } from "../../../src/load/vmlinux.js";
import { verify } from "../../../src/verifier/index.js";
import * as k from "../../fixtures/verifier/programs/kit.js";
import { good, R0, R1, R2, R10 } from "../../fixtures/verifier/programs/kit.js";
import { differenceOf, judgeLive, needsMirroredKernel } from "../../support/live-parity.js";

const array = k.map("ARRAY", 4, 8, 1);
const SIZES = ["b", "h", "w", "dw"] as const;
const maps = [
  array,
  k.map("HASH", 4, 8, 1),
  k.map("ARRAY_OF_MAPS", 4, 4, 1, { inner: array }),
  k.map("LPM_TRIE", 8, 8, 1, { flags: 1 }),
  k.map("RINGBUF", 0, 0, 4096),
  k.map("QUEUE", 0, 8, 1),
];

/** Reads the map itself and shows what it got. */
const reader = (map: (typeof maps)[number], size: (typeof SIZES)[number], off: number): k.FixtureProgram =>
  good(
    `fields/${map.name}-${size}-${off}`,
    "SOCKET_FILTER",
    { maps: [map] },
    k.ldMapFd(R1, 0),
    k.ldx(size, R2, R1, off),
    k.ret(),
  );

t.test("reads of a map's own fields find what the kernel's types say", needsMirroredKernel(), (t) => {
  let step = 0;
  let read = 0;
  const kinds = new Set<string>();
  for (const map of maps) {
    for (const size of SIZES) {
      // Every offset at which a pointer can stand, and a sample of the others.
      for (let off = 0; off < 520; off += off % 8 === 0 && size === "dw" ? 8 : 1 + (step++ % 13)) {
        const parity = judgeLive(reader(map, size, off));
        const difference = differenceOf(parity);
        if (difference !== null) t.fail(difference);
        kinds.add(
          /R2=([a-z_]*)/.exec(parity.kernel.log)?.[1] ?? parity.kernel.log.replace(/[0-9]+/g, "N").slice(-60, -40),
        );
        read++;
      }
    }
  }
  t.ok(read > 1000, `${read} reads`);
  t.ok(kinds.size > 8, `${kinds.size} kinds of answers`);
  t.end();
});

t.test("what is not a plain read of a field", needsMirroredKernel(), (t) => {
  const refused = (name: string, ...items: k.Item[]): k.FixtureProgram =>
    good(`fields/${name}`, "SOCKET_FILTER", { maps: [array] }, k.ldMapFd(R1, 0), ...items, k.ret());
  for (const program of [
    refused("write", k.stImm("w", R1, 0, 0)),
    refused("negative", k.ldx("w", R2, R1, -4)),
    refused("into-the-same-register", k.ldx("w", R1, R1, 36), k.mov64Reg(R0, R1)),
    refused("spilled", k.ldx("dw", R2, R1, 32), k.stx("dw", R10, R2, -8), k.ldx("dw", R0, R10, -8)),
    refused("compared", k.ldx("dw", R2, R1, 32), k.ifImm("jeq", R2, 0, "out"), k.mov64Imm(R0, 1), "out:"),
    refused("moved", k.ldx("dw", R2, R1, 32), k.alu64Imm("add", R2, 8), k.mov64Reg(R0, R2)),
  ]) {
    const difference = differenceOf(judgeLive(program));
    t.equal(difference, null, program.name);
  }
  t.end();
});

t.test("without the kernel's types nothing is claimed", (t) => {
  const { load } = reader(array, "w", 0);
  t.match(verify(load), { verdict: "unsupported", construct: { what: /fields of a map/ } });
  t.match(verify(load, { vmlinux: () => null }), { verdict: "unsupported" });
  const types = kernelTypes("package.json");
  t.throws(() => verify(load, { vmlinux: types }), { name: "InputError" });
  t.throws(() => verify(load, { vmlinux: kernelTypes("nowhere") }), { name: "InputError", message: /nowhere/ });
  t.end();
});
