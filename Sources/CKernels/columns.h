// Sums of columns in 16 lanes, one lane per element of the result. The includer defines TARGET and
// SET.

#include "lanes.h"
#include "table.h"

enum {
    // Neurons that share each load and store of one token's result.
    NEURONS_TOGETHER = 4,
    // Elements that many tokens' results have in the first-level cache at a time.
    STRIP = 64,
    PAIR = 2 * LANES,
    // Columns of quants whose scales lie apart, beside the formats' numbers.
    QUANTS = CKERNELS_FORMAT_COUNT
};

// A column, and where its scales are if they lie apart.
typedef struct {
    const uint8_t *numbers;
    const uint8_t *scales;
} column;

LANES_INLINE column column_of(const int format, const ckernels_columns *p, size_t i) {
    column c = {p->records[i] + p->record_offset, NULL};
    if (format == QUANTS) {
        c.scales = p->scales + 2 * p->width * (p->neurons[i] / CKERNELS_QUANT_BLOCK);
    }
    return c;
}

// Elements PAIR * pair ... of a column.
LANES_INLINE void decode_pair(
    const int format, const column c, size_t pair, lanes *weights) {
    typedef int8_t byte_lanes __attribute__((vector_size(16)));
    const uint8_t *column = c.numbers;
    byte_lanes quants[2];
    switch (format) {
    case QUANTS:
        memcpy(quants, column + PAIR * pair, sizeof quants);
        for (size_t k = 0; k < 2; k++) {
            lanes scales = lanes_load_halves(c.scales + 2 * (PAIR * pair + LANES * k));
            weights[k] = scales * __builtin_convertvector(quants[k], lanes);
        }
        return;
    case CKERNELS_F32:
        weights[0] = lanes_load(column + 4 * PAIR * pair);
        weights[1] = lanes_load(column + 4 * PAIR * pair + 4 * LANES);
        return;
    case CKERNELS_F16:
        weights[0] = lanes_load_halves(column + 2 * PAIR * pair);
        weights[1] = lanes_load_halves(column + 2 * PAIR * pair + 2 * LANES);
        return;
    case CKERNELS_BF16:
        weights[0] = lanes_load_bfloats(column + 2 * PAIR * pair);
        weights[1] = lanes_load_bfloats(column + 2 * PAIR * pair + 2 * LANES);
        return;
    }
    const uint8_t *block = column + 34 * pair;
    lanes step = lanes_splat(float_from_half(load_u16(block)));
    memcpy(quants, block + 2, sizeof quants);
    weights[0] = step * __builtin_convertvector(quants[0], lanes);
    weights[1] = step * __builtin_convertvector(quants[1], lanes);
}

// One element of a column that has no blocks.
LANES_INLINE float decode_one(const int format, const column c, size_t i) {
    const uint8_t *column = c.numbers;
    switch (format) {
    case QUANTS:
        return float_from_half(load_u16(c.scales + 2 * i)) * (float)(int8_t)column[i];
    case CKERNELS_F32: return float_from_bits(load_u32(column + 4 * i));
    case CKERNELS_F16: return float_from_half(load_u16(column + 2 * i));
    default: return float_from_bits((uint32_t)load_u16(column + 2 * i) << 16);
    }
}

// Elements first ..< end of the columns of `count` (a constant) neurons for one token.
LANES_INLINE void add_neurons(
    const int format, const int count, const column *columns, const float *values,
    float *y, size_t first, size_t end) {
    size_t i = first;
    for (; i + PAIR <= end; i += PAIR) {
        lanes sums[2] = {lanes_load(y + i), lanes_load(y + i + LANES)};
#pragma clang loop unroll(full)
        for (int n = 0; n < count; n++) {
            lanes weights[2];
            decode_pair(format, columns[n], i / PAIR, weights);
            sums[0] = lanes_fma(lanes_splat(values[n]), weights[0], sums[0]);
            sums[1] = lanes_fma(lanes_splat(values[n]), weights[1], sums[1]);
        }
        lanes_store(y + i, sums[0]);
        lanes_store(y + i + LANES, sums[1]);
    }
    if (format == CKERNELS_Q8_0) return;
    for (; i < end; i++) {
        for (int n = 0; n < count; n++) {
            y[i] = __builtin_fmaf(values[n], decode_one(format, columns[n], i), y[i]);
        }
    }
}

