// Attention in 16 lanes. A lane is a position while scores are summed and a column while values
// are; several queries (heads of one group, of one token or of neighbouring ones) share each key
// and value that is loaded. The includer defines TARGET, SET, and TILE_LANES: how many sums of 16
// lanes its registers hold beside what they are made of.

#include "attend.h"
#include "lanes.h"

#define JOIN_NAMED(a, b) a##b
#define JOIN(a, b) JOIN_NAMED(a, b)
#define NAME(operation) JOIN(ckernels_##operation##_, SET)

enum {
    QUERIES_MAX = TILE_LANES < 8 ? TILE_LANES : 8,
    PAGE_VECTORS = CKERNELS_PAGE_TOKENS / LANES
};

// 16 elements of the cache; `bytes`, a constant, is 2 for halves and 4 for floats.
LANES_INLINE lanes load_elements(const size_t bytes, const uint8_t *p) {
    return bytes == 2 ? lanes_load_halves(p) : lanes_load(p);
}

// One token's one head on its way through the pages of a span.
typedef struct {
    const float *query;
    // It sees positions begin ..< positions, in the present page hidden ..< visible.
    size_t begin;
    size_t positions;
    size_t hidden;
    size_t visible;
    float max;
    float sum;
    float correction;
    // Scores of a page, then their weights.
    float weights[CKERNELS_PAGE_TOKENS];
    float y[STRIP_COLUMNS];
} attention_query;

// What a pass over pages computes.
typedef struct {
    const ckernels_attention *attention;
    size_t kv_head;
    // The strip of values.
    size_t column;
    size_t columns;
} attention_pass;

// Scores of 16 * `vectors` positions for `count` queries, both constants.
LANES_INLINE void score_tile(
    const size_t bytes, const int count, const int vectors, attention_query *queries,
    const uint8_t *keys, size_t first, size_t width, float scale) {
    lanes sums[QUERIES_MAX][PAGE_VECTORS];
#pragma clang loop unroll(full)
    for (int q = 0; q < count; q++) {
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) sums[q][j] = (lanes){0};
    }
    keys += bytes * first;
    for (size_t i = 0; i < width; i++, keys += bytes * CKERNELS_PAGE_TOKENS) {
        lanes key[PAGE_VECTORS];
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) key[j] = load_elements(bytes, keys + bytes * LANES * j);
#pragma clang loop unroll(full)
        for (int q = 0; q < count; q++) {
            lanes query = lanes_splat(queries[q].query[i]);
#pragma clang loop unroll(full)
            for (int j = 0; j < vectors; j++) sums[q][j] = lanes_fma(query, key[j], sums[q][j]);
        }
    }
#pragma clang loop unroll(full)
    for (int q = 0; q < count; q++) {
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) {
            lanes_store(queries[q].weights + first + LANES * j, sums[q][j] * scale);
        }
    }
}

// Which of the page's positions from LANES * j on the query sees.
LANES_INLINE int_lanes visible_lanes(const attention_query *query, int j) {
    const int_lanes index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return (index < (int)query->visible - LANES * j) & (index >= (int)query->hidden - LANES * j);
}

// Turns a page's scores into weights, those of positions that are not visible into 0.
LANES_INLINE void weigh_page(attention_query *query) {
    lanes infinity = lanes_splat(-INFINITY);
    lanes largest = infinity;
    int start = (int)(query->hidden / LANES);
    int vectors = (int)((query->visible + LANES - 1) / LANES);
    for (int j = start; j < vectors; j++) {
        int_lanes is_visible = visible_lanes(query, j);
        lanes score = lanes_load(query->weights + LANES * j);
        score = lanes_select(is_visible, score, infinity);
        largest = lanes_select(score > largest, score, largest);
    }
    float max = lanes_largest(largest);
    max = max > query->max ? max : query->max;
    lanes sums = {0};
    for (int j = start; j < vectors; j++) {
        int_lanes is_visible = visible_lanes(query, j);
        lanes weights = lanes_exponential(lanes_load(query->weights + LANES * j) - max);
        weights = lanes_select(is_visible, weights, (lanes){0});
        lanes_store(query->weights + LANES * j, weights);
        sums += weights;
    }
    query->correction = exponential(query->max - max);
    query->sum = __builtin_fmaf(query->sum, query->correction, lanes_sum(sums));
    // Which zero is the largest depends on the order; all sets say +0.
    query->max = max + 0.0f;
}

