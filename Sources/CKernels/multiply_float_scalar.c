// Products of all formats that use float activations, straight from the definition: each row's
// block is taken out of the tile, or found in the listed row, and decoded.

#include "dequantize.h"
#include "multiply.h"

static float dot_row(
    int format, const ckernels_product *p, size_t tile, size_t r, const float *x) {
    const block_layout *layout = ckernels_block_layout(format);
    uint8_t bytes[BLOCK_BYTES_MAX];
    float weights[BLOCK_ELEMENTS_MAX];
    float sum = 0;
    for (size_t c = 0; c < p->columns; c += layout->elements) {
        ckernels_take_block(layout, p, tile, r, c / layout->elements, bytes);
        ckernels_dequantize_block(format, bytes, weights);
        for (size_t i = 0; i < layout->elements; i++) sum = fmaf(weights[i], x[c + i], sum);
    }
    return sum;
}

static void multiply(
    int format, const ckernels_product *product, size_t first_tile, size_t end_tile) {
    for (size_t tile = first_tile; tile < end_tile; tile++) {
        for (size_t t = 0; t < product->tokens; t++) {
            const float *x = product->floats + t * product->columns;
            float rows[CKERNELS_TILE_ROWS];
            for (size_t r = 0; r < CKERNELS_TILE_ROWS; r++) {
                rows[r] = dot_row(format, product, tile, r, x);
            }
            store_rows(product, tile, t, rows);
        }
    }
}

#define DEFINE(name, format)                                                  \
    void ckernels_multiply_##name##_scalar(                                   \
        const ckernels_product *product, size_t first_tile, size_t end_tile) { \
        multiply(format, product, first_tile, end_tile);                      \
    }

DEFINE(f32, CKERNELS_F32)
DEFINE(f16, CKERNELS_F16)
DEFINE(bf16, CKERNELS_BF16)
