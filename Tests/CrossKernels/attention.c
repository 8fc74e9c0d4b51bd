// Attention and the KV cache's pages, with floats and halves, heads alone and in groups, widths
// that vectors do not divide, and contexts of one page, several, and more than a span.

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

static uint8_t *random_pool(size_t elements, size_t element_bytes, nature nature) {
    if (element_bytes == 4) return (uint8_t *)random_floats(elements, nature);
    uint16_t *halves = allocate(elements * sizeof(uint16_t));
    for (size_t i = 0; i < elements; i++) halves[i] = random_half(nature);
    return (uint8_t *)halves;
}

typedef struct {
    size_t heads;
    size_t kv_heads;
    size_t key_width;
    size_t value_width;
} head_shape;

static void check_one(
    head_shape shape, size_t tokens, size_t first, size_t element_bytes, nature nature) {
    size_t page_elements =
        shape.kv_heads * CKERNELS_PAGE_TOKENS * (shape.key_width + shape.value_width);
    size_t pages = (first + tokens + CKERNELS_PAGE_TOKENS - 1) / CKERNELS_PAGE_TOKENS;
    uint8_t *pool = random_pool(pages * page_elements, element_bytes, nature);
    float *queries = random_floats(tokens * shape.heads * shape.key_width, nature);
    intptr_t offsets[MAX_PAGES];
    for (size_t i = 0; i < pages; i++) {
        offsets[i] = (intptr_t)((pages - 1 - i) * page_elements * element_bytes);
    }
    attention_case c = {
        .attention = {
            .head_count = shape.heads,
            .kv_head_count = shape.kv_heads,
            .key_width = shape.key_width,
            .value_width = shape.value_width,
            .scale = 0.25f,
            .tokens = tokens,
            .first_position = first,
            .queries = queries,
            .pool = pool,
            .page_offsets = offsets,
            .key_bits = 8 * element_bytes,
            .value_bits = 8 * element_bytes,
        },
        .stride = shape.heads / shape.kv_heads * (2 + shape.value_width),
        .spans = (first + tokens + SPAN_POSITIONS - 1) / SPAN_POSITIONS,
    };
    describe_case(
        "%zu heads of %zu, widths %zu and %zu, %zu tokens from %zu, %zu bytes, %s", shape.kv_heads,
        shape.heads, shape.key_width, shape.value_width, tokens, first, element_bytes,
        nature_names[nature]);
    size_t y_bytes = tokens * shape.heads * shape.value_width * sizeof(float);
    result_part parts[2] = {
        {FLOATS, y_bytes, NULL},
        {FLOATS, shape.kv_heads * c.spans * c.stride * sizeof(float), NULL},
    };
    compare_sets("attend", attend, &c, 1, parts);
    compare_sets("attend_span and join_spans", attend_spans, &c, 2, parts);
    free(queries);
    free(pool);
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

static void check_pages(size_t width, size_t element_bytes, nature nature) {
    size_t slot = random_below(CKERNELS_PAGE_TOKENS);
    size_t tokens = 1 + random_below(CKERNELS_PAGE_TOKENS - slot);
    size_t bytes = CKERNELS_PAGE_TOKENS * width * element_bytes;
    ckernels_page_rows rows = {
        .stride = width + 3,
        .tokens = tokens,
        .width = width,
        .slot = slot,
        .bits = 8 * element_bytes,
    };
    float *x = random_floats(tokens * rows.stride, nature);
    void *before = allocate(bytes);
    memset(before, 0x5a, bytes);
    rows.x = x;
    describe_case(
        "width %zu, %zu tokens from %zu, %zu bytes, %s", width, tokens, slot, element_bytes,
        nature_names[nature]);
    result_part part = {element_bytes == 4 ? FLOATS : HALVES, bytes, before};
    compare_sets("store_keys", store_keys, &rows, 1, &part);
    compare_sets("store_values", store_values, &rows, 1, &part);
    free(before);
    free(x);
}

void check_attention(void) {
    const head_shape shapes[] = {{4, 2, 20, 24}, {8, 1, 64, 64}, {3, 3, 5, 7}, {6, 2, 16, 300}};
    const size_t firsts[] = {0, 61, 507};
    for (nature nature = 0; nature < NATURE_COUNT; nature++) {
        for (size_t bytes = 2; bytes <= 4; bytes += 2) {
            for (size_t i = 0; i < 4; i++) {
                for (size_t f = 0; f < 3; f++) {
                    // Long contexts cost the most, under emulation above all.
                    if (firsts[f] > 500 && nature > ANY_BITS) continue;
                    size_t tokens = firsts[f] > 500 ? 6 : 1 + random_below(9);
                    check_one(shapes[i], tokens, firsts[f], bytes, nature);
                }
                check_pages(shapes[i].key_width, bytes, nature);
            }
            check_pages(1, bytes, nature);
            check_pages(33, bytes, nature);
        }
    }
}
