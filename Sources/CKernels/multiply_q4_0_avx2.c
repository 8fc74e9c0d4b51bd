// Q4_0 product for AVX2: lanes are rows, two halves of a tile. A block's eight products of pairs
// sum to at most 8 * 2 * 15 * 127 = 30480, so 16-bit lanes hold them exactly.

#if defined(__x86_64__)
#include <immintrin.h>

#include "multiply.h"

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define AVX2_INLINE TARGET static inline __attribute__((always_inline))

// One tile for `count` (a constant, at most 4) tokens from `token` on.
AVX2_INLINE void multiply_tokens(
    const ckernels_product *p, size_t tile, size_t token, const int count) {
    const size_t blocks = p->columns / CKERNELS_QUANT_BLOCK;
    const uint8_t *bytes = p->weights + tile * blocks * Q4_0_TILE_BLOCK;
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i ones = _mm256_set1_epi16(1);
    __m256 acc[4][2];
    for (int t = 0; t < count; t++) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (size_t b = 0; b < blocks; b++, bytes += Q4_0_TILE_BLOCK) {
        const int8_t *x = p->quants + token * p->columns + b * CKERNELS_QUANT_BLOCK;
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++) {
            __m256i pairs[4];
            for (int t = 0; t < count; t++) pairs[t] = _mm256_setzero_si256();
#pragma clang loop unroll(full)
            for (int j = 0; j < 4; j++) {
                __m256i both = _mm256_loadu_si256(
                    (const __m256i *)(bytes + 32 + 64 * j + 32 * half));
                __m256i low = _mm256_and_si256(both, nibble);
                __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
#pragma clang loop unroll(full)
                for (int t = 0; t < count; t++) {
                    const int8_t *xt = x + (size_t)t * p->columns + 4 * j;
                    __m256i x_low = _mm256_set1_epi32((int)load_u32(xt));
                    __m256i x_high = _mm256_set1_epi32((int)load_u32(xt + 16));
                    __m256i sum = _mm256_add_epi16(
                        _mm256_maddubs_epi16(low, x_low), _mm256_maddubs_epi16(high, x_high));
                    pairs[t] = _mm256_add_epi16(pairs[t], sum);
                }
            }
            __m256 d = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(bytes + 16 * half)));
#pragma clang loop unroll(full)
            for (int t = 0; t < count; t++) {
                size_t at = (token + (size_t)t) * blocks + b;
                __m256i dot = _mm256_sub_epi32(
                    _mm256_madd_epi16(pairs[t], ones), _mm256_set1_epi32(8 * p->sums[at]));
                __m256 scale = _mm256_mul_ps(d, _mm256_set1_ps(p->scales[at]));
                acc[t][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, acc[t][half]);
            }
        }
    }
    for (int t = 0; t < count; t++) {
        float rows[CKERNELS_TILE_ROWS];
        _mm256_storeu_ps(rows, acc[t][0]);
        _mm256_storeu_ps(rows + 8, acc[t][1]);
        store_rows(p, tile, token + (size_t)t, rows);
    }
}

TARGET void ckernels_multiply_q4_0_avx2(
    const ckernels_product *product, size_t first_tile, size_t end_tile) {
    size_t token = 0;
    for (; token + 4 <= product->tokens; token += 4) {
        for (size_t tile = first_tile; tile < end_tile; tile++) {
            multiply_tokens(product, tile, token, 4);
        }
    }
    for (; token < product->tokens; token++) {
        for (size_t tile = first_tile; tile < end_tile; tile++) {
            multiply_tokens(product, tile, token, 1);
        }
    }
}
#endif
