// multiply_integer.h for AVX2: bytes are multiplied to pairs of 16 bits.

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define SET avx2
#define TILES_AT_ONCE 1
#define TOKENS_AT_ONCE 4
#define SIGNED_BIAS 0
#include "lanes.h"

// Eight rows. Pairs of products are at most 2 * weight_max * 127 (unsigned) or 2 * 128 * 127, so 16
// bits hold the sum of `grouped` such pairs.
LANES_INLINE __m256i dot_half(
    __m256i sums, const word_lanes *words, const int half, const int count, const int8_t *x,
    const int weight_max, const int is_signed) {
    const __m256i ones = _mm256_set1_epi16(1);
    const int grouped = is_signed ? 1 : 32767 / (2 * 127 * weight_max);
    __m256i pairs = _mm256_setzero_si256();
#pragma clang loop unroll(full)
    for (int k = 0; k < count; k++) {
        __m256i w = _mm256_loadu_si256((const __m256i *)(words + k) + half);
        __m256i four = _mm256_set1_epi32((int)load_u32(x + 4 * k));
        __m256i product = is_signed
            ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(four, w))
            : _mm256_maddubs_epi16(w, four);
        pairs = k % grouped == 0 ? product : _mm256_add_epi16(pairs, product);
        if (k % grouped == grouped - 1 || k == count - 1) {
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, ones));
        }
    }
    return sums;
}

LANES_INLINE int_lanes dot_words(
    int_lanes sums, const word_lanes *words, const int count, const int8_t *x, const int weight_max,
    const int is_signed) {
    __m256i halves[2];
    memcpy(halves, &sums, sizeof sums);
    halves[0] = dot_half(halves[0], words, 0, count, x, weight_max, is_signed);
    halves[1] = dot_half(halves[1], words, 1, count, x, weight_max, is_signed);
    memcpy(&sums, halves, sizeof sums);
    return sums;
}

#include "look_up_avx2.h"
#include "multiply_integer.h"
#include "score.h"
#endif
