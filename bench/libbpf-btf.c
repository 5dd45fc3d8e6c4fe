// SPDX-License-Identifier: MIT
// What libbpf takes for the work that bench/elf-btf.mjs measures; times in microseconds, one a line.
//   find FILE STRUCT ROUNDS      parse a BTF file and find one struct, each round anew
//   open FILE...                 open and relocate objects as for the kernel, but without it (gen_loader)
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

static int find(const char *file, const char *name, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		double start = now();
		struct btf *btf = btf__parse(file, NULL);

		if (!btf || btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT) < 0)
			return 1;
		printf("%f\n", now() - start);
		btf__free(btf);
	}
	return 0;
}

static void open_one(const char *file)
{
	double start = now();
	struct bpf_object *obj = bpf_object__open_file(file, NULL);
	int ok = 0;

	if (obj) {
		LIBBPF_OPTS(gen_loader_opts, gen);

		ok = !bpf_object__gen_loader(obj, &gen) && !bpf_object__load(obj);
	}
	printf("%f %d\n", now() - start, ok);
	fflush(stdout);
}

/* Each in a process of its own: gen_loader does not survive every object (arenas). */
static int open_all(int count, char **files)
{
	for (int i = 0; i < count; i++) {
		pid_t pid = fork();
		int status = 1;

		if (pid == 0) {
			open_one(files[i]);
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			return 1;
		if (status != 0) {
			printf("0 0\n");
			fflush(stdout);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	libbpf_set_print(quiet);
	if (argc == 5 && !strcmp(argv[1], "find"))
		return find(argv[2], argv[3], atoi(argv[4]));
	if (argc > 2 && !strcmp(argv[1], "open"))
		return open_all(argc - 2, argv + 2);
	return 2;
}
