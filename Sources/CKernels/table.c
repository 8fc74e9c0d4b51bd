// Which instruction sets this machine has, and which of them is used.

#include "table.h"

#include <stdlib.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

static const ckernels_table scalar_table = {
    .name = "scalar",
    .multiply = {FLOAT_PRODUCTS(scalar) INTEGER_PRODUCTS(scalar)},
    .score = ckernels_score_scalar,
    ELEMENTWISE(scalar),
    REDUCTIONS(scalar),
};

#if defined(__x86_64__)
static const ckernels_table avx2_table = {
    .name = "avx2",
    .multiply = {FLOAT_PRODUCTS(avx2) INTEGER_PRODUCTS(avx2)},
    .score = ckernels_score_avx2,
    ELEMENTWISE(avx2),
    REDUCTIONS(avx2),
};

static const ckernels_table avxvnni_table = {
    .name = "avxvnni",
    .multiply = {FLOAT_PRODUCTS(avx2) INTEGER_PRODUCTS(avxvnni)},
    .score = ckernels_score_avxvnni,
    ELEMENTWISE(avx2),
    REDUCTIONS(avx2),
};

static const ckernels_table avx512_table = {
    .name = "avx512",
    .multiply = {FLOAT_PRODUCTS(avx512) INTEGER_PRODUCTS(avx512)},
    .score = ckernels_score_avx512,
    ELEMENTWISE(avx512),
    REDUCTIONS(avx512),
};
#elif defined(__aarch64__)
static const ckernels_table neon_table = {
    .name = "neon",
    .multiply = {FLOAT_PRODUCTS(neon) INTEGER_PRODUCTS(neon)},
    .score = ckernels_score_neon,
    ELEMENTWISE(neon),
    REDUCTIONS(neon),
};

static const ckernels_table neon_dotprod_table = {
    .name = "neon_dotprod",
    .multiply = {FLOAT_PRODUCTS(neon) INTEGER_PRODUCTS(neon_dotprod)},
    .score = ckernels_score_neon_dotprod,
    ELEMENTWISE(neon),
    REDUCTIONS(neon),
};

static const ckernels_table neon_i8mm_table = {
    .name = "neon_i8mm",
    .multiply = {FLOAT_PRODUCTS(neon) INTEGER_PRODUCTS(neon_i8mm)},
    .score = ckernels_score_neon_i8mm,
    ELEMENTWISE(neon),
    REDUCTIONS(neon),
};
#endif

enum { TABLES_MAX = 4 };

#if defined(__x86_64__)
// AVX-VNNI by its bit in leaf 7, subleaf 1 (Intel's manual, volume 2, CPUID); that the system saves
// its registers is known from AVX2.
static int has_avxvnni(void) {
    unsigned a, b, c, d;
    return __get_cpuid_max(0, NULL) >= 7 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && a >= 1
        && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
#endif

// Fills `tables` with those that can run here, slowest first; returns how many.
static size_t list_tables(const ckernels_table **tables) {
    size_t count = 0;
    tables[count++] = &scalar_table;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
        && __builtin_cpu_supports("f16c")) {
        tables[count++] = &avx2_table;
        if (has_avxvnni()) tables[count++] = &avxvnni_table;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vnni")) {
            tables[count++] = &avx512_table;
        }
    }
#elif defined(__aarch64__)
    // Every aarch64 processor that Linux runs programs of this kind on has NEON.
    tables[count++] = &neon_table;
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) {
        tables[count++] = &neon_dotprod_table;
        if (getauxval(AT_HWCAP2) & HWCAP2_I8MM) tables[count++] = &neon_i8mm_table;
    }
#endif
    return count;
}

size_t ckernels_table_count(void) {
    const ckernels_table *tables[TABLES_MAX];
    return list_tables(tables);
}

const ckernels_table *ckernels_table_at(size_t index) {
    const ckernels_table *tables[TABLES_MAX];
    return index < list_tables(tables) ? tables[index] : NULL;
}

const ckernels_table *ckernels_choose_table(const char *name) {
    const ckernels_table *tables[TABLES_MAX];
    size_t count = list_tables(tables);
    for (size_t i = 0; name && i < count; i++) {
        if (strcmp(tables[i]->name, name) == 0) return tables[i];
    }
    return tables[count - 1];
}

const ckernels_table *ckernels_best_table(void) {
    return ckernels_choose_table(getenv("SLUICE_KERNELS"));
}
