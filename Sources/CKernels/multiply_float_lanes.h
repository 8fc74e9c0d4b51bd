// Products with float activations in 16 lanes, one lane per row of a tile. A chunk of up to 256
// columns is decoded once for all tokens of a group; sums run over columns in order, so chunks and
// groups leave no trace in the result. The includer defines TARGET, SET and TOKENS_AT_ONCE: how
// many tokens' sums fit into registers.

#include "lanes.h"
#include "multiply.h"

enum {
    CHUNK_COLUMNS = 256,
    // Tokens whose sums are held while a chunk is decoded once.
    GROUP_TOKENS = 64
};

typedef float chunk_weights[CHUNK_COLUMNS][LANES];

// How a chunk's columns are read: decoded floats, or 16-bit floats as they lie in the tile.
enum { COLUMNS_FLOAT, COLUMNS_HALF, COLUMNS_BFLOAT };

LANES_INLINE lanes load_column(const int kind, const uint8_t *columns, size_t c) {
    if (kind == COLUMNS_HALF) return lanes_load_halves(columns + 32 * c);
    if (kind == COLUMNS_BFLOAT) return lanes_load_bfloats(columns + 32 * c);
    return lanes_load(columns + 64 * c);
}

// Adds `count` columns to the sums of `tokens` tokens; `kind` and `tokens` are constants.
LANES_INLINE void accumulate(
    const int kind, const int tokens, const uint8_t *columns, size_t count, const float *x,
    size_t stride, float (*sums)[LANES]) {
    lanes acc[TOKENS_AT_ONCE];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) acc[t] = lanes_load(sums[t]);
    for (size_t c = 0; c < count; c++) {
        lanes weights = load_column(kind, columns, c);
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            acc[t] = lanes_fma(weights, lanes_splat(x[(size_t)t * stride + c]), acc[t]);
        }
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) lanes_store(sums[t], acc[t]);
}

LANES_INLINE void accumulate_group(
    const int kind, size_t tokens, const uint8_t *columns, size_t count, const float *x,
    size_t stride, float (*sums)[LANES]) {
    size_t t = 0;
    for (; t + TOKENS_AT_ONCE <= tokens; t += TOKENS_AT_ONCE) {
        accumulate(kind, TOKENS_AT_ONCE, columns, count, x + t * stride, stride, sums + t);
    }
    for (; t < tokens; t++) {
        accumulate(kind, 1, columns, count, x + t * stride, stride, sums + t);
    }
}

// Byte `index` of a field of 4-byte units, as one word per row.
LANES_INLINE word_lanes field_byte(const uint8_t *field, int index) {
    return (lanes_load_words(field + 64 * (index / 4)) >> (8 * (index % 4))) & 255;
}

// Formats of 32 elements with nibbles: `minimum` says whether they have one, `fifth` whether a
// fifth bit. A block's fields are d, [m], [qh], qs.
LANES_INLINE void decode_nibbles(
    const int minimum, const int fifth, const int offset, const uint8_t *block, float (*y)[LANES]) {
    lanes d = lanes_load_halves(block);
    lanes m = minimum ? lanes_load_halves(block + 32) : d;
    const uint8_t *qh = block + (minimum ? 64 : 32);
    const uint8_t *qs = qh + (fifth ? 64 : 0);
    word_lanes bits = fifth ? lanes_load_words(qh) : (word_lanes){0};
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) {
        word_lanes word = lanes_load_words(qs + 64 * (i / 4));
        word_lanes low = word >> (8 * (i % 4)) & 15;
        word_lanes high = word >> (8 * (i % 4) + 4) & 15;
        if (fifth) {
            low |= (bits >> i & 1) << 4;
            high |= (bits >> (i + 16) & 1) << 4;
        }
        lanes first = d * lanes_from_words(low - (uint32_t)offset);
        lanes second = d * lanes_from_words(high - (uint32_t)offset);
        lanes_store(y[i], minimum ? first + m : first);
        lanes_store(y[i + 16], minimum ? second + m : second);
    }
}

