// SPDX-License-Identifier: MIT
import { readdirSync } from "node:fs";
import { interfaceIndex } from "../syscall/socket.js";
import { InputError } from "../util/errors.js";

/**
 * Number of a network interface in this process's network namespace.
 * @param nameOrIndex A number is returned as it is.
 * @throws InputError, naming those that exist, when there is none of this name.
 */
export function resolveInterface(nameOrIndex: string | number): number {
  if (typeof nameOrIndex === "number") return nameOrIndex;
  const index = interfaceIndex(nameOrIndex);
  if (index !== null) return index;
  throw new InputError(`there is no network interface ${nameOrIndex}${existing()}`);
}

function existing(): string {
  try {
    return ` (there are: ${readdirSync("/sys/class/net").join(", ")})`;
  } catch {
    return "";
  }
}
