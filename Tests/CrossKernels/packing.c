// What import does to weights' bytes, on blocks of any bits, each in memory of exactly its size:
// nothing for the sanitizers to find, and the same numbers on every machine.

#include <stdlib.h>

#include "cpacking.h"
#include "cross.h"

// A type, the elements and bytes of its block, and what it is stored as.
typedef struct {
    uint32_t type;
    size_t elements;
    size_t bytes;
    uint32_t target;
} packed_type;

static const packed_type types[] = {
    {CPACKING_F32, 1, 4, CPACKING_F32},       {CPACKING_F16, 1, 2, CPACKING_F32},
    {CPACKING_BF16, 1, 2, CPACKING_F32},      {CPACKING_I8, 1, 1, CPACKING_F32},
    {CPACKING_I16, 1, 2, CPACKING_F32},       {CPACKING_I32, 1, 4, CPACKING_F32},
    {CPACKING_I64, 1, 8, CPACKING_F32},       {CPACKING_F64, 1, 8, CPACKING_F32},
    {CPACKING_Q8_1, 32, 36, CPACKING_Q8_0},   {CPACKING_Q8_K, 256, 292, CPACKING_Q8_0},
    {CPACKING_IQ2_XXS, 256, 66, CPACKING_Q6_K}, {CPACKING_IQ2_XS, 256, 74, CPACKING_Q6_K},
    {CPACKING_IQ3_XXS, 256, 98, CPACKING_Q6_K}, {CPACKING_IQ1_S, 256, 50, CPACKING_Q4_K},
    {CPACKING_IQ3_S, 256, 110, CPACKING_Q4_K}, {CPACKING_IQ2_S, 256, 82, CPACKING_Q6_K},
    {CPACKING_IQ1_M, 256, 56, CPACKING_Q6_K}, {CPACKING_TQ1_0, 256, 54, CPACKING_Q2_K},
    {CPACKING_TQ2_0, 256, 66, CPACKING_Q2_K}, {CPACKING_NVFP4, 64, 36, CPACKING_Q6_K},
    {CPACKING_Q1_0, 128, 18, CPACKING_Q4_0},  {CPACKING_Q2_0, 64, 18, CPACKING_Q4_0},
};

static size_t stored_bytes(uint32_t target, size_t elements) {
    switch (target) {
    case CPACKING_Q2_K: return elements / 256 * 84;
    case CPACKING_Q4_K: return elements / 256 * 144;
    case CPACKING_Q6_K: return elements / 256 * 210;
    case CPACKING_Q4_0: return elements / 32 * 18;
    case CPACKING_Q8_0: return elements / 32 * 34;
    default: return elements * sizeof(float);
    }
}

static uint8_t *random_bytes(size_t count) {
    uint8_t *bytes = allocate(count);
    for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)random_bits();
    return bytes;
}

static void check_type(const packed_type *type) {
    // Whole blocks of both.
    size_t elements = 256 * (1 + random_below(3));
    uint8_t *source = random_bytes(elements / type->elements * type->bytes);
    float *values = allocate(elements * sizeof(float));
    cpacking_decode(type->type, source, values, elements);
    add_to_digest(FLOATS, values, elements * sizeof(float));
    int is_plain = type->target == CPACKING_F32;
    if (!is_plain || (type->type >= CPACKING_I8 && type->type <= CPACKING_F64)) {
        uint8_t *stored = allocate(stored_bytes(type->target, elements));
        cpacking_error error = {0, 0};
        cpacking_convert(type->type, type->target, source, stored, elements, &error);
        free(stored);
    }
    free(values);
    free(source);
}

static uint8_t **columns_of(size_t columns, size_t bytes) {
    uint8_t **stored = allocate(columns * sizeof(uint8_t *));
    for (size_t c = 0; c < columns; c++) stored[c] = allocate(bytes);
    return stored;
}

static void free_columns(uint8_t **stored, size_t columns) {
    for (size_t c = 0; c < columns; c++) free(stored[c]);
    free(stored);
}

static void check_q8_0_columns(nature nature) {
    enum { BLOCKS = 3 };
    size_t columns = 1 + random_below(40);
    size_t stride = columns + random_below(4);
    float *rows = random_floats(31 * stride + columns, nature);
    uint8_t **stored = columns_of(columns, BLOCKS * 34);
    cpacking_error error = {0, 0};
    for (size_t block = 0; block < BLOCKS; block++) {
        cpacking_q8_0_columns(rows, stride, columns, stored, block, &error);
    }
    free_columns(stored, columns);
    free(rows);
}

static void check_plain_columns(void) {
    enum { ROWS = 5 };
    size_t unit = (size_t)2 << random_below(2);
    size_t columns = 1 + random_below(70);
    uint8_t **stored = columns_of(columns, ROWS * unit);
    for (size_t row = 0; row < ROWS; row++) {
        uint8_t *bytes = random_bytes(columns * unit);
        cpacking_plain_columns(bytes, unit, columns, stored, row);
        for (size_t i = 0; i < columns * unit; i++) {
            bytes[i] ^= stored[i / unit][row * unit + i % unit];
        }
        add_to_digest(BYTES, bytes, columns * unit);
        free(bytes);
    }
    free_columns(stored, columns);
}

static void check_split_columns(uint32_t type) {
    size_t blocks = 1 + random_below(4);
    size_t skipped = random_below(32);
    size_t columns = blocks * 32 - skipped;
    size_t stride = 2 * (1 + random_below(3));
    uint8_t *row = random_bytes(stored_bytes(type, blocks * 32));
    uint8_t **stored = columns_of(columns, 1);
    uint8_t *scales = allocate((blocks - 1) * stride + 2);
    cpacking_split_columns(type, row, skipped, columns, stored, 0, scales, stride);
    for (size_t c = 0; c < columns; c++) add_to_digest(BYTES, stored[c], 1);
    free(scales);
    free_columns(stored, columns);
    free(row);
}

static void check_tiles(void) {
    // Q8_0's fields, and a plain number's.
    static const cpacking_field fields[2][2] = {{{2, 2}, {32, 4}}, {{4, 4}, {0, 0}}};
    for (size_t kind = 0; kind < 2; kind++) {
        size_t block = kind == 0 ? 34 : 4;
        size_t tiles = 1 + random_below(3);
        size_t row_bytes = block * (1 + random_below(5));
        uint8_t *rows = random_bytes(tiles * 16 * row_bytes);
        uint8_t *tiled = allocate(tiles * 16 * row_bytes);
        cpacking_interleave(rows, tiled, tiles, row_bytes, fields[kind], 2 - kind);
        add_to_digest(BYTES, tiled, tiles * 16 * row_bytes);
        free(tiled);
        free(rows);
    }
}

void check_packing(void) {
    for (size_t round = 0; round < 40; round++) {
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) check_type(&types[i]);
        for (nature nature = 0; nature < NATURE_COUNT; nature++) check_q8_0_columns(nature);
        check_plain_columns();
        check_split_columns(CPACKING_Q8_0);
        check_split_columns(CPACKING_Q4_0);
        check_tiles();
    }
}
