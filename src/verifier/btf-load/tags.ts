// SPDX-License-Identifier: GPL-2.0-only
import { BTF_KIND } from "../../btf/format.js";
import { Errno } from "../../kernel/errno.js";
import type { BtfEnv } from "./env.js";

/** Modifiers in a row. */
const CHAIN_LIMIT = 32;

/** Type tags come before all other modifiers of a type. Mirrors btf_check_type_tags(). */
export function checkTypeTags(env: BtfEnv): number {
  const { btf } = env;
  /** The last chain that is known to be right, and with it all before. */
  let good = 0;
  for (let id = 1; id < btf.count; id++) {
    if (!btf.isModifier(id)) continue;
    let inTags = btf.kind(id) === BTF_KIND.typeTag;
    let at = id;
    for (let length = 0; btf.isModifier(at); length++) {
      if (length === CHAIN_LIMIT) {
        env.say("Max chain length or cycle detected");
        return -Errno.ELOOP;
      }
      const isTag = btf.kind(at) === BTF_KIND.typeTag;
      if (isTag && !inTags) {
        env.say("Type tags don't precede modifiers");
        return -Errno.EINVAL;
      }
      inTags &&= isTag;
      if (at <= good) break;
      at = btf.word(at);
    }
    good = id;
  }
  return 0;
}
