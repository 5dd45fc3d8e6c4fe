// SPDX-License-Identifier: MIT
import { CoreReloKind } from "../../kernel/uapi.js";

/** The names that libbpf's messages give to the kinds of CO-RE relocations, by number. */
const KIND_NAMES: readonly (string | undefined)[] = Object.entries({
  [CoreReloKind.FIELD_BYTE_OFFSET]: "byte_off",
  [CoreReloKind.FIELD_BYTE_SIZE]: "byte_sz",
  [CoreReloKind.FIELD_EXISTS]: "field_exists",
  [CoreReloKind.FIELD_SIGNED]: "signed",
  [CoreReloKind.FIELD_LSHIFT_U64]: "lshift_u64",
  [CoreReloKind.FIELD_RSHIFT_U64]: "rshift_u64",
  [CoreReloKind.TYPE_ID_LOCAL]: "local_type_id",
  [CoreReloKind.TYPE_ID_TARGET]: "target_type_id",
  [CoreReloKind.TYPE_EXISTS]: "type_exists",
  [CoreReloKind.TYPE_SIZE]: "type_size",
  [CoreReloKind.ENUMVAL_EXISTS]: "enumval_exists",
  [CoreReloKind.ENUMVAL_VALUE]: "enumval_value",
  [CoreReloKind.TYPE_MATCHES]: "type_matches",
}).map(([, name]) => name);

/** libbpf's name of a relocation kind, e.g. `byte_off`; `unknown` for a number that is none. */
export function coreReloKindName(kind: number): string {
  return KIND_NAMES[kind] ?? "unknown";
}

/** What the access string of a relocation walks: members and array elements, nothing, or enumerators. */
export type CoreReloSubject = "field" | "type" | "enumval";

/** The subject of a relocation kind; undefined for a number that is no kind. */
export function coreReloSubject(kind: number): CoreReloSubject | undefined {
  switch (kind) {
    case CoreReloKind.FIELD_BYTE_OFFSET:
    case CoreReloKind.FIELD_BYTE_SIZE:
    case CoreReloKind.FIELD_EXISTS:
    case CoreReloKind.FIELD_SIGNED:
    case CoreReloKind.FIELD_LSHIFT_U64:
    case CoreReloKind.FIELD_RSHIFT_U64:
      return "field";
    case CoreReloKind.TYPE_ID_LOCAL:
    case CoreReloKind.TYPE_ID_TARGET:
    case CoreReloKind.TYPE_EXISTS:
    case CoreReloKind.TYPE_SIZE:
    case CoreReloKind.TYPE_MATCHES:
      return "type";
    case CoreReloKind.ENUMVAL_EXISTS:
    case CoreReloKind.ENUMVAL_VALUE:
      return "enumval";
    default:
      return undefined;
  }
}
