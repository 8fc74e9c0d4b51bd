// Neurons' scores: all sets, some ranks, one token and several, a tile that ends early.

#include <stdlib.h>
#include <string.h>

#include "cross.h"

enum { NEURONS = 53, SPLIT = 2 };

static void score_in_parts(const ckernels_table *table, const void *context, void *const *parts) {
    ckernels_scores scores = *(const ckernels_scores *)context;
    scores.y = parts[0];
    size_t tiles = (scores.neurons + CKERNELS_TILE_ROWS - 1) / CKERNELS_TILE_ROWS;
    table->score(&scores, SPLIT, tiles);
    table->score(&scores, 0, SPLIT);
}

static void check_case(size_t fine, size_t coarse, size_t tokens, nature nature) {
    describe_case("ranks %zu and %zu, %zu tokens, %s", fine, coarse, tokens, nature_names[nature]);
    size_t tiles = (NEURONS + CKERNELS_TILE_ROWS - 1) / CKERNELS_TILE_ROWS;
    size_t tile_bytes = ckernels_score_tile_bytes(fine, coarse);
    uint8_t *bytes = allocate(tiles * tile_bytes);
    for (size_t i = 0; i < tiles * tile_bytes; i++) bytes[i] = (uint8_t)random_bits();
    for (size_t t = 0; t < tiles; t++) {
        uint8_t *steps = bytes + (t + 1) * tile_bytes - 8 * CKERNELS_TILE_ROWS;
        for (size_t i = 0; i < 2 * CKERNELS_TILE_ROWS; i++) {
            uint16_t half = random_half(nature);
            memcpy(steps + 2 * i, &half, 2);
        }
        for (size_t i = 0; i < CKERNELS_TILE_ROWS; i++) {
            float bias = random_float(nature);
            memcpy(steps + 4 * (CKERNELS_TILE_ROWS + i), &bias, 4);
        }
    }
    size_t blocks = tokens * (fine + coarse) / CKERNELS_QUANT_BLOCK;
    int8_t *quants = allocate(CKERNELS_QUANT_BLOCK * blocks);
    float *scales = allocate(blocks * sizeof(float));
    int32_t *sums = allocate(2 * blocks * sizeof(int32_t));
    const ckernels_table *scalar = ckernels_table_at(0);
    float *x = random_floats(CKERNELS_QUANT_BLOCK * blocks, nature);
    scalar->quantize(x, blocks, quants, scales, sums);
    ckernels_scores scores = {
        .tiles = bytes, .neurons = NEURONS, .fine = fine, .coarse = coarse, .tokens = tokens,
        .quants = quants, .scales = scales, .sums = sums,
    };
    result_part part = {
        FLOATS, tokens * NEURONS * sizeof(float), random_floats(tokens * NEURONS, ORDINARY),
    };
    compare_sets("score", score_in_parts, &scores, 1, &part);
}

void check_scores(void) {
    static const size_t ranks[4][2] = {{32, 0}, {0, 32}, {64, 96}, {160, 64}};
    for (size_t i = 0; i < 4; i++) {
        for (nature nature = 0; nature < NATURE_COUNT; nature++) {
            check_case(ranks[i][0], ranks[i][1], 1, nature);
            check_case(ranks[i][0], ranks[i][1], 3, nature);
        }
    }
}
