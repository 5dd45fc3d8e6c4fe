// SPDX-License-Identifier: MIT
/*
 * What libbpf makes of CO-RE relocations. Reads lines "OBJECT<tab>BTF<tab>PROGRAM" (the program may be
 * left out: all of them) and prints for each
 *
 *   begin OBJECT BTF
 *   log TEXT            (libbpf's messages, debug ones included, about CO-RE)
 *   prog NAME HEX       (the instructions of BPF_PROG_LOAD)
 *   end ERR
 *
 * No bpf(2) reaches the kernel: it is answered here. Built by scripts/fuzz-core.ts and
 * scripts/record-core.ts with -Wl,--wrap=syscall against a static libbpf.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

long __real_syscall(long nr, long a, long b, long c, long d, long e, long f);

static int telling;

/* A descriptor that can be mapped, as libbpf does with arrays. */
static int stand_in(void)
{
	int fd = memfd_create("judge", MFD_CLOEXEC);
	return ftruncate(fd, 1 << 26) ? -1 : fd;
}

long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	if (nr != __NR_bpf)
		return __real_syscall(nr, a, b, c, d, e, f);
	union bpf_attr *attr = (union bpf_attr *)b;
	switch (a) {
	case BPF_PROG_LOAD:
		if (telling && attr->prog_name[0]) {
			const unsigned char *at = (const unsigned char *)(long)attr->insns;
			printf("prog %.16s ", attr->prog_name);
			for (unsigned int i = 0; i < attr->insn_cnt * 8; i++)
				printf("%02x", at[i]);
			printf("\n");
		}
		/* fall through */
	case BPF_BTF_LOAD:
	case BPF_MAP_CREATE:
		return stand_in();
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_FREEZE:
	case BPF_PROG_BIND_MAP:
		return 0;
	default:
		errno = EINVAL;
		return -1;
	}
}

static int tell(enum libbpf_print_level level, const char *format, va_list args)
{
	char text[1024];
	vsnprintf(text, sizeof(text), format, args);
	if (!telling || (!strstr(text, "relo #") && level == LIBBPF_DEBUG))
		return 0;
	text[strcspn(text, "\n")] = 0;
	printf("log %s\n", text);
	return 0;
}

int main(void)
{
	char line[4096];
	libbpf_set_print(tell);
	printf("libbpf %s\n", libbpf_version_string());
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		char *btf = strchr(line, '\t');
		if (!btf)
			return 2;
		*btf++ = 0;
		char *only = strchr(btf, '\t');
		if (only)
			*only++ = 0;
		printf("begin %s %s\n", line, btf);
		LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = *btf ? btf : NULL);
		int err = -1;
		telling = 1;
		struct bpf_object *obj = bpf_object__open_file(line, &opts);
		if (obj) {
			struct bpf_program *prog;
			bpf_object__for_each_program(prog, obj)
				if (only)
					bpf_program__set_autoload(prog, !strcmp(bpf_program__name(prog), only));
			err = bpf_object__load(obj);
			bpf_object__close(obj);
		} else {
			err = -errno;
		}
		telling = 0;
		printf("end %d\n", err);
		fflush(stdout);
	}
	return 0;
}
