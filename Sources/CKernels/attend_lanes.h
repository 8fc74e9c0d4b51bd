// Attention in 16 lanes: up to four queries (heads of one group, of one token or of neighbouring
// ones) share each key and value that is loaded. The includer defines TARGET and SET.

#include "lanes.h"
#include "table.h"

#define JOIN_NAMED(a, b) a##b
#define JOIN(a, b) JOIN_NAMED(a, b)
#define NAME(operation) JOIN(ckernels_##operation##_, SET)

enum { QUERIES_MAX = 4 };

// 16 elements of the cache; `bytes`, a constant, is 2 for halves and 4 for floats.
LANES_INLINE lanes load_elements(const size_t bytes, const uint8_t *p) {
    return bytes == 2 ? lanes_load_halves(p) : lanes_load((const float *)p);
}

// One token's one head on its way through the pages.
typedef struct {
    const float *query;
    float *y;
    // Positions that it sees in all.
    size_t positions;
    float max;
    float sum;
    // Scores of a page, then their weights.
    float weights[CKERNELS_PAGE_TOKENS];
} attention_query;

// Scores of the page's first `visible` keys for `count` (a constant) queries.
LANES_INLINE void score_page(
    const size_t bytes, const int count, attention_query *queries, const uint8_t *keys,
    size_t visible, size_t width, float scale) {
    size_t whole = width / LANES * LANES;
    for (size_t j = 0; j < visible; j++, keys += bytes * width) {
        lanes products[QUERIES_MAX];
#pragma clang loop unroll(full)
        for (int q = 0; q < count; q++) products[q] = (lanes){0};
        for (size_t i = 0; i < whole; i += LANES) {
            lanes key = load_elements(bytes, keys + bytes * i);
#pragma clang loop unroll(full)
            for (int q = 0; q < count; q++) {
                products[q] = lanes_fma(lanes_load(queries[q].query + i), key, products[q]);
            }
        }
        if (whole < width) {
            // 0 * -0 = -0, which added leaves every number as it is.
            float rest[LANES];
            for (size_t i = 0; i < LANES; i++) rest[i] = -0.0f;
            for (size_t i = whole; i < width; i++) {
                rest[i - whole] = element_at(bytes, keys, i);
            }
#pragma clang loop unroll(full)
            for (int q = 0; q < count; q++) {
                lanes query = lanes_load_partial(queries[q].query + whole, width - whole, 0.0f);
                products[q] = lanes_fma(query, lanes_load(rest), products[q]);
            }
        }
#pragma clang loop unroll(full)
        for (int q = 0; q < count; q++) queries[q].weights[j] = lanes_sum(products[q]) * scale;
    }
}

// Turns the scores of `visible` positions into weights; returns the factor for what came before.
LANES_INLINE float weigh_page(attention_query *query, size_t visible) {
    float max = query->max;
    for (size_t j = 0; j < visible; j++) {
        max = query->weights[j] > max ? query->weights[j] : max;
    }
    lanes sums = {0};
    for (size_t j = 0; j < visible; j += LANES) {
        lanes weights = lanes_exponential(lanes_load(query->weights + j) - max);
        lanes_store(query->weights + j, weights);
        if (visible - j >= LANES) {
            sums += weights;
        } else {
            sums += lanes_load_partial(query->weights + j, visible - j, 0.0f);
        }
    }
    float correction = exponential(query->max - max);
    query->sum = __builtin_fmaf(query->sum, correction, lanes_sum(sums));
    query->max = max;
    return correction;
}

// Adds the weighted values of `visible` positions to the results of `count` (a constant) queries.
LANES_INLINE void add_values(
    const size_t bytes, const int count, attention_query *queries, const float *corrections,
    const uint8_t *values, size_t visible, size_t width) {
    size_t whole = width / LANES * LANES;
    for (size_t v = 0; v < whole; v += LANES) {
        lanes sums[QUERIES_MAX];
#pragma clang loop unroll(full)
        for (int q = 0; q < count; q++) sums[q] = lanes_load(queries[q].y + v) * corrections[q];
        for (size_t j = 0; j < visible; j++) {
            lanes value = load_elements(bytes, values + bytes * (j * width + v));
#pragma clang loop unroll(full)
            for (int q = 0; q < count; q++) {
                sums[q] = lanes_fma(lanes_splat(queries[q].weights[j]), value, sums[q]);
            }
        }
#pragma clang loop unroll(full)
        for (int q = 0; q < count; q++) lanes_store(queries[q].y + v, sums[q]);
    }
    for (size_t v = whole; v < width; v++) {
        for (int q = 0; q < count; q++) {
            float sum = queries[q].y[v] * corrections[q];
            for (size_t j = 0; j < visible; j++) {
                float value = element_at(bytes, values, j * width + v);
                sum = __builtin_fmaf(queries[q].weights[j], value, sum);
            }
            queries[q].y[v] = sum;
        }
    }
}

