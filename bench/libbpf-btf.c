// SPDX-License-Identifier: MIT
// What libbpf takes for the work that bench/elf-btf.mjs measures; times in microseconds, one a line.
//   version                      which libbpf this is (no time)
//   find FILE STRUCT ROUNDS      parse a BTF file and find one struct, each round anew
//   dedup ROUNDS FILE...         put the types of objects together and remove the duplicates; also how many types are left
//   link ROUNDS OUT FILE...      link objects into one
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

static int types_of(const struct btf *btf)
{
	int count = 0;

	while (btf__type_by_id(btf, count + 1))
		count++;
	return count;
}

static int dedup(int rounds, int count, char **files)
{
	struct btf **parts = calloc(count, sizeof(*parts));
	int used = 0;

	for (int i = 0; i < count; i++) {
		struct btf *btf = btf__parse_elf(files[i], NULL);

		if (btf)
			parts[used++] = btf;
	}
	for (int i = 0; i < rounds; i++) {
		double start = now();
		struct btf *all = btf__new_empty();

		for (int j = 0; j < used; j++)
			if (btf__add_btf(all, parts[j]) < 0)
				return 1;
		if (btf__dedup(all, NULL))
			return 1;
		double end = now();
		printf("%f %d\n", end - start, types_of(all));
		btf__free(all);
	}
	return 0;
}

static int link_files(int rounds, const char *out, int count, char **files)
{
	for (int i = 0; i < rounds; i++) {
		double start = now();
		struct bpf_linker *linker = bpf_linker__new(out, NULL);

		if (!linker)
			return 1;
		for (int j = 0; j < count; j++)
			if (bpf_linker__add_file(linker, files[j], NULL))
				return 1;
		if (bpf_linker__finalize(linker))
			return 1;
		printf("%f 1\n", now() - start);
		bpf_linker__free(linker);
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
	if (argc == 2 && !strcmp(argv[1], "version"))
		return puts(libbpf_version_string()) < 0;
	if (argc > 3 && !strcmp(argv[1], "dedup"))
		return dedup(atoi(argv[2]), argc - 3, argv + 3);
	if (argc > 4 && !strcmp(argv[1], "link"))
		return link_files(atoi(argv[2]), argv[3], argc - 4, argv + 4);
	if (argc == 5 && !strcmp(argv[1], "find"))
		return find(argv[2], argv[3], atoi(argv[4]));
	if (argc > 2 && !strcmp(argv[1], "open"))
		return open_all(argc - 2, argv + 2);
	return 2;
}
