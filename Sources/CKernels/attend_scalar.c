// Attention, straight from the definition in ckernels.h: one query at a time.

#include "attend.h"

enum { PAGE = CKERNELS_PAGE_TOKENS };

// A query's share of one span: m, l and the strip of y.
typedef struct {
    float max;
    float sum;
    float y[STRIP_COLUMNS];
} span_result;

// dot[j] for a query and a page's position j.
static float dot_with_key(
    const ckernels_attention *a, const float *query, const page_parts *page, size_t j) {
    size_t bits = page->key_bits, width = a->key_width;
    float dot = 0;
    if (bits >= 16) {
        for (size_t i = 0; i < width; i++) {
            dot = fmaf(query[i], element_at(bits / 8, page->keys, i * PAGE + j), dot);
        }
        return dot;
    }
    const uint8_t *steps = page->keys + key_steps_offset(bits, width);
    const uint8_t *minima = steps + 2 * key_steps_count(bits, width);
    size_t codes = codes_of_word(bits), group = j / key_group(bits) * width;
    if (has_channel_steps(bits)) {
        float sums[16] = {0};
        for (size_t i = 0; i < width; i++) {
            sums[i % 16] = fmaf(query[i], half_at(minima, group + i), sums[i % 16]);
        }
        dot = sum_of_lanes(sums);
    }
    for (size_t i = 0; i < width; i++) {
        uint32_t word = load_u32(page->keys + 4 * (i / codes * PAGE + j));
        float code = (float)(word >> (bits * (i % codes)) & code_mask(bits));
        float factor = has_channel_steps(bits) ? query[i] * half_at(steps, group + i) : query[i];
        dot = fmaf(factor, code, dot);
    }
    if (has_channel_steps(bits)) return dot;
    return fmaf(half_at(steps, j), dot, half_at(minima, j) * sum_of_query(query, width));
}

// dot'[j] for a value query and a page's position j.
static float dot_with_value(
    const float *query, const page_parts *page, size_t width, size_t j) {
    size_t bits = page->value_bits;
    size_t group = bits == 2 ? GROUP_NUMBERS : width;
    const uint8_t *steps = page->values + value_steps_offset(bits, width);
    const uint8_t *minima = steps + 2 * value_steps_count(bits, width);
    float dot = 0;
    for (size_t column = 0; column < width; column += group) {
        size_t columns = smaller(group, width - column);
        float sums[16] = {0};
        for (size_t i = 0; i < columns; i++) {
            size_t v = column + i;
            float value;
            if (bits >= 16) {
                value = element_at(bits / 8, page->values, j * width + v);
            } else {
                size_t codes = codes_of_word(bits);
                uint32_t word = load_u32(page->values + 4 * (j / codes * width + v));
                value = (float)(word >> (bits * (j % codes)) & code_mask(bits));
            }
            sums[i % 16] = fmaf(query[v], value, sums[i % 16]);
        }
        if (bits >= 16) return sum_of_lanes(sums);
        size_t at = column / group * PAGE + j;
        float base = half_at(minima, at) * sum_of_query(query + column, columns);
        dot += fmaf(half_at(steps, at), sum_of_lanes(sums), base);
    }
    return dot;
}

// Scores, then weights, of a page's visible positions, hidden ..< visible; updates m and l and
// returns c.
static float weigh_page(
    const ckernels_attention *a, size_t row, const page_parts *page, size_t hidden,
    size_t visible, float *weights, span_result *result) {
    const float *query = a->queries + row * a->key_width;
    float max = result->max;
    for (size_t j = hidden; j < visible; j++) {
        float dot = dot_with_key(a, query, page, j);
        if (a->value_queries) {
            dot += dot_with_value(
                a->value_queries + row * a->value_width, page, a->value_width, j);
        }
        weights[j] = dot * a->scale;
        if (a->score_cap > 0) weights[j] = soft_cap(weights[j], a->score_cap);
        max = weights[j] > max ? weights[j] : max;
    }
    float sums[16] = {0};
    for (size_t j = hidden; j < visible; j++) {
        weights[j] = exponential(weights[j] - max);
        sums[j % 16] += weights[j];
    }
    float correction = exponential(result->max - max);
    result->sum = fmaf(result->sum, correction, sum_of_lanes(sums));
    result->max = max + 0.0f;
    return correction;
}

// Column v of a page's values, weighted, added to `sum`.
static float add_values(
    const page_parts *page, size_t width, size_t v, size_t hidden, size_t visible,
    const float *weights, float correction, float sum) {
    size_t bits = page->value_bits;
    if (bits >= 16) {
        sum *= correction;
        for (size_t j = hidden; j < visible; j++) {
            sum = fmaf(weights[j], element_at(bits / 8, page->values, j * width + v), sum);
        }
        return sum;
    }
    const uint8_t *steps = page->values + value_steps_offset(bits, width);
    const uint8_t *minima = steps + 2 * value_steps_count(bits, width);
    size_t codes = codes_of_word(bits), group = bits == 2 ? v / GROUP_NUMBERS * PAGE : 0;
    float sums[16] = {0};
    for (size_t j = hidden; j < visible; j++) {
        sums[j % 16] = fmaf(weights[j], half_at(minima, group + j), sums[j % 16]);
    }
    sum = fmaf(sum, correction, sum_of_lanes(sums));
    for (size_t j = hidden; j < visible; j++) {
        uint32_t word = load_u32(page->values + 4 * (j / codes * width + v));
        float code = (float)(word >> (bits * (j % codes)) & code_mask(bits));
        sum = fmaf(weights[j] * half_at(steps, group + j), code, sum);
    }
    return sum + 0.0f;
}

