// SPDX-License-Identifier: MIT

/** What the tests use of elfy, which has no types of its own. */
declare module "elfy" {
  interface Section {
    readonly name: string;
    readonly type: string;
    readonly size: number;
    readonly link: number;
    readonly info: number;
    readonly data: Buffer;
  }
  const elfy: { parse(file: Buffer): { readonly body: { readonly sections: readonly Section[] } } };
  export default elfy;
}
