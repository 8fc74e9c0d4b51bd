// multiply_integer.h for AVX-VNNI: processors with VNNI in 256 bits and without AVX-512.

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avxvnni,avx2,fma,f16c")))
#define SET avxvnni
#define TILES_AT_ONCE 1
#define TOKENS_AT_ONCE 4
// The instruction multiplies unsigned by signed bytes.
#define SIGNED_BIAS 128
#include "lanes.h"

LANES_INLINE int_lanes dot_words(
    int_lanes sums, const word_lanes *words, const int count, const int8_t *x, const int weight_max,
    const int is_signed) {
    (void)weight_max;
    (void)is_signed;
    __m256i halves[2];
    memcpy(halves, &sums, sizeof sums);
#pragma clang loop unroll(full)
    for (int k = 0; k < count; k++) {
        const __m256i *w = (const __m256i *)(words + k);
        __m256i four = _mm256_set1_epi32((int)load_u32(x + 4 * k));
        halves[0] = _mm256_dpbusd_avx_epi32(halves[0], _mm256_loadu_si256(w), four);
        halves[1] = _mm256_dpbusd_avx_epi32(halves[1], _mm256_loadu_si256(w + 1), four);
    }
    memcpy(&sums, halves, sizeof sums);
    return sums;
}

#include "look_up_avx2.h"
#include "multiply_integer.h"
#include "score.h"
#endif
