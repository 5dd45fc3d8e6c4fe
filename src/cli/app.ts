// SPDX-License-Identifier: MIT
// The whole command line as one script, dist/cli/app.cjs, which also hands its rooms to the programs that it runs.
import * as asm from "../asm/index.js";
import * as btf from "../btf/index.js";
import * as dsl from "../dsl/index.js";
import * as elf from "../elf/index.js";
import * as kernel from "../kernel/index.js";
import * as link from "../link/index.js";
import * as load from "../load/index.js";
import * as model from "../model/index.js";
import * as object from "../object/index.js";
import * as syscall from "../syscall/index.js";
import * as verifier from "../verifier/index.js";
import * as vm from "../vm/index.js";
import { joinRooms } from "./rooms.js";

export { main } from "./command-line.js";

/** By what package.json exports. */
const rooms = new Map<string, unknown>([
  ["bpfsmith", dsl],
  ["bpfsmith/asm", asm],
  ["bpfsmith/btf", btf],
  ["bpfsmith/dsl", dsl],
  ["bpfsmith/elf", elf],
  ["bpfsmith/kernel", kernel],
  ["bpfsmith/link", link],
  ["bpfsmith/load", load],
  ["bpfsmith/model", model],
  ["bpfsmith/object", object],
  ["bpfsmith/syscall", syscall],
  ["bpfsmith/verifier", verifier],
  ["bpfsmith/vm", vm],
]);

joinRooms((specifier) => rooms.get(specifier));
