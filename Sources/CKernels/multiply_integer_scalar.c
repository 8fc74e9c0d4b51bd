// Products with 8-bit activations, straight from the definition in ckernels.h: each row's block is
// taken out of the tile, or found in the listed row, and taken apart.

#include "dequantize.h"
#include "multiply.h"

// One token's 32 activations.
typedef struct {
    const int8_t *quants;
    float scale;
    const int32_t *sums;
} activation_block;

static int32_t dot_16(const int8_t *w, const int8_t *x) {
    int32_t dot = 0;
    for (int i = 0; i < 16; i++) dot += w[i] * x[i];
    return dot;
}

// Adds the products of a block's elements 32 * s ..< 32 * s + 32.
static float add_sub_block(
    int format, const split_block *block, size_t s, activation_block x, float sum) {
    int32_t first = dot_16(block->quants + 32 * s, x.quants);
    int32_t last = dot_16(block->quants + 32 * s + 16, x.quants + 16);
    if (ckernels_has_scales(format)) {
        first *= block->scales[2 * s];
        last *= block->scales[2 * s + 1];
    }
    sum = fmaf((float)(first + last), block->steps[s] * x.scale, sum);
    if (!ckernels_has_offsets(format)) return sum;
    const float *offsets = block->offsets + 2 * s;
    if (!ckernels_has_scales(format)) {
        return fmaf(offsets[0], x.scale * (float)(x.sums[0] + x.sums[1]), sum);
    }
    sum = fmaf(offsets[0], x.scale * (float)x.sums[0], sum);
    return fmaf(offsets[1], x.scale * (float)x.sums[1], sum);
}

static float dot_row(
    int format, const ckernels_product *p, size_t tile, size_t r, size_t token) {
    const block_layout *layout = ckernels_block_layout(format);
    size_t at = token * (p->columns / CKERNELS_QUANT_BLOCK);
    float sum = 0;
    for (size_t c = 0; c < p->columns; c += layout->elements) {
        uint8_t bytes[BLOCK_BYTES_MAX];
        split_block block;
        ckernels_take_block(layout, p, tile, r, c / layout->elements, bytes);
        ckernels_split_block(format, bytes, &block);
        for (size_t s = 0; s < layout->elements / CKERNELS_QUANT_BLOCK; s++, at++) {
            activation_block x = {
                p->quants + CKERNELS_QUANT_BLOCK * at, p->scales[at], p->sums + 2 * at,
            };
            sum = add_sub_block(format, &block, s, x, sum);
        }
    }
    return sum;
}

static void multiply(int format, const ckernels_product *p, size_t first_tile, size_t end_tile) {
    for (size_t tile = first_tile; tile < end_tile; tile++) {
        for (size_t t = 0; t < p->tokens; t++) {
            float rows[CKERNELS_TILE_ROWS];
            for (size_t r = 0; r < CKERNELS_TILE_ROWS; r++) {
                rows[r] = dot_row(format, p, tile, r, t);
            }
            store_rows(p, tile, t, rows);
        }
    }
}

#define DEFINE(name, number, set)                                              \
    void ckernels_multiply_##name##_##set(                                     \
        const ckernels_product *product, size_t first_tile, size_t end_tile) { \
        multiply(CKERNELS_##number, product, first_tile, end_tile);            \
    }

FOR_EACH_QUANTISED_FORMAT(DEFINE, scalar)
