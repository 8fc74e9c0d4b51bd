// multiply_integer.h for NEON as every aarch64 processor has it: bytes are multiplied to 16 bits.

#if defined(__aarch64__)
#include <arm_neon.h>

#define TARGET
#define SET neon
#define TILES_AT_ONCE 1
#define TOKENS_AT_ONCE 4
#define SIGNED_BIAS 0
#define DOT_TOGETHER
#include "lanes.h"
#include "look_up_neon.h"

// Four rows. Products are at most weight_max * 127 (unsigned) or 128 * 127, so 16 bits hold the sum
// of `grouped` of them.
LANES_INLINE int32x4_t dot_quarter(
    int32x4_t sums, const word_lanes *words, const int quarter, const int count, const int8_t *x,
    const int weight_max, const int is_signed) {
    const int grouped = is_signed ? 2 : 32767 / (127 * weight_max);
    int16x8_t low = vdupq_n_s16(0), high = low;
    int32x4_t low_pairs = vdupq_n_s32(0), high_pairs = low_pairs;
#pragma clang loop unroll(full)
    for (int k = 0; k < count; k++) {
        int8x16_t w = vreinterpretq_s8_u8(quarters_of(words[k]).quarters[quarter]);
        int8x16_t four = vreinterpretq_s8_u32(vdupq_n_u32(load_u32(x + 4 * k)));
        if (k % grouped == 0) {
            low = vmull_s8(vget_low_s8(w), vget_low_s8(four));
            high = vmull_high_s8(w, four);
        } else {
            low = vmlal_s8(low, vget_low_s8(w), vget_low_s8(four));
            high = vmlal_high_s8(high, w, four);
        }
        if (k % grouped == grouped - 1 || k == count - 1) {
            low_pairs = vpadalq_s16(low_pairs, low);
            high_pairs = vpadalq_s16(high_pairs, high);
        }
    }
    return vaddq_s32(sums, vpaddq_s32(low_pairs, high_pairs));
}

LANES_INLINE int_lanes dot_words(
    int_lanes sums, const word_lanes *words, const int count, const int8_t *x, const int weight_max,
    const int is_signed) {
    int32x4_t quarters[4];
    memcpy(quarters, &sums, sizeof sums);
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
        quarters[i] = dot_quarter(quarters[i], words, i, count, x, weight_max, is_signed);
    }
    memcpy(&sums, quarters, sizeof sums);
    return sums;
}

// Four rows at a time for all tokens: their weights stay in registers.
LANES_INLINE void dot_words_together(
    int_lanes *sums, const word_lanes *words, const int count, const int8_t *const *x,
    const int tokens, const int weight_max, const int is_signed) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            int32x4_t quarters[4];
            memcpy(quarters, sums + t, sizeof quarters);
            quarters[i] = dot_quarter(quarters[i], words, i, count, x[t], weight_max, is_signed);
            memcpy(sums + t, quarters, sizeof quarters);
        }
    }
}

#include "multiply_integer.h"
#include "score.h"
#endif
