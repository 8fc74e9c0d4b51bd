// Products with 8-bit activations for every quantised format, in 16 lanes, one lane per row of a
// tile. Blocks are taken apart in registers, for as many tokens as fit; where that is costly and
// tokens are many, 256 columns of a tile are taken apart once into the first-level cache. What one
// token gets is the same either way: sums run over blocks of 32 columns in order.
//
// The includer defines TARGET and SET, includes lanes.h, and defines
//     TILES_AT_ONCE (1 or 2), TOKENS_AT_ONCE (4 or 8): how many tiles' and tokens' sums fit into
//         registers together;
//     SIGNED_BIAS: what signed weights are offered to dot_words with added, 0 or 128;
//     int_lanes dot_words(
//         int_lanes sums, const word_lanes *words, const int count, const int8_t *x,
//         const int weight_max, const int is_signed): for each lane the exact
//         sum + words[k] byte i * x[4 * k + i] over k < count (a constant) and i < 4, where x are
//         in -127...127 and bytes are unsigned, at most weight_max, or with is_signed the signed
//         ones that SIGNED_BIAS was added to;
//     word_lanes look_up(word_lanes codes, const uint8_t *values): every byte, 0...15, replaced by
//         values[byte];
//     and where several tokens are cheaper together, DOT_TOGETHER and
//     void dot_words_together(
//         int_lanes *sums, const word_lanes *words, const int count, const int8_t *const *x,
//         const int tokens, const int weight_max, const int is_signed): dot_words for each of an
//         even number (a constant) of tokens; count is 4 or 8.

#include "gather.h"
#include "multiply.h"
#include "unpack.h"

enum {
    CHUNK_BLOCKS = 8,
    CHUNK_COLUMNS = CHUNK_BLOCKS * CKERNELS_QUANT_BLOCK,
    // Chunks of activations that are kept at hand: tokens times chunks.
    RECORDS = 64,
    // Tiles that activations, once at hand, are used for.
    BATCH_TILES = 16,
    // From so many tokens on a chunk of a costly format is taken apart to memory.
    MANY_TOKENS = 32,
    // Sums that registers hold.
    SUMS_MAX = TILES_AT_ONCE * TOKENS_AT_ONCE,
    // Most bytes of a chunk of 16 rows: Q8_0's.
    CHUNK_BYTES_MAX = CHUNK_BLOCKS * 34 * LANES,
    // How far ahead weights are asked for. Processors read a plain stream ahead by themselves, and
    // better; but not where much work lies between or where a block's fields are several streams.
    PREFETCH_BYTES = 32 << 10
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

// What a dot product with columns 16 * half ..< 16 * half + 16 of sub-block s starts from.
LANES_INLINE int_lanes start_of(
    const format_traits traits, const activation_chunk *x, size_t s, const int half) {
    if (!traits.bias) return (int_lanes){0};
    if (traits.has_scales) return splat_int(x->starts[2 * s + (size_t)half]);
    return half == 0 ? splat_int(x->starts[s]) : (int_lanes){0};
}

// Adds a token's products with sub-block s to its sum, where `dot` is that of integers.
LANES_INLINE lanes add_scaled(
    const format_traits traits, const sub_block *w, const activation_chunk *x, size_t s,
    int_lanes dot, lanes sum) {
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

// Keeps the compiler from loading the operands of what follows before what precedes is done with
// the registers.
#define KEEP_ORDER() __asm__ volatile("" ::: "memory")

#if defined(DOT_TOGETHER)
// Integer products of sub-block s of a tile for `tokens` tokens, an even constant.
LANES_INLINE void dot_tokens(
    const format_traits traits, const int tokens, const sub_block *w, const activation_chunk *x,
    size_t s, int_lanes *dots) {
    // Where a scale holds for 16 columns these are summed apart.
    const int parts = traits.has_scales ? 2 : 1;
#pragma clang loop unroll(full)
    for (int part = 0; part < parts; part++) {
        int_lanes sums[SUMS_MAX];
        const int8_t *quants[SUMS_MAX];
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            sums[t] = start_of(traits, x + t, s, part);
            quants[t] = x[t].quants + CKERNELS_QUANT_BLOCK * s + 16 * part;
        }
        dot_words_together(
            sums, w->words + 4 * part, 8 / parts, quants, tokens, traits.weight_max,
            traits.is_signed);
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            if (traits.has_scales) sums[t] = sums[t] * w->scales[part];
            dots[t] = part > 0 ? dots[t] + sums[t] : sums[t];
        }
    }
}
#endif

