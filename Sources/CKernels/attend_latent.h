// What queries give with values, added to scores where values are keys too (latent attention): a
// lane is a column, and several queries share each value that is loaded. The includer is
// attend_lanes.h.

// Makes scores of what keys gave, of positions first ..< first + `positions`, and what values in
// numbers give. `count` and `positions` are constants.
LANES_INLINE void add_value_dots(
    const size_t bytes, const int count, const int positions, attention_query *queries,
    const uint8_t *values, size_t width, size_t first, float scale) {
    lanes sums[QUERIES_MAX][PAGE_VECTORS];
#pragma clang loop unroll(full)
    for (int q = 0; q < count; q++) {
#pragma clang loop unroll(full)
        for (int j = 0; j < positions; j++) sums[q][j] = (lanes){0};
    }
    values += bytes * first * width;
    for (size_t v = 0; v < width; v += LANES, values += bytes * LANES) {
        lanes value[PAGE_VECTORS];
#pragma clang loop unroll(full)
        for (int j = 0; j < positions; j++) {
            value[j] = load_elements(bytes, values + bytes * width * (size_t)j);
        }
#pragma clang loop unroll(full)
        for (int q = 0; q < count; q++) {
            lanes query = lanes_load(queries[q].value_query + v);
#pragma clang loop unroll(full)
            for (int j = 0; j < positions; j++) {
                sums[q][j] = lanes_fma(query, value[j], sums[q][j]);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int q = 0; q < count; q++) {
#pragma clang loop unroll(full)
        for (int j = 0; j < positions; j++) {
            float *score = queries[q].weights + first + j;
            *score = (*score + lanes_sum(sums[q][j])) * scale;
        }
    }
}

LANES_INLINE void add_elements_dots(
    const size_t bytes, const int count, const attention_pass *pass, attention_query *queries,
    const uint8_t *values, size_t most) {
    // A power of two, as the positions of a page are.
    const int positions = vectors_of(count, PAGE_VECTORS);
    size_t width = pass->attention->value_width;
    for (size_t j = 0; j < most; j += (size_t)positions) {
        add_value_dots(
            bytes, count, positions, queries, values, width, j, pass->attention->scale);
    }
}

// What a query gives with the codes of `columns` columns, for the positions of one word.
LANES_INLINE void add_word_dots(
    const size_t bits, const attention_query *query, const uint8_t *words, size_t column,
    size_t columns, float minimum_factor, const uint8_t *steps, const uint8_t *minima,
    float *dots) {
    const size_t codes_of = 32 / bits;
    lanes sums[32 / 2];
#pragma clang loop unroll(full)
    for (size_t k = 0; k < codes_of; k++) sums[k] = (lanes){0};
    for (size_t v = column; v < column + columns; v += LANES) {
        lanes factor = lanes_load(query->value_query + v);
        word_lanes loaded = lanes_load_words(words + 4 * v);
#pragma clang loop unroll(full)
        for (size_t k = 0; k < codes_of; k++) {
            sums[k] = lanes_fma(factor, codes_at(bits, k, loaded), sums[k]);
        }
    }
#pragma clang loop unroll(full)
    for (size_t k = 0; k < codes_of; k++) {
        float base = half_at(minima, k) * minimum_factor;
        dots[k] += __builtin_fmaf(half_at(steps, k), lanes_sum(sums[k]), base);
    }
}

// The same of values in codes; those of 2 bits have steps for each 32 columns.
LANES_INLINE void add_code_dots(
    const size_t bits, const attention_pass *pass, attention_query *query, const uint8_t *values,
    size_t most) {
    const size_t codes_of = 32 / bits;
    size_t width = pass->attention->value_width;
    size_t group = bits == 2 ? GROUP_NUMBERS : width;
    const uint8_t *steps = values + value_steps_offset(bits, width);
    const uint8_t *minima = steps + 2 * value_steps_count(bits, width);
    float dots[CKERNELS_PAGE_TOKENS] = {0};
    for (size_t column = 0; column < width; column += group) {
        size_t columns = smaller(group, width - column);
        float sum = sum_of_query(query->value_query + column, columns);
        size_t at = 2 * CKERNELS_PAGE_TOKENS * (column / group);
        for (size_t j = 0; j < most; j += codes_of) {
            add_word_dots(
                bits, query, values + 4 * (j / codes_of * width), column, columns, sum,
                steps + at + 2 * j, minima + at + 2 * j, dots + j);
        }
    }
    for (size_t j = 0; j < most; j++) {
        query->weights[j] = (query->weights[j] + dots[j]) * pass->attention->scale;
    }
}

// Makes scores of the first `most` positions of a page out of what keys gave.
LANES_INLINE void score_values(
    const int count, const attention_pass *pass, attention_query *queries, const page_parts *page,
    size_t most) {
    switch (page->value_bits) {
    case 32: add_elements_dots(4, count, pass, queries, page->values, most); return;
    case 16: add_elements_dots(2, count, pass, queries, page->values, most); return;
    }
    for (int q = 0; q < count; q++) {
        switch (page->value_bits) {
        case 8: add_code_dots(8, pass, queries + q, page->values, most); break;
        case 4: add_code_dots(4, pass, queries + q, page->values, most); break;
        default: add_code_dots(2, pass, queries + q, page->values, most); break;
        }
    }
}
