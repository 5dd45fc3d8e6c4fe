// SPDX-License-Identifier: MIT
import { Errno } from "../kernel/errno.js";
import { Cmd, OBJ_NAME_LEN, TAG_SIZE } from "../kernel/uapi.js";
import { decodeUtf8 } from "../util/bytes.js";
import { Attr, bpf, cmdName } from "./attr.js";
import { checked, SyscallError } from "./errors.js";
import { Fd } from "./fd.js";
import { BTF_INFO, BY_ID, INFO, LINK_INFO, MAP_INFO, PROG_INFO } from "./layout.js";

/** A program as the kernel describes it (`struct bpf_prog_info`). */
export interface ProgInfo {
  /** BPF_PROG_TYPE_*. */
  readonly type: number;
  readonly id: number;
  /** 16 hexadecimal digits, as bpftool prints it. */
  readonly tag: string;
  readonly name: string;
  /** Bytes of machine code; 0 when it is not compiled or not to be seen. */
  readonly jitedLength: number;
  /** Bytes of translated instructions; 0 when they are not to be seen. */
  readonly xlatedLength: number;
  /** Nanoseconds since boot. */
  readonly loadTime: bigint;
  readonly createdByUid: number;
  readonly mapIds: readonly number[];
  readonly btfId: number;
  /** Nanoseconds spent in the program, when run-time statistics are enabled. */
  readonly runTimeNs: bigint;
  readonly runCount: bigint;
  readonly recursionMisses: bigint;
  /** Instructions that the verifier processed. */
  readonly verifiedInsns: number;
}

/** A map as the kernel describes it (`struct bpf_map_info`); sizes in bytes. */
export interface MapInfo {
  /** BPF_MAP_TYPE_*. */
  readonly type: number;
  readonly id: number;
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly extra: bigint;
  readonly btfId: number;
  readonly btfKeyTypeId: number;
  readonly btfValueTypeId: number;
}

/** BTF in the kernel (`struct bpf_btf_info`). */
export interface BtfInfo {
  readonly id: number;
  /** `vmlinux`, a module's name, or empty for BTF from user space. */
  readonly name: string;
  readonly kernel: boolean;
  readonly btf: Uint8Array;
}

/** A link as the kernel describes it (`struct bpf_link_info`, the part that all kinds have). */
export interface LinkInfo {
  /** BPF_LINK_TYPE_*. */
  readonly type: number;
  readonly id: number;
  readonly progId: number;
}

/** Calls BPF_OBJ_GET_INFO_BY_FD on a structure that may hold wishes already. */
function fillInfo(object: Fd, info: Attr, size: number): Attr {
  const attr = new Attr().u32(INFO.bpf_fd, object.number).u32(INFO.info_len, size).pointer(INFO.info, info.bytes);
  checked(bpf(Cmd.OBJ_GET_INFO_BY_FD, attr, INFO.size), "BPF_OBJ_GET_INFO_BY_FD", object.what);
  return info;
}

function nameAt(info: Attr, offset: number): string {
  const bytes = info.bytes.subarray(offset, offset + OBJ_NAME_LEN);
  return decodeUtf8(bytes.subarray(0, Math.max(0, bytes.indexOf(0))));
}

