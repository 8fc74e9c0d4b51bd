// Products with float activations in 16 lanes, one lane per row of a tile. Sums of several tiles
// and tokens are kept in registers together, each over columns in order: how many share a call
// leaves no trace in the result. The includer defines TARGET, SET and SUMS_MAX: how many sums of 16
// lanes its registers hold beside what they are made of.

#include "lanes.h"
#include "gather.h"
#include "multiply.h"

enum {
    // Tokens that share each weight that is loaded.
    PANEL_TOKENS = 6,
    // From so many tokens on activations are brought into the order in which they are read.
    PACKED_TOKENS = 8,
    // Tiles whose columns stay in the first-level cache while all tokens pass.
    BATCH_TILES = 4,
    // Columns and tokens that are taken at a time.
    CHUNK_COLUMNS = 512,
    GROUP_TOKENS = 64
};

// Some columns of up to BATCH_TILES tiles, and where their sums are: those of a tile's 16 rows side
// by side, `stride` from token to token.
typedef struct {
    const uint8_t *weights;
    size_t tile_bytes;
    size_t tiles;
    size_t columns;
    int is_first;
    float *sums;
    size_t stride;
} tile_chunk;

LANES_INLINE size_t column_bytes(const int format) { return format == CKERNELS_F32 ? 64 : 32; }

LANES_INLINE lanes load_column(const int format, const uint8_t *column) {
    if (format == CKERNELS_F16) return lanes_load_halves(column);
    if (format == CKERNELS_BF16) return lanes_load_bfloats(column);
    return lanes_load(column);
}

// Adds a chunk's columns for `tiles` tiles and `tokens` tokens; both, and `format`, are constants.
// Activations are `x_token` apart from token to token and `x_column` from column to column.
LANES_INLINE void add_columns(
    const int format, const int tiles, const int tokens, const tile_chunk *w, size_t tile,
    const float *x, const size_t x_token, const size_t x_column) {
    lanes acc[BATCH_TILES][PANEL_TOKENS];
    float *sums = w->sums + LANES * tile;
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < tiles; i++) {
            acc[i][t] = (lanes){0};
            if (!w->is_first) acc[i][t] = lanes_load(sums + (size_t)t * w->stride + LANES * i);
        }
    }
    const uint8_t *column = w->weights + tile * w->tile_bytes;
    const size_t tile_bytes = w->tile_bytes;
    for (size_t c = w->columns; c > 0; c--, column += column_bytes(format), x += x_column) {
        lanes weights[BATCH_TILES];
#pragma clang loop unroll(full)
        for (int i = 0; i < tiles; i++) {
            weights[i] = load_column(format, column + (size_t)i * tile_bytes);
        }
#pragma clang loop unroll(full)
        for (int t = 0; t < tokens; t++) {
            lanes activation = lanes_splat(x[(size_t)t * x_token]);
#pragma clang loop unroll(full)
            for (int i = 0; i < tiles; i++) {
                acc[i][t] = lanes_fma(weights[i], activation, acc[i][t]);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < tiles; i++) {
            lanes_store(sums + (size_t)t * w->stride + LANES * i, acc[i][t]);
        }
    }
}

// All tiles of a chunk for one panel: as many together as registers hold sums of.
LANES_INLINE void add_panel(
    const int format, const int tokens, const tile_chunk *w, const float *x, const size_t x_token,
    const size_t x_column) {
    const int most = SUMS_MAX / tokens < BATCH_TILES ? SUMS_MAX / tokens : BATCH_TILES;
    size_t tile = 0;
    for (; tile + (size_t)most <= w->tiles; tile += (size_t)most) {
        add_columns(format, most, tokens, w, tile, x, x_token, x_column);
    }
    if (most > 2 && tile + 2 <= w->tiles) {
        add_columns(format, 2, tokens, w, tile, x, x_token, x_column);
        tile += 2;
    }
    if (most > 1 && tile < w->tiles) {
        add_columns(format, 1, tokens, w, tile, x, x_token, x_column);
    }
}

