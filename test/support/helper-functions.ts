// SPDX-License-Identifier: MIT

/** Prototypes whose kernel function is not called `bpf_` and the prototype's name. */
const otherNames: Readonly<Record<string, string>> = {
  sk_skb_pull_data: "sk_skb_pull_data",
  sk_skb_adjust_room: "sk_skb_adjust_room",
  sk_skb_change_tail: "sk_skb_change_tail",
  sk_skb_change_head: "sk_skb_change_head",
  sk_select_reuseport: "sk_select_reuseport",
  sk_reuseport_load_bytes: "sk_reuseport_load_bytes",
  sk_reuseport_load_bytes_relative: "sk_reuseport_load_bytes_relative",
  xdp_get_buff_len_trace: "bpf_xdp_get_buff_len",
  skb_output: "bpf_skb_event_output",
  xdp_output: "bpf_xdp_event_output",
  sk_storage_get_cg_sock: "bpf_sk_storage_get",
  get_attach_cookie_kmulti: "bpf_get_attach_cookie_kprobe_multi",
  get_attach_cookie_umulti: "bpf_get_attach_cookie_uprobe_multi",
  get_func_arg: "get_func_arg",
  get_func_ret: "get_func_ret",
  get_func_arg_cnt: "get_func_arg_cnt",
  get_prandom_u32: "bpf_user_rnd_u32",
  get_raw_smp_processor_id: "bpf_get_raw_cpu_id",
};

/** The kernel function that a prototype's `func` points to. */
export function helperFunction(variant: string): string {
  return otherNames[variant] ?? `bpf_${variant}`;
}

/** A `struct bpf_func_proto` as it stands in the kernel's memory. */
export interface ProtoInMemory {
  readonly gplOnly: boolean;
  readonly pktAccess: boolean;
  readonly mightSleep: boolean;
  readonly allowFastcall: boolean;
  readonly retType: number;
  readonly argTypes: readonly number[];
  /** Bytes, or the name of the kernel type behind a BTF id (`?` when it could not be read), or null. */
  readonly args: readonly (number | string | null)[];
  readonly retBtf: string | null;
  readonly allowed: string | null;
}

export interface ProtoFixture {
  readonly release: string;
  /** By kernel function; several prototypes may share one. */
  readonly protos: Readonly<Record<string, readonly ProtoInMemory[]>>;
}
