// Neurons' scores in 16 lanes, a neuron per lane: the definition is in ckernels.h. Included after
// multiply_integer.h, whose includer defines TARGET, SET and dot_words.

// The dot products of 32 codes of `bits` bits with quants: `words` words of each of 16 neurons.
LANES_INLINE int_lanes dot_codes(const uint8_t *codes, const int8_t *x, const int bits) {
    const int per_word = 8 / bits;
    const uint32_t mask = 0x01010101u * ((1u << bits) - 1);
    word_lanes words[8];
#pragma clang loop unroll(full)
    for (int w = 0; w < bits; w++) {
        word_lanes packed = lanes_load_words(codes + sizeof packed * (size_t)w);
#pragma clang loop unroll(full)
        for (int part = 0; part < per_word; part++) {
            words[w * per_word + part] = packed >> (uint32_t)(bits * part) & mask;
        }
    }
    return dot_words((int_lanes){0}, words, 8, x, (1 << bits) - 1, 0);
}

// The sum over `blocks` blocks of codes from `codes` on.
LANES_INLINE lanes sum_codes(
    const uint8_t *codes, const ckernels_scores *s, size_t token, size_t first, size_t blocks,
    const int bits) {
    size_t at = token * ((s->fine + s->coarse) / CKERNELS_QUANT_BLOCK) + first;
    lanes sum = {0};
    for (size_t b = 0; b < blocks; b++, at++) {
        int32_t middle = ((1 << bits) - 1) * (s->sums[2 * at] + s->sums[2 * at + 1]);
        int_lanes dot = dot_codes(codes, s->quants + CKERNELS_QUANT_BLOCK * at, bits);
        lanes whole = __builtin_convertvector(dot * 2 - middle, lanes);
        sum = lanes_fma(whole, lanes_splat(s->scales[at]), sum);
        codes += sizeof(word_lanes) * (size_t)bits;
    }
    return sum;
}

LANES_INLINE void score_neurons(const ckernels_scores *s, size_t first_tile, size_t end_tile) {
    size_t fine = s->fine / CKERNELS_QUANT_BLOCK, coarse = s->coarse / CKERNELS_QUANT_BLOCK;
    for (size_t tile = first_tile; tile < end_tile; tile++) {
        const uint8_t *codes = s->tiles + tile * ckernels_score_tile_bytes(s->fine, s->coarse);
        const uint8_t *coarse_codes = codes + sizeof(word_lanes) * 4 * fine;
        const uint8_t *steps = coarse_codes + sizeof(word_lanes) * 2 * coarse;
        for (size_t t = 0; t < s->tokens; t++) {
            lanes fine_sum = sum_codes(codes, s, t, 0, fine, 4);
            lanes coarse_sum = sum_codes(coarse_codes, s, t, fine, coarse, 2);
            lanes score = lanes_load(steps + 2 * sizeof(half_lanes));
            score = lanes_fma(lanes_load_halves(steps), fine_sum, score);
            score = lanes_fma(
                lanes_load_halves(steps + sizeof(half_lanes)), coarse_sum, score);
            float rows[LANES];
            lanes_store(rows, score);
            size_t row = tile * CKERNELS_TILE_ROWS;
            memcpy(
                s->y + t * s->neurons + row, rows,
                smaller(s->neurons - row, CKERNELS_TILE_ROWS) * sizeof(float));
        }
    }
}

#define SCORE_NAME_(set) ckernels_score_##set
#define SCORE_NAME(set) SCORE_NAME_(set)

TARGET void SCORE_NAME(SET)(const ckernels_scores *scores, size_t first_tile, size_t end_tile) {
    score_neurons(scores, first_tile, end_tile);
}
