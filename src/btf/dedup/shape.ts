// SPDX-License-Identifier: MIT
import { BTF_KIND } from "../format.js";
import { HEAD_WORDS, INFO, kindOf, NAME, SIZE_OR_TYPE, vlenOf } from "./layout.js";
import type { BtfWords } from "./words.js";

/*
 * Types compared by themselves, without a look at what they refer to. All names are interned, so equal words
 * are equal names.
 */

/** Whether the kind is a struct or a union. */
export function isAggregate(kind: number): boolean {
  return kind === BTF_KIND.struct || kind === BTF_KIND.union;
}

/** Whether the kind is one of the enums. */
export function isEnum(kind: number): boolean {
  return kind === BTF_KIND.enum || kind === BTF_KIND.enum64;
}

/** A hash that two types share when {@link sameWords} holds for them, or {@link sameOutline}, or {@link compatibleEnums}. */
export function hashType(btf: BtfWords, id: number): number {
  const { words } = btf;
  const at = btf.starts[id]!;
  const info = words[at + INFO]!;
  const kind = kindOf(info);
  // An enum may be the declaration of another one: nothing but the name is sure.
  if (isEnum(kind)) return mix(words[at + NAME]!, BTF_KIND.enum);
  let hash = mix(mix(words[at + NAME]!, info), words[at + SIZE_OR_TYPE]!);
  const end = btf.starts[id + 1]!;
  if (isAggregate(kind)) {
    for (let i = at + HEAD_WORDS; i < end; i += 3) hash = mix(mix(hash, words[i]!), words[i + 2]!);
  } else {
    for (let i = at + HEAD_WORDS; i < end; i++) hash = mix(hash, words[i]!);
  }
  return hash ^ (hash >>> 15);
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e3779b1);
  return (mixed ^ (mixed >>> 13)) | 0;
}

/** Whether two types have the same head: name, kind, vlen, flag, and size or type. */
export function sameHead(btf: BtfWords, a: number, b: number): boolean {
  const { words } = btf;
  const x = btf.starts[a]!;
  const y = btf.starts[b]!;
  return (
    words[x + NAME] === words[y + NAME] &&
    words[x + INFO] === words[y + INFO] &&
    words[x + SIZE_OR_TYPE] === words[y + SIZE_OR_TYPE]
  );
}

/** Whether two types are word for word the same, ids that they refer to included. */
export function sameWords(btf: BtfWords, a: number, b: number): boolean {
  if (!sameHead(btf, a, b)) return false;
  const { words } = btf;
  const end = btf.starts[a + 1]!;
  let y = btf.starts[b]! + HEAD_WORDS;
  for (let x = btf.starts[a]! + HEAD_WORDS; x < end; x++, y++) if (words[x] !== words[y]) return false;
  return true;
}

/** Whether two structs or unions have members of the same names at the same places. */
export function sameOutline(btf: BtfWords, a: number, b: number): boolean {
  if (!sameHead(btf, a, b)) return false;
  const { words } = btf;
  const end = btf.starts[a + 1]!;
  let y = btf.starts[b]! + HEAD_WORDS;
  for (let x = btf.starts[a]! + HEAD_WORDS; x < end; x += 3, y += 3) {
    if (words[x] !== words[y] || words[x + 2] !== words[y + 2]) return false;
  }
  return true;
}

/** Whether two function prototypes have parameters of the same names. */
export function sameParamNames(btf: BtfWords, a: number, b: number): boolean {
  const { words } = btf;
  const x = btf.starts[a]!;
  const y = btf.starts[b]!;
  if (words[x + NAME] !== words[y + NAME] || words[x + INFO] !== words[y + INFO]) return false;
  const end = btf.starts[a + 1]!;
  for (let i = HEAD_WORDS; x + i < end; i += 2) if (words[x + i] !== words[y + i]) return false;
  return true;
}

/** Whether an enum is only declared: has no values. */
export function isEnumDeclaration(btf: BtfWords, id: number): boolean {
  const info = btf.words[btf.starts[id]! + INFO]!;
  return isEnum(kindOf(info)) && vlenOf(info) === 0;
}

/**
 * Whether two types may be the same enum: equal, or enums of the same name of which at least one is only
 * declared. A declaration knows neither the size of the enum nor whether it has 64-bit values.
 */
export function compatibleEnums(btf: BtfWords, a: number, b: number): boolean {
  if (!isEnumDeclaration(btf, a) && !isEnumDeclaration(btf, b)) return sameWords(btf, a, b);
  const { words } = btf;
  const x = btf.starts[a]!;
  const y = btf.starts[b]!;
  return words[x + NAME] === words[y + NAME] && isEnum(kindOf(words[x + INFO]!)) && isEnum(kindOf(words[y + INFO]!));
}
