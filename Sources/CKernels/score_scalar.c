// Neurons' scores, straight from the definition in ckernels.h.

#include "table.h"

// Code `index` of 32 of `bits` bits, of a tile's neuron `lane`.
static int32_t code_at(const uint8_t *codes, size_t lane, int index, int bits) {
    int per_word = 32 / bits;
    size_t word = (size_t)(index / per_word);
    int shift = 8 * (index % 4) + bits * (index % per_word / 4);
    uint32_t packed = load_u32(codes + 4 * (CKERNELS_TILE_ROWS * word + lane));
    return (int32_t)(packed >> shift & ((1u << bits) - 1));
}

static float sum_codes(
    const uint8_t *codes, const ckernels_scores *s, size_t lane, size_t block, size_t blocks,
    int bits) {
    float sum = 0;
    for (size_t b = 0; b < blocks; b++, block++) {
        int32_t dot = 0;
        for (int i = 0; i < CKERNELS_QUANT_BLOCK; i++) {
            int32_t level = 2 * code_at(codes, lane, i, bits) - ((1 << bits) - 1);
            dot += level * s->quants[CKERNELS_QUANT_BLOCK * block + (size_t)i];
        }
        sum = fmaf((float)dot, s->scales[block], sum);
        codes += 4 * CKERNELS_TILE_ROWS * bits;
    }
    return sum;
}

static float score(const ckernels_scores *s, size_t neuron, size_t token) {
    size_t fine = s->fine / CKERNELS_QUANT_BLOCK, coarse = s->coarse / CKERNELS_QUANT_BLOCK;
    size_t lane = neuron % CKERNELS_TILE_ROWS, block = token * (fine + coarse);
    const uint8_t *codes = s->tiles
        + neuron / CKERNELS_TILE_ROWS * ckernels_score_tile_bytes(s->fine, s->coarse);
    const uint8_t *coarse_codes = codes + 4 * CKERNELS_TILE_ROWS * 4 * fine;
    const uint8_t *steps = coarse_codes + 4 * CKERNELS_TILE_ROWS * 2 * coarse;
    float value = float_from_bits(load_u32(steps + 4 * (CKERNELS_TILE_ROWS + lane)));
    value = fmaf(
        float_from_half(load_u16(steps + 2 * lane)),
        sum_codes(codes, s, lane, block, fine, 4), value);
    return fmaf(
        float_from_half(load_u16(steps + 2 * (CKERNELS_TILE_ROWS + lane))),
        sum_codes(coarse_codes, s, lane, block + fine, coarse, 2), value);
}

void ckernels_score_scalar(const ckernels_scores *scores, size_t first_tile, size_t end_tile) {
    size_t first = CKERNELS_TILE_ROWS * first_tile;
    size_t end = smaller(scores->neurons, CKERNELS_TILE_ROWS * end_tile);
    for (size_t t = 0; t < scores->tokens; t++) {
        for (size_t n = first; n < end; n++) {
            scores->y[t * scores->neurons + n] = score(scores, n, t);
        }
    }
}