// Integer products of sub-block s of a chunk for `tiles` and `tokens` (constants).
LANES_INLINE void dot_sub_blocks(
    const format_traits traits, const int tiles, const int tokens, const sub_block *const *w,
    const activation_chunk *x, size_t s, int_lanes (*dots)[SUMS_MAX]) {
#if defined(DOT_TOGETHER)
    if (tokens % 2 == 0) {
#pragma clang loop unroll(full)
        for (int i = 0; i < tiles; i++) dot_tokens(traits, tokens, w[i], x, s, dots[i]);
        return;
    }
#endif
#pragma clang loop unroll(full)
    for (int half = 0; half < 2; half++) {
        word_lanes words[TILES_AT_ONCE][4];
#pragma clang loop unroll(full)
        for (int i = 0; i < tiles; i++) memcpy(words[i], w[i]->words + 4 * half, sizeof words[i]);
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            const int8_t *quants = x[t].quants + CKERNELS_QUANT_BLOCK * s + 16 * half;
            // One token's two halves need not wait for each other.
            int is_apart = half > 0 && (traits.has_scales || tokens == 1);
            if (tokens > 1) KEEP_ORDER();
#pragma clang loop unroll(full)
            for (int i = 0; i < tiles; i++) {
                int_lanes dot = dots[i][t];
                if (half == 0 || is_apart) dot = start_of(traits, x + t, s, half);
                dot = dot_words(
                    dot, words[i], 4, quants, traits.weight_max, traits.is_signed);
                if (traits.has_scales) dot = dot * w[i]->scales[half];
                dots[i][t] = is_apart ? dots[i][t] + dot : dot;
            }
        }
    }
}

// Adds the products of sub-block s of a chunk for `tiles` and `tokens` (constants).
LANES_INLINE void add_products(
    const format_traits traits, const int tiles, const int tokens, const sub_block *const *w,
    const activation_chunk *x, size_t s, lanes (*sums)[SUMS_MAX]) {
    int_lanes dots[TILES_AT_ONCE][SUMS_MAX] = {0};
    dot_sub_blocks(traits, tiles, tokens, w, x, s, dots);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < tiles; i++) {
            sums[i][t] = add_scaled(traits, w[i], x + t, s, dots[i][t], sums[i][t]);
        }
    }
}

LANES_INLINE void prefetch(const uint8_t *bytes, size_t count) {
    for (size_t at = 0; at < count; at += 64) __builtin_prefetch(bytes + at, 0, 2);
}

// A few tokens (`tokens` is a constant): a chunk's weights never leave the registers. On the way
// the memory from `ahead` on is asked for, unless that is NULL.
LANES_INLINE void multiply_chunk(
    const int format, const int tokens, const uint8_t *block, size_t blocks, const uint8_t *ahead,
    const activation_chunk *x, lanes *sums) {
    const format_traits traits = traits_of(format);
    const size_t sub_bytes =
        (size_t)(traits.bytes / (traits.elements / CKERNELS_QUANT_BLOCK));
    lanes acc[1][SUMS_MAX];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) acc[0][t] = sums[t];
    block_head head;
    if (traits.elements != CKERNELS_QUANT_BLOCK) read_head(format, block, &head);
    for (size_t s = 0; s < blocks; s++) {
        sub_block w;
        const sub_block *tile = &w;
        if (ahead && (traits.is_scattered || tokens > (traits.is_costly ? 1 : 2))) {
            prefetch(ahead + s * sub_bytes, sub_bytes);
        }
        if (traits.elements == CKERNELS_QUANT_BLOCK) {
            read_head(format, block, &head);
            unpack(format, block, &head, 0, &w);
            block += traits.bytes;
        } else {
            unpack(format, block, &head, (int)s, &w);
        }
        add_products(traits, 1, tokens, &tile, x, s, acc);
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) sums[t] = acc[0][t];
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

typedef sub_block tile_chunk[CHUNK_BLOCKS];
typedef lanes tile_sums[RECORDS];

