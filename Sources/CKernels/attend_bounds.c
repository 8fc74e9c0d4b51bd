// What queries can find at most in pages that are not in memory: of each of a page's channels of
// keys the least and the greatest number, and products with those. Read once a token for each page,
// so one implementation serves all sets.

#include "attend_codes.h"

#include <math.h>

// The nearest number of 16 bits, the upper half of a float's, that is not above x (or, with `up`,
// not below it).
static uint16_t half_float(float x, int up) {
    union {
        float x;
        uint32_t bits;
    } word = {x};
    uint32_t kept = word.bits >> 16;
    // Towards zero so far; a finite number may become infinite, which is still a bound.
    if ((word.bits & 0xffff) && (up ? x > 0 : x < 0)) kept++;
    return (uint16_t)kept;
}

static float float_of_half_float(const uint8_t *halves, size_t index) {
    union {
        uint32_t bits;
        float x;
    } word = {(uint32_t)load_u16(halves + 2 * index) << 16};
    return word.x;
}

void ckernels_summarize_keys(const float *x, size_t tokens, size_t width, uint8_t *summary) {
    for (size_t i = 0; i < width; i++) {
        float low = INFINITY, high = -INFINITY;
        int is_number = 1;
        for (size_t t = 0; t < tokens; t++) {
            float key = x[t * width + i];
            is_number &= key == key;
            low = key < low ? key : low;
            high = key > high ? key : high;
        }
        uint16_t bounds[2] = {
            half_float(is_number ? low : -INFINITY, 0), half_float(is_number ? high : INFINITY, 1)};
        memcpy(summary + 2 * i, &bounds[0], 2);
        memcpy(summary + 2 * (width + i), &bounds[1], 2);
    }
}

static float most(float query, const uint8_t *summary, size_t width, size_t i) {
    float low = query * float_of_half_float(summary, i);
    float high = query * float_of_half_float(summary, width + i);
    return low > high ? low : high;
}

static float bound(const float *query, const uint8_t *summary, size_t width) {
    float lanes[16] = {0};
    size_t i = 0;
    for (; i + 16 <= width; i += 16) {
        for (size_t k = 0; k < 16; k++) lanes[k] += most(query[i + k], summary, width, i + k);
    }
    for (; i < width; i++) lanes[i % 16] += most(query[i], summary, width, i);
    for (size_t step = 8; step > 0; step /= 2) {
        for (size_t k = 0; k < step; k++) lanes[k] += lanes[k + step];
    }
    return lanes[0];
}

void ckernels_bound_scores(const ckernels_bounds *bounds) {
    for (size_t page = 0; page < bounds->count; page++) {
        const uint8_t *summary = bounds->summaries + page * bounds->stride;
        for (size_t head = 0; head < bounds->heads; head++) {
            bounds->y[head * bounds->y_stride + page] =
                bound(bounds->queries + head * bounds->width, summary, bounds->width);
        }
    }
}