/** Describes a program. @throws SyscallError */
export function programInfo(program: Fd): ProgInfo {
  const first = fillInfo(program, new Attr(PROG_INFO.size), PROG_INFO.size);
  const mapIds = new Uint32Array(first.getU32(PROG_INFO.nr_map_ids));
  if (mapIds.length > 0) {
    const wish = new Attr(PROG_INFO.size)
      .u32(PROG_INFO.nr_map_ids, mapIds.length)
      .pointer(PROG_INFO.map_ids, new Uint8Array(mapIds.buffer));
    fillInfo(program, wish, PROG_INFO.size);
  }
  const tag = first.bytes.subarray(PROG_INFO.tag, PROG_INFO.tag + TAG_SIZE);
  return {
    type: first.getU32(PROG_INFO.type),
    id: first.getU32(PROG_INFO.id),
    tag: Array.from(tag, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    name: nameAt(first, PROG_INFO.name),
    jitedLength: first.getU32(PROG_INFO.jited_prog_len),
    xlatedLength: first.getU32(PROG_INFO.xlated_prog_len),
    loadTime: first.view.getBigUint64(PROG_INFO.load_time, true),
    createdByUid: first.getU32(PROG_INFO.created_by_uid),
    mapIds: Array.from(mapIds),
    btfId: first.getU32(PROG_INFO.btf_id),
    runTimeNs: first.view.getBigUint64(PROG_INFO.run_time_ns, true),
    runCount: first.view.getBigUint64(PROG_INFO.run_cnt, true),
    recursionMisses: first.view.getBigUint64(PROG_INFO.recursion_misses, true),
    verifiedInsns: first.getU32(PROG_INFO.verified_insns),
  };
}

/** A program's instructions after the verifier's rewriting, 8 bytes a slot. @throws SyscallError */
export function translatedInsns(program: Fd): Uint8Array {
  const length = fillInfo(program, new Attr(PROG_INFO.size), PROG_INFO.size).getU32(PROG_INFO.xlated_prog_len);
  const insns = new Uint8Array(length);
  const wish = new Attr(PROG_INFO.size)
    .u32(PROG_INFO.xlated_prog_len, length)
    .pointer(PROG_INFO.xlated_prog_insns, insns);
  fillInfo(program, wish, PROG_INFO.size);
  return insns;
}

/** Describes a map. @throws SyscallError */
export function mapInfo(map: Fd): MapInfo {
  const info = fillInfo(map, new Attr(MAP_INFO.size), MAP_INFO.size);
  return {
    type: info.getU32(MAP_INFO.type),
    id: info.getU32(MAP_INFO.id),
    name: nameAt(info, MAP_INFO.name),
    keySize: info.getU32(MAP_INFO.key_size),
    valueSize: info.getU32(MAP_INFO.value_size),
    maxEntries: info.getU32(MAP_INFO.max_entries),
    flags: info.getU32(MAP_INFO.map_flags),
    extra: info.view.getBigUint64(MAP_INFO.map_extra, true),
    btfId: info.getU32(MAP_INFO.btf_id),
    btfKeyTypeId: info.getU32(MAP_INFO.btf_key_type_id),
    btfValueTypeId: info.getU32(MAP_INFO.btf_value_type_id),
  };
}

/** Describes BTF and reads it back. @throws SyscallError */
export function btfInfo(btf: Fd): BtfInfo {
  const first = fillInfo(btf, new Attr(BTF_INFO.size), BTF_INFO.size);
  const bytes = new Uint8Array(first.getU32(BTF_INFO.btf_size));
  const name = new Uint8Array(64);
  const wish = new Attr(BTF_INFO.size)
    .pointer(BTF_INFO.btf, bytes)
    .u32(BTF_INFO.btf_size, bytes.length)
    .pointer(BTF_INFO.name, name)
    .u32(BTF_INFO.name_len, name.length);
  const info = fillInfo(btf, wish, BTF_INFO.size);
  return {
    id: info.getU32(BTF_INFO.id),
    name: decodeUtf8(name.subarray(0, Math.max(0, name.indexOf(0)))),
    kernel: info.getU32(BTF_INFO.kernel_btf) === 1,
    btf: bytes,
  };
}

/** Describes a link. @throws SyscallError */
export function linkInfo(link: Fd): LinkInfo {
  const info = fillInfo(link, new Attr(LINK_INFO.size), LINK_INFO.size);
  return {
    type: info.getU32(LINK_INFO.type),
    id: info.getU32(LINK_INFO.id),
    progId: info.getU32(LINK_INFO.prog_id),
  };
}

const BY_KIND = {
  prog: { next: Cmd.PROG_GET_NEXT_ID, open: Cmd.PROG_GET_FD_BY_ID, what: "program" },
  map: { next: Cmd.MAP_GET_NEXT_ID, open: Cmd.MAP_GET_FD_BY_ID, what: "map" },
  btf: { next: Cmd.BTF_GET_NEXT_ID, open: Cmd.BTF_GET_FD_BY_ID, what: "BTF" },
  link: { next: Cmd.LINK_GET_NEXT_ID, open: Cmd.LINK_GET_FD_BY_ID, what: "link" },
} as const;

/** Kinds of objects that have ids. */
export type ObjectKind = keyof typeof BY_KIND;

/** Ids of all objects of a kind in the kernel, ascending (needs CAP_SYS_ADMIN). @throws SyscallError */
export function* objectIds(kind: ObjectKind): Generator<number, void> {
  const cmd = BY_KIND[kind].next;
  const attr = new Attr();
  for (;;) {
    const result = bpf(cmd, attr, BY_ID.size);
    if (-result === Errno.ENOENT) return;
    if (result < 0) throw new SyscallError(cmdName(cmd), -result, "", ["CAP_SYS_ADMIN"]);
    const id = attr.getU32(BY_ID.next_id);
    yield id;
    attr.u32(BY_ID.start_id, id);
  }
}

/** Opens an object by its id (needs CAP_SYS_ADMIN). @throws SyscallError; ENOENT when it is gone. */
export function openById(kind: ObjectKind, id: number): Fd {
  const { open, what } = BY_KIND[kind];
  const attr = new Attr().u32(BY_ID.start_id, id);
  const result = bpf(open, attr, BY_ID.size);
  return new Fd(checked(result, cmdName(open), `${what} ${id}`, ["CAP_SYS_ADMIN"]), `${what} ${id}`);
}
