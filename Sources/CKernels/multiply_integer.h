// Products with 8-bit activations for every quantised format, in 16 lanes, one lane per row of a
// tile. Blocks are taken apart in registers when there is one token; for more, 256 columns of a
// tile are taken apart once into the first-level cache and serve all tokens of a group. What one
// token gets is the same either way: sums run over blocks of 32 columns in order.
//
// The includer defines TARGET and SET, includes lanes.h, and defines
//     TOKENS_AT_ONCE: how many tokens' sums fit into registers (at most 8);
//     SIGNED_BIAS: what signed weights are offered to dot_words with added, 0 or 128;
//     int_lanes dot_words(
//         int_lanes sums, const word_lanes *words, const int count, const int8_t *x,
//         const int weight_max, const int is_signed): for each lane the exact
//         sum + words[k] byte i * x[4 * k + i] over k < count (4 or 8) and i < 4, where x are in
//         -127...127 and bytes are unsigned, at most weight_max, or with is_signed the signed bytes
//         that SIGNED_BIAS was added to;
//     word_lanes look_up(word_lanes codes, const uint8_t *values): every byte, 0...15, replaced by
//         values[byte].

#include "multiply.h"
#include "unpack.h"

enum {
    CHUNK_BLOCKS = 8,
    CHUNK_COLUMNS = CHUNK_BLOCKS * CKERNELS_QUANT_BLOCK,
    // Chunks of activations that are kept at hand: tokens times chunks.
    RECORDS = 32,
    TILES_AT_ONCE = 8
};

// 256 columns of one token, as the products take them.
typedef struct {
    int8_t quants[CHUNK_COLUMNS];
    float scales[CHUNK_BLOCKS];
    // -bias * sum, and scale * sum: of 32 quants, or of 16 where a format has scales.
    int32_t starts[2 * CHUNK_BLOCKS];
    float offsets[2 * CHUNK_BLOCKS];
} activation_chunk;

