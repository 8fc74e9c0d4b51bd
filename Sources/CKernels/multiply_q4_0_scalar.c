// Q4_0 product, straight from the definition in ckernels.h.

#include "multiply.h"

// The exact dot product of row r's 32 weights (nibble - 8) with 32 activations.
static int32_t dot_row(const uint8_t *words, size_t r, const int8_t *x, int32_t x_sum) {
    int32_t dot = -8 * x_sum;
    for (size_t i = 0; i < 16; i++) {
        uint8_t byte = words[64 * (i / 4) + 4 * r + i % 4];
        dot += (byte & 15) * x[i] + (byte >> 4) * x[i + 16];
    }
    return dot;
}

void ckernels_multiply_q4_0_scalar(
    const ckernels_product *product, size_t first_tile, size_t end_tile) {
    size_t blocks = product->columns / CKERNELS_QUANT_BLOCK;
    for (size_t tile = first_tile; tile < end_tile; tile++) {
        const uint8_t *tile_bytes = product->weights + tile * blocks * Q4_0_TILE_BLOCK;
        for (size_t t = 0; t < product->tokens; t++) {
            float rows[CKERNELS_TILE_ROWS] = {0};
            for (size_t b = 0; b < blocks; b++) {
                const uint8_t *bytes = tile_bytes + b * Q4_0_TILE_BLOCK;
                const int8_t *x = product->quants + t * product->columns + b * 32;
                float x_scale = product->scales[t * blocks + b];
                int32_t x_sum = product->sums[t * blocks + b];
                for (size_t r = 0; r < CKERNELS_TILE_ROWS; r++) {
                    float scale = float_from_half(load_u16(bytes + 2 * r)) * x_scale;
                    rows[r] = fmaf((float)dot_row(bytes + 32, r, x, x_sum), scale, rows[r]);
                }
            }
            store_rows(product, tile, t, rows);
        }
    }
}
