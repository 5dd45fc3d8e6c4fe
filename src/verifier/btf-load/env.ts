// SPDX-License-Identifier: GPL-2.0-only
import { BTF_INT_ENCODING, BTF_KIND } from "../../btf/format.js";
import { Limit } from "../../kernel/limits.js";
import type { Log } from "../log.js";
import type { LoadedBtf } from "./blob.js";

const LONGEST = Limit.BPF_VERIFIER_TMP_LOG_SIZE - 1;

/** btf_kind_str, by number. */
const KIND_NAMES: readonly string[] = [
  "UNKNOWN",
  "INT",
  "PTR",
  "ARRAY",
  "STRUCT",
  "UNION",
  "ENUM",
  "FWD",
  "TYPEDEF",
  "VOLATILE",
  "CONST",
  "RESTRICT",
  "FUNC",
  "FUNC_PROTO",
  "VAR",
  "DATASEC",
  "FLOAT",
  "DECL_TAG",
  "TYPE_TAG",
  "ENUM64",
];

/** One message, cut as bpf_verifier_vlog() cuts it. */
function cut(text: string): string {
  return text.length > LONGEST ? text.slice(0, LONGEST) : text;
}

/** Mirrors btf_int_encoding_str(). */
function encodingName(encoding: number): string {
  switch (encoding) {
    case BTF_INT_ENCODING.none:
      return "(none)";
    case BTF_INT_ENCODING.signed:
      return "SIGNED";
    case BTF_INT_ENCODING.char:
      return "CHAR";
    case BTF_INT_ENCODING.bool:
      return "BOOL";
    default:
      return "UNKN";
  }
}

/** A BTF on its way through the checks, and what they say about it. Mirrors struct btf_verifier_env. */
export class BtfEnv {
  readonly btf: LoadedBtf;
  private readonly log: Log;
  /** Whether anything is written: bpf_verifier_log_needed(). */
  readonly logs: boolean;
  /** The type that messages are about. */
  logTypeId = 1;
  /** Types are looked at one by one and told of (CHECK_META), and not yet resolved (CHECK_TYPE). */
  checkingMeta = true;

  constructor(btf: LoadedBtf, log: Log) {
    this.btf = btf;
    this.log = log;
    this.logs = log.level !== 0;
  }

  /** Mirrors btf_verifier_log(). */
  say(text: string): void {
    if (this.logs) this.log.write(cut(text));
  }

  /** A message that is nothing but a number in a text, made only when there is a log. */
  sayNumber(before: string, number: number): void {
    if (this.logs) this.log.write(`${before}${number}`);
  }

  /** A type without its details. Mirrors btf_verifier_log_basic(). */
  sayBasic(id: number, message: string): void {
    if (this.logs) this.log.write(`${this.head(id)} ${cut(message)}\n`);
  }

  /** A type with its details, and what is wrong with it. Mirrors btf_verifier_log_type(). */
  sayType(id: number, message = ""): void {
    if (!this.logs) return;
    const end = message === "" ? "\n" : ` ${message}\n`;
    this.log.write(`${cut(`${this.head(id)} `)}${this.details(id)}${end}`);
  }

  /** The member at offset `member`, of type `type`. Mirrors btf_verifier_log_member(). */
  sayMember(struct: number, member: number, type: number, message = ""): void {
    if (!this.logs) return;
    // The first phase has told of the struct just before.
    if (!this.checkingMeta) this.sayType(struct);
    const { btf } = this;
    const name = btf.shownName(btf.u32(member));
    const offset = btf.u32(member + 8);
    const place = btf.kflag(struct)
      ? `bitfield_size=${offset >>> 24} bits_offset=${offset & 0xffffff}`
      : `bits_offset=${offset}`;
    this.log.write(`${cut(`\t${name} type_id=${type} ${place}`)}${message === "" ? "" : ` ${message}`}\n`);
  }

  /** The variable at offset `vsi` of a section. Mirrors btf_verifier_log_vsi(). */
  sayVariable(section: number, vsi: number, message = ""): void {
    if (!this.logs) return;
    if (!this.checkingMeta) this.sayType(section);
    const { btf } = this;
    const line = `\t type_id=${btf.u32(vsi)} offset=${btf.u32(vsi + 4)} size=${btf.u32(vsi + 8)}`;
    this.log.write(`${line}${message === "" ? "" : ` ${message}`}\n`);
  }

  /** One value of an enum. */
  sayValue(nameOff: number, value: number | bigint): void {
    if (this.logs) this.log.write(cut(`\t${this.btf.shownName(nameOff)} val=${value}\n`));
  }

  private head(id: number): string {
    const { btf } = this;
    return cut(`[${this.logTypeId}] ${KIND_NAMES[btf.kind(id)]!} ${btf.shownName(btf.nameOff(id))}`);
  }

  /** What the kind's log_details() writes. */
  private details(id: number): string {
    const { btf } = this;
    const word = btf.word(id);
    const rest = btf.rest(id);
    switch (btf.kind(id)) {
      case BTF_KIND.int: {
        const data = btf.u32(rest);
        const encoding = encodingName((data >>> 24) & 0xf);
        return `size=${word} bits_offset=${(data >>> 16) & 0xff} nr_bits=${data & 0xff} encoding=${encoding}`;
      }
      case BTF_KIND.array:
        return `type_id=${btf.u32(rest)} index_type_id=${btf.u32(rest + 4)} nr_elems=${btf.u32(rest + 8)}`;
      case BTF_KIND.struct:
      case BTF_KIND.union:
      case BTF_KIND.enum:
      case BTF_KIND.enum64:
      case BTF_KIND.datasec:
        return `size=${word} vlen=${btf.vlen(id)}`;
      case BTF_KIND.fwd:
        return btf.kflag(id) ? "union" : "struct";
      case BTF_KIND.funcProto:
        return this.prototype(id);
      case BTF_KIND.var:
        return `type_id=${word} linkage=${btf.u32(rest)}`;
      case BTF_KIND.float:
        return `size=${word}`;
      case BTF_KIND.declTag:
        return `type=${word} component_idx=${btf.u32(rest) | 0}`;
      default:
        return `type_id=${word}`;
    }
  }

  /** Mirrors btf_func_proto_log(). */
  private prototype(id: number): string {
    const { btf } = this;
    const params = btf.rest(id);
    const count = btf.vlen(id);
    const head = `return=${btf.word(id)} args=(`;
    if (count === 0) return `${head}void)`;
    if (count === 1 && btf.u32(params + 4) === 0) return `${head}vararg)`;
    let text = head;
    for (let i = 0; i < count; i++) {
      const comma = i === 0 ? "" : ", ";
      const type = btf.u32(params + i * 8 + 4);
      if (type === 0 && i > 0 && i === count - 1) text += `${comma}vararg`;
      else text += cut(`${comma}${type} ${btf.shownName(btf.u32(params + i * 8))}`);
    }
    return `${text})`;
  }
}