// Fills `x` with token t's columns from block `first` on.
LANES_INLINE void pack_chunk(
    const format_traits traits, const ckernels_product *p, size_t t, size_t first, size_t blocks,
    activation_chunk *x) {
    size_t at = t * (p->columns / CKERNELS_QUANT_BLOCK) + first;
    int_lanes sums = {0};
    lanes scales = {0};
    if (blocks == CHUNK_BLOCKS) {
        memcpy(x->quants, p->quants + CKERNELS_QUANT_BLOCK * at, CHUNK_COLUMNS);
        memcpy(&scales, p->scales + at, CHUNK_BLOCKS * sizeof(float));
        memcpy(&sums, p->sums + 2 * at, 2 * CHUNK_BLOCKS * sizeof(int32_t));
    } else {
        memcpy(x->quants, p->quants + CKERNELS_QUANT_BLOCK * at, CKERNELS_QUANT_BLOCK * blocks);
        memcpy(&scales, p->scales + at, blocks * sizeof(float));
        memcpy(&sums, p->sums + 2 * at, 2 * blocks * sizeof(int32_t));
    }
    memcpy(x->scales, &scales, sizeof x->scales);
    if (traits.has_scales) {
        scales = __builtin_shufflevector(
            scales, scales, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    } else {
        sums = __builtin_shufflevector(
                   sums, sums, 0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14)
            + __builtin_shufflevector(
                   sums, sums, 1, 3, 5, 7, 9, 11, 13, 15, 1, 3, 5, 7, 9, 11, 13, 15);
    }
    if (traits.bias) {
        int_lanes starts = sums * -traits.bias;
        memcpy(x->starts, &starts, sizeof starts);
    }
    if (traits.has_offsets) {
        lanes_store(x->offsets, scales * __builtin_convertvector(sums, lanes));
    }
}

LANES_INLINE int_lanes splat_int(int32_t v) {
    return (int_lanes){v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v};
}

// Adds one token's products with a sub-block, which stands for columns 32 * s of the chunk.
LANES_INLINE lanes add_products(
    const format_traits traits, const sub_block *w, const activation_chunk *x, size_t s,
    lanes sum) {
    const int8_t *quants = x->quants + CKERNELS_QUANT_BLOCK * s;
    int_lanes dot = {0};
    if (traits.has_scales) {
        int_lanes last = {0};
        if (traits.bias) {
            dot = splat_int(x->starts[2 * s]);
            last = splat_int(x->starts[2 * s + 1]);
        }
        dot = dot_words(dot, w->words, 4, quants, traits.weight_max, traits.is_signed);
        last = dot_words(last, w->words + 4, 4, quants + 16, traits.weight_max, traits.is_signed);
        dot = dot * w->scales[0] + last * w->scales[1];
    } else {
        if (traits.bias) dot = splat_int(x->starts[s]);
        dot = dot_words(dot, w->words, 8, quants, traits.weight_max, traits.is_signed);
    }
    lanes scale = w->step * lanes_splat(x->scales[s]);
    sum = lanes_fma(__builtin_convertvector(dot, lanes), scale, sum);
    if (traits.has_offsets && traits.has_scales) {
        sum = lanes_fma(w->offsets[0], lanes_splat(x->offsets[2 * s]), sum);
        sum = lanes_fma(w->offsets[1], lanes_splat(x->offsets[2 * s + 1]), sum);
    } else if (traits.has_offsets) {
        sum = lanes_fma(w->offsets[0], lanes_splat(x->offsets[s]), sum);
    }
    return sum;
}

// One token: a chunk's blocks never leave the registers.
LANES_INLINE lanes multiply_chunk(
    const int format, const uint8_t *block, size_t blocks, const activation_chunk *x, lanes sum) {
    const format_traits traits = traits_of(format);
    block_head head;
    if (traits.elements != CKERNELS_QUANT_BLOCK) read_head(format, block, &head);
    for (size_t s = 0; s < blocks; s++) {
        sub_block w;
        if (traits.elements == CKERNELS_QUANT_BLOCK) {
            read_head(format, block, &head);
            unpack(format, block, &head, 0, &w);
            block += traits.bytes;
        } else {
            unpack(format, block, &head, (int)s, &w);
        }
        sum = add_products(traits, &w, x, s, sum);
    }
    return sum;
}

// A chunk's blocks to memory.
LANES_INLINE void unpack_chunk(
    const int format, const uint8_t *block, size_t blocks, sub_block *w) {
    const format_traits traits = traits_of(format);
    block_head head;
    if (traits.elements != CKERNELS_QUANT_BLOCK) read_head(format, block, &head);
    for (size_t s = 0; s < blocks; s++) {
        if (traits.elements == CKERNELS_QUANT_BLOCK) {
            read_head(format, block, &head);
            unpack(format, block, &head, 0, w + s);
            block += traits.bytes;
        } else {
            unpack(format, block, &head, (int)s, w + s);
        }
    }
}

// Adds a chunk's products for `tokens` (a constant) tokens.
LANES_INLINE void add_chunk(
    const format_traits traits, const int tokens, const sub_block *w, size_t blocks,
    const activation_chunk *x, lanes *sums) {
    lanes acc[TOKENS_AT_ONCE];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) acc[t] = sums[t];
    for (size_t s = 0; s < blocks; s++) {
        sub_block local = w[s];
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) acc[t] = add_products(traits, &local, x + t, s, acc[t]);
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) sums[t] = acc[t];
}

// Formats whose products run alike share the code for groups of tokens.
#define DEFINE_GROUP(name, ...)                                                             \
    TARGET static void add_group_##name(                                                    \
        const sub_block *w, size_t blocks, const activation_chunk *x, size_t tokens,        \
        lanes *sums) {                                                                      \
        const format_traits traits = {__VA_ARGS__};                                         \
        size_t t = 0;                                                                       \
        for (; t + TOKENS_AT_ONCE <= tokens; t += TOKENS_AT_ONCE) {                         \
            add_chunk(traits, TOKENS_AT_ONCE, w, blocks, x + t, sums + t);                  \
        }                                                                                   \
        if (TOKENS_AT_ONCE > 4 && t + 4 <= tokens) {                                        \
            add_chunk(traits, 4, w, blocks, x + t, sums + t);                               \
            t += 4;                                                                         \
        }                                                                                   \
        if (t + 2 <= tokens) {                                                              \
            add_chunk(traits, 2, w, blocks, x + t, sums + t);                               \
            t += 2;                                                                         \
        }                                                                                   \
        if (t < tokens) add_chunk(traits, 1, w, blocks, x + t, sums + t);                   \
    }

DEFINE_GROUP(plain, .bias = 8, .weight_max = 31)
DEFINE_GROUP(signed, .bias = SIGNED_BIAS, .weight_max = 255, .is_signed = 1)
DEFINE_GROUP(offsets, .weight_max = 31, .has_offsets = 1)
DEFINE_GROUP(scales, .bias = 8, .weight_max = 63, .has_scales = 1)
DEFINE_GROUP(scales_and_offsets, .weight_max = 63, .has_scales = 1, .has_offsets = 1)