// Adds a chunk's products for `tiles` and `tokens` (constants).
LANES_INLINE void add_chunk(
    const format_traits traits, const int tiles, const int tokens, const tile_chunk *w,
    size_t blocks, const activation_chunk *x, tile_sums *sums, size_t first) {
    lanes acc[TILES_AT_ONCE][SUMS_MAX];
#pragma clang loop unroll(full)
    for (int i = 0; i < tiles; i++) {
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) acc[i][t] = sums[i][first + (size_t)t];
    }
    for (size_t s = 0; s < blocks; s++) {
        const sub_block *sub_blocks[TILES_AT_ONCE];
#pragma clang loop unroll(full)
        for (int i = 0; i < tiles; i++) sub_blocks[i] = &w[i][s];
        add_products(traits, tiles, tokens, sub_blocks, x + first, s, acc);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < tiles; i++) {
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) sums[i][first + (size_t)t] = acc[i][t];
    }
}

LANES_INLINE void add_tokens(
    const format_traits traits, const int tiles, const tile_chunk *w, size_t blocks,
    const activation_chunk *x, size_t tokens, tile_sums *sums) {
    size_t t = 0;
    for (; t + TOKENS_AT_ONCE <= tokens; t += TOKENS_AT_ONCE) {
        add_chunk(traits, tiles, TOKENS_AT_ONCE, w, blocks, x, sums, t);
    }
    for (; t + 2 <= tokens; t += 2) add_chunk(traits, tiles, 2, w, blocks, x, sums, t);
    if (t < tokens) add_chunk(traits, tiles, 1, w, blocks, x, sums, t);
}

// Costly formats whose products run alike share the code for groups of tokens.
#define DEFINE_ADD_TILES(name, ...)                                                         \
    TARGET static void add_tiles_##name(                                                    \
        size_t tiles, const tile_chunk *w, size_t blocks, const activation_chunk *x,        \
        size_t tokens, tile_sums *sums) {                                                   \
        const format_traits traits = {__VA_ARGS__};                                         \
        if (tiles == TILES_AT_ONCE) {                                                       \
            add_tokens(traits, TILES_AT_ONCE, w, blocks, x, tokens, sums);                  \
        } else {                                                                            \
            add_tokens(traits, 1, w, blocks, x, tokens, sums);                              \
        }                                                                                   \
    }

DEFINE_ADD_TILES(offsets, .weight_max = 31, .has_offsets = 1)
DEFINE_ADD_TILES(scales, .bias = 8, .weight_max = 63, .has_scales = 1)
DEFINE_ADD_TILES(scales_and_offsets, .weight_max = 63, .has_scales = 1, .has_offsets = 1)

LANES_INLINE void add_tiles(
    const format_traits traits, size_t tiles, const tile_chunk *w, size_t blocks,
    const activation_chunk *x, size_t tokens, tile_sums *sums) {
    if (traits.has_scales && traits.has_offsets) {
        add_tiles_scales_and_offsets(tiles, w, blocks, x, tokens, sums);
    } else if (traits.has_scales) {
        add_tiles_scales(tiles, w, blocks, x, tokens, sums);
    } else {
        add_tiles_offsets(tiles, w, blocks, x, tokens, sums);
    }
}

// What a group of tokens and a few tiles need at hand; small enough for a thread's stack.
typedef struct {
    activation_chunk x[RECORDS];
    tile_chunk weights[TILES_AT_ONCE];
    tile_sums sums[BATCH_TILES];
    // A chunk of listed rows, as tiles.
    uint8_t gathered[TILES_AT_ONCE * CHUNK_BYTES_MAX];
} workspace;

// One tile's chunk for any number of tokens, straight from the tile.
LANES_INLINE void multiply_direct(
    const int format, const uint8_t *block, size_t blocks, const uint8_t *ahead,
    const activation_chunk *x, size_t tokens, lanes *sums) {
    size_t t = 0;
    for (; t + SUMS_MAX <= tokens; t += SUMS_MAX, ahead = NULL) {
        multiply_chunk(format, SUMS_MAX, block, blocks, ahead, x + t, sums + t);
    }
    if (SUMS_MAX > 4 && t + 4 <= tokens) {
        multiply_chunk(format, 4, block, blocks, ahead, x + t, sums + t);
        t += 4;
        ahead = NULL;
    }
    if (t + 2 <= tokens) {
        multiply_chunk(format, 2, block, blocks, ahead, x + t, sums + t);
        t += 2;
        ahead = NULL;
    }
    if (t < tokens) multiply_chunk(format, 1, block, blocks, ahead, x + t, sums + t);
}