LANES_INLINE size_t visible_in_page(const attention_query *query, size_t first) {
    return first < query->positions ? smaller(query->positions - first, CKERNELS_PAGE_TOKENS) : 0;
}

// One page, whose first position is `first`, for `count` queries.
LANES_INLINE void attend_page(
    const size_t bytes, const ckernels_attention *a, attention_query *queries, size_t count,
    const uint8_t *keys, const uint8_t *values, size_t first) {
    float corrections[QUERIES_MAX];
    size_t most = 0, least = CKERNELS_PAGE_TOKENS;
    for (size_t q = 0; q < count; q++) {
        size_t visible = visible_in_page(queries + q, first);
        most = visible > most ? visible : most;
        least = visible < least ? visible : least;
    }
    if (count == QUERIES_MAX) {
        score_page(bytes, QUERIES_MAX, queries, keys, most, a->key_width, a->scale);
    } else {
        for (size_t q = 0; q < count; q++) {
            score_page(bytes, 1, queries + q, keys, most, a->key_width, a->scale);
        }
    }
    for (size_t q = 0; q < count; q++) {
        size_t visible = visible_in_page(queries + q, first);
        if (visible > 0) corrections[q] = weigh_page(queries + q, visible);
    }
    if (count == QUERIES_MAX && least == most) {
        add_values(bytes, QUERIES_MAX, queries, corrections, values, most, a->value_width);
        return;
    }
    for (size_t q = 0; q < count; q++) {
        size_t visible = visible_in_page(queries + q, first);
        if (visible == 0) continue;
        add_values(bytes, 1, queries + q, corrections + q, values, visible, a->value_width);
    }
}

// All pages for up to four queries.
LANES_INLINE void attend_pages(
    const size_t bytes, const ckernels_attention *a, size_t kv_head, attention_query *queries,
    size_t count) {
    size_t keys_bytes = CKERNELS_PAGE_TOKENS * a->key_width * bytes;
    size_t values_bytes = CKERNELS_PAGE_TOKENS * a->value_width * bytes;
    // Queries are in token order, so the last sees the most.
    size_t positions = queries[count - 1].positions;
    for (size_t first = 0; first < positions; first += CKERNELS_PAGE_TOKENS) {
        const uint8_t *page = a->pool + a->page_offsets[first / CKERNELS_PAGE_TOKENS];
        const uint8_t *keys = page + kv_head * keys_bytes;
        const uint8_t *values = page + a->kv_head_count * keys_bytes + kv_head * values_bytes;
        attend_page(bytes, a, queries, count, keys, values, first);
    }
    for (size_t q = 0; q < count; q++) {
        float *y = queries[q].y;
        float sum = queries[q].sum;
        for (size_t v = 0; v < a->value_width; v++) y[v] = y[v] / sum;
    }
}

TARGET static void attend_queries(
    const ckernels_attention *a, size_t kv_head, attention_query *queries, size_t count) {
    if (a->element_bytes == 2) {
        attend_pages(2, a, kv_head, queries, count);
    } else {
        attend_pages(4, a, kv_head, queries, count);
    }
}

TARGET void NAME(attend)(
    const ckernels_attention *a, size_t kv_head, size_t first_token, size_t end_token) {
    size_t group = a->head_count / a->kv_head_count;
    size_t total = (end_token - first_token) * group;
    attention_query queries[QUERIES_MAX];
    // Weights past the visible ones are computed on, though never used.
    memset(queries, 0, sizeof queries);
    for (size_t start = 0; start < total; start += QUERIES_MAX) {
        size_t count = smaller(total - start, QUERIES_MAX);
        for (size_t q = 0; q < count; q++) {
            size_t token = first_token + (start + q) / group;
            size_t at = token * a->head_count + kv_head * group + (start + q) % group;
            queries[q].query = a->queries + at * a->key_width;
            queries[q].y = a->y + at * a->value_width;
            queries[q].positions = a->first_position + token + 1;
            queries[q].max = -INFINITY;
            queries[q].sum = 0;
            memset(queries[q].y, 0, a->value_width * sizeof(float));
        }
        attend_queries(a, kv_head, queries, count);
    }
}
