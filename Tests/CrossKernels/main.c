// Every operation of every set of kernels that this processor has, against the scalar set, on
// random input; and import's C, which has one set.
//
//     cross-kernels SEED [SET...]
//
// With names of sets, exactly these must be available besides the scalar one, so that nothing
// passes for want of an instruction. Exit status: 0 when all agree. The digest is of the scalar
// results, to be compared between machines.

#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cross.h"

static size_t check_available(int count, char **names) {
    size_t failures = 0;
    for (size_t set = 1; count > 0 && set < ckernels_table_count(); set++) {
        const char *name = ckernels_table_at(set)->name;
        int is_expected = 0;
        for (int i = 0; i < count; i++) is_expected |= strcmp(names[i], name) == 0;
        if (is_expected) continue;
        printf("failed: the set %s is available and was not expected\n", name);
        failures += 1;
    }
    for (int i = 0; i < count; i++) {
        if (strcmp(ckernels_choose_table(names[i])->name, names[i]) == 0) continue;
        printf("failed: the set %s is not available\n", names[i]);
        failures += 1;
    }
    return failures;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: cross-kernels SEED [SET...]\n");
        return 64;
    }
    uint64_t seed = strtoull(argv[1], NULL, 0);
    printf("seed %" PRIu64 "\n", seed);
    seed_random(seed);
    size_t failures = check_available(argc - 2, argv + 2);
    failures += check_machine();
    check_elements();
    check_attention();
    check_recurrent();
    check_products();
    check_neurons();
    check_scores();
    check_packing();
    failures += report_sets();
    printf("digest %016" PRIx64 "\n", digest());
    return failures == 0 ? 0 : 1;
}