// The 6-bit scale and minimum of sub-block s of Q4_K and Q5_K, times the block's d and dmin.
LANES_INLINE void sub_block_scale(
    const uint8_t *scales, int s, lanes d, lanes dmin, lanes *step, lanes *low_end) {
    word_lanes scale, minimum;
    if (s < 4) {
        scale = field_byte(scales, s) & 63;
        minimum = field_byte(scales, s + 4) & 63;
    } else {
        word_lanes both = field_byte(scales, s + 4);
        scale = (both & 15) | (field_byte(scales, s - 4) >> 2 & 48);
        minimum = both >> 4 | (field_byte(scales, s) >> 2 & 48);
    }
    *step = d * lanes_from_words(scale);
    *low_end = dmin * lanes_from_words(minimum);
}

// Q4_K and Q5_K: fields d, dmin, scales, [qh], qs. Two sub-blocks of 32 share 32 bytes of qs.
LANES_INLINE void decode_q45_K(const int fifth, const uint8_t *block, float (*y)[LANES]) {
    lanes d = lanes_load_halves(block);
    lanes dmin = lanes_load_halves(block + 32);
    const uint8_t *scales = block + 64;
    const uint8_t *qh = scales + 12 * 16;
    const uint8_t *qs = qh + (fifth ? 32 * 16 : 0);
    for (int s = 0; s < 8; s += 2, qs += 32 * 16, y += 64) {
        lanes step[2], low_end[2];
        sub_block_scale(scales, s, d, dmin, &step[0], &low_end[0]);
        sub_block_scale(scales, s + 1, d, dmin, &step[1], &low_end[1]);
        for (int i = 0; i < 32; i += 4) {
            word_lanes word = lanes_load_words(qs + 16 * i);
            word_lanes bits = fifth ? lanes_load_words(qh + 16 * i) >> s : (word_lanes){0};
#pragma clang loop unroll(full)
            for (int k = 0; k < 4; k++) {
                word_lanes low = word >> (8 * k) & 15;
                word_lanes high = word >> (8 * k + 4) & 15;
                if (fifth) {
                    low |= (bits >> (8 * k) & 1) << 4;
                    high |= (bits >> (8 * k + 1) & 1) << 4;
                }
                lanes_store(y[i + k], step[0] * lanes_from_words(low) - low_end[0]);
                lanes_store(y[i + k + 32], step[1] * lanes_from_words(high) - low_end[1]);
            }
        }
    }
}

// One half (128 elements) of a Q6_K block; steps are d times the half's 8 scales.
LANES_INLINE void decode_q6_K_half(
    const uint8_t *ql, const uint8_t *qh, const lanes *steps, float (*y)[LANES]) {
    for (int i = 0; i < 32; i += 4) {
        const lanes *step = steps + i / 16;
        word_lanes words[2] = {lanes_load_words(ql + 16 * i), lanes_load_words(ql + 16 * (i + 32))};
        word_lanes high_word = lanes_load_words(qh + 16 * i);
#pragma clang loop unroll(full)
        for (int k = 0; k < 4; k++) {
#pragma clang loop unroll(full)
            for (int quarter = 0; quarter < 4; quarter++) {
                word_lanes low = words[quarter % 2] >> (8 * k + 4 * (quarter / 2)) & 15;
                word_lanes high = high_word >> (8 * k + 2 * quarter) & 3;
                lanes q = lanes_from_words((low | high << 4) - 32);
                lanes_store(y[32 * quarter + i + k], step[2 * quarter] * q);
            }
        }
    }
}

// Q6_K: fields ql, qh, scales, d.
LANES_INLINE void decode_q6_K(const uint8_t *block, float (*y)[LANES]) {
    const uint8_t *ql = block;
    const uint8_t *qh = ql + 128 * 16;
    const uint8_t *scales = qh + 64 * 16;
    lanes d = lanes_load_halves(scales + 16 * 16);
    lanes steps[16];
    for (int run = 0; run < 16; run++) {
        int_lanes scale = (int_lanes)(field_byte(scales, run) << 24) >> 24;
        steps[run] = d * __builtin_convertvector(scale, lanes);
    }
    decode_q6_K_half(ql, qh, steps, y);
    decode_q6_K_half(ql + 64 * 16, qh + 32 * 16, steps + 8, y + 128);
}

