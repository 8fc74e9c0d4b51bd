// The names of every instruction set's operations other than products.
#ifndef CKERNELS_TABLE_H
#define CKERNELS_TABLE_H

#include "multiply.h"

#define DECLARE_ELEMENTWISE(set)                                                                \
    void ckernels_quantize_##set(                                                               \
        const float *x, size_t blocks, int8_t *quants, float *scales, int32_t *sums);           \
    void ckernels_rotate_##set(                                                                 \
        float *x, size_t tokens, size_t heads, size_t width, size_t rotated,                    \
        const float *cosines, const float *sines, int halves);                                  \
    void ckernels_activate_##set(                                                               \
        int activation, const float *gate, const float *up, float *y, size_t count);            \
    void ckernels_add_##set(const float *x, float scale, float *y, size_t count);               \
    void ckernels_add_bias_##set(const float *bias, float *y, size_t rows, size_t columns);     \
    void ckernels_sigmoid_##set(float *x, size_t count)

#define DECLARE_REDUCTIONS(set)                                                                 \
    void ckernels_normalize_##set(                                                              \
        const float *x, size_t rows, size_t columns, const float *weights, float epsilon,       \
        float *y);                                                                              \
    void ckernels_store_half_##set(const float *x, size_t count, uint8_t *halves);              \
    void ckernels_softmax_##set(float *x, size_t count);                                        \
    void ckernels_attend_##set(                                                                 \
        const ckernels_attention *attention, size_t kv_head, size_t first_token,                \
        size_t end_token)

#define ELEMENTWISE(set)                        \
    .quantize = ckernels_quantize_##set,        \
    .rotate = ckernels_rotate_##set,            \
    .activate = ckernels_activate_##set,        \
    .add = ckernels_add_##set,                  \
    .add_bias = ckernels_add_bias_##set,        \
    .sigmoid = ckernels_sigmoid_##set

#define REDUCTIONS(set)                         \
    .normalize = ckernels_normalize_##set,      \
    .store_half = ckernels_store_half_##set,    \
    .softmax = ckernels_softmax_##set,          \
    .attend = ckernels_attend_##set

DECLARE_MULTIPLY_FLOAT(scalar)
DECLARE_MULTIPLY_INTEGER(scalar)
DECLARE_ELEMENTWISE(scalar);
DECLARE_REDUCTIONS(scalar);

#if defined(__x86_64__)
DECLARE_MULTIPLY_FLOAT(avx2)
DECLARE_MULTIPLY_INTEGER(avx2)
DECLARE_ELEMENTWISE(avx2);
DECLARE_REDUCTIONS(avx2);

// Only the integer products gain from AVX-VNNI; the rest of this set is AVX2's.
DECLARE_MULTIPLY_INTEGER(avxvnni)

DECLARE_MULTIPLY_FLOAT(avx512)
DECLARE_MULTIPLY_INTEGER(avx512)
DECLARE_ELEMENTWISE(avx512);
DECLARE_REDUCTIONS(avx512);
#endif

#endif
