// Columns of a matrix one after another: what a neuron's column of the down projection is stored
// as.
#include <math.h>
#include <string.h>

#include "codes.h"

#pragma STDC FP_CONTRACT OFF

enum { BLOCK = 32 };

// To the nearest whole number, ties to even, for |x| < 2^22.
static inline float rounded(float x) { return (x + 12582912.0f) - 12582912.0f; }

// One block of Q8_0. The scale is the greatest magnitude's 127th part in half precision, and every
// quant is the nearest to the number divided by the scale as it is stored.
static void encode_block(const float *values, uint8_t *out, cpacking_error *error) {
    float greatest = 0;
    for (size_t i = 0; i < BLOCK; i++) greatest = fmaxf(greatest, fabsf(values[i]));
    uint16_t half = half_of_float(greatest / 127);
    float step = float_of_half(half);
    store16(out, half);
    for (size_t i = 0; i < BLOCK; i++) {
        float q = step > 0 && step < INFINITY ? values[i] / step : 0;
        // Not a number becomes 0.
        q = q > -127 ? rounded(fminf(q, 127)) : q <= -127 ? -127 : 0;
        out[2 + i] = (uint8_t)(int8_t)q;
        double difference = (double)values[i] - (double)(step * q);
        if (!isfinite(difference)) continue;
        error->error += difference * difference;
        error->norm += (double)values[i] * (double)values[i];
    }
}

void cpacking_q8_0_columns(
    const float *rows, size_t stride, size_t columns, uint8_t *const *stored, size_t block,
    cpacking_error *error) {
    for (size_t c = 0; c < columns; c++) {
        float values[BLOCK];
        for (size_t r = 0; r < BLOCK; r++) values[r] = rows[r * stride + c];
        encode_block(values, stored[c] + block * (2 + BLOCK), error);
    }
}

void cpacking_plain_columns(
    const uint8_t *row, size_t unit, size_t columns, uint8_t *const *stored, size_t element) {
    for (size_t c = 0; c < columns; c++) memcpy(stored[c] + element * unit, row + c * unit, unit);
}

void cpacking_split_columns(
    uint32_t type, const uint8_t *row, size_t skipped, size_t columns, uint8_t *const *stored,
    size_t element, uint8_t *scales, size_t stride) {
    size_t bytes = type == CPACKING_Q4_0 ? 18 : 34;
    for (size_t at = 0; at < skipped + columns; at += BLOCK, row += bytes, scales += stride) {
        memcpy(scales, row, 2);
        for (size_t i = 0; i < BLOCK; i++) {
            if (at + i < skipped || at + i >= skipped + columns) continue;
            uint8_t quant = row[2 + i % (bytes - 2)];
            // Low nibbles are the first 16.
            if (type == CPACKING_Q4_0) quant = (uint8_t)((i < 16 ? quant & 15 : quant >> 4) - 8);
            stored[at + i - skipped][element] = quant;
        }
    }
}
