// Products with float activations in 16 lanes, one lane per row of a tile. A chunk of up to 256
// columns serves all tokens of a group while it is in the first-level cache; sums run over columns
// in order, so chunks and groups leave no trace in the result. The includer defines TARGET, SET and
// TOKENS_AT_ONCE: how many tokens' sums fit into registers.

#include "lanes.h"
#include "multiply.h"

enum {
    CHUNK_COLUMNS = 256,
    // Tokens whose sums are held while a chunk is used.
    GROUP_TOKENS = 64
};

// How a chunk's columns are read.
enum { COLUMNS_FLOAT, COLUMNS_HALF, COLUMNS_BFLOAT };

LANES_INLINE lanes load_column(const int kind, const uint8_t *columns, size_t c) {
    if (kind == COLUMNS_HALF) return lanes_load_halves(columns + 32 * c);
    if (kind == COLUMNS_BFLOAT) return lanes_load_bfloats(columns + 32 * c);
    return lanes_load(columns + 64 * c);
}

// Adds `count` columns to the sums of `tokens` tokens; `kind` and `tokens` are constants.
LANES_INLINE void accumulate(
    const int kind, const int tokens, const uint8_t *columns, size_t count, const float *x,
    size_t stride, float (*sums)[LANES]) {
    lanes acc[TOKENS_AT_ONCE];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) acc[t] = lanes_load(sums[t]);
    for (size_t c = 0; c < count; c++) {
        lanes weights = load_column(kind, columns, c);
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            acc[t] = lanes_fma(weights, lanes_splat(x[(size_t)t * stride + c]), acc[t]);
        }
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) lanes_store(sums[t], acc[t]);
}

LANES_INLINE void accumulate_group(
    const int kind, size_t tokens, const uint8_t *columns, size_t count, const float *x,
    size_t stride, float (*sums)[LANES]) {
    size_t t = 0;
    for (; t + TOKENS_AT_ONCE <= tokens; t += TOKENS_AT_ONCE) {
        accumulate(kind, TOKENS_AT_ONCE, columns, count, x + t * stride, stride, sums + t);
    }
    for (; t < tokens; t++) {
        accumulate(kind, 1, columns, count, x + t * stride, stride, sums + t);
    }
}

// One tile for up to GROUP_TOKENS tokens. `format`, `elements` and `block_bytes` (of 16 rows) are
// constants.
LANES_INLINE void multiply_tile(
    const int format, const size_t elements, const size_t block_bytes, const ckernels_product *p,
    const uint8_t *tile, const float *x, size_t tokens, float (*sums)[LANES]) {
    for (size_t c = 0; c < p->columns; c += CHUNK_COLUMNS) {
        size_t count = smaller(p->columns - c, CHUNK_COLUMNS);
        const uint8_t *blocks = tile + c / elements * block_bytes;
        if (format == CKERNELS_F32) {
            accumulate_group(COLUMNS_FLOAT, tokens, blocks, count, x + c, p->columns, sums);
        } else if (format == CKERNELS_F16) {
            accumulate_group(COLUMNS_HALF, tokens, blocks, count, x + c, p->columns, sums);
        } else {
            accumulate_group(COLUMNS_BFLOAT, tokens, blocks, count, x + c, p->columns, sums);
        }
    }
}

LANES_INLINE void multiply_tiles(
    const int format, const size_t elements, const size_t block_bytes, const ckernels_product *p,
    size_t first_tile, size_t end_tile) {
    size_t tile_bytes = p->columns / elements * block_bytes;
    for (size_t t = 0; t < p->tokens; t += GROUP_TOKENS) {
        size_t tokens = smaller(p->tokens - t, GROUP_TOKENS);
        for (size_t tile = first_tile; tile < end_tile; tile++) {
            float sums[GROUP_TOKENS][LANES];
            memset(sums, 0, tokens * sizeof sums[0]);
            multiply_tile(
                format, elements, block_bytes, p, p->weights + tile * tile_bytes,
                p->floats + t * p->columns, tokens, sums);
            for (size_t i = 0; i < tokens; i++) store_rows(p, tile, t + i, sums[i]);
        }
    }
}

#define DEFINE_NAMED(name, set, format, elements, bytes)                          \
    TARGET void ckernels_multiply_##name##_##set(                                 \
        const ckernels_product *product, size_t first_tile, size_t end_tile) {    \
        multiply_tiles(format, elements, 16 * (bytes), product, first_tile, end_tile); \
    }
#define DEFINE(name, set, format, elements, bytes) \
    DEFINE_NAMED(name, set, format, elements, bytes)

DEFINE(f32, SET, CKERNELS_F32, 1, 4)
DEFINE(f16, SET, CKERNELS_F16, 1, 2)
DEFINE(bf16, SET, CKERNELS_BF16, 1, 2)
