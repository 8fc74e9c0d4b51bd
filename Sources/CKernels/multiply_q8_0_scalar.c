// Q8_0 product, straight from the definition in ckernels.h.

#include "multiply.h"

static int32_t dot_row(const uint8_t *words, size_t r, const int8_t *x) {
    int32_t dot = 0;
    for (size_t i = 0; i < 32; i++) {
        dot += (int8_t)words[64 * (i / 4) + 4 * r + i % 4] * x[i];
    }
    return dot;
}

void ckernels_multiply_q8_0_scalar(
    const ckernels_product *product, size_t first_tile, size_t end_tile) {
    size_t blocks = product->columns / CKERNELS_QUANT_BLOCK;
    for (size_t tile = first_tile; tile < end_tile; tile++) {
        const uint8_t *tile_bytes = product->weights + tile * blocks * Q8_0_TILE_BLOCK;
        for (size_t t = 0; t < product->tokens; t++) {
            float rows[CKERNELS_TILE_ROWS] = {0};
            for (size_t b = 0; b < blocks; b++) {
                const uint8_t *bytes = tile_bytes + b * Q8_0_TILE_BLOCK;
                const int8_t *x = product->quants + t * product->columns + b * 32;
                float x_scale = product->scales[t * blocks + b];
                for (size_t r = 0; r < CKERNELS_TILE_ROWS; r++) {
                    float scale = float_from_half(load_u16(bytes + 2 * r)) * x_scale;
                    rows[r] = fmaf((float)dot_row(bytes + 32, r, x), scale, rows[r]);
                }
            }
            store_rows(product, tile, t, rows);
        }
    }
}
