// SPDX-License-Identifier: MIT

/** Licences that license_is_gpl_compatible() of include/linux/license.h lets pass. */
const GPL_COMPATIBLE: ReadonlySet<string> = new Set([
  "GPL",
  "GPL v2",
  "GPL and additional rights",
  "Dual BSD/GPL",
  "Dual MIT/GPL",
  "Dual MPL/GPL",
]);

/** Whether a program of this licence may call what is for GPL programs only. Mirrors license_is_gpl_compatible(). */
export function licenseIsGplCompatible(license: string): boolean {
  return GPL_COMPATIBLE.has(license);
}
