// Attention and the KV cache's pages, with floats, halves and codes, heads alone and in groups,
// widths that vectors do not divide, and contexts of one page, several, and more than a span.

#include <stdlib.h>
#include <string.h>

#include "cross.h"

enum {
    // Positions go up to MAX_PAGES pages; pages are in the pool in another order.
    MAX_PAGES = 12,
    SPAN_POSITIONS = CKERNELS_SPAN_PAGES * CKERNELS_PAGE_TOKENS
};

typedef struct {
    ckernels_attention attention;
    size_t stride;
    size_t spans;
} attention_case;

// All heads, tokens cut in two calls.
static void attend(const ckernels_table *table, const void *context, void *const *parts) {
    ckernels_attention a = ((const attention_case *)context)->attention;
    a.y = parts[0];
    for (size_t head = 0; head < a.kv_head_count; head++) {
        table->attend(&a, head, 0, a.tokens / 3);
        table->attend(&a, head, a.tokens / 3, a.tokens);
    }
}

// All heads, each span before the tokens in a call of its own.
static void attend_in_parts(const ckernels_table *table, const void *context, void *const *parts) {
    ckernels_attention a = ((const attention_case *)context)->attention;
    a.y = parts[0];
    a.states = parts[1];
    for (size_t head = 0; head < a.kv_head_count; head++) {
        for (size_t span = 0; span <= a.first_position / SPAN_POSITIONS; span++) {
            a.first_span = span;
            a.end_span = span < a.first_position / SPAN_POSITIONS ? span + 1 : 0;
            table->attend(&a, head, 0, a.tokens);
        }
    }
}

// The last token by spans, then joined.
static void attend_spans(const ckernels_table *table, const void *context, void *const *parts) {
    const attention_case *c = context;
    ckernels_attention a = c->attention;
    float *partials = parts[1];
    a.y = parts[0];
    for (size_t head = 0; head < a.kv_head_count; head++) {
        float *head_partials = partials + head * c->spans * c->stride;
        for (size_t span = 0; span < c->spans; span++) {
            table->attend_span(
                &a, head, a.tokens - 1, span, head_partials + span * c->stride);
        }
        table->join_spans(&a, head, a.tokens - 1, head_partials, c->stride);
    }
}

static const size_t all_bits[] = {32, 16, 8, 4, 2};

enum { BITS_COUNT = sizeof all_bits / sizeof *all_bits };

// Random floats, halves, or codes with halves for their steps and minima.
static void fill_part(uint8_t *part, size_t bits, size_t bytes, size_t codes, nature nature) {
    size_t start = bits < 16 ? codes : 0;
    for (size_t i = 0; i < start; i++) part[i] = (uint8_t)random_bits();
    for (size_t i = start; bits == 32 && i < bytes; i += 4) {
        float x = random_float(nature);
        memcpy(part + i, &x, sizeof x);
    }
    for (size_t i = start; bits < 32 && i < bytes; i += 2) {
        uint16_t half = random_half(nature);
        memcpy(part + i, &half, sizeof half);
    }
}

typedef struct {
    size_t heads;
    size_t kv_heads;
    size_t key_width;
    size_t value_width;
} head_shape;

// Bits of keys and of values.
typedef struct {
    size_t keys;
    size_t values;
} bits_pair;

static size_t page_bytes(head_shape shape, bits_pair bits) {
    return shape.kv_heads
        * (ckernels_key_bytes(bits.keys, shape.key_width)
           + ckernels_value_bytes(bits.values, shape.value_width));
}

static void random_page(head_shape shape, bits_pair bits, nature nature, uint8_t *page) {
    size_t key_bytes = ckernels_key_bytes(bits.keys, shape.key_width);
    size_t value_bytes = ckernels_value_bytes(bits.values, shape.value_width);
    size_t key_codes = (shape.key_width * bits.keys + 31) / 32 * 4 * CKERNELS_PAGE_TOKENS;
    size_t value_codes = shape.value_width * bits.values * CKERNELS_PAGE_TOKENS / 8;
    for (size_t h = 0; h < shape.kv_heads; h++, page += key_bytes) {
        fill_part(page, bits.keys, key_bytes, key_codes, nature);
    }
    for (size_t h = 0; h < shape.kv_heads; h++, page += value_bytes) {
        fill_part(page, bits.values, value_bytes, value_codes, nature);
    }
}

