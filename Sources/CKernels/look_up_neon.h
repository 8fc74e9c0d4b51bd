// The look_up that multiply_integer.h asks for, for NEON; and how its lanes become NEON's vectors.

typedef struct {
    uint8x16_t quarters[4];
} byte_quarters;

LANES_INLINE byte_quarters quarters_of(word_lanes words) {
    byte_quarters value;
    memcpy(&value, &words, sizeof value);
    return value;
}

LANES_INLINE word_lanes look_up(word_lanes codes, const uint8_t *values) {
    uint8x16_t table = vld1q_u8(values);
    byte_quarters bytes = quarters_of(codes);
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) bytes.quarters[i] = vqtbl1q_u8(table, bytes.quarters[i]);
    memcpy(&codes, &bytes, sizeof codes);
    return codes;
}
