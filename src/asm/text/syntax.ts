// SPDX-License-Identifier: MIT
import type { Expr } from "./expr.js";
import type { LineToken } from "./token.js";

/*
 * What a line says, before names are looked up. Both dialects lead to the same statements.
 */

/** A register as it is written. */
export interface Reg {
  readonly num: number;
  /** Written `r1`; otherwise `w1`, the lower half. */
  readonly wide: boolean;
  readonly index: number;
}

/** Where a jump or call leads: slots from the next instruction, or a label. */
export type Target =
  | { readonly kind: "distance"; readonly slots: Expr | number }
  | { readonly kind: "label"; readonly name: LineToken };

/** An instruction of one slot without a target. */
export interface PlainInsn {
  readonly kind: "plain";
  readonly opcode: number;
  readonly dst: number;
  readonly src: number;
  readonly off: Expr | number;
  readonly imm: Expr | number;
  /** Whether only the 32 bits of `imm` matter; otherwise it is extended to 64 bits with its sign. */
  readonly bits32: boolean;
}

/** A jump, conditional or not, or the call of a subprogram. */
export interface JumpInsn {
  readonly kind: "jump";
  readonly opcode: number;
  readonly dst: number;
  readonly src: number;
  readonly imm: Expr | number;
  readonly bits32: boolean;
  readonly target: Target;
}

/** A call of what a name means: a function of the text, an extern, a helper. */
export interface CallInsn {
  readonly kind: "call";
  readonly callee: LineToken;
}

/** A load of 64 bits: a number, or the address of what a name means. */
export interface WideInsn {
  readonly kind: "wide";
  readonly dst: number;
  readonly value: Expr | number;
}

/** A load of 64 bits that the kernel completes; `low` may be a name in the place of a number. */
export interface PseudoInsn {
  readonly kind: "pseudo";
  readonly dst: number;
  readonly src: number;
  readonly low: Expr;
  readonly high: Expr | undefined;
}

/** One slot, field by field. */
export interface RawInsn {
  readonly kind: "raw";
  readonly fields: readonly Expr[];
}

export type InsnStatement = PlainInsn | JumpInsn | CallInsn | WideInsn | PseudoInsn | RawInsn;

/** An attribute of a map, `name=value`, or a lone name. */
export interface MapAttribute {
  readonly name: LineToken;
  readonly value: Expr | undefined;
}

export type Directive =
  | { readonly kind: "section"; readonly name: string; readonly index: number }
  | {
      readonly kind: "binding";
      readonly binding: "global" | "weak" | "hidden" | "function";
      readonly names: readonly LineToken[];
    }
  | { readonly kind: "constant"; readonly name: LineToken; readonly value: Expr }
  | {
      readonly kind: "map";
      readonly name: LineToken;
      readonly type: LineToken;
      readonly attributes: readonly MapAttribute[];
    }
  | { readonly kind: "entry"; readonly map: LineToken; readonly at: Expr; readonly name: LineToken }
  | { readonly kind: "extern"; readonly section: string; readonly name: LineToken; readonly what: readonly LineToken[] }
  | { readonly kind: "license"; readonly text: LineToken }
  | { readonly kind: "version"; readonly value: Expr }
  | { readonly kind: "values"; readonly size: number; readonly values: readonly Expr[] }
  | { readonly kind: "text"; readonly zero: boolean; readonly texts: readonly LineToken[] }
  | { readonly kind: "space"; readonly size: Expr; readonly fill: Expr | undefined }
  | { readonly kind: "align"; readonly to: Expr; readonly power: boolean }
  | { readonly kind: "nothing" };

export type Statement = InsnStatement | Directive;

/** A line that was read. */
export interface Line {
  readonly labels: readonly LineToken[];
  readonly statement: Statement | undefined;
  /** Index of the statement in the line. */
  readonly index: number;
}
