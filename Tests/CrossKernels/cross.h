// What the parts of this test share: random input, and comparing every set's results with the
// scalar ones. C without Swift, so that it can be built for processors that are only emulated.
#ifndef CROSS_H
#define CROSS_H

#include <stddef.h>
#include <stdint.h>

#include "ckernels.h"

// Kinds of random input, from ordinary to adversarial.
typedef enum {
    // What models hold.
    ORDINARY,
    // Any bits now and then: infinities, NaN and denormals among them.
    ANY_BITS,
    // Magnitudes whose products overflow in places.
    EXTREME,
    DENORMAL,
    ZERO,
    NATURE_COUNT
} nature;

extern const char *const nature_names[NATURE_COUNT];

void seed_random(uint64_t seed);
uint64_t random_bits(void);
// 0 ..< limit
size_t random_below(size_t limit);
float random_float(nature nature);
uint16_t random_half(nature nature);
// Fresh memory, never freed: the program is short.
float *random_floats(size_t count, nature nature);
void *allocate(size_t bytes);

// How results are compared: floats and halves bit for bit, but a NaN equals any other NaN.
typedef enum { FLOATS, HALVES, BYTES } element_kind;

enum { PARTS_MAX = 3 };

// Where an operation writes, and what is there before.
typedef struct {
    element_kind kind;
    size_t bytes;
    const void *before;
} result_part;

// One operation with one set; `parts` are the results' memory.
typedef void (*operation)(const ckernels_table *table, const void *context, void *const *parts);

// Runs the operation with the scalar set, then with every other, and counts differences, memory
// around the results included.
void compare_sets(
    const char *name, operation run, const void *context, size_t part_count,
    const result_part *parts);

// Counts and reports one comparison of `bytes` bytes.
void compare_with(
    size_t set, const char *name, element_kind kind, const void *expected, const void *found,
    size_t bytes);

// Mixes results that every machine must have alike into the digest.
void add_to_digest(element_kind kind, const void *results, size_t bytes);
uint64_t digest(void);

// What the present case is, for reports of differences.
void describe_case(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Prints a line for each set; returns the number of differences in all.
size_t report_sets(void);

void check_products(void);
void check_elements(void);
void check_attention(void);
void check_recurrent(void);
void check_neurons(void);
void check_scores(void);
void check_packing(void);
// Checksums and the C beside the kernels; returns the number of failures.
size_t check_machine(void);

#endif
