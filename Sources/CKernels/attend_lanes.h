// Attention in 16 lanes. A lane is a position while scores are summed and a column while values
// are; several queries (heads of one group, of one token or of neighbouring ones) share each key
// and value that is loaded. The includer defines TARGET, SET, and TILE_LANES: how many sums of 16
// lanes its registers hold beside what they are made of.

#include "attend.h"
#include "lanes.h"

#define JOIN_NAMED(a, b) a##b
#define JOIN(a, b) JOIN_NAMED(a, b)
#define NAME(operation) JOIN(ckernels_##operation##_, SET)

#include "attend_queries.h"
#include "attend_latent.h"
#include "attend_scores.h"
#include "attend_values.h"

// Turns a page's scores into weights, those of positions that are not visible into 0. All are
// visible where `is_whole`, a constant, is not 0.
LANES_INLINE void weigh_positions(const int is_whole, attention_query *query) {
    lanes infinity = lanes_splat(-INFINITY);
    lanes largest = infinity;
    int start = is_whole ? 0 : (int)(query->hidden / LANES);
    int vectors = is_whole ? PAGE_VECTORS : (int)((query->visible + LANES - 1) / LANES);
    for (int j = start; j < vectors; j++) {
        lanes score = lanes_load(query->weights + LANES * j);
        if (!is_whole) score = lanes_select(visible_lanes(query, j), score, infinity);
        largest = lanes_select(score > largest, score, largest);
    }
    float max = lanes_largest(largest);
    max = max > query->max ? max : query->max;
    lanes sums = {0};
    for (int j = start; j < vectors; j++) {
        lanes weights = lanes_exponential(lanes_load(query->weights + LANES * j) - max);
        if (!is_whole) weights = lanes_select(visible_lanes(query, j), weights, (lanes){0});
        lanes_store(query->weights + LANES * j, weights);
        sums += weights;
    }
    query->correction = exponential(query->max - max);
    query->sum = __builtin_fmaf(query->sum, query->correction, lanes_sum(sums));
    // Which zero is the largest depends on the order; all sets say +0.
    query->max = max + 0.0f;
}

LANES_INLINE void weigh_page(attention_query *query) {
    if (sees_whole_page(query)) {
        weigh_positions(1, query);
    } else if (query->visible > 0) {
        weigh_positions(0, query);
    }
}

// Caps the scores of a page's first `most` positions, and of the rest of their last vector.
LANES_INLINE void cap_scores(attention_query *query, size_t most, float cap) {
    for (size_t j = 0; j < most; j += LANES) {
        float *scores = query->weights + j;
        lanes_store(scores, lanes_soft_cap(lanes_load(scores), cap));
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

// Functions of their own for each number of queries that go together, so that sums are registers.
#define COUNTED(n)                                                                               \
    TARGET static void score_page_##n(                                                           \
        const attention_pass *pass, attention_query *queries, const page_parts *page,            \
        size_t most) {                                                                           \
        score_page(n <= QUERIES_MAX ? n : 1, pass, queries, page, most);                         \
    }                                                                                            \
    TARGET static void score_values_##n(                                                         \
        const attention_pass *pass, attention_query *queries, const page_parts *page,            \
        size_t most) {                                                                           \
        score_values(n <= QUERIES_MAX ? n : 1, pass, queries, page, most);                       \
    }                                                                                            \
    TARGET static void add_values_##n(                                                           \
        const attention_pass *pass, attention_query *queries, const page_parts *page) {          \
        add_values(n <= QUERIES_MAX ? n : 1, pass, queries, page);                               \
    }
COUNTED(1)
COUNTED(2)
COUNTED(4)
COUNTED(8)
#undef COUNTED

typedef struct {
    void (*score_page)(
        const attention_pass *pass, attention_query *queries, const page_parts *page, size_t most);
    void (*score_values)(
        const attention_pass *pass, attention_query *queries, const page_parts *page, size_t most);
    void (*add_values)(
        const attention_pass *pass, attention_query *queries, const page_parts *page);
} counted_functions;

// For 1, 2, 4 or 8 queries.
LANES_INLINE counted_functions functions_for(int count) {
    switch (count) {
    case 1: return (counted_functions){score_page_1, score_values_1, add_values_1};
    case 2: return (counted_functions){score_page_2, score_values_2, add_values_2};
    case 4: return (counted_functions){score_page_4, score_values_4, add_values_4};
    default: return (counted_functions){score_page_8, score_values_8, add_values_8};
    }
}

LANES_INLINE void begin_span(attention_query *query, size_t columns) {
    query->max = -INFINITY;
    query->sum = 0;
    // Whole vectors: values in codes are summed so.
    memset(query->y, 0, (columns + LANES - 1) / LANES * LANES * sizeof(float));
}

