// What every set's attention shares: where a page's parts are, and how spans are joined.
#ifndef CKERNELS_ATTEND_H
#define CKERNELS_ATTEND_H

#include "attend_codes.h"
#include "table.h"

enum {
    SPAN_TOKENS = CKERNELS_SPAN_PAGES * CKERNELS_PAGE_TOKENS,
    // Columns of values that are summed at once, in memory of a fixed size. Heads are rarely wider;
    // those that are have their weights computed again for each strip.
    STRIP_COLUMNS = 512
};

// One head's part of a page.
typedef struct {
    const uint8_t *keys;
    const uint8_t *values;
    size_t key_bits;
    size_t value_bits;
} page_parts;

// The page whose first position is `first`.
ALWAYS_INLINE page_parts parts_of_page(
    const ckernels_attention *a, size_t kv_head, size_t first) {
    size_t index = first / CKERNELS_PAGE_TOKENS;
    int is_open = a->open_page && index == a->open_index;
    size_t key_bits = is_open ? 16 : a->key_bits;
    size_t value_bits = is_open ? 16 : a->value_bits;
    size_t key_bytes = ckernels_key_bytes(key_bits, a->key_width);
    size_t value_bytes = ckernels_value_bytes(value_bits, a->value_width);
    const uint8_t *page = is_open ? a->open_page : a->pool + a->page_offsets[index];
    return (page_parts){
        page + kv_head * key_bytes,
        page + a->kv_head_count * key_bytes + kv_head * value_bytes,
        key_bits,
        value_bits,
    };
}

// The sum of a query's elements, in 16 lanes.
ALWAYS_INLINE float sum_of_query(const float *query, size_t width) {
    float sums[16] = {0};
    for (size_t i = 0; i < width; i++) sums[i % 16] += query[i];
    return sum_of_lanes(sums);
}

ALWAYS_INLINE size_t group_size(const ckernels_attention *a) {
    return a->head_count / a->kv_head_count;
}

// Where what a token sees ends: its own position is the last.
ALWAYS_INLINE size_t positions_of(const ckernels_attention *a, size_t token) {
    return a->first_position + token + 1;
}

// Where what a token sees begins.
ALWAYS_INLINE size_t begin_of(const ckernels_attention *a, size_t token) {
    size_t positions = positions_of(a, token);
    return a->window > 0 && a->window < positions ? positions - a->window : 0;
}

// Positions of the page at `first` that are before `begin`.
ALWAYS_INLINE size_t hidden_in(size_t first, size_t begin) {
    return begin > first ? smaller(begin - first, CKERNELS_PAGE_TOKENS) : 0;
}

ALWAYS_INLINE size_t spans_of(size_t positions) {
    return (positions + SPAN_TOKENS - 1) / SPAN_TOKENS;
}

// Where a token's head is among queries and results: the number of its row.
ALWAYS_INLINE size_t row_of(
    const ckernels_attention *a, size_t kv_head, size_t token, size_t head_of_group) {
    return token * a->head_count + kv_head * group_size(a) + head_of_group;
}

// Joins a span (m, l, y) to those before it (*max, *sum, joined); the first span as it is.
ALWAYS_INLINE void join_span(
    int is_first, float m, float l, const float *y, size_t columns, float *max, float *sum,
    float *joined) {
    if (is_first) {
        *max = m;
        *sum = l;
        memcpy(joined, y, columns * sizeof(float));
        return;
    }
    float largest = m > *max ? m : *max;
    float before = exponential(*max - largest), after = exponential(m - largest);
    *max = largest;
    *sum = __builtin_fmaf(*sum, before, l * after);
    for (size_t v = 0; v < columns; v++) {
        joined[v] = __builtin_fmaf(joined[v], before, y[v] * after);
    }
}

// Of the spans that a token sees from `begin` to `positions`, those that this call joins.
ALWAYS_INLINE size_t first_span_of(const ckernels_attention *a, size_t begin) {
    return begin / SPAN_TOKENS > a->first_span ? begin / SPAN_TOKENS : a->first_span;
}

ALWAYS_INLINE size_t end_span_of(const ckernels_attention *a, size_t positions) {
    size_t all = spans_of(positions);
    return a->end_span > 0 && a->end_span < all ? a->end_span : all;
}

// Where an earlier call left the spans of the row before these; nothing where these are the first.
ALWAYS_INLINE void resume_row(
    const ckernels_attention *a, size_t row, size_t begin, float *max, float *sum) {
    if (begin / SPAN_TOKENS >= a->first_span) return;
    *max = a->states[2 * row];
    *sum = a->states[2 * row + 1];
}

// Divides a row's columns by the sum of its weights, to which its head's sink adds if it has one.
ALWAYS_INLINE void finish_row(
    const ckernels_attention *a, size_t row, float max, float sum, float *y, size_t columns) {
    if (!a->sinks) {
        for (size_t v = 0; v < columns; v++) y[v] = y[v] / sum;
        return;
    }
    float sink = a->sinks[row % a->head_count];
    float largest = sink > max ? sink : max;
    float correction = exponential(max - largest);
    sum = __builtin_fmaf(sum, correction, exponential(sink - largest));
    for (size_t v = 0; v < columns; v++) y[v] = y[v] * correction / sum;
}

// Finishes a row's columns where no spans are left, else leaves it to the next call. Each strip of
// columns resumes from the same state, so the last one leaves it.
ALWAYS_INLINE void leave_row(
    const ckernels_attention *a, size_t row, size_t positions, size_t column, size_t columns,
    float max, float sum) {
    float *y = a->y + row * a->value_width + column;
    if (end_span_of(a, positions) == spans_of(positions)) {
        finish_row(a, row, max, sum, y, columns);
    } else if (column + columns == a->value_width) {
        a->states[2 * row] = max;
        a->states[2 * row + 1] = sum;
    }
}

ALWAYS_INLINE void join_partials(
    const ckernels_attention *a, size_t kv_head, size_t token, const float *partials,
    size_t stride) {
    size_t width = a->value_width;
    for (size_t h = 0; h < group_size(a); h++) {
        const float *partial = partials + h * (2 + width);
        size_t row = row_of(a, kv_head, token, h);
        float *y = a->y + row * width;
        float max = 0, sum = 0;
        size_t begin = begin_of(a, token) / SPAN_TOKENS;
        for (size_t s = begin; s < spans_of(positions_of(a, token)); s++, partial += stride) {
            join_span(s == begin, partial[0], partial[1], partial + 2, width, &max, &sum, y);
        }
        finish_row(a, row, max, sum, y, width);
    }
}

#endif