LANES_INLINE void decode_block(const int format, const uint8_t *block, float (*y)[LANES]) {
    switch (format) {
    case CKERNELS_Q4_1: decode_nibbles(1, 0, 0, block, y); break;
    case CKERNELS_Q5_0: decode_nibbles(0, 1, 16, block, y); break;
    case CKERNELS_Q5_1: decode_nibbles(1, 1, 0, block, y); break;
    case CKERNELS_Q4_K: decode_q45_K(0, block, y); break;
    case CKERNELS_Q5_K: decode_q45_K(1, block, y); break;
    case CKERNELS_Q6_K: decode_q6_K(block, y); break;
    }
}

// One tile for up to GROUP_TOKENS tokens. `format`, `elements` and `block_bytes` (of 16 rows) are
// constants.
LANES_INLINE void multiply_tile(
    const int format, const size_t elements, const size_t block_bytes, const ckernels_product *p,
    const uint8_t *tile, const float *x, size_t tokens, float (*sums)[LANES]) {
    chunk_weights decoded;
    for (size_t c = 0; c < p->columns; c += CHUNK_COLUMNS) {
        size_t count = smaller(p->columns - c, CHUNK_COLUMNS);
        const uint8_t *blocks = tile + c / elements * block_bytes;
        if (format == CKERNELS_F32) {
            accumulate_group(COLUMNS_FLOAT, tokens, blocks, count, x + c, p->columns, sums);
        } else if (format == CKERNELS_F16) {
            accumulate_group(COLUMNS_HALF, tokens, blocks, count, x + c, p->columns, sums);
        } else if (format == CKERNELS_BF16) {
            accumulate_group(COLUMNS_BFLOAT, tokens, blocks, count, x + c, p->columns, sums);
        } else {
            for (size_t i = 0; i < count; i += elements) {
                decode_block(format, blocks + i / elements * block_bytes, decoded + i);
            }
            accumulate_group(
                COLUMNS_FLOAT, tokens, (const uint8_t *)decoded, count, x + c, p->columns, sums);
        }
    }
}

LANES_INLINE void multiply_tiles(
    const int format, const size_t elements, const size_t block_bytes, const ckernels_product *p,
    size_t first_tile, size_t end_tile) {
    size_t tile_bytes = p->columns / elements * block_bytes;
    for (size_t t = 0; t < p->tokens; t += GROUP_TOKENS) {
        size_t tokens = smaller(p->tokens - t, GROUP_TOKENS);
        for (size_t tile = first_tile; tile < end_tile; tile++) {
            float sums[GROUP_TOKENS][LANES];
            memset(sums, 0, tokens * sizeof sums[0]);
            multiply_tile(
                format, elements, block_bytes, p, p->weights + tile * tile_bytes,
                p->floats + t * p->columns, tokens, sums);
            for (size_t i = 0; i < tokens; i++) store_rows(p, tile, t + i, sums[i]);
        }
    }
}

#define DEFINE_NAMED(name, set, format, elements, bytes)                          \
    TARGET void ckernels_multiply_##name##_##set(                                 \
        const ckernels_product *product, size_t first_tile, size_t end_tile) {    \
        multiply_tiles(format, elements, 16 * (bytes), product, first_tile, end_tile); \
    }
#define DEFINE(name, set, format, elements, bytes) \
    DEFINE_NAMED(name, set, format, elements, bytes)

DEFINE(f32, SET, CKERNELS_F32, 1, 4)
DEFINE(f16, SET, CKERNELS_F16, 1, 2)
DEFINE(bf16, SET, CKERNELS_BF16, 1, 2)
DEFINE(q4_1, SET, CKERNELS_Q4_1, 32, 20)
DEFINE(q5_0, SET, CKERNELS_Q5_0, 32, 22)
DEFINE(q5_1, SET, CKERNELS_Q5_1, 32, 24)
DEFINE(q4_K, SET, CKERNELS_Q4_K, 256, 144)
DEFINE(q5_K, SET, CKERNELS_Q5_K, 256, 176)
DEFINE(q6_K, SET, CKERNELS_Q6_K, 256, 210)
