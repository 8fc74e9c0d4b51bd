// Which neurons fire: selection and turning of activations, the same for every instruction set, as
// nothing is rounded but one product.

#include "scalar.h"

void ckernels_widen_quants(const int8_t *quants, const float *scales, size_t blocks, float *x) {
    for (size_t i = 0; i < blocks * CKERNELS_QUANT_BLOCK; i++) {
        x[i] = scales[i / CKERNELS_QUANT_BLOCK] * (float)quants[i];
    }
}

void ckernels_drop_below(float threshold, float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = fabsf(x[i]) < threshold ? 0 : x[i];
}

void ckernels_turn_activations(
    const float *x, size_t stride, size_t tokens, size_t first, size_t end, uint64_t *masks,
    float *values) {
    if (tokens == 1) {
        memcpy(values + first, x + first, (end - first) * sizeof(float));
        for (size_t n = first; n < end; n++) masks[n] = x[n] != 0;
        return;
    }
    // A cache line of each token at a time.
    enum { TOGETHER = 16 };
    for (size_t start = first; start < end; start += TOGETHER) {
        size_t count = smaller(end - start, TOGETHER);
        uint64_t found[TOGETHER] = {0};
        for (size_t t = 0; t < tokens; t++) {
            const float *row = x + t * stride + start;
            for (size_t i = 0; i < count; i++) {
                values[(start + i) * tokens + t] = row[i];
                found[i] |= (uint64_t)(row[i] != 0) << t;
            }
        }
        memcpy(masks + start, found, count * sizeof(uint64_t));
    }
}

size_t ckernels_list_fired(
    const uint64_t *masks, size_t first, size_t end, uint32_t *neurons) {
    size_t count = 0;
    for (size_t n = first; n < end; n++) {
        neurons[count] = (uint32_t)n;
        count += masks[n] != 0;
    }
    return count;
}

void ckernels_scale_fired(
    const float *up, size_t stride, size_t tokens, const uint32_t *neurons, size_t first,
    size_t end, uint64_t *masks, float *values) {
    for (size_t i = first; i < end; i++) {
        uint32_t neuron = neurons[i];
        for (uint64_t mask = masks[neuron]; mask != 0; mask &= mask - 1) {
            size_t t = (size_t)__builtin_ctzll(mask);
            float *value = values + neuron * tokens + t;
            *value = *value * up[t * stride + i];
            if (*value == 0) masks[neuron] &= ~(UINT64_C(1) << t);
        }
    }
}
