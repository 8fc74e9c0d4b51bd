// Sums of columns, straight from the definition in ckernels.h.

#include "dequantize.h"
#include "table.h"

static float weight_at(int format, const uint8_t *column, size_t e) {
    const block_layout *layout = ckernels_block_layout(format);
    float weights[BLOCK_ELEMENTS_MAX];
    ckernels_dequantize_block(format, column + e / layout->elements * layout->bytes, weights);
    return weights[e % layout->elements];
}

static float quant_at(
    const ckernels_columns *p, size_t neuron, const uint8_t *column, size_t e) {
    size_t at = neuron / CKERNELS_QUANT_BLOCK * p->width + e;
    return float_from_half(load_u16(p->scales + 2 * at)) * (float)(int8_t)column[e];
}

void ckernels_add_columns_scalar(
    int format, const ckernels_columns *p, size_t first, size_t end) {
    for (size_t i = 0; i < p->count; i++) {
        size_t neuron = p->neurons[i];
        const uint8_t *column = p->records[i] + p->record_offset;
        for (size_t e = first; e < end; e++) {
            float weight =
                p->scales ? quant_at(p, neuron, column, e) : weight_at(format, column, e);
            for (size_t t = 0; t < p->tokens; t++) {
                if (!(p->masks[neuron] >> t & 1)) continue;
                float *y = p->y + t * p->y_stride + e;
                *y = fmaf(p->values[neuron * p->tokens + t], weight, *y);
            }
        }
    }
}
