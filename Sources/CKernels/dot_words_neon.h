// The dot_words that multiply_integer.h asks for, with the dot product instructions of ARMv8.2.

LANES_INLINE int_lanes dot_words(
    int_lanes sums, const word_lanes *words, const int count, const int8_t *x, const int weight_max,
    const int is_signed) {
    (void)weight_max;
    (void)is_signed;
    int32x4_t quarters[4];
    memcpy(quarters, &sums, sizeof sums);
#pragma clang loop unroll(full)
    for (int k = 0; k < count; k += 4) {
        int8x16_t sixteen = vld1q_s8(x + 4 * k);
#define DOT(lane)                                                                             \
    for (int i = 0; i < 4; i++) {                                                             \
        int8x16_t w = vreinterpretq_s8_u8(quarters_of(words[k + lane]).quarters[i]);          \
        quarters[i] = vdotq_laneq_s32(quarters[i], w, sixteen, lane);                         \
    }
        DOT(0)
        DOT(1)
        DOT(2)
        DOT(3)
#undef DOT
    }
    memcpy(&sums, quarters, sizeof sums);
    return sums;
}
