// Q8_0 product for AVX2: lanes are rows, two halves of a tile. |w| * (x with w's sign) keeps
// maddubs exact: |w| <= 128 unsigned, |x| <= 127, so a pair is at most 32512.

#if defined(__x86_64__)
#include <immintrin.h>

#include "multiply.h"

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define AVX2_INLINE TARGET static inline __attribute__((always_inline))

// One tile for `count` (a constant, at most 4) tokens from `token` on.
AVX2_INLINE void multiply_tokens(
    const ckernels_product *p, size_t tile, size_t token, const int count) {
    const size_t blocks = p->columns / CKERNELS_QUANT_BLOCK;
    const uint8_t *bytes = p->weights + tile * blocks * Q8_0_TILE_BLOCK;
    const __m256i ones = _mm256_set1_epi16(1);
    __m256 acc[4][2];
    for (int t = 0; t < count; t++) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (size_t b = 0; b < blocks; b++, bytes += Q8_0_TILE_BLOCK) {
        const int8_t *x = p->quants + token * p->columns + b * CKERNELS_QUANT_BLOCK;
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++) {
            __m256i dots[4];
            for (int t = 0; t < count; t++) dots[t] = _mm256_setzero_si256();
#pragma clang loop unroll(full)
            for (int j = 0; j < 8; j++) {
                __m256i weights = _mm256_loadu_si256(
                    (const __m256i *)(bytes + 32 + 64 * j + 32 * half));
                __m256i magnitudes = _mm256_abs_epi8(weights);
#pragma clang loop unroll(full)
                for (int t = 0; t < count; t++) {
                    const int8_t *xt = x + (size_t)t * p->columns + 4 * j;
                    __m256i signed_x =
                        _mm256_sign_epi8(_mm256_set1_epi32((int)load_u32(xt)), weights);
                    __m256i pairs = _mm256_maddubs_epi16(magnitudes, signed_x);
                    dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(pairs, ones));
                }
            }
            __m256 d = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(bytes + 16 * half)));
#pragma clang loop unroll(full)
            for (int t = 0; t < count; t++) {
                size_t at = (token + (size_t)t) * blocks + b;
                __m256 scale = _mm256_mul_ps(d, _mm256_set1_ps(p->scales[at]));
                acc[t][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[t]), scale, acc[t][half]);
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

TARGET void ckernels_multiply_q8_0_avx2(
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
