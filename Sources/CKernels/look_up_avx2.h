// The look_up that multiply_integer.h asks for, in 256 bits.

LANES_INLINE word_lanes look_up(word_lanes codes, const uint8_t *values) {
    __m256i table = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)values));
    __m256i halves[2];
    memcpy(halves, &codes, sizeof codes);
    halves[0] = _mm256_shuffle_epi8(table, halves[0]);
    halves[1] = _mm256_shuffle_epi8(table, halves[1]);
    memcpy(&codes, halves, sizeof codes);
    return codes;
}
