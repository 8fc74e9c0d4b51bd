// Weighted sums of a page's values: a lane is a column, and several queries share each value that
// is loaded and decoded. The includer is attend_lanes.h.

// Adds the weighted values of positions first ..< end to 16 * `vectors` columns of `count` queries.
LANES_INLINE void add_elements_tile(
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
LANES_INLINE void add_elements_rest(
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
LANES_INLINE void add_elements_range(
    const size_t bytes, const int count, const attention_pass *pass, attention_query *queries,
    const uint8_t *values, size_t first, size_t end) {
    const int vectors = TILE_LANES / count < PAGE_VECTORS ? TILE_LANES / count : PAGE_VECTORS;
    size_t width = pass->attention->value_width;
    size_t column = 0;
    for (; column + LANES * vectors <= pass->columns; column += LANES * vectors) {
        const uint8_t *at = values + bytes * column;
        add_elements_tile(bytes, count, vectors, queries, at, width, column, first, end);
    }
    for (; column + LANES <= pass->columns; column += LANES) {
        const uint8_t *at = values + bytes * column;
        add_elements_tile(bytes, count, 1, queries, at, width, column, first, end);
    }
}

// Adds a page's values to `count` (a constant) queries: the positions that all see together, before
// and after them what only some see.
LANES_INLINE void add_elements(
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
            add_elements_range(bytes, 1, pass, queries + q, values, queries[q].hidden, own);
        }
    }
    if (start < end) add_elements_range(bytes, count, pass, queries, values, start, end);
    for (int q = 0; q < count; q++) {
        attention_query *query = queries + q;
        if (query->visible > end) {
            add_elements_range(bytes, 1, pass, query, values, end, query->visible);
        }
        add_elements_rest(bytes, query, values, pass->attention->value_width, pass->columns);
    }
}

// The weights of values in codes: times their steps, and summed times their minima. All positions
// are visible where `is_whole`, a constant, is not 0.
LANES_INLINE void scale_positions(
    const int is_whole, attention_query *query, const uint8_t *steps, const uint8_t *minima) {
    lanes sums = {0};
    for (int j = 0; j < PAGE_VECTORS; j++) {
        lanes weights = lanes_load(query->weights + LANES * j);
        lanes minimum = lanes_load_halves(minima + 2 * LANES * j);
        lanes step = lanes_load_halves(steps + 2 * LANES * j);
        if (!is_whole) {
            // Nothing is known of what is not visible.
            int_lanes is_visible = visible_lanes(query, j);
            weights = lanes_select(is_visible, weights, (lanes){0});
            minimum = lanes_select(is_visible, minimum, (lanes){0});
            step = lanes_select(is_visible, step, (lanes){0});
        }
        lanes_store(query->scaled + LANES * j, weights * step);
        sums = lanes_fma(weights, minimum, sums);
    }
    query->base = lanes_sum(sums);
}

LANES_INLINE void scale_weights(
    attention_query *query, const uint8_t *steps, const uint8_t *minima) {
    if (sees_whole_page(query)) {
        scale_positions(1, query, steps, minima);
    } else {
        scale_positions(0, query, steps, minima);
    }
}

// Adds the weighted codes of words first ..< end to 16 * `vectors` columns of `count` queries. What
// a query does not see weighs 0 and adds 0, which only a -0 could tell: so the sum ends with + 0.
LANES_INLINE void add_codes_tile(
    const size_t bits, const int count, const int vectors, attention_query *queries,
    const uint8_t *words, size_t width, size_t column, size_t first, size_t end) {
    const size_t codes_of = 32 / bits;
    lanes sums[QUERIES_MAX][CODE_VECTORS];
#pragma clang loop unroll(full)
    for (int q = 0; q < count; q++) {
        lanes correction = lanes_splat(queries[q].correction), base = lanes_splat(queries[q].base);
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) {
            lanes y = lanes_load(queries[q].y + column + LANES * v);
            sums[q][v] = lanes_fma(y, correction, base);
        }
    }
    words += 4 * first * width;
    for (size_t w = first; w < end; w++, words += 4 * width) {
        word_lanes loaded[CODE_VECTORS];
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) loaded[v] = lanes_load_words(words + 4 * LANES * v);
#pragma clang loop unroll(full)
        for (size_t k = 0; k < codes_of; k++) {
            lanes codes[CODE_VECTORS];
#pragma clang loop unroll(full)
            for (int v = 0; v < vectors; v++) codes[v] = codes_at(bits, k, loaded[v]);
#pragma clang loop unroll(full)
            for (int q = 0; q < count; q++) {
                lanes weight = lanes_splat(queries[q].scaled[w * codes_of + k]);
#pragma clang loop unroll(full)
                for (int v = 0; v < vectors; v++) {
                    sums[q][v] = lanes_fma(weight, codes[v], sums[q][v]);
                }
            }
        }
    }
#pragma clang loop unroll(full)
    for (int q = 0; q < count; q++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) {
            lanes_store(queries[q].y + column + LANES * v, sums[q][v] + 0.0f);
        }
    }
}

// Adds a page's values in codes to `count` (a constant) queries. The last vector of columns may go
// beyond the row: steps and minima follow the words, and nobody reads what is summed there.
LANES_INLINE void add_codes(
    const size_t bits, const int count, const attention_pass *pass, attention_query *queries,
    const uint8_t *values) {
    const int vectors = vectors_of(count, CODE_VECTORS);
    const size_t codes_of = 32 / bits;
    size_t start = CKERNELS_PAGE_TOKENS, end = 0;
    for (int q = 0; q < count; q++) {
        if (queries[q].visible == 0) continue;
        start = smaller(start, queries[q].hidden);
        end = queries[q].visible > end ? queries[q].visible : end;
    }
    if (start >= end) return;
    size_t first = start / codes_of;
    end = (end + codes_of - 1) / codes_of;
    size_t width = pass->attention->value_width;
    const uint8_t *steps = values + value_steps_offset(bits, width);
    const uint8_t *minima = steps + 2 * value_steps_count(bits, width);
    const uint8_t *words = values + 4 * pass->column;
    size_t group = bits == 2 ? GROUP_NUMBERS : pass->columns;
    for (size_t column = 0; column < pass->columns;) {
        size_t at =
            bits == 2 ? (pass->column + column) / GROUP_NUMBERS * 2 * CKERNELS_PAGE_TOKENS : 0;
        for (int q = 0; q < count; q++) scale_weights(queries + q, steps + at, minima + at);
        size_t columns_end = smaller(column + group, pass->columns);
        for (; column + LANES * vectors <= columns_end; column += LANES * vectors) {
            add_codes_tile(
                bits, count, vectors, queries, words + 4 * column, width, column, first, end);
        }
        for (; column < columns_end; column += LANES) {
            add_codes_tile(
                bits, count, 1, queries, words + 4 * column, width, column, first, end);
        }
    }
}

// Adds a page's values to `count` (a constant) queries.
LANES_INLINE void add_values(
    const int count, const attention_pass *pass, attention_query *queries,
    const page_parts *page) {
    switch (page->value_bits) {
    case 32: add_elements(4, count, pass, queries, page->values); break;
    case 16: add_elements(2, count, pass, queries, page->values); break;
    case 8: add_codes(8, count, pass, queries, page->values); break;
    case 4: add_codes(4, count, pass, queries, page->values); break;
    default: add_codes(2, count, pass, queries, page->values); break;
    }
}
