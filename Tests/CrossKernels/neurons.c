// Sums of neurons' columns, and the selection of those that fire: all sets, one token and many,
// widths with and without a rest.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cross.h"
#include "dequantize.h"

enum { NEURONS = 45, RECORD_OFFSET = 3, TOKENS_MAX = 64 };

typedef struct {
    int format;
    size_t width;
    ckernels_columns columns;
} columns_case;

static void add_in_parts(const ckernels_table *table, const void *context, void *const *parts) {
    const columns_case *c = context;
    ckernels_columns columns = c->columns;
    columns.y = parts[0];
    // Anything may be split at multiples of 32.
    size_t split = c->width / 64 * 32;
    table->add_columns(c->format, &columns, split, c->width);
    if (split > 0) table->add_columns(c->format, &columns, 0, split);
}

// A record of every neuron: some bytes of something else, then a column.
static const uint8_t **random_records(int format, size_t width, nature nature) {
    const block_layout *layout = ckernels_block_layout(format);
    size_t bytes = width / layout->elements * layout->bytes;
    const uint8_t **records = allocate(NEURONS * sizeof(uint8_t *));
    for (size_t n = 0; n < NEURONS; n++) {
        uint8_t *record = allocate(RECORD_OFFSET + bytes);
        records[n] = record;
        for (size_t at = RECORD_OFFSET; at < RECORD_OFFSET + bytes;) {
            float value = random_float(nature);
            uint16_t half = random_half(nature);
            if (format == CKERNELS_F32) {
                memcpy(record + at, &value, 4);
                at += 4;
                continue;
            }
            if (format == CKERNELS_BF16) {
                memcpy(record + at, (const uint8_t *)&value + 2, 2);
            } else {
                memcpy(record + at, &half, 2);
            }
            at += 2;
            if (format != CKERNELS_Q8_0) continue;
            for (size_t i = 0; i < 32; i++) record[at++] = (uint8_t)random_bits();
        }
    }
    return records;
}

// With `scales` apart columns are bytes, of which there are enough.
static void check_columns(
    int format, size_t width, size_t tokens, nature nature, int has_scales) {
    describe_case("%zu columns, %zu tokens, %s", width, tokens, nature_names[nature]);
    size_t stride = width + 5;
    float *x = random_floats(tokens * NEURONS, nature);
    for (size_t i = 0; i < tokens * NEURONS; i++) {
        if (random_below(4) > 0) x[i] = 0;
    }
    uint64_t *masks = allocate(NEURONS * sizeof(uint64_t));
    float *values = allocate(NEURONS * tokens * sizeof(float));
    ckernels_turn_activations(x, NEURONS, tokens, 0, 19, masks, values);
    ckernels_turn_activations(x, NEURONS, tokens, 19, NEURONS, masks, values);
    uint32_t *neurons = allocate(NEURONS * sizeof(uint32_t));
    size_t count = ckernels_list_fired(masks, 1, NEURONS, neurons);
    float *up = random_floats(tokens * NEURONS, nature);
    if (nature == ORDINARY && count > 0) up[count - 1] = 0;
    ckernels_scale_fired(up, NEURONS, tokens, neurons, 0, count, masks, values);
    add_to_digest(FLOATS, values, NEURONS * tokens * sizeof(float));
    add_to_digest(BYTES, masks, NEURONS * sizeof(uint64_t));
    float *before = random_floats(tokens * stride, nature);
    const uint8_t **records = random_records(format, width, nature);
    const uint8_t **listed = allocate(NEURONS * sizeof(uint8_t *));
    for (size_t i = 0; i < count; i++) listed[i] = records[neurons[i]];
    size_t scale_count = (NEURONS / 32 + 1) * width;
    uint16_t *scales = allocate(scale_count * sizeof(uint16_t));
    for (size_t i = 0; i < scale_count; i++) scales[i] = random_half(nature);
    columns_case context = {
        .format = format,
        .width = width,
        .columns = {
            .records = listed,
            .record_offset = RECORD_OFFSET,
            .neurons = neurons,
            .count = count,
            .masks = masks,
            .values = values,
            .tokens = tokens,
            .scales = has_scales ? (const uint8_t *)scales : NULL,
            .width = width,
            .y_stride = stride,
        },
    };
    result_part part = {FLOATS, tokens * stride * sizeof(float), before};
    compare_sets("add_columns", add_in_parts, &context, 1, &part);
}

void check_neurons(void) {
    static const int formats[] = {CKERNELS_F32, CKERNELS_F16, CKERNELS_BF16, CKERNELS_Q8_0};
    static const size_t tokens[] = {1, 2, 7, TOKENS_MAX};
    for (size_t f = 0; f < 4; f++) {
        int is_plain = formats[f] != CKERNELS_Q8_0;
        for (nature nature = 0; nature < NATURE_COUNT; nature++) {
            for (size_t t = 0; t < 4; t++) {
                check_columns(formats[f], 32, tokens[t], nature, 0);
                check_columns(formats[f], 224, tokens[t], nature, 0);
                if (!is_plain) continue;
                check_columns(formats[f], 141, tokens[t], nature, 0);
                check_columns(formats[f], 7, tokens[t], nature, 0);
                check_columns(formats[f], 224 - f, tokens[t], nature, 1);
            }
        }
    }
}