// The last page is one in halves, where `is_open`.
static void check_one(
    head_shape shape, size_t tokens, size_t first, bits_pair bits, int is_open, nature nature) {
    size_t bytes = page_bytes(shape, bits);
    size_t pages = (first + tokens + CKERNELS_PAGE_TOKENS - 1) / CKERNELS_PAGE_TOKENS;
    uint8_t *pool = allocate(pages * bytes), *open = NULL;
    float *queries = random_floats(tokens * shape.heads * shape.key_width, nature);
    float *value_queries = random_floats(tokens * shape.heads * shape.value_width, nature);
    float *sinks = random_floats(shape.heads, nature);
    intptr_t offsets[MAX_PAGES];
    for (size_t i = 0; i < pages; i++) {
        offsets[i] = (intptr_t)((pages - 1 - i) * bytes);
        random_page(shape, bits, nature, pool + offsets[i]);
    }
    if (is_open) {
        bits_pair halves = {16, 16};
        open = allocate(page_bytes(shape, halves));
        random_page(shape, halves, nature, open);
    }
    attention_case c = {
        .attention = {
            .head_count = shape.heads,
            .kv_head_count = shape.kv_heads,
            .key_width = shape.key_width,
            .value_width = shape.value_width,
            .scale = 0.25f,
            .score_cap = random_below(3) ? 0 : 5,
            .sinks = random_below(3) ? NULL : sinks,
            .tokens = tokens,
            .first_position = first,
            .queries = queries,
            .value_queries =
                shape.value_width % 16 == 0 && random_below(2) ? value_queries : NULL,
            .pool = pool,
            .page_offsets = offsets,
            .key_bits = bits.keys,
            .value_bits = bits.values,
            .open_page = open,
            .open_index = pages - 1,
        },
        .stride = shape.heads / shape.kv_heads * (2 + shape.value_width),
        .spans = (first + tokens + SPAN_POSITIONS - 1) / SPAN_POSITIONS,
    };
    describe_case(
        "%zu heads of %zu, widths %zu and %zu, %zu tokens from %zu, %zu and %zu bits%s, %s",
        shape.kv_heads, shape.heads, shape.key_width, shape.value_width, tokens, first, bits.keys,
        bits.values, is_open ? ", open page" : "", nature_names[nature]);
    size_t y_bytes = tokens * shape.heads * shape.value_width * sizeof(float);
    result_part parts[2] = {
        {FLOATS, y_bytes, NULL},
        {FLOATS, shape.kv_heads * c.spans * c.stride * sizeof(float), NULL},
    };
    compare_sets("attend", attend, &c, 1, parts);
    result_part states[2] = {
        {FLOATS, y_bytes, NULL},
        {FLOATS, tokens * shape.heads * 2 * sizeof(float), NULL},
    };
    compare_sets("attend in parts", attend_in_parts, &c, 2, states);
    compare_sets("attend_span and join_spans", attend_spans, &c, 2, parts);
    free(sinks);
    free(queries);
    free(value_queries);
    free(pool);
    free(open);
}

static void store_keys(const ckernels_table *table, const void *context, void *const *parts) {
    ckernels_page_rows rows = *(const ckernels_page_rows *)context;
    rows.part = parts[0];
    table->store_keys(&rows);
}

static void store_values(const ckernels_table *table, const void *context, void *const *parts) {
    ckernels_page_rows rows = *(const ckernels_page_rows *)context;
    rows.part = parts[0];
    table->store_values(&rows);
}

static void check_pages(size_t width, size_t bits, nature nature) {
    size_t slot = random_below(CKERNELS_PAGE_TOKENS);
    size_t tokens = 1 + random_below(CKERNELS_PAGE_TOKENS - slot);
    ckernels_page_rows rows = {
        .stride = width + 3,
        .tokens = tokens,
        .width = width,
        .slot = slot,
        .bits = bits,
    };
    float *x = random_floats(tokens * rows.stride, nature);
    size_t key_bytes = ckernels_key_bytes(bits, width);
    size_t value_bytes = ckernels_value_bytes(bits, width);
    void *before = allocate(key_bytes + value_bytes);
    memset(before, 0x5a, key_bytes + value_bytes);
    rows.x = x;
    describe_case(
        "width %zu, %zu tokens from %zu, %zu bits, %s", width, tokens, slot, bits,
        nature_names[nature]);
    element_kind kind = bits == 32 ? FLOATS : bits == 16 ? HALVES : BYTES;
    result_part key_part = {kind, key_bytes, before}, value_part = {kind, value_bytes, before};
    // Keys of 4 bits come in whole pages.
    if (bits != 4) compare_sets("store_keys", store_keys, &rows, 1, &key_part);
    compare_sets("store_values", store_values, &rows, 1, &value_part);
    free(before);
    free(x);
}

// Packing has one implementation: its results must be the same on every machine.
static void check_packed(size_t width, size_t bits, nature nature) {
    size_t count = CKERNELS_PAGE_TOKENS * width;
    uint16_t *halves = allocate(2 * count);
    for (size_t i = 0; i < count; i++) halves[i] = random_half(nature);
    size_t key_bytes = ckernels_key_bytes(bits, width);
    size_t value_bytes = ckernels_value_bytes(bits, width);
    uint8_t *part = allocate(key_bytes > value_bytes ? key_bytes : value_bytes);
    element_kind kind = bits == 32 ? FLOATS : bits == 16 ? HALVES : BYTES;
    ckernels_pack_keys((const uint8_t *)halves, width, bits, part);
    add_to_digest(kind, part, key_bytes);
    ckernels_pack_values((const uint8_t *)halves, width, bits, part);
    add_to_digest(kind, part, value_bytes);
    free(part);
    free(halves);
}

static void check_combination(bits_pair bits, nature nature) {
    const head_shape shapes[] = {
        {4, 2, 20, 24}, {8, 1, 64, 64}, {3, 3, 5, 7}, {6, 2, 16, 300}, {2, 1, 300, 33},
        {6, 1, 16, 48},
    };
    const size_t firsts[] = {0, 61, 507};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (size_t f = 0; f < 3; f++) {
            // Long contexts and mixtures cost the most, under emulation above all.
            if (firsts[f] > 500 && nature > ANY_BITS) continue;
            if (bits.keys != bits.values && random_below(8) > 0) continue;
            size_t tokens = firsts[f] > 500 ? 6 : 1 + random_below(9);
            check_one(shapes[i], tokens, firsts[f], bits, f != 0 && random_below(2), nature);
        }
    }
}

void check_attention(void) {
    const size_t widths[] = {1, 5, 20, 24, 33, 64, 300};
    for (nature nature = 0; nature < NATURE_COUNT; nature++) {
        for (size_t k = 0; k < BITS_COUNT; k++) {
            for (size_t v = 0; v < BITS_COUNT; v++) {
                check_combination((bits_pair){all_bits[k], all_bits[v]}, nature);
            }
            for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
                if (all_bits[k] > 2) check_pages(widths[i], all_bits[k], nature);
                check_packed(widths[i], all_bits[k], nature);
            }
        }
    }
}
