// SPDX-License-Identifier: MIT
import { helperByName, helperProtos } from "../kernel/helpers/index.js";
import type { HelperName } from "../kernel/helpers/names.js";
import { BugError } from "../util/errors.js";
import type { Code } from "./code.js";
import type { Reg } from "./codegen/ir.js";

/** Whether all variants of a helper want a GPL-compatible licence. */
function isGplOnly(name: HelperName): boolean {
  const variants = [...helperProtos().values()].filter((proto) => proto.name === name);
  return variants.length > 0 && variants.every((proto) => proto.gplOnly);
}

/** `ktime_get_ns` as `ktimeGetNs`. */
export function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/**
 * Calls a helper with values in registers; gives the register with its result.
 * @param method what the user wrote, for the message.
 * @throws InputError when the object's licence does not allow the helper.
 */
export function callHelper(code: Code, name: HelperName, args: readonly Reg[], method = camelCase(name)): Reg {
  const id = helperByName(name);
  if (id === undefined) throw new BugError(`no helper ${name}`);
  if (!code.surroundings.gpl && isGplOnly(name)) {
    throw code.fail(
      `${method}() is for programs under a GPL-compatible licence only: give object() license "GPL", for instance`,
    );
  }
  return code.call(id, args);
}
