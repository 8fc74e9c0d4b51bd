// multiply_integer.h for NEON with the 8-bit matrix products of ARMv8.6: two rows by two tokens, of
// eight columns each, in one instruction. A single token takes the dot products of ARMv8.2.

#if defined(__aarch64__)
#include <arm_neon.h>

#define TARGET __attribute__((target("dotprod,i8mm")))
#define SET neon_i8mm
#define TILES_AT_ONCE 1
#define TOKENS_AT_ONCE 4
#define SIGNED_BIAS 0
#define DOT_TOGETHER
#include "lanes.h"
#include "look_up_neon.h"
#include "dot_words_neon.h"

// Four rows for all tokens.
LANES_INLINE void dot_quarter_together(
    int_lanes *sums, const word_lanes *words, const int quarter, const int count,
    const int8_t *const *x, const int tokens) {
    // Two rows of eight columns each, for every two words: the first two rows, and the last.
    int8x16_t first[4], last[4];
#pragma clang loop unroll(full)
    for (int k = 0; k < count; k += 2) {
        int32x4_t a = vreinterpretq_s32_u8(quarters_of(words[k]).quarters[quarter]);
        int32x4_t b = vreinterpretq_s32_u8(quarters_of(words[k + 1]).quarters[quarter]);
        first[k / 2] = vreinterpretq_s8_s32(vzip1q_s32(a, b));
        last[k / 2] = vreinterpretq_s8_s32(vzip2q_s32(a, b));
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t += 2) {
        int32x4_t a = vdupq_n_s32(0), b = a;
#pragma clang loop unroll(full)
        for (int k = 0; k < count; k += 2) {
            int8x16_t two = vcombine_s8(vld1_s8(x[t] + 4 * k), vld1_s8(x[t + 1] + 4 * k));
            a = vmmlaq_s32(a, first[k / 2], two);
            b = vmmlaq_s32(b, last[k / 2], two);
        }
        // Rows lie as pairs of tokens.
        int32x4_t even[4], odd[4];
        memcpy(even, sums + t, sizeof even);
        memcpy(odd, sums + t + 1, sizeof odd);
        even[quarter] = vaddq_s32(even[quarter], vuzp1q_s32(a, b));
        odd[quarter] = vaddq_s32(odd[quarter], vuzp2q_s32(a, b));
        memcpy(sums + t, even, sizeof even);
        memcpy(sums + t + 1, odd, sizeof odd);
    }
}

LANES_INLINE void dot_words_together(
    int_lanes *sums, const word_lanes *words, const int count, const int8_t *const *x,
    const int tokens, const int weight_max, const int is_signed) {
    (void)weight_max;
    (void)is_signed;
#pragma clang loop unroll(full)
    for (int quarter = 0; quarter < 4; quarter++) {
        dot_quarter_together(sums, words, quarter, count, x, tokens);
    }
}

#include "multiply_integer.h"
#include "score.h"
#endif