// Adds the weighted values of positions first ..< end to 16 * `vectors` columns of `count` queries.
LANES_INLINE void add_values_tile(
    const size_t bytes, const int count, const int vectors, attention_query *queries,
    const uint8_t *values, size_t width, size_t column, size_t first, size_t end) {
    lanes sums[QUERIES_MAX][PAGE_VECTORS];
#pragma clang loop unroll(full)
    for (int q = 0; q < count; q++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) {
            sums[q][v] = lanes_load(queries[q].y + column + LANES * v);
            if (first == queries[q].hidden) sums[q][v] *= queries[q].correction;
        }
    }
    values += bytes * first * width;
    for (size_t j = first; j < end; j++, values += bytes * width) {
        lanes value[PAGE_VECTORS];
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) {
            value[v] = load_elements(bytes, values + bytes * LANES * v);
        }
#pragma clang loop unroll(full)
        for (int q = 0; q < count; q++) {
            lanes weight = lanes_splat(queries[q].weights[j]);
#pragma clang loop unroll(full)
            for (int v = 0; v < vectors; v++) {
                sums[q][v] = lanes_fma(weight, value[v], sums[q][v]);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int q = 0; q < count; q++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) {
            lanes_store(queries[q].y + column + LANES * v, sums[q][v]);
        }
    }
}

// The last columns, fewer than 16, of one query.
LANES_INLINE void add_values_rest(
    const size_t bytes, attention_query *query, const uint8_t *values, size_t width,
    size_t columns) {
    for (size_t v = columns / LANES * LANES; v < columns; v++) {
        float sum = query->y[v] * query->correction;
        for (size_t j = query->hidden; j < query->visible; j++) {
            sum = __builtin_fmaf(
                query->weights[j], element_at(bytes, values, j * width + v), sum);
        }
        query->y[v] = sum;
    }
}

// Adds the weighted values of positions first ..< end to whole vectors of `count` queries, both
// constants; the last columns, fewer than 16, are left.
LANES_INLINE void add_values_range(
    const size_t bytes, const int count, const attention_pass *pass, attention_query *queries,
    const uint8_t *values, size_t first, size_t end) {
    const int vectors = TILE_LANES / count < PAGE_VECTORS ? TILE_LANES / count : PAGE_VECTORS;
    size_t width = pass->attention->value_width;
    size_t column = 0;
    for (; column + LANES * vectors <= pass->columns; column += LANES * vectors) {
        const uint8_t *at = values + bytes * column;
        add_values_tile(bytes, count, vectors, queries, at, width, column, first, end);
    }
    for (; column + LANES <= pass->columns; column += LANES) {
        const uint8_t *at = values + bytes * column;
        add_values_tile(bytes, count, 1, queries, at, width, column, first, end);
    }
}

// Adds a page's values to `count` (a constant) queries: the positions that all see together, before
// and after them what only some see.
LANES_INLINE void add_values(
    const size_t bytes, const int count, const attention_pass *pass, attention_query *queries,
    const uint8_t *values) {
    size_t start = 0, end = CKERNELS_PAGE_TOKENS;
    for (int q = 0; q < count; q++) {
        start = queries[q].hidden > start ? queries[q].hidden : start;
        end = smaller(end, queries[q].visible);
    }
    // Without a position that all see, each query goes alone.
    if (start >= end) start = end = CKERNELS_PAGE_TOKENS;
    values += bytes * pass->column;
    for (int q = 0; q < count; q++) {
        size_t own = smaller(start, queries[q].visible);
        if (queries[q].hidden < own) {
            add_values_range(bytes, 1, pass, queries + q, values, queries[q].hidden, own);
        }
    }
    if (start < end) add_values_range(bytes, count, pass, queries, values, start, end);
    for (int q = 0; q < count; q++) {
        attention_query *query = queries + q;
        if (query->visible > end) {
            add_values_range(bytes, 1, pass, query, values, end, query->visible);
        }
        add_values_rest(bytes, query, values, pass->attention->value_width, pass->columns);
    }
}

