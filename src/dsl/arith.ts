// SPDX-License-Identifier: MIT
import type { AluOp, JmpOp, SignedAluOp } from "../asm/ops.js";
import { BugError } from "../util/errors.js";

/*
 * What arithmetic means: the rules of RFC 9669 (section 4.1), on constants. Values are bit patterns,
 * unsigned, of the operation's width.
 */

/** The two widths that BPF computes in, with C's signedness. */
export interface Word {
  readonly bits: 32 | 64;
  readonly signed: boolean;
}

/** Two-operand arithmetic. */
export type BinaryOp = Exclude<AluOp, "mov"> | SignedAluOp;

/** The pattern of a value in so many bits. */
export function pattern(value: bigint, bits: number): bigint {
  return BigInt.asUintN(bits, value);
}

/** The number that a pattern stands for. */
export function interpret(
  value: bigint,
  { bits, signed }: { readonly bits: number; readonly signed: boolean },
): bigint {
  return signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
}

function divide(a: bigint, b: bigint): bigint {
  return b === 0n ? 0n : a / b;
}

function remainder(a: bigint, b: bigint): bigint {
  return b === 0n ? a : a % b;
}

/** `a op b` as the machine computes it: division by zero gives 0, its remainder the dividend; shifts are masked. */
export function foldBinary(op: BinaryOp, bits: 32 | 64, a: bigint, b: bigint): bigint {
  const shift = b & BigInt(bits - 1);
  const signedA = BigInt.asIntN(bits, a);
  const signedB = BigInt.asIntN(bits, b);
  const raw = (): bigint => {
    switch (op) {
      case "add":
        return a + b;
      case "sub":
        return a - b;
      case "mul":
        return a * b;
      case "div":
        return divide(a, b);
      case "mod":
        return remainder(a, b);
      case "sdiv":
        return divide(signedA, signedB);
      case "smod":
        return remainder(signedA, signedB);
      case "and":
        return a & b;
      case "or":
        return a | b;
      case "xor":
        return a ^ b;
      case "lsh":
        return a << shift;
      case "rsh":
        return a >> shift;
      case "arsh":
        return signedA >> shift;
    }
  };
  return pattern(raw(), bits);
}

/** Whether the jump would be taken. */
export function foldCompare(test: JmpOp, bits: 32 | 64, a: bigint, b: bigint): boolean {
  const signedA = BigInt.asIntN(bits, a);
  const signedB = BigInt.asIntN(bits, b);
  switch (test) {
    case "jeq":
      return a === b;
    case "jne":
      return a !== b;
    case "jgt":
      return a > b;
    case "jge":
      return a >= b;
    case "jlt":
      return a < b;
    case "jle":
      return a <= b;
    case "jset":
      return (a & b) !== 0n;
    case "jsgt":
      return signedA > signedB;
    case "jsge":
      return signedA >= signedB;
    case "jslt":
      return signedA < signedB;
    case "jsle":
      return signedA <= signedB;
  }
}

/** The same test with its operands exchanged. */
export function mirrored(test: JmpOp): JmpOp {
  const pairs = {
    jeq: "jeq",
    jne: "jne",
    jset: "jset",
    jgt: "jlt",
    jlt: "jgt",
    jge: "jle",
    jle: "jge",
    jsgt: "jslt",
    jslt: "jsgt",
    jsge: "jsle",
    jsle: "jsge",
  } as const satisfies Record<JmpOp, JmpOp>;
  return pairs[test];
}

/** What an operation does to its left operand when the right one is this constant. */
export type Simplified =
  /** Nothing. */
  | { readonly kind: "same" }
  | { readonly kind: "constant"; readonly value: bigint }
  | { readonly kind: "other"; readonly op: BinaryOp; readonly value: bigint };

function powerOfTwo(value: bigint): bigint | undefined {
  if (value <= 0n || (value & (value - 1n)) !== 0n) return undefined;
  return BigInt(value.toString(2).length - 1);
}

/** Finds a cheaper form of `x op value`; undefined when there is none. */
export function simplify(op: BinaryOp, bits: 32 | 64, value: bigint): Simplified | undefined {
  const ones = pattern(-1n, bits);
  const power = powerOfTwo(value);
  switch (op) {
    case "add":
    case "sub":
    case "or":
    case "xor":
      if (value === 0n) return { kind: "same" };
      return op === "or" && value === ones ? { kind: "constant", value } : undefined;
    case "and":
      if (value === ones) return { kind: "same" };
      return value === 0n ? { kind: "constant", value } : undefined;
    case "mul":
      if (value === 0n) return { kind: "constant", value };
      if (value === 1n) return { kind: "same" };
      return power === undefined ? undefined : { kind: "other", op: "lsh", value: power };
    case "div":
      if (value === 1n) return { kind: "same" };
      return power === undefined ? undefined : { kind: "other", op: "rsh", value: power };
    case "mod":
      return power === undefined ? undefined : { kind: "other", op: "and", value: value - 1n };
    case "sdiv":
      return value === 1n ? { kind: "same" } : undefined;
    case "smod":
    case "lsh":
    case "rsh":
    case "arsh":
      return undefined;
    default:
      throw new BugError(`no such operation: ${op satisfies never}`);
  }
}

/** Whether operands may be exchanged. */
export function isCommutative(op: BinaryOp): boolean {
  return op === "add" || op === "mul" || op === "and" || op === "or" || op === "xor";
}

export function isShift(op: BinaryOp): boolean {
  return op === "lsh" || op === "rsh" || op === "arsh";
}
