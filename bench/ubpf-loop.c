// SPDX-License-Identifier: MIT
/* Runs a program of raw instructions in ubpf's interpreter and prints the nanoseconds that it took, one line a run. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <ubpf.h>

int main(int argc, char **argv)
{
    static unsigned char code[1 << 16], memory[64];
    char *message = NULL;
    FILE *file = fopen(argv[1], "rb");
    size_t size = fread(code, 1, sizeof code, file);
    struct ubpf_vm *vm = ubpf_create();

    if (ubpf_load(vm, code, size, &message) != 0) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    for (int i = 0; i < atoi(argv[2]); i++) {
        struct timespec a, b;
        uint64_t result;

        clock_gettime(CLOCK_MONOTONIC, &a);
        ubpf_exec(vm, memory, sizeof memory, &result);
        clock_gettime(CLOCK_MONOTONIC, &b);
        printf("%lld %llx\n", (b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec, (unsigned long long)result);
    }
    return 0;
}