// What a query sees of the page at `first`.
LANES_INLINE void look_at_page(attention_query *query, size_t first) {
    size_t positions = query->positions;
    query->visible = first < positions ? smaller(positions - first, CKERNELS_PAGE_TOKENS) : 0;
    query->hidden = hidden_in(first, query->begin);
    if (query->hidden >= query->visible) query->hidden = query->visible = 0;
    query->correction = 1;
}

// All pages of a span for `count` (a constant) queries, which are in the order of their tokens.
LANES_INLINE void attend_pages(
    const size_t bytes, const int count, const attention_pass *pass, attention_query *queries,
    size_t span) {
    const ckernels_attention *a = pass->attention;
    const int vectors = TILE_LANES / count < PAGE_VECTORS ? TILE_LANES / count : PAGE_VECTORS;
    size_t end = smaller(queries[count - 1].positions, (span + 1) * SPAN_TOKENS);
    // The first query sees the earliest position.
    size_t first = queries[0].begin / CKERNELS_PAGE_TOKENS * CKERNELS_PAGE_TOKENS;
    if (first < span * SPAN_TOKENS) first = span * SPAN_TOKENS;
    for (; first < end; first += CKERNELS_PAGE_TOKENS) {
        page_parts page = parts_of_page(a, pass->kv_head, first);
        size_t most = smaller(end - first, CKERNELS_PAGE_TOKENS);
        for (size_t j = 0; j < most; j += LANES * vectors) {
            score_tile(bytes, count, vectors, queries, page.keys, j, a->key_width, a->scale);
        }
        for (int q = 0; q < count; q++) {
            look_at_page(queries + q, first);
            if (queries[q].visible > 0) weigh_page(queries + q);
        }
        add_values(bytes, count, pass, queries, page.values);
    }
}

LANES_INLINE void begin_span(attention_query *query, size_t columns) {
    query->max = -INFINITY;
    query->sum = 0;
    memset(query->y, 0, columns * sizeof(float));
}

// One span for 1, 2, 4 or 8 queries.
TARGET static void attend_one_span(
    const attention_pass *pass, attention_query *queries, int count, size_t span) {
    for (int q = 0; q < count; q++) begin_span(queries + q, pass->columns);
    int is_half = pass->attention->element_bytes == 2;
#define ATTEND(n)                                               \
    if (n <= QUERIES_MAX && count == n) {                       \
        const int queries_max = n <= QUERIES_MAX ? n : 1;       \
        if (is_half) {                                          \
            attend_pages(2, queries_max, pass, queries, span);  \
        } else {                                                \
            attend_pages(4, queries_max, pass, queries, span);  \
        }                                                       \
    }
    ATTEND(1)
    ATTEND(2)
    ATTEND(4)
    ATTEND(8)
#undef ATTEND
}

// How many of `left` queries go together.
LANES_INLINE int tile_of(size_t left) {
    int count = QUERIES_MAX;
    while ((size_t)count > left) count /= 2;
    return count;
}

LANES_INLINE void begin_query(
    attention_query *query, const ckernels_attention *a, size_t token, size_t row) {
    query->query = a->queries + row * a->key_width;
    query->begin = begin_of(a, token);
    query->positions = positions_of(a, token);
}

LANES_INLINE attention_pass strip_of(const ckernels_attention *a, size_t kv_head, size_t column) {
    return (attention_pass){a, kv_head, column, smaller(a->value_width - column, STRIP_COLUMNS)};
}

