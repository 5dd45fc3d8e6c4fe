// SPDX-License-Identifier: MIT
import { helperByName, helperNames } from "../../kernel/helpers/index.js";
import { InputError } from "../../util/errors.js";
import type { Fake, Helper } from "../machine.js";
import { eventHelpers } from "./events.js";
import { mapHelpers } from "./maps.js";
import { packetHelpers } from "./packet.js";
import { worldHelpers } from "./world.js";

const own: Readonly<Record<string, Helper>> = { ...mapHelpers, ...eventHelpers, ...worldHelpers, ...packetHelpers };

/** Names, without `bpf_`, of the helpers that the machine has. */
export const vmHelperNames: readonly string[] = Object.keys(own);

/**
 * The helpers by number: the machine's own, and in front of them the user's.
 * @param fakes By name, with or without `bpf_`.
 * @throws InputError for a name that no helper has.
 */
export function helperTable(fakes: Readonly<Record<string, Fake>> = {}): (Helper | undefined)[] {
  const table: (Helper | undefined)[] = helperNames.map((name) => own[name]);
  for (const [name, fake] of Object.entries(fakes)) {
    const id = helperByName(name);
    if (id === undefined) throw new InputError(`there is no helper ${name}`);
    table[id] = (machine) => machine.callFake(fake);
  }
  return table;
}
