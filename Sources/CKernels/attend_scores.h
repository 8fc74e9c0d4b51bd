// Scores of a page's positions: a lane is a position, and several queries share each key that is
// loaded and decoded. The includer is attend_lanes.h.

// Where values add to what keys give, the sum is scaled.
LANES_INLINE float scale_of_keys(const attention_pass *pass) {
    return pass->attention->value_queries ? 1 : pass->attention->scale;
}

// Scores of 16 * `vectors` positions for `count` queries, both constants.
LANES_INLINE void score_elements(
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

// Adds a channel's codes times its factor to the sums of `count` queries.
LANES_INLINE void add_channel(
    const int count, const int vectors, const attention_query *queries, size_t channel,
    const lanes *codes, lanes sums[QUERIES_MAX][CODE_VECTORS]) {
#pragma clang loop unroll(full)
    for (int q = 0; q < count; q++) {
        lanes factor = lanes_splat(queries[q].factors[channel]);
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) sums[q][j] = lanes_fma(factor, codes[j], sums[q][j]);
    }
}

// Adds to the sums of `count` queries what `width` channels in codes of 16 * `vectors` positions
// give; a word's channels are decoded one after the other.
LANES_INLINE void add_channels(
    const size_t bits, const int count, const int vectors, const attention_query *queries,
    const uint8_t *keys, size_t width, lanes sums[QUERIES_MAX][CODE_VECTORS]) {
    const size_t codes_of = 32 / bits;
    word_lanes words[CODE_VECTORS];
    lanes codes[CODE_VECTORS];
    size_t i = 0;
    for (; i + codes_of <= width; i += codes_of, keys += 4 * CKERNELS_PAGE_TOKENS) {
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) words[j] = lanes_load_words(keys + 4 * LANES * j);
#pragma clang loop unroll(full)
        for (size_t k = 0; k < codes_of; k++) {
#pragma clang loop unroll(full)
            for (int j = 0; j < vectors; j++) codes[j] = codes_at(bits, k, words[j]);
            add_channel(count, vectors, queries, i + k, codes, sums);
        }
    }
    if (i >= width) return;
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) words[j] = lanes_load_words(keys + 4 * LANES * j);
    for (; i < width; i++) {
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) {
            codes[j] = codes_at(bits, 0, words[j]);
            words[j] >>= (uint32_t)bits;
        }
        add_channel(count, vectors, queries, i, codes, sums);
    }
}

// Scores of 16 * `vectors` positions from `first` on, whose keys have 8 bits.
LANES_INLINE void score_codes(
    const int count, const int vectors, attention_query *queries, const uint8_t *keys,
    size_t first, size_t width, float scale) {
    const size_t bits = 8;
    lanes sums[QUERIES_MAX][CODE_VECTORS];
#pragma clang loop unroll(full)
    for (int q = 0; q < count; q++) {
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) sums[q][j] = (lanes){0};
    }
    const uint8_t *steps = keys + key_steps_offset(bits, width) + 2 * first;
    const uint8_t *minima = steps + 2 * CKERNELS_PAGE_TOKENS;
    add_channels(bits, count, vectors, queries, keys + 4 * first, width, sums);
#pragma clang loop unroll(full)
    for (int j = 0; j < vectors; j++) {
        lanes step = lanes_load_halves(steps + 2 * LANES * j);
        lanes minimum = lanes_load_halves(minima + 2 * LANES * j);
#pragma clang loop unroll(full)
        for (int q = 0; q < count; q++) {
            lanes dot = lanes_fma(step, sums[q][j], minimum * queries[q].query_sum);
            lanes_store(queries[q].weights + first + LANES * j, dot * scale);
        }
    }
}

// 16 halves of which the first `count` are there.
LANES_INLINE lanes load_halves_partial(const uint8_t *halves, size_t count) {
    uint8_t bytes[2 * LANES] = {0};
    memcpy(bytes, halves, 2 * smaller(count, LANES));
    return lanes_load_halves(bytes);
}

// A query times the minima of a group of keys.
LANES_INLINE float sum_of_minima(const float *query, const uint8_t *minima, size_t width) {
    lanes sums = {0};
    size_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        sums = lanes_fma(lanes_load(query + i), lanes_load_halves(minima + 2 * i), sums);
    }
    if (i < width) {
        lanes rest = lanes_load_partial(query + i, width - i, 0);
        lanes added = lanes_fma(rest, load_halves_partial(minima + 2 * i, width - i), sums);
        const int_lanes index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        sums = lanes_select(index < (int)(width - i), added, sums);
    }
    return lanes_sum(sums);
}

