// The names of all products, and what they share: where a tile's rows begin and end.
#ifndef CKERNELS_MULTIPLY_H
#define CKERNELS_MULTIPLY_H

#include "scalar.h"

#define DECLARE_MULTIPLY(name)         \
    void ckernels_multiply_##name(     \
        const ckernels_product *product, size_t first_tile, size_t end_tile)

#define DECLARE_MULTIPLY_FLOAT(set)    \
    DECLARE_MULTIPLY(f32_##set);       \
    DECLARE_MULTIPLY(f16_##set);       \
    DECLARE_MULTIPLY(bf16_##set);      \
    DECLARE_MULTIPLY(q4_1_##set);      \
    DECLARE_MULTIPLY(q5_0_##set);      \
    DECLARE_MULTIPLY(q5_1_##set);      \
    DECLARE_MULTIPLY(q4_K_##set);      \
    DECLARE_MULTIPLY(q5_K_##set);      \
    DECLARE_MULTIPLY(q6_K_##set)

#define DECLARE_MULTIPLY_INTEGER(set)  \
    DECLARE_MULTIPLY(q4_0_##set);      \
    DECLARE_MULTIPLY(q8_0_##set)

// A table's products, for its initialiser.
#define FLOAT_PRODUCTS(set)                            \
    [CKERNELS_F32] = ckernels_multiply_f32_##set,      \
    [CKERNELS_F16] = ckernels_multiply_f16_##set,      \
    [CKERNELS_BF16] = ckernels_multiply_bf16_##set,    \
    [CKERNELS_Q4_1] = ckernels_multiply_q4_1_##set,    \
    [CKERNELS_Q5_0] = ckernels_multiply_q5_0_##set,    \
    [CKERNELS_Q5_1] = ckernels_multiply_q5_1_##set,    \
    [CKERNELS_Q4_K] = ckernels_multiply_q4_K_##set,    \
    [CKERNELS_Q5_K] = ckernels_multiply_q5_K_##set,    \
    [CKERNELS_Q6_K] = ckernels_multiply_q6_K_##set

#define INTEGER_PRODUCTS(set)                          \
    [CKERNELS_Q4_0] = ckernels_multiply_q4_0_##set,    \
    [CKERNELS_Q8_0] = ckernels_multiply_q8_0_##set

// Bytes of one block of 16 rows: 16 fp16 scales, then the quants.
enum { Q4_0_TILE_BLOCK = 32 + 256, Q8_0_TILE_BLOCK = 32 + 512 };

// Writes a tile's results for one token; the last tile may have fewer rows.
ALWAYS_INLINE void store_rows(
    const ckernels_product *product, size_t tile, size_t token, const float *rows) {
    size_t row = tile * CKERNELS_TILE_ROWS;
    size_t count = smaller(product->rows - row, CKERNELS_TILE_ROWS);
    float *y = product->y + token * product->y_stride + row;
    if (count == CKERNELS_TILE_ROWS) {
        memcpy(y, rows, CKERNELS_TILE_ROWS * sizeof(float));
    } else {
        memcpy(y, rows, count * sizeof(float));
    }
}

#endif