// Activations as they lie in memory.
LANES_INLINE void add_plain_panel(
    const int format, size_t tokens, const tile_chunk *w, const float *x, size_t stride) {
    switch (tokens) {
    case 1: add_panel(format, 1, w, x, stride, 1); break;
    case 2: add_panel(format, 2, w, x, stride, 1); break;
    case 3: add_panel(format, 3, w, x, stride, 1); break;
    case 4: add_panel(format, 4, w, x, stride, 1); break;
    case 5: add_panel(format, 5, w, x, stride, 1); break;
    default: add_panel(format, 6, w, x, stride, 1); break;
    }
}

// Activations column by column.
LANES_INLINE void add_packed_panel(
    const int format, size_t tokens, const tile_chunk *w, const float *x) {
    switch (tokens) {
    case 4: add_panel(format, 4, w, x, 1, 4); break;
    case 5: add_panel(format, 5, w, x, 1, 5); break;
    default: add_panel(format, 6, w, x, 1, 6); break;
    }
}

// Four columns of four tokens, side by side for each column.
LANES_INLINE void pack_four(const float *x, size_t stride, float *packed, size_t tokens) {
    typedef float four __attribute__((vector_size(16)));
    four a[4];
    for (size_t t = 0; t < 4; t++) memcpy(a + t, x + t * stride, sizeof(four));
    four b[4] = {
        __builtin_shufflevector(a[0], a[1], 0, 4, 1, 5),
        __builtin_shufflevector(a[0], a[1], 2, 6, 3, 7),
        __builtin_shufflevector(a[2], a[3], 0, 4, 1, 5),
        __builtin_shufflevector(a[2], a[3], 2, 6, 3, 7),
    };
    four columns[4] = {
        __builtin_shufflevector(b[0], b[2], 0, 1, 4, 5),
        __builtin_shufflevector(b[0], b[2], 2, 3, 6, 7),
        __builtin_shufflevector(b[1], b[3], 0, 1, 4, 5),
        __builtin_shufflevector(b[1], b[3], 2, 3, 6, 7),
    };
    for (size_t c = 0; c < 4; c++) memcpy(packed + c * tokens, columns + c, sizeof(four));
}

// `columns` columns of 4 to 8 tokens: the first four, and the last four, some of them twice.
LANES_INLINE void pack_panel(
    const float *x, size_t stride, size_t tokens, size_t columns, float *packed) {
    size_t whole = columns / 4 * 4, last = tokens - 4;
    for (size_t c = 0; c < whole; c += 4) {
        pack_four(x + c, stride, packed + c * tokens, tokens);
        if (last > 0) pack_four(x + last * stride + c, stride, packed + c * tokens + last, tokens);
    }
    for (size_t c = whole; c < columns; c++) {
        for (size_t t = 0; t < tokens; t++) packed[c * tokens + t] = x[t * stride + c];
    }
}

// Tokens first ..< end of panel `index`, when `tokens` are cut into `count` panels.
LANES_INLINE size_t panel_start(size_t index, size_t count, size_t tokens) {
    return index * tokens / count;
}

// A chunk's columns of some tiles, for all panels of a group.
LANES_INLINE void add_panels(
    const int format, const tile_chunk *chunk, const float *x, size_t x_stride, const float *packed,
    size_t tokens) {
    size_t panels = (tokens + PANEL_TOKENS - 1) / PANEL_TOKENS;
    for (size_t i = 0; i < panels; i++) {
        size_t first = panel_start(i, panels, tokens);
        size_t count = panel_start(i + 1, panels, tokens) - first;
        tile_chunk w = *chunk;
        w.sums += first * w.stride;
        if (tokens < PACKED_TOKENS) {
            add_plain_panel(format, count, &w, x + first * x_stride, x_stride);
        } else {
            add_packed_panel(format, count, &w, packed + first * w.columns);
        }
    }
}

