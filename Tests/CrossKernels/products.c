// Products in every format: all sets, every number of tokens, whole tiles and parts of tiles. The
// scalar set computes all tokens once; a set's result for a token must be the same however many
// share the call.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cross.h"
#include "dequantize.h"

enum {
    // Five whole tiles and a part of one.
    ROWS = 85,
    TILES = 6,
    // Results of a token are further apart than rows; what lies between must stay as it is.
    STRIDE = 91,
    TOKENS = 20,
    MANY_TOKENS = 135
};

static const char *const format_names[CKERNELS_FORMAT_COUNT] = {
    "F32",  "F16",  "BF16", "Q4_0", "Q4_1", "Q5_0",   "Q5_1",   "Q8_0",
    "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4",
};

static void put_unit(int format, size_t unit, nature nature, uint8_t *to) {
    float value = random_float(nature);
    uint32_t word = (uint32_t)random_bits();
    static const uint32_t edges[4] = {0x80808080, 0x7f7f7f7f, 0xffffffff, 0};
    if (format == CKERNELS_F32) {
        memcpy(to, &value, 4);
    } else if (format == CKERNELS_BF16) {
        memcpy(to, (const uint8_t *)&value + 2, 2);
    } else if (unit == 2) {
        uint16_t half = random_half(nature);
        memcpy(to, &half, 2);
    } else if (unit == 4) {
        if (nature == ZERO) word = 0;
        if (nature == EXTREME) word = edges[word % 4];
        memcpy(to, &word, 4);
    } else if (nature == ORDINARY || (nature == ANY_BITS && word % 31 > 0)) {
        // MXFP4's exponent: 128 stands for 1.
        *to = (uint8_t)(120 + word % 6);
    } else {
        *to = nature == EXTREME ? 255 : nature == ANY_BITS ? (uint8_t)(word >> 24) : word % 4;
    }
}

static uint8_t *random_tiles(int format, size_t columns, nature nature) {
    const block_layout *layout = ckernels_block_layout(format);
    size_t blocks = TILES * columns / layout->elements;
    uint8_t *tiles = allocate(blocks * layout->bytes * CKERNELS_TILE_ROWS);
    uint8_t *at = tiles;
    for (size_t b = 0; b < blocks; b++) {
        for (size_t f = 0; f < FIELDS_MAX && layout->fields[f].bytes > 0; f++) {
            size_t unit = layout->fields[f].unit;
            size_t bytes = layout->fields[f].bytes * CKERNELS_TILE_ROWS;
            for (size_t i = 0; i < bytes; i += unit, at += unit) {
                put_unit(format, unit, nature, at);
            }
        }
    }
    return tiles;
}

// The product of `tokens` tokens by tiles 0 ..< split and split ..< TILES.
static float *multiply(
    const ckernels_table *table, int format, ckernels_product product, size_t tokens,
    size_t split) {
    float *y = allocate(tokens * STRIDE * sizeof(float));
    memset(y, 0xa5, tokens * STRIDE * sizeof(float));
    product.tokens = tokens;
    product.y = y;
    if (split > 0) table->multiply[format](&product, 0, split);
    table->multiply[format](&product, split, TILES);
    return y;
}

static void compare_products(
    int format, const ckernels_product *product, const float *expected, size_t tokens) {
    for (size_t set = 1; set < ckernels_table_count(); set++) {
        size_t split = tokens * 5 % TILES;
        float *found = multiply(ckernels_table_at(set), format, *product, tokens, split);
        compare_with(
            set, format_names[format], FLOATS, expected, found, tokens * STRIDE * sizeof(float));
        free(found);
    }
}

// The same rows apart from each other, in no order, must give what the tiles give: with every set,
// the scalar one too.
static void check_listed(
    int format, ckernels_product product, const float *expected, size_t tokens) {
    const block_layout *layout = ckernels_block_layout(format);
    size_t blocks = product.columns / layout->elements, bytes = blocks * layout->bytes;
    uint8_t *rows = allocate(ROWS * bytes);
    const uint8_t *list[ROWS];
    for (size_t r = 0; r < ROWS; r++) {
        uint8_t *row = rows + r * 31 % ROWS * bytes;
        list[r] = row;
        for (size_t b = 0; b < blocks; b++) {
            ckernels_take_block(
                layout, &product, r / CKERNELS_TILE_ROWS, r % CKERNELS_TILE_ROWS, b,
                row + b * layout->bytes);
        }
    }
    product.weights = NULL;
    product.row_list = list;
    for (size_t set = 0; set < ckernels_table_count(); set++) {
        float *found = multiply(ckernels_table_at(set), format, product, tokens, tokens % TILES);
        compare_with(
            set, format_names[format], FLOATS, expected, found, tokens * STRIDE * sizeof(float));
        free(found);
    }
    free(rows);
}

static void check_product(int format, size_t columns, nature nature, size_t tokens) {
    size_t blocks = tokens * ((columns + 31) / 32);
    uint8_t *tiles = random_tiles(format, columns, nature);
    float *floats = random_floats(32 * blocks, nature);
    int8_t *quants = allocate(32 * blocks);
    float *scales = allocate(blocks * sizeof(float));
    int32_t *sums = allocate(2 * blocks * sizeof(int32_t));
    if (columns % 32 == 0) {
        ckernels_table_at(0)->quantize(floats, blocks, quants, scales, sums);
    }
    ckernels_product product = {
        .weights = tiles,
        .rows = ROWS,
        .columns = columns,
        .floats = floats,
        .quants = quants,
        .scales = scales,
        .sums = sums,
        .y_stride = STRIDE,
    };
    describe_case("%zu columns, %zu tokens, %s", columns, tokens, nature_names[nature]);
    float *expected = multiply(ckernels_table_at(0), format, product, tokens, 0);
    add_to_digest(FLOATS, expected, tokens * STRIDE * sizeof(float));
    size_t step = tokens > TOKENS || nature > ANY_BITS ? 7 : 1;
    for (size_t count = tokens; count >= 1; count -= count > step ? step : count) {
        describe_case("%zu columns, %zu tokens, %s", columns, count, nature_names[nature]);
        compare_products(format, &product, expected, count);
        if (count == tokens || count <= 3) check_listed(format, product, expected, count);
        if (tokens > TOKENS && count < tokens - step) break;
    }
    free(expected);
    free(sums);
    free(scales);
    free(quants);
    free(floats);
    free(tiles);
}

void check_products(void) {
    for (int format = 0; format < CKERNELS_FORMAT_COUNT; format++) {
        size_t elements = ckernels_block_layout(format)->elements;
        // A width within a chunk of columns, and one across its end.
        size_t narrow = elements == 1 ? 7 : elements;
        size_t wide = elements == 1 ? 517 : elements == 32 ? 288 : 512;
        for (nature nature = 0; nature < NATURE_COUNT; nature++) {
            check_product(format, narrow, nature, TOKENS);
            check_product(format, wide, nature, TOKENS);
        }
        // More tokens than any set takes at once.
        check_product(format, narrow, ANY_BITS, MANY_TOKENS);
        if (elements == 1) check_product(format, 1, ORDINARY, TOKENS);
    }
}
