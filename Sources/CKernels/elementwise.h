// Operations on single elements, as plain loops that the compiler vectorises for whichever set the
// includer names with TARGET and SET. Without contraction and reassociation the bits are the same.

#include "scalar.h"
#include "table.h"

#define ELEMENTWISE_INLINE TARGET static inline __attribute__((always_inline))
#define JOIN_NAMED(a, b) a##b
#define JOIN(a, b) JOIN_NAMED(a, b)
#define NAME(operation) JOIN(ckernels_##operation##_, SET)

// A scale as llama.cpp's 8-bit blocks keep it, rounded to half precision, so that the rounding of
// activations is the same there and here. Scales that half precision keeps badly stay as they are.
ELEMENTWISE_INLINE float block_scale(float scale) {
    uint32_t bits = bits_from_float(scale);
    // Ten bits of mantissa stay, ties to even.
    uint32_t rounded = (bits + 0xfff + (bits >> 13 & 1)) & ~UINT32_C(0x1fff);
    int is_normal_half = scale >= 0x1p-14f && scale <= 65504.0f;
    return is_normal_half ? float_from_bits(rounded) : scale;
}

ELEMENTWISE_INLINE void quantize_block(
    const float *restrict x, int8_t *restrict quants, float *scale, int32_t *sums) {
    const uint32_t infinity = 0x7f800000;
    const uint32_t smallest = bits_from_float(0x1p-100f);
    // As integers magnitudes order like floats, and a NaN is above infinity.
    uint32_t largest = 0;
    for (size_t i = 0; i < CKERNELS_QUANT_BLOCK; i++) {
        uint32_t magnitude = bits_from_float(x[i]) & 0x7fffffff;
        largest = magnitude > largest ? magnitude : largest;
    }
    if (largest < smallest || largest >= infinity) {
        *scale = largest < smallest ? 0.0f : float_from_bits(largest);
        sums[0] = sums[1] = 0;
        memset(quants, 0, CKERNELS_QUANT_BLOCK);
        return;
    }
    float inverse = 127.0f / float_from_bits(largest);
    int32_t whole[CKERNELS_QUANT_BLOCK];
    for (size_t i = 0; i < CKERNELS_QUANT_BLOCK; i++) {
        float shifted = x[i] * inverse + ROUNDING_MAGIC;
        whole[i] = (int32_t)(bits_from_float(shifted) - bits_from_float(ROUNDING_MAGIC));
    }
    int32_t first = 0, last = 0;
    for (size_t i = 0; i < CKERNELS_QUANT_BLOCK / 2; i++) first += whole[i];
    for (size_t i = CKERNELS_QUANT_BLOCK / 2; i < CKERNELS_QUANT_BLOCK; i++) last += whole[i];
    for (size_t i = 0; i < CKERNELS_QUANT_BLOCK; i++) quants[i] = (int8_t)whole[i];
    sums[0] = first;
    sums[1] = last;
    *scale = block_scale(float_from_bits(largest) / 127.0f);
}

TARGET void NAME(quantize)(
    const float *x, size_t blocks, int8_t *quants, float *scales, int32_t *sums) {
    for (size_t b = 0; b < blocks; b++) {
        size_t at = b * CKERNELS_QUANT_BLOCK;
        quantize_block(x + at, quants + at, scales + b, sums + 2 * b);
    }
}

// One head: pairs are `apart` elements apart and `step` elements from pair to pair.
ELEMENTWISE_INLINE void rotate_head(
    float *x, size_t pairs, const size_t step, size_t apart, const float *cosines,
    const float *sines) {
    for (size_t i = 0; i < pairs; i++) {
        float a = x[i * step];
        float b = x[i * step + apart];
        x[i * step] = a * cosines[i] - b * sines[i];
        x[i * step + apart] = a * sines[i] + b * cosines[i];
    }
}

TARGET void NAME(rotate)(
    float *x, size_t tokens, size_t heads, size_t width, size_t rotated, const float *cosines,
    const float *sines, int halves) {
    size_t pairs = rotated / 2;
    for (size_t t = 0; t < tokens; t++) {
        const float *c = cosines + t * pairs;
        const float *s = sines + t * pairs;
        for (size_t h = 0; h < heads; h++) {
            float *head = x + (t * heads + h) * width;
            if (halves) {
                rotate_head(head, pairs, 1, pairs, c, s);
            } else {
                rotate_head(head, pairs, 2, 1, c, s);
            }
        }
    }
}

#define ACTIVATE(function)                                                          \
    ELEMENTWISE_INLINE void activate_##function(                                    \
        const float *gate, const float *up, float *y, size_t count) {               \
        if (up) {                                                                   \
            for (size_t i = 0; i < count; i++) y[i] = function(gate[i]) * up[i];    \
        } else {                                                                    \
            for (size_t i = 0; i < count; i++) y[i] = function(gate[i]);            \
        }                                                                           \
    }

ACTIVATE(silu)
ACTIVATE(gelu)
ACTIVATE(relu)
ACTIVATE(squared_relu)

// Has a gate always.
ELEMENTWISE_INLINE void activate_clamped_silu(
    const float *gate, const float *up, float *y, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] = clamped_silu(gate[i]) * clamped_up(up[i]);
}

TARGET void NAME(activate)(
    int activation, const float *gate, const float *up, float *y, size_t count) {
    switch (activation) {
    case CKERNELS_SWIGLU_OAI: activate_clamped_silu(gate, up, y, count); break;
    case CKERNELS_SILU: activate_silu(gate, up, y, count); break;
    case CKERNELS_GELU: activate_gelu(gate, up, y, count); break;
    case CKERNELS_RELU: activate_relu(gate, up, y, count); break;
    case CKERNELS_RELU2: activate_squared_relu(gate, up, y, count); break;
    }
}

TARGET void NAME(add)(const float *x, float scale, float *y, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] = __builtin_fmaf(scale, x[i], y[i]);
}

// Columns are independent: some at a time keep their sums in registers over all experts.
TARGET void NAME(add_experts)(
    const float *rows, const int32_t *indices, const float *weights, size_t count, size_t columns,
    const float *shared, float *y) {
    enum { STRIP = 64 };
    for (size_t first = 0; first < columns; first += STRIP) {
        size_t width = smaller(columns - first, STRIP);
        float sums[STRIP] = {0};
        if (shared) memcpy(sums, shared + first, width * sizeof(float));
        for (size_t r = 0; r < count; r++) {
            const float *row = rows + (size_t)indices[r] * columns + first;
            if (width == STRIP) {
                for (size_t c = 0; c < STRIP; c++) {
                    sums[c] = __builtin_fmaf(weights[r], row[c], sums[c]);
                }
            } else {
                for (size_t c = 0; c < width; c++) {
                    sums[c] = __builtin_fmaf(weights[r], row[c], sums[c]);
                }
            }
        }
        for (size_t c = 0; c < width; c++) y[first + c] += sums[c];
    }
}

TARGET void NAME(add_bias)(const float *bias, float *y, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) y[r * columns + c] += bias[c];
    }
}

TARGET void NAME(sigmoid)(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = logistic(x[i]);
}

TARGET void NAME(soft_cap)(float *x, size_t count, float cap) {
    for (size_t i = 0; i < count; i++) x[i] = soft_cap(x[i], cap);
}