// Calls for the part of the next page, which lies elsewhere in the pool: the processor follows the
// long rows of floats and halves by itself, but not parts as short as those of codes.
LANES_INLINE void prefetch_codes(size_t bits, const uint8_t *part, size_t bytes) {
    if (bits >= 16) return;
    for (size_t i = 0; i < smaller(bytes, PREFETCH_BYTES); i += 64) __builtin_prefetch(part + i);
}

// One span for 1, 2, 4 or 8 queries, which are in the order of their tokens.
TARGET static void attend_one_span(
    const attention_pass *pass, attention_query *queries, int count, size_t span) {
    const counted_functions functions = functions_for(count);
    for (int q = 0; q < count; q++) begin_span(queries + q, pass->columns);
    size_t end = smaller(queries[count - 1].positions, (span + 1) * SPAN_TOKENS);
    // The first query sees the earliest position.
    size_t first = queries[0].begin / CKERNELS_PAGE_TOKENS * CKERNELS_PAGE_TOKENS;
    if (first < span * SPAN_TOKENS) first = span * SPAN_TOKENS;
    const ckernels_attention *a = pass->attention;
    size_t key_bytes = ckernels_key_bytes(a->key_bits, a->key_width);
    size_t value_bytes = ckernels_value_bytes(a->value_bits, a->value_width);
    page_parts page = parts_of_page(a, pass->kv_head, first);
    for (; first < end; first += CKERNELS_PAGE_TOKENS) {
        size_t following = first + CKERNELS_PAGE_TOKENS;
        int is_last = following >= queries[count - 1].positions;
        page_parts next = is_last ? page : parts_of_page(a, pass->kv_head, following);
        prefetch_codes(next.key_bits, next.keys, key_bytes);
        size_t most = smaller(end - first, CKERNELS_PAGE_TOKENS);
        functions.score_page(pass, queries, &page, most);
        if (a->value_queries) functions.score_values(pass, queries, &page, most);
        for (int q = 0; q < count; q++) {
            if (a->score_cap > 0) cap_scores(queries + q, most, a->score_cap);
            look_at_page(queries + q, first);
            weigh_page(queries + q);
        }
        prefetch_codes(next.value_bits, next.values, value_bytes);
        functions.add_values(pass, queries, &page);
        page = next;
    }
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
    query->value_query = a->value_queries ? a->value_queries + row * a->value_width : NULL;
    query->query_sum = sum_of_query(query->query, a->key_width);
    query->begin = begin_of(a, token);
    query->positions = positions_of(a, token);
}

LANES_INLINE attention_pass strip_of(const ckernels_attention *a, size_t kv_head, size_t column) {
    return (attention_pass){a, kv_head, column, smaller(a->value_width - column, STRIP_COLUMNS)};
}

// The spans of `count` queries from the group's query `start` of first_token on.
TARGET static void attend_tile(
    const attention_pass *pass, attention_query *queries, size_t first_token, size_t start,
    int count) {
    const ckernels_attention *a = pass->attention;
    float maxima[QUERIES_MAX], sums[QUERIES_MAX];
    float *results[QUERIES_MAX];
    size_t rows[QUERIES_MAX];
    for (int q = 0; q < count; q++) {
        size_t token = first_token + (start + (size_t)q) / group_size(a);
        rows[q] = row_of(a, pass->kv_head, token, (start + (size_t)q) % group_size(a));
        begin_query(queries + q, a, token, rows[q]);
        results[q] = a->y + rows[q] * a->value_width + pass->column;
        resume_row(a, rows[q], queries[q].begin, maxima + q, sums + q);
    }
    size_t span = first_span_of(a, queries[0].begin);
    for (; span < end_span_of(a, queries[count - 1].positions); span++) {
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
        leave_row(
            a, rows[q], queries[q].positions, pass->column, pass->columns, maxima[q], sums[q]);
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
    if (rows->bits < 16) {
        store_keys_in_codes(rows);
        return;
    }
    for (size_t t = 0; t < rows->tokens; t++) {
        const float *x = rows->x + t * rows->stride;
        uint8_t *to = rows->part + (rows->slot + t) * rows->bits / 8;
        if (rows->bits == 16) {
            store_key(2, x, rows->width, to);
        } else {
            store_key(4, x, rows->width, to);
        }
    }
}

TARGET void NAME(store_values)(const ckernels_page_rows *rows) {
    if (rows->bits < 16) {
        store_values_in_codes(rows);
        return;
    }
    for (size_t t = 0; t < rows->tokens; t++) {
        const float *x = rows->x + t * rows->stride;
        uint8_t *to = rows->part + (rows->slot + t) * rows->width * rows->bits / 8;
        if (rows->bits == 16) {
            JOIN(ckernels_store_half_, SET)(x, rows->width, to);
        } else {
            memcpy(to, x, rows->width * sizeof(float));
        }
    }
}
