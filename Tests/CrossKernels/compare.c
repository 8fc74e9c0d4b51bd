// Comparing sets: runs, differences, the lines that are printed.

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cross.h"

enum {
    SETS_MAX = 8,
    // Bytes around results that must stay as they are.
    GUARD_BYTES = 64,
    GUARD = 0xa5,
    // Differences that are shown.
    SHOWN_MAX = 20
};

static struct {
    size_t comparisons;
    size_t differences;
} counts[SETS_MAX];
static size_t shown;
static char present_case[200];
static uint64_t hash = 0xcbf29ce484222325;

void describe_case(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(present_case, sizeof present_case, format, arguments);
    va_end(arguments);
}

static size_t size_of(element_kind kind) { return kind == FLOATS ? 4 : kind == HALVES ? 2 : 1; }

// An element's bits; the same for all NaN.
static uint32_t element_bits(element_kind kind, const uint8_t *at) {
    uint32_t word = 0;
    memcpy(&word, at, size_of(kind));
    if (kind == FLOATS && (word & 0x7fffffff) > 0x7f800000) return 0x7fc00000;
    if (kind == HALVES && (word & 0x7fff) > 0x7c00) return 0x7e00;
    return word;
}

void add_to_digest(element_kind kind, const void *results, size_t bytes) {
    // FNV-1a, an element at a time.
    for (size_t i = 0; i < bytes; i += size_of(kind)) {
        hash = (hash ^ element_bits(kind, (const uint8_t *)results + i)) * 0x100000001b3;
    }
}

uint64_t digest(void) { return hash; }

void compare_with(
    size_t set, const char *name, element_kind kind, const void *expected, const void *found,
    size_t bytes) {
    counts[set].comparisons += 1;
    for (size_t i = 0; i < bytes; i += size_of(kind)) {
        uint32_t a = element_bits(kind, (const uint8_t *)expected + i);
        uint32_t b = element_bits(kind, (const uint8_t *)found + i);
        if (a == b) continue;
        counts[set].differences += 1;
        if (shown++ < SHOWN_MAX) {
            printf(
                "%s: %s, %s: element %zu is %08x, not %08x\n", ckernels_table_at(set)->name, name,
                present_case, i / size_of(kind), b, a);
        }
    }
}

// Fresh results between guards.
static uint8_t *prepare(const result_part *part) {
    uint8_t *memory = allocate(part->bytes + 2 * GUARD_BYTES);
    memset(memory, GUARD, part->bytes + 2 * GUARD_BYTES);
    if (part->before) memcpy(memory + GUARD_BYTES, part->before, part->bytes);
    return memory;
}

static void check_guards(size_t set, const char *name, const uint8_t *memory, size_t bytes) {
    uint8_t guard[GUARD_BYTES];
    memset(guard, GUARD, sizeof guard);
    compare_with(set, name, BYTES, guard, memory, GUARD_BYTES);
    compare_with(set, name, BYTES, guard, memory + GUARD_BYTES + bytes, GUARD_BYTES);
}

void compare_sets(
    const char *name, operation run, const void *context, size_t part_count,
    const result_part *parts) {
    uint8_t *expected[PARTS_MAX];
    for (size_t set = 0; set < ckernels_table_count(); set++) {
        uint8_t *found[PARTS_MAX];
        void *results[PARTS_MAX];
        for (size_t i = 0; i < part_count; i++) {
            found[i] = prepare(parts + i);
            results[i] = found[i] + GUARD_BYTES;
        }
        run(ckernels_table_at(set), context, results);
        for (size_t i = 0; i < part_count; i++) {
            check_guards(set, name, found[i], parts[i].bytes);
            if (set == 0) {
                expected[i] = found[i];
                add_to_digest(parts[i].kind, results[i], parts[i].bytes);
                continue;
            }
            compare_with(
                set, name, parts[i].kind, expected[i] + GUARD_BYTES, results[i], parts[i].bytes);
            free(found[i]);
        }
    }
    for (size_t i = 0; i < part_count; i++) free(expected[i]);
}

size_t report_sets(void) {
    size_t differences = 0;
    for (size_t set = 0; set < ckernels_table_count(); set++) {
        printf(
            "%-14s %zu comparisons, %zu differences\n", ckernels_table_at(set)->name,
            counts[set].comparisons, counts[set].differences);
        differences += counts[set].differences;
    }
    return differences;
}
