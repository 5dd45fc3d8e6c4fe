// SPDX-License-Identifier: MIT

/**
 * An instruction that refers to what the kernel lacks. It became an invalid call, which matters only where the program
 * comes to it.
 */
export interface MissingRef {
  /** Its slot in the program. */
  readonly insn: number;
  /** A CO-RE relocation, a map that is not created, or a weak function of the kernel. */
  readonly kind: "core" | "map" | "kfunc";
  /** The relocation as libbpf puts it (kind, type, access), or the name of map or function. */
  readonly what: string;
}

/** What the verifier could not know when it met an invalid call. */
export interface Explanation {
  readonly insn: number;
  /** One line for people. */
  readonly reason: string;
  /** The verifier's log with the call and its refusal replaced by what was meant, as libbpf prints it. */
  readonly log: string;
}

/** Lines at a log's end that libbpf looks at. */
const LAST_LINES = 10;
const REFUSAL = /^invalid func unknown#\d+$/;
const CALL = /^(\d+): \(\d+\) call unknown#\d+/;
/** Bytes of a relocation's text that libbpf has room for. */
const MAX_WHAT = 255;

/**
 * Says what a verifier log means that ends with the refusal of an invalid call (libbpf: fixup_verifier_log()); undefined
 * when it does not, or nothing missing stands there.
 */
export function explainMissing(log: string, missing: readonly MissingRef[]): Explanation | undefined {
  if (missing.length === 0) return undefined;
  let end = log.length;
  for (let i = 0; i < LAST_LINES && end > 0; i++) {
    const start = log.lastIndexOf("\n", end - 2) + 1;
    const before = start === 0 ? 0 : log.lastIndexOf("\n", start - 2) + 1;
    const call = REFUSAL.test(log.slice(start, end).trimEnd()) ? CALL.exec(log.slice(before, start)) : null;
    const ref = call === null ? undefined : missing.find(({ insn }) => insn === Number(call[1]));
    if (ref !== undefined) {
      const { place, reason } = inWords(ref);
      return {
        insn: ref.insn,
        reason,
        log: `${log.slice(0, before)}${ref.insn}: ${place}\n${reason}\n${log.slice(end)}`,
      };
    }
    end = start;
  }
  return undefined;
}

function inWords({ kind, what }: MissingRef): { readonly place: string; readonly reason: string } {
  switch (kind) {
    case "core": {
      const text = what.length > MAX_WHAT ? `${what.slice(0, MAX_WHAT)}...` : what;
      return { place: "<invalid CO-RE relocation>", reason: `failed to resolve CO-RE relocation ${text}` };
    }
    case "map":
      return { place: "<invalid BPF map reference>", reason: `BPF map '${what}' is referenced but wasn't created` };
    case "kfunc":
      return { place: "<invalid kfunc call>", reason: `kfunc '${what}' is referenced but wasn't resolved` };
  }
}
