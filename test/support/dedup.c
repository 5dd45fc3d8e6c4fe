/* SPDX-License-Identifier: MIT */
/*
 * What libbpf makes of BTF files. A line of standard input is one job:
 *	OUT BASE|- FILE...	add the files to empty BTF (over the base), deduplicate, write to OUT
 *	OUT BASE|- = FILE	open the file (split from the base), deduplicate, write to OUT
 * Answers "ok" or "error" for each.
 */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

static int job(char *line)
{
	char *out = strtok(line, " \n"), *base_path = strtok(NULL, " \n"), *path = strtok(NULL, " \n");
	struct btf *base = NULL, *btf;
	const void *data;
	__u32 size;
	FILE *file;

	if (strcmp(base_path, "-") && !(base = btf__parse_raw(base_path)))
		return -1;
	if (!strcmp(path, "=")) {
		path = strtok(NULL, " \n");
		btf = base ? btf__parse_raw_split(path, base) : btf__parse_raw(path);
		if (!btf)
			return -1;
	} else {
		btf = base ? btf__new_empty_split(base) : btf__new_empty();
		for (; path; path = strtok(NULL, " \n")) {
			struct btf *one = btf__parse_raw(path);

			if (!one || btf__add_btf(btf, one) < 0)
				return -1;
			btf__free(one);
		}
	}
	if (btf__dedup(btf, NULL))
		return -1;
	data = btf__raw_data(btf, &size);
	file = fopen(out, "w");
	if (!data || !file || fwrite(data, 1, size, file) != size)
		return -1;
	fclose(file);
	btf__free(btf);
	btf__free(base);
	return 0;
}

int main(void)
{
	char *line = NULL;
	size_t capacity = 0;

	libbpf_set_print(silent);
	while (getline(&line, &capacity, stdin) > 0)
		puts(job(line) ? "error" : "ok");
	return 0;
}
