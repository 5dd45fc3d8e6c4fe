// SPDX-License-Identifier: GPL-2.0-only
import { BTF_HEADER_SIZE, BTF_MAGIC, BTF_MAX_NAME_OFFSET, BTF_VERSION } from "../../btf/format.js";
import { Errno } from "../../kernel/errno.js";
import type { Log } from "../log.js";
import type { BtfHeader } from "./blob.js";

/* The header, and where it says that types and strings are. */

/** Bytes up to and with hdr_len. */
const HDR_LEN_END = 8;

/** The header as far as it is there; the kernel takes shorter ones, of which the rest is zero. */
function copyHeader(bytes: Uint8Array, hdrLen: number): BtfHeader {
  const copy = new Uint8Array(BTF_HEADER_SIZE);
  copy.set(bytes.subarray(0, Math.min(hdrLen, BTF_HEADER_SIZE)));
  const view = new DataView(copy.buffer);
  return {
    magic: view.getUint16(0, true),
    version: copy[2]!,
    flags: copy[3]!,
    hdrLen: view.getUint32(4, true),
    typeOff: view.getUint32(8, true),
    typeLen: view.getUint32(12, true),
    strOff: view.getUint32(16, true),
    strLen: view.getUint32(20, true),
  };
}

/** Mirrors btf_verifier_log_hdr(). */
function logHeader(log: Log, header: BtfHeader, size: number): void {
  log.write(
    `magic: 0x${header.magic.toString(16)}\n` +
      `version: ${header.version}\n` +
      `flags: 0x${header.flags.toString(16)}\n` +
      `hdr_len: ${header.hdrLen}\n` +
      `type_off: ${header.typeOff}\n` +
      `type_len: ${header.typeLen}\n` +
      `str_off: ${header.strOff}\n` +
      `str_len: ${header.strLen}\n` +
      `btf_total_size: ${size}\n`,
  );
}

/** What is wrong with the places of the sections, "" when nothing is. Mirrors btf_check_sec_info(). */
function sectionFault(header: BtfHeader, size: number): string {
  const sections = [
    { off: header.typeOff, len: header.typeLen },
    { off: header.strOff, len: header.strLen },
  ];
  // Differences count as 32-bit numbers with a sign.
  const order = (sections[0]!.off - sections[1]!.off) | 0 || (sections[0]!.len - sections[1]!.len) | 0;
  if (order > 0) sections.reverse();
  const expected = (size - header.hdrLen) >>> 0;
  let total = 0;
  for (const { off, len } of sections) {
    if (expected < off) return "Invalid section offset";
    if (total < off) return "Unsupported section found";
    if (total > off) return "Section overlap found";
    if (expected - total < len) return "Total section length too long";
    total += len;
  }
  return expected !== total ? "Unsupported section found" : "";
}

/** Mirrors btf_parse_str_sec(). */
function stringsFault(bytes: Uint8Array, { hdrLen, strOff, strLen }: BtfHeader): string {
  const start = hdrLen + strOff;
  if (start + strLen !== bytes.length) return "String section is not at the end";
  const valid =
    strLen !== 0 && strLen - 1 <= BTF_MAX_NAME_OFFSET && bytes[bytes.length - 1] === 0 && bytes[start] === 0;
  return valid ? "" : "Invalid string section";
}

function refuse(log: Log, errno: number, message: string): number {
  log.write(message);
  return -errno;
}

/**
 * The header when it and the sections' places are as they should be, else a negative errno. Mirrors btf_parse_hdr(),
 * btf_parse_str_sec() and the beginning of btf_parse_type_sec().
 */
export function parseHeader(bytes: Uint8Array, log: Log): BtfHeader | number {
  const size = bytes.length;
  if (size < HDR_LEN_END) return refuse(log, Errno.EINVAL, "hdr_len not found");
  const hdrLen = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
  if (size < hdrLen) return refuse(log, Errno.EINVAL, "btf_header not found");
  for (let at = BTF_HEADER_SIZE; at < hdrLen; at++) {
    if (bytes[at] !== 0) return refuse(log, Errno.E2BIG, "Unsupported btf_header");
  }
  const header = copyHeader(bytes, hdrLen);
  logHeader(log, header, size);
  if (header.magic !== BTF_MAGIC) return refuse(log, Errno.EINVAL, "Invalid magic");
  if (header.version !== BTF_VERSION) return refuse(log, Errno.ENOTSUPP, "Unsupported version");
  if (header.flags !== 0) return refuse(log, Errno.ENOTSUPP, "Unsupported flags");
  if (size === header.hdrLen) return refuse(log, Errno.EINVAL, "No data");
  const fault = sectionFault(header, size) || stringsFault(bytes, header);
  if (fault !== "") return refuse(log, Errno.EINVAL, fault);
  if (header.typeOff % 4 !== 0) return refuse(log, Errno.EINVAL, "Unaligned type_off");
  if (header.typeLen === 0) return refuse(log, Errno.EINVAL, "No type found");
  return header;
}
