// The names of all products, and what they share: where a tile's rows begin and end.
#ifndef CKERNELS_MULTIPLY_H
#define CKERNELS_MULTIPLY_H

#include "scalar.h"

// The quantised formats as GGUF names them, each with its number.
#define FOR_EACH_QUANTISED_FORMAT(apply, set) \
    apply(q4_0, Q4_0, set)                    \
    apply(q4_1, Q4_1, set)                    \
    apply(q5_0, Q5_0, set)                    \
    apply(q5_1, Q5_1, set)                    \
    apply(q8_0, Q8_0, set)                    \
    apply(q2_K, Q2_K, set)                    \
    apply(q3_K, Q3_K, set)                    \
    apply(q4_K, Q4_K, set)                    \
    apply(q5_K, Q5_K, set)                    \
    apply(q6_K, Q6_K, set)                    \
    apply(iq4_nl, IQ4_NL, set)                \
    apply(iq4_xs, IQ4_XS, set)                \
    apply(mxfp4, MXFP4, set)

#define FOR_EACH_FLOAT_FORMAT(apply, set) \
    apply(f32, F32, set)                  \
    apply(f16, F16, set)                  \
    apply(bf16, BF16, set)

#define DECLARE_ONE(name, number, set) \
    void ckernels_multiply_##name##_##set( \
        const ckernels_product *product, size_t first_tile, size_t end_tile);

#define DECLARE_MULTIPLY_FLOAT(set) FOR_EACH_FLOAT_FORMAT(DECLARE_ONE, set)
#define DECLARE_MULTIPLY_INTEGER(set)           \
    FOR_EACH_QUANTISED_FORMAT(DECLARE_ONE, set) \
    void ckernels_score_##set(                  \
        const ckernels_scores *scores, size_t first_tile, size_t end_tile);

// A table's products, for its initialiser.
#define NAME_ONE(name, number, set) [CKERNELS_##number] = ckernels_multiply_##name##_##set,

#define FLOAT_PRODUCTS(set) FOR_EACH_FLOAT_FORMAT(NAME_ONE, set)
#define INTEGER_PRODUCTS(set) FOR_EACH_QUANTISED_FORMAT(NAME_ONE, set)

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