LANES_INLINE void add_for_one(
    const int format, const ckernels_columns *p, size_t first, size_t end) {
    column columns[NEURONS_TOGETHER];
    float values[NEURONS_TOGETHER];
    int count = 0;
    for (size_t i = 0; i < p->count; i++) {
        uint32_t neuron = p->neurons[i];
        if (p->masks[neuron] == 0) continue;
        columns[count] = column_of(format, p, i);
        values[count++] = p->values[neuron];
        if (count < NEURONS_TOGETHER) continue;
        add_neurons(format, NEURONS_TOGETHER, columns, values, p->y, first, end);
        count = 0;
    }
    for (int n = 0; n < count; n++) {
        add_neurons(format, 1, columns + n, values + n, p->y, first, end);
    }
}

// A strip of elements, whole pairs, for the tokens that a neuron fires for.
LANES_INLINE void add_strip(
    const int format, const ckernels_columns *p, size_t first, const int pairs) {
    for (size_t i = 0; i < p->count; i++) {
        uint32_t neuron = p->neurons[i];
        uint64_t mask = p->masks[neuron];
        if (mask == 0) continue;
        const column column = column_of(format, p, i);
        lanes weights[STRIP / LANES];
#pragma clang loop unroll(full)
        for (int k = 0; k < pairs; k++) {
            decode_pair(format, column, first / PAIR + (size_t)k, weights + 2 * k);
        }
        const float *values = p->values + neuron * p->tokens;
        for (; mask != 0; mask &= mask - 1) {
            size_t t = (size_t)__builtin_ctzll(mask);
            lanes value = lanes_splat(values[t]);
            float *y = p->y + t * p->y_stride + first;
#pragma clang loop unroll(full)
            for (int k = 0; k < 2 * pairs; k++) {
                lanes sum = lanes_fma(value, weights[k], lanes_load(y + LANES * k));
                lanes_store(y + LANES * k, sum);
            }
        }
    }
}

// The elements after the last pair, without blocks.
LANES_INLINE void add_rest(
    const int format, const ckernels_columns *p, size_t first, size_t end) {
    for (size_t i = 0; i < p->count; i++) {
        uint32_t neuron = p->neurons[i];
        const column column = column_of(format, p, i);
        for (uint64_t mask = p->masks[neuron]; mask != 0; mask &= mask - 1) {
            size_t t = (size_t)__builtin_ctzll(mask);
            float value = p->values[neuron * p->tokens + t];
            float *y = p->y + t * p->y_stride;
            for (size_t e = first; e < end; e++) {
                y[e] = __builtin_fmaf(value, decode_one(format, column, e), y[e]);
            }
        }
    }
}

LANES_INLINE void add_format(
    const int format, const ckernels_columns *p, size_t first, size_t end) {
    if (p->tokens == 1) {
        add_for_one(format, p, first, end);
        return;
    }
    for (; first + STRIP <= end; first += STRIP) add_strip(format, p, first, STRIP / PAIR);
    for (; first + PAIR <= end; first += PAIR) add_strip(format, p, first, 1);
    if (format != CKERNELS_Q8_0 && first < end) add_rest(format, p, first, end);
}

#define JOIN_NAMED(a, b) a##b
#define JOIN(a, b) JOIN_NAMED(a, b)

TARGET void JOIN(ckernels_add_columns_, SET)(
    int format, const ckernels_columns *columns, size_t first, size_t end) {
    switch (columns->scales ? QUANTS : format) {
    case QUANTS: add_format(QUANTS, columns, first, end); break;
    case CKERNELS_F32: add_format(CKERNELS_F32, columns, first, end); break;
    case CKERNELS_F16: add_format(CKERNELS_F16, columns, first, end); break;
    case CKERNELS_BF16: add_format(CKERNELS_BF16, columns, first, end); break;
    default: add_format(CKERNELS_Q8_0, columns, first, end); break;
    }
}