// Whether that is the way for so many tokens.
LANES_INLINE int is_direct(const format_traits traits, size_t tokens) {
    return !traits.is_costly || tokens < MANY_TOKENS;
}

// Chunk `index` of listed rows as tiles.
LANES_INLINE void gather_chunk(
    const int format, const ckernels_product *p, size_t tile, size_t tiles, size_t index,
    size_t blocks, uint8_t *gathered) {
    const format_traits traits = traits_of(format);
    const size_t row_bytes = (size_t)(CHUNK_COLUMNS / traits.elements * traits.bytes / LANES);
    const uint8_t *rows[LANES];
    for (size_t i = 0; i < tiles; i++) {
        rows_of_tile(p, tile + i, index * row_bytes, rows);
        gather_blocks(
            format, rows, blocks * CKERNELS_QUANT_BLOCK / (size_t)traits.elements,
            gathered + i * CHUNK_BYTES_MAX);
    }
}

// `chunks` chunks from `first_chunk` on, of one tile or two, for `tokens` tokens.
LANES_INLINE void multiply_span(
    const int format, const ckernels_product *p, size_t tile, size_t tile_bytes, size_t tiles,
    size_t first_chunk, size_t chunks, size_t tokens, workspace *work, tile_sums *sums) {
    const format_traits traits = traits_of(format);
    const int is_listed = p->row_list != NULL;
    const size_t chunk_bytes = (size_t)(CHUNK_COLUMNS / traits.elements * traits.bytes);
    const size_t apart = is_listed ? CHUNK_BYTES_MAX : tile_bytes;
    size_t columns = p->columns - first_chunk * CHUNK_COLUMNS;
    // What comes next is the next tile's same columns, or simply the next bytes.
    const size_t distance = columns > chunks * CHUNK_COLUMNS ? tile_bytes : PREFETCH_BYTES;
    for (size_t c = 0; c < chunks; c++, columns -= CHUNK_COLUMNS) {
        size_t blocks = smaller(columns, CHUNK_COLUMNS) / CKERNELS_QUANT_BLOCK;
        const activation_chunk *x = work->x + c * tokens;
        const uint8_t *block = work->gathered;
        if (is_listed) {
            gather_chunk(format, p, tile, tiles, first_chunk + c, blocks, work->gathered);
        } else {
            block = p->weights + tile * tile_bytes + (first_chunk + c) * chunk_bytes;
        }
        if (is_direct(traits, tokens)) {
            const uint8_t *ahead = is_listed ? NULL : block + distance;
            multiply_direct(format, block, blocks, ahead, x, tokens, sums[0]);
            continue;
        }
        for (size_t i = 0; i < tiles; i++) {
            unpack_chunk(format, block + i * apart, blocks, work->weights[i]);
            if (!is_listed) prefetch(block + (i + tiles) * tile_bytes, chunk_bytes);
        }
        add_tiles(traits, tiles, work->weights, blocks, x, tokens, sums);
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
    size_t together = is_direct(traits, tokens) ? 1 : TILES_AT_ONCE;
    for (size_t i = 0; i < tiles; i++) memset(work->sums[i], 0, tokens * sizeof(lanes));
    for (size_t first = 0; first < chunk_count; first += chunks_max) {
        size_t chunks = smaller(chunk_count - first, chunks_max);
        for (size_t c = 0; c < chunks; c++) {
            size_t block = (first + c) * CHUNK_BLOCKS;
            size_t blocks = smaller(p->columns / CKERNELS_QUANT_BLOCK - block, CHUNK_BLOCKS);
            for (size_t t = 0; t < tokens; t++) {
                pack_chunk(traits, p, token + t, block, blocks, work->x + c * tokens + t);
            }
        }
        for (size_t i = 0; i < tiles; i += together) {
            multiply_span(
                format, p, first_tile + i, tile_bytes, smaller(tiles - i, together), first,
                chunks, tokens, work, work->sums + i);
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
        for (size_t tile = first_tile; tile < end_tile; tile += BATCH_TILES) {
            size_t tiles = smaller(end_tile - tile, BATCH_TILES);
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
