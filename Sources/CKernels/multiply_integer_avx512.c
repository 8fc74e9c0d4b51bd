// multiply_integer.h for AVX-512 with VNNI.

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))
#define SET avx512
#define TILES_AT_ONCE 2
#define TOKENS_AT_ONCE 4
// The instruction multiplies unsigned by signed bytes.
#define SIGNED_BIAS 128
#include "lanes.h"

LANES_INLINE int_lanes dot_words(
    int_lanes sums, const word_lanes *words, const int count, const int8_t *x, const int weight_max,
    const int is_signed) {
    (void)weight_max;
    (void)is_signed;
    __m512i acc = (__m512i)sums;
#pragma clang loop unroll(full)
    for (int k = 0; k < count; k++) {
        __m512i four = _mm512_set1_epi32((int)load_u32(x + 4 * k));
        acc = _mm512_dpbusd_epi32(acc, (__m512i)words[k], four);
    }
    return (int_lanes)acc;
}

LANES_INLINE word_lanes look_up(word_lanes codes, const uint8_t *values) {
    __m512i table = _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)values));
    return (word_lanes)_mm512_shuffle_epi8(table, (__m512i)codes);
}

#include "multiply_integer.h"
#include "score.h"
#endif
