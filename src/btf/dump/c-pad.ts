// SPDX-License-Identifier: MIT

/** A gap in a struct, in bits; at least one. */
export interface Gap {
  /** Where the member before it ends. */
  readonly from: number;
  /** Where the next one begins. */
  readonly to: number;
  /** Alignment of the next one in bytes. */
  readonly align: number;
  /** Whether it lies between two bit fields. */
  readonly inBitField: boolean;
}

interface PadType {
  readonly name: string;
  readonly bits: number;
}

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;

/**
 * Unnamed bit fields (`int: 32;`) that make a C compiler leave a gap, as few as natural alignment allows; the
 * texts are those of libbpf's btf_dump_emit_bit_padding().
 */
export function* padding({ from, to, align, inBitField }: Gap, pointerSize: number): Generator<string> {
  const pads: readonly PadType[] = [
    { name: "long", bits: pointerSize * 8 },
    { name: "int", bits: 32 },
    { name: "short", bits: 16 },
    { name: "char", bits: 8 },
  ];
  // The largest type whose next boundary is inside of the gap; the smallest one if none is.
  const pad = pads.find(({ bits }) => roundUp(from, bits) <= to) ?? pads[pads.length - 1]!;
  const boundary = roundUp(from, pad.bits);
  let at = from;
  if (boundary > from && boundary <= to) {
    // The compiler aligns by itself unless the next member wants less, or unless the padding behind the boundary
    // would fit before it.
    const needsMark =
      boundary === to ? roundUp(from, Math.max(1, align) * 8) !== boundary : to - boundary <= boundary - from;
    if (inBitField || needsMark) yield `${pad.name}: ${inBitField ? boundary - from : 0};`;
    at = boundary;
  }
  for (; to - at >= pad.bits; at += pad.bits) yield `${pad.name}: ${pad.bits};`;
  if (at < to) {
    // What remains gets the smallest type that holds it.
    const rest = pads.findLast(({ bits }) => bits >= to - at)!;
    yield `${rest.name}: ${to - at};`;
  }
}