// Folds the steps of channels first ..< end into a query.
LANES_INLINE void fold_steps(
    attention_query *query, const uint8_t *steps, size_t first, size_t end) {
    size_t i = first;
    for (; i + LANES <= end; i += LANES) {
        lanes factors = lanes_load(query->query + i) * lanes_load_halves(steps + 2 * i);
        lanes_store(query->folded + (i - first), factors);
    }
    for (; i < end; i++) query->folded[i - first] = query->query[i] * half_at(steps, i);
    query->factors = query->folded;
}

// Scores of 16 * `vectors` positions from `first` on after one more strip of channels; their sums
// are among the weights meanwhile, before the first strip what the minima give.
LANES_INLINE void score_strip(
    const size_t bits, const int count, const int vectors, attention_query *queries,
    const uint8_t *keys, size_t first, size_t width, float scale) {
    lanes sums[QUERIES_MAX][CODE_VECTORS];
#pragma clang loop unroll(full)
    for (int q = 0; q < count; q++) {
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) {
            sums[q][j] = lanes_load(queries[q].weights + first + LANES * j);
        }
    }
    add_channels(bits, count, vectors, queries, keys + 4 * first, width, sums);
#pragma clang loop unroll(full)
    for (int q = 0; q < count; q++) {
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) {
            lanes_store(queries[q].weights + first + LANES * j, sums[q][j] * scale);
        }
    }
}

// Scores of a page of keys of 4 or 2 bits, one group of positions after the other.
LANES_INLINE void score_groups(
    const size_t bits, const int count, const attention_pass *pass, attention_query *queries,
    const uint8_t *keys, size_t most) {
    const int vectors = vectors_of(count, CODE_VECTORS);
    size_t width = pass->attention->key_width;
    const uint8_t *steps = keys + key_steps_offset(bits, width);
    const uint8_t *minima = steps + 2 * key_steps_count(bits, width);
    const size_t positions = key_group(bits);
    for (size_t group = 0; group < most; group += positions) {
        size_t at = 2 * (group / positions * width);
        for (int q = 0; q < count; q++) {
            lanes base = lanes_splat(sum_of_minima(queries[q].query, minima + at, width));
            for (size_t j = 0; j < positions; j += LANES) {
                lanes_store(queries[q].weights + group + j, base);
            }
        }
        for (size_t first = 0; first < width; first += STRIP_CHANNELS) {
            size_t end = smaller(width, first + STRIP_CHANNELS);
            for (int q = 0; q < count; q++) fold_steps(queries + q, steps + at, first, end);
            const uint8_t *words = keys + first * bits / 32 * 4 * CKERNELS_PAGE_TOKENS;
            float scale = end == width ? scale_of_keys(pass) : 1;
            size_t end_position = smaller(positions, most - group);
            for (size_t j = 0; j < end_position; j += LANES * vectors) {
                score_strip(bits, count, vectors, queries, words, group + j, end - first, scale);
            }
        }
    }
}

// Scores of the first `most` positions of a page for `count` (a constant) queries; more, whole
// vectors of them, may be written.
LANES_INLINE void score_page(
    const int count, const attention_pass *pass, attention_query *queries, const page_parts *page,
    size_t most) {
    const int vectors = vectors_of(count, PAGE_VECTORS);
    const int code_vectors = vectors_of(count, CODE_VECTORS);
    size_t width = pass->attention->key_width;
    float scale = scale_of_keys(pass);
    const uint8_t *keys = page->keys;
    for (int q = 0; q < count; q++) queries[q].factors = queries[q].query;
    switch (page->key_bits) {
    case 32:
        for (size_t j = 0; j < most; j += LANES * vectors) {
            score_elements(4, count, vectors, queries, keys, j, width, scale);
        }
        break;
    case 16:
        for (size_t j = 0; j < most; j += LANES * vectors) {
            score_elements(2, count, vectors, queries, keys, j, width, scale);
        }
        break;
    case 8:
        for (size_t j = 0; j < most; j += LANES * code_vectors) {
            score_codes(count, code_vectors, queries, keys, j, width, scale);
        }
        break;
    case 4: score_groups(4, count, pass, queries, keys, most); break;
    default: score_groups(2, count, pass, queries, keys, most); break;
    }
}