// All spans of `count` queries from the group's query `start` of first_token on.
TARGET static void attend_tile(
    const attention_pass *pass, attention_query *queries, size_t first_token, size_t start,
    int count) {
    const ckernels_attention *a = pass->attention;
    float maxima[QUERIES_MAX], sums[QUERIES_MAX];
    float *results[QUERIES_MAX];
    for (int q = 0; q < count; q++) {
        size_t token = first_token + (start + (size_t)q) / group_size(a);
        size_t row = row_of(a, pass->kv_head, token, (start + (size_t)q) % group_size(a));
        begin_query(queries + q, a, token, row);
        results[q] = a->y + row * a->value_width + pass->column;
    }
    size_t span = queries[0].begin / SPAN_TOKENS;
    for (; span < spans_of(queries[count - 1].positions); span++) {
        attend_one_span(pass, queries, count, span);
        for (int q = 0; q < count; q++) {
            size_t begin = queries[q].begin / SPAN_TOKENS;
            if (span < begin || span * SPAN_TOKENS >= queries[q].positions) continue;
            join_span(
                span == begin, queries[q].max, queries[q].sum, queries[q].y, pass->columns,
                maxima + q, sums + q, results[q]);
        }
    }
    for (int q = 0; q < count; q++) {
        for (size_t v = 0; v < pass->columns; v++) results[q][v] = results[q][v] / sums[q];
    }
}

TARGET void NAME(attend)(
    const ckernels_attention *a, size_t kv_head, size_t first_token, size_t end_token) {
    attention_query queries[QUERIES_MAX];
    size_t total = (end_token - first_token) * group_size(a);
    for (size_t column = 0; column < a->value_width; column += STRIP_COLUMNS) {
        attention_pass pass = strip_of(a, kv_head, column);
        for (size_t start = 0; start < total;) {
            int count = tile_of(total - start);
            attend_tile(&pass, queries, first_token, start, count);
            start += (size_t)count;
        }
    }
}

TARGET void NAME(attend_span)(
    const ckernels_attention *a, size_t kv_head, size_t token, size_t span, float *partial) {
    attention_query queries[QUERIES_MAX];
    size_t stride = 2 + a->value_width;
    for (size_t column = 0; column < a->value_width; column += STRIP_COLUMNS) {
        attention_pass pass = strip_of(a, kv_head, column);
        for (size_t start = 0; start < group_size(a);) {
            int count = tile_of(group_size(a) - start);
            for (int q = 0; q < count; q++) {
                size_t row = row_of(a, kv_head, token, start + (size_t)q);
                begin_query(queries + q, a, token, row);
            }
            attend_one_span(&pass, queries, count, span);
            for (int q = 0; q < count; q++) {
                float *result = partial + (start + (size_t)q) * stride;
                result[0] = queries[q].max;
                result[1] = queries[q].sum;
                memcpy(result + 2 + column, queries[q].y, pass.columns * sizeof(float));
            }
            start += (size_t)count;
        }
    }
}

TARGET void NAME(join_spans)(
    const ckernels_attention *a, size_t kv_head, size_t token, const float *partials,
    size_t stride) {
    join_partials(a, kv_head, token, partials, stride);
}

// One key: its elements go 64 apart.
LANES_INLINE void store_key(const size_t bytes, const float *x, size_t width, uint8_t *to) {
    for (size_t i = 0; i < width; i++) {
        if (bytes == 4) {
            memcpy(to + 4 * CKERNELS_PAGE_TOKENS * i, x + i, sizeof(float));
        } else {
            _Float16 half = (_Float16)x[i];
            memcpy(to + 2 * CKERNELS_PAGE_TOKENS * i, &half, sizeof half);
        }
    }
}

TARGET void NAME(store_keys)(const ckernels_page_rows *rows) {
    for (size_t t = 0; t < rows->tokens; t++) {
        const float *x = rows->x + t * rows->stride;
        uint8_t *to = rows->part + (rows->slot + t) * rows->element_bytes;
        if (rows->element_bytes == 2) {
            store_key(2, x, rows->width, to);
        } else {
            store_key(4, x, rows->width, to);
        }
    }
}

TARGET void NAME(store_values)(const ckernels_page_rows *rows) {
    for (size_t t = 0; t < rows->tokens; t++) {
        const float *x = rows->x + t * rows->stride;
        uint8_t *to = rows->part + (rows->slot + t) * rows->width * rows->element_bytes;
        if (rows->element_bytes == 2) {
            JOIN(ckernels_store_half_, SET)(x, rows->width, to);
        } else {
            memcpy(to, x, rows->width * sizeof(float));
        }
    }
}