// `columns` columns from `column` on, of a token's head whose queries and results are in `row`.
static void attend_strip(
    const ckernels_attention *a, size_t kv_head, size_t row, size_t span, size_t column,
    size_t columns, span_result *result) {
    size_t begin = begin_of(a, row / a->head_count);
    result->max = -INFINITY;
    result->sum = 0;
    memset(result->y, 0, columns * sizeof(float));
    size_t end = smaller(positions_of(a, row / a->head_count), (span + 1) * SPAN_TOKENS);
    for (size_t first = span * SPAN_TOKENS; first < end; first += CKERNELS_PAGE_TOKENS) {
        size_t hidden = hidden_in(first, begin);
        size_t visible = smaller(end - first, CKERNELS_PAGE_TOKENS);
        if (hidden >= visible) continue;
        page_parts page = parts_of_page(a, kv_head, first);
        float weights[CKERNELS_PAGE_TOKENS];
        float correction = weigh_page(a, row, &page, hidden, visible, weights, result);
        for (size_t v = 0; v < columns; v++) {
            result->y[v] = add_values(
                &page, a->value_width, column + v, hidden, visible, weights, correction,
                result->y[v]);
        }
    }
}

void ckernels_attend_scalar(
    const ckernels_attention *a, size_t kv_head, size_t first_token, size_t end_token) {
    size_t count = (end_token - first_token) * group_size(a);
    span_result result;
    for (size_t q = 0; q < count; q++) {
        size_t token = first_token + q / group_size(a);
        size_t begin = begin_of(a, token), positions = positions_of(a, token);
        size_t row = row_of(a, kv_head, token, q % group_size(a));
        for (size_t column = 0; column < a->value_width; column += STRIP_COLUMNS) {
            size_t columns = smaller(a->value_width - column, STRIP_COLUMNS);
            float *y = a->y + row * a->value_width + column;
            float max = 0, sum = 0;
            resume_row(a, row, begin, &max, &sum);
            for (size_t s = first_span_of(a, begin); s < end_span_of(a, positions); s++) {
                attend_strip(a, kv_head, row, s, column, columns, &result);
                join_span(
                    s == begin / SPAN_TOKENS, result.max, result.sum, result.y, columns, &max,
                    &sum, y);
            }
            leave_row(a, row, positions, column, columns, max, sum);
        }
    }
}

void ckernels_attend_span_scalar(
    const ckernels_attention *a, size_t kv_head, size_t token, size_t span, float *partial) {
    span_result result;
    for (size_t h = 0; h < group_size(a); h++, partial += 2 + a->value_width) {
        size_t row = row_of(a, kv_head, token, h);
        for (size_t column = 0; column < a->value_width; column += STRIP_COLUMNS) {
            size_t columns = smaller(a->value_width - column, STRIP_COLUMNS);
            attend_strip(a, kv_head, row, span, column, columns, &result);
            partial[0] = result.max;
            partial[1] = result.sum;
            memcpy(partial + 2 + column, result.y, columns * sizeof(float));
        }
    }
}

void ckernels_join_spans_scalar(
    const ckernels_attention *a, size_t kv_head, size_t token, const float *partials,
    size_t stride) {
    join_partials(a, kv_head, token, partials, stride);
}

// Stores element `index` of a page's part.
static void store_element(const ckernels_page_rows *rows, size_t index, float value) {
    if (rows->bits == 32) {
        memcpy(rows->part + 4 * index, &value, sizeof value);
    } else {
        uint16_t half = half_from_float(value);
        memcpy(rows->part + 2 * index, &half, sizeof half);
    }
}

void ckernels_store_keys_scalar(const ckernels_page_rows *rows) {
    if (rows->bits < 16) {
        store_keys_in_codes(rows);
        return;
    }
    for (size_t t = 0; t < rows->tokens; t++) {
        for (size_t i = 0; i < rows->width; i++) {
            store_element(rows, i * PAGE + rows->slot + t, rows->x[t * rows->stride + i]);
        }
    }
}

void ckernels_store_values_scalar(const ckernels_page_rows *rows) {
    if (rows->bits < 16) {
        store_values_in_codes(rows);
        return;
    }
    for (size_t t = 0; t < rows->tokens; t++) {
        for (size_t i = 0; i < rows->width; i++) {
            size_t at = (rows->slot + t) * rows->width + i;
            store_element(rows, at, rows->x[t * rows->stride + i]);
        }
    }
}