LANES_INLINE void pack_panels(
    const float *x, size_t stride, size_t tokens, size_t columns, float *packed) {
    size_t panels = (tokens + PANEL_TOKENS - 1) / PANEL_TOKENS;
    for (size_t i = 0; i < panels; i++) {
        size_t first = panel_start(i, panels, tokens);
        size_t count = panel_start(i + 1, panels, tokens) - first;
        pack_panel(x + first * stride, stride, count, columns, packed + first * columns);
    }
}

// `columns` numbers of 16 rows, those of a column side by side.
LANES_INLINE void gather_row_numbers(
    const int format, const uint8_t *const *rows, size_t columns, uint8_t *gathered) {
    if (format == CKERNELS_F32) {
        gather_words(rows, 0, 4 * columns, gathered);
    } else {
        gather_halves(rows, 0, 2 * columns, gathered);
    }
}

// Tiles first_tile ..< end_tile for `tokens` tokens from `token` on. Sums are kept in the results
// themselves, but for the last tile's when it has rows that are not wanted.
LANES_INLINE void multiply_group(
    const int format, const ckernels_product *p, size_t first_tile, size_t end_tile, size_t token,
    size_t tokens) {
    float packed[CHUNK_COLUMNS * GROUP_TOKENS];
    float rest[GROUP_TOKENS][LANES];
    uint8_t gathered[CHUNK_COLUMNS * 4 * LANES];
    const size_t tile_bytes = p->columns * column_bytes(format);
    const float *x = p->floats + token * p->columns;
    size_t whole_tiles = smaller(p->rows / LANES, end_tile);
    const int is_listed = p->row_list != NULL;
    size_t chunk_columns =
        tokens <= PANEL_TOKENS && !is_listed ? p->columns : CHUNK_COLUMNS;
    for (size_t c = 0; c < p->columns; c += chunk_columns) {
        size_t columns = smaller(p->columns - c, chunk_columns);
        if (tokens >= PACKED_TOKENS) pack_panels(x + c, p->columns, tokens, columns, packed);
        for (size_t tile = first_tile; tile < end_tile;) {
            tile_chunk chunk = {
                .weights = is_listed
                    ? gathered
                    : p->weights + tile * tile_bytes + c * column_bytes(format),
                .tile_bytes = tile_bytes,
                .columns = columns,
                .is_first = c == 0,
                .sums = p->y + token * p->y_stride + tile * LANES,
                .stride = p->y_stride,
            };
            if (tile < whole_tiles) {
                chunk.tiles = smaller(whole_tiles - tile, is_listed ? 1 : BATCH_TILES);
            } else {
                chunk.tiles = 1;
                chunk.sums = rest[0];
                chunk.stride = LANES;
            }
            if (is_listed) {
                const uint8_t *rows[LANES];
                rows_of_tile(p, tile, c * (column_bytes(format) / LANES), rows);
                gather_row_numbers(format, rows, columns, gathered);
            }
            add_panels(format, &chunk, x + c, p->columns, packed, tokens);
            tile += chunk.tiles;
        }
    }
    if (whole_tiles < end_tile) {
        for (size_t t = 0; t < tokens; t++) store_rows(p, whole_tiles, token + t, rest[t]);
    }
}

LANES_INLINE void multiply_tiles(
    const int format, const ckernels_product *p, size_t first_tile, size_t end_tile) {
    for (size_t t = 0; t < p->tokens; t += GROUP_TOKENS) {
        size_t tokens = smaller(p->tokens - t, GROUP_TOKENS);
        multiply_group(format, p, first_tile, end_tile, t, tokens);
    }
}

#define DEFINE_NAMED(name, number, set)                                        \
    TARGET void ckernels_multiply_##name##_##set(                              \
        const ckernels_product *product, size_t first_tile, size_t end_tile) { \
        multiply_tiles(CKERNELS_##number, product, first_tile, end_tile);      \
    }
#define DEFINE(name, number, set) DEFINE_NAMED(name, number, set)

FOR_EACH_FLOAT_FORMAT(DEFINE, SET)
