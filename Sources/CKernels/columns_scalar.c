// Sums of columns, straight from the definition in ckernels.h.

#include "dequantize.h"
#include "table.h"

void ckernels_add_columns_scalar(
    int format, const ckernels_columns *p, size_t first, size_t end) {
    const block_layout *layout = ckernels_block_layout(format);
    for (size_t i = 0; i < p->count; i++) {
        size_t neuron = p->neurons[i];
        for (size_t e = first; e < end; e++) {
            const uint8_t *block =
                p->records[i] + p->record_offset + e / layout->elements * layout->bytes;
            float weights[BLOCK_ELEMENTS_MAX];
            ckernels_dequantize_block(format, block, weights);
            for (size_t t = 0; t < p->tokens; t++) {
                if (!(p->masks[neuron] >> t & 1)) continue;
                float *y = p->y + t * p->y_stride + e;
                *y = fmaf(p->values[neuron * p->tokens + t], weights[e % layout->elements], *y);
            }
        }
    }
}
