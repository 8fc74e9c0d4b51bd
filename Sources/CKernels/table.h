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
    void ckernels_add_experts_##set(                                                            \
        const float *rows, const int32_t *indices, const float *weights, size_t count,          \
        size_t columns, const float *shared, float *y);                                         \
    void ckernels_add_bias_##set(const float *bias, float *y, size_t rows, size_t columns);     \
    void ckernels_sigmoid_##set(float *x, size_t count);                                        \
    void ckernels_soft_cap_##set(float *x, size_t count, float cap);                            \
    void ckernels_convolve_##set(                                                               \
        const ckernels_convolution *convolution, size_t first, size_t end);                     \
    void ckernels_state_rule_##set(const ckernels_state_rule *rule, size_t first, size_t end)

#define DECLARE_REDUCTIONS(set)                                                                 \
    void ckernels_normalize_##set(                                                              \
        float *x, const float *added, size_t rows, size_t columns, const float *weights,        \
        float epsilon, float *y);                                                               \
    void ckernels_layer_norm_##set(                                                             \
        float *x, const float *added, size_t rows, size_t columns, const float *weights,        \
        const float *bias, float epsilon, float *y);                                            \
    void ckernels_gate_rows_##set(                                                              \
        const float *x, const float *weights, size_t rows, size_t columns, float *y);           \
    void ckernels_store_half_##set(const float *x, size_t count, uint8_t *halves);              \
    void ckernels_softmax_##set(float *x, size_t count);                                        \
    void ckernels_add_columns_##set(                                                            \
        int format, const ckernels_columns *columns, size_t first, size_t end);                 \
    DECLARE_ATTENTION(set)

#define DECLARE_ATTENTION(set)                                                                  \
    void ckernels_store_keys_##set(const ckernels_page_rows *rows);                             \
    void ckernels_store_values_##set(const ckernels_page_rows *rows);                           \
    void ckernels_attend_##set(                                                                 \
        const ckernels_attention *attention, size_t kv_head, size_t first_token,                \
        size_t end_token);                                                                      \
    void ckernels_attend_span_##set(                                                            \
        const ckernels_attention *attention, size_t kv_head, size_t token, size_t span,         \
        float *partial);                                                                        \
    void ckernels_join_spans_##set(                                                             \
        const ckernels_attention *attention, size_t kv_head, size_t token,                      \
        const float *partials, size_t stride)

#define ELEMENTWISE(set)                        \
    .quantize = ckernels_quantize_##set,        \
    .rotate = ckernels_rotate_##set,            \
    .activate = ckernels_activate_##set,        \
    .add = ckernels_add_##set,                  \
    .add_experts = ckernels_add_experts_##set,  \
    .add_bias = ckernels_add_bias_##set,        \
    .sigmoid = ckernels_sigmoid_##set,          \
    .soft_cap = ckernels_soft_cap_##set,        \
    .convolve = ckernels_convolve_##set,        \
    .state_rule = ckernels_state_rule_##set

#define REDUCTIONS(set)                         \
    .add_columns = ckernels_add_columns_##set,  \
    .normalize = ckernels_normalize_##set,      \
    .layer_norm = ckernels_layer_norm_##set,    \
    .gate_rows = ckernels_gate_rows_##set,      \
    .store_half = ckernels_store_half_##set,    \
    .softmax = ckernels_softmax_##set,          \
    .store_keys = ckernels_store_keys_##set,    \
    .store_values = ckernels_store_values_##set, \
    .attend = ckernels_attend_##set,            \
    .attend_span = ckernels_attend_span_##set,  \
    .join_spans = ckernels_join_spans_##set

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

#if defined(__aarch64__)
DECLARE_MULTIPLY_FLOAT(neon)
DECLARE_MULTIPLY_INTEGER(neon)
DECLARE_ELEMENTWISE(neon);
DECLARE_REDUCTIONS(neon);

// Only the integer products gain from these; the rest of both sets is NEON's.
DECLARE_MULTIPLY_INTEGER(neon_dotprod)
DECLARE_MULTIPLY_INTEGER(neon_i8mm)
#endif

#endif
