// Q8_0 product for AVX-512 with VNNI: lanes are rows, a whole tile. VNNI multiplies unsigned by
// signed bytes, so weights enter as w + 128 and the sum starts at -128 * sum(x).

#if defined(__x86_64__)
#include <immintrin.h>

#include "multiply.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")))
#define AVX512_INLINE TARGET static inline __attribute__((always_inline))

enum { TOKENS_MAX = 8 };

// One tile for `count` (a constant, at most 8) tokens from `token` on.
AVX512_INLINE void multiply_tokens(
    const ckernels_product *p, size_t tile, size_t token, const int count) {
    const size_t columns = p->columns;
    const size_t blocks = columns / CKERNELS_QUANT_BLOCK;
    const uint8_t *bytes = p->weights + tile * blocks * Q8_0_TILE_BLOCK;
    const int8_t *x = p->quants + token * columns;
    const float *x_scales = p->scales + token * blocks;
    const int32_t *x_sums = p->sums + token * blocks;
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    __m512 acc[TOKENS_MAX];
#pragma clang loop unroll(full)
    for (int t = 0; t < count; t++) acc[t] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b++, bytes += Q8_0_TILE_BLOCK, x += CKERNELS_QUANT_BLOCK) {
        __m512i dots[TOKENS_MAX];
#pragma clang loop unroll(full)
        for (int t = 0; t < count; t++) {
            dots[t] = _mm512_set1_epi32(-128 * x_sums[(size_t)t * blocks + b]);
        }
#pragma clang loop unroll(full)
        for (int j = 0; j < 8; j++) {
            __m512i weights =
                _mm512_xor_si512(_mm512_loadu_si512(bytes + 32 + 64 * j), sign);
#pragma clang loop unroll(full)
            for (int t = 0; t < count; t++) {
                const int8_t *xt = x + (size_t)t * columns + 4 * j;
                dots[t] =
                    _mm512_dpbusd_epi32(dots[t], weights, _mm512_set1_epi32((int)load_u32(xt)));
            }
        }
        __m512 d = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)bytes));
#pragma clang loop unroll(full)
        for (int t = 0; t < count; t++) {
            __m512 scale = _mm512_mul_ps(d, _mm512_set1_ps(x_scales[(size_t)t * blocks + b]));
            acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[t]), scale, acc[t]);
        }
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < count; t++) {
        float rows[CKERNELS_TILE_ROWS];
        _mm512_storeu_ps(rows, acc[t]);
        store_rows(p, tile, token + (size_t)t, rows);
    }
}

#define TILES(count)                                                                  \
    for (; token + (count) <= product->tokens; token += (count)) {                    \
        for (size_t tile = first_tile; tile < end_tile; tile++) {                     \
            multiply_tokens(product, tile, token, count);                             \
        }                                                                             \
    }

TARGET void ckernels_multiply_q8_0_avx512(
    const ckernels_product *product, size_t first_tile, size_t end_tile) {
    size_t token = 0;
    TILES(8)
    TILES(4)
    TILES(2)
    TILES(1)
}
#endif