LANES_INLINE void add_group(
    const format_traits traits, const sub_block *w, size_t blocks, const activation_chunk *x,
    size_t tokens, lanes *sums) {
    if (traits.has_scales && traits.has_offsets) {
        add_group_scales_and_offsets(w, blocks, x, tokens, sums);
    } else if (traits.has_scales) {
        add_group_scales(w, blocks, x, tokens, sums);
    } else if (traits.has_offsets) {
        add_group_offsets(w, blocks, x, tokens, sums);
    } else if (traits.is_signed) {
        add_group_signed(w, blocks, x, tokens, sums);
    } else {
        add_group_plain(w, blocks, x, tokens, sums);
    }
}

// What a group of tokens and a few tiles need at hand; small enough for a thread's stack.
typedef struct {
    activation_chunk x[RECORDS];
    sub_block weights[CHUNK_BLOCKS];
    lanes sums[TILES_AT_ONCE][RECORDS];
} workspace;

// `chunks` chunks from `first_chunk` on, of one tile, for `tokens` tokens.
LANES_INLINE void multiply_tile(
    const int format, const ckernels_product *p, const uint8_t *tile, size_t first_chunk,
    size_t chunks, size_t tokens, workspace *work, lanes *sums) {
    const format_traits traits = traits_of(format);
    const size_t chunk_bytes = (size_t)(CHUNK_COLUMNS / traits.elements * traits.bytes);
    const uint8_t *block = tile + first_chunk * chunk_bytes;
    size_t columns = p->columns - first_chunk * CHUNK_COLUMNS;
    for (size_t c = 0; c < chunks; c++, block += chunk_bytes, columns -= CHUNK_COLUMNS) {
        size_t blocks = smaller(columns, CHUNK_COLUMNS) / CKERNELS_QUANT_BLOCK;
        const activation_chunk *x = work->x + c * tokens;
        if (tokens == 1) {
            sums[0] = multiply_chunk(format, block, blocks, x, sums[0]);
        } else {
            unpack_chunk(format, block, blocks, work->weights);
            add_group(traits, work->weights, blocks, x, tokens, sums);
        }
    }
}

// A few tiles for a group of tokens from `token` on.
LANES_INLINE void multiply_group(
    const int format, const ckernels_product *p, size_t first_tile, size_t tiles, size_t token,
    size_t tokens, workspace *work) {
    const format_traits traits = traits_of(format);
    size_t tile_bytes = p->columns / (size_t)traits.elements * (size_t)traits.bytes;
    size_t chunk_count = (p->columns + CHUNK_COLUMNS - 1) / CHUNK_COLUMNS;
    size_t chunks_max = RECORDS / tokens;
    memset(work->sums, 0, tiles * sizeof work->sums[0]);
    for (size_t first = 0; first < chunk_count; first += chunks_max) {
        size_t chunks = smaller(chunk_count - first, chunks_max);
        for (size_t c = 0; c < chunks; c++) {
            size_t block = (first + c) * CHUNK_BLOCKS;
            size_t blocks = smaller(p->columns / CKERNELS_QUANT_BLOCK - block, CHUNK_BLOCKS);
            for (size_t t = 0; t < tokens; t++) {
                pack_chunk(traits, p, token + t, block, blocks, work->x + c * tokens + t);
            }
        }
        for (size_t i = 0; i < tiles; i++) {
            const uint8_t *tile = p->weights + (first_tile + i) * tile_bytes;
            multiply_tile(format, p, tile, first, chunks, tokens, work, work->sums[i]);
        }
    }
    for (size_t i = 0; i < tiles; i++) {
        for (size_t t = 0; t < tokens; t++) {
            store_rows(p, first_tile + i, token + t, (const float *)&work->sums[i][t]);
        }
    }
}

LANES_INLINE void multiply_tiles(
    const int format, const ckernels_product *p, size_t first_tile, size_t end_tile) {
    workspace work;
    for (size_t t = 0; t < p->tokens; t += RECORDS) {
        size_t tokens = smaller(p->tokens - t, RECORDS);
        for (size_t tile = first_tile; tile < end_tile; tile += TILES_AT_ONCE) {
            size_t tiles = smaller(end_tile - tile, TILES_AT_ONCE);
            multiply_group(format, p, tile, tiles, t, tokens, &work);
        }
    }
}

#define DEFINE_NAMED(name, number, set)                                                     \
    TARGET void ckernels_multiply_##name##_##set(                                           \
        const ckernels_product *product, size_t first_tile, size_t end_tile) {              \
        multiply_tiles(CKERNELS_##number, product, first_tile, end_tile);                   \
    }
#define DEFINE(name, number, set) DEFINE_NAMED(name, number, set)

FOR_EACH_QUANTISED_FORMAT(DEFINE, SET)
