// Norm, softmax and half stores in 16 lanes. The includer defines TARGET and SET.

#include "lanes.h"
#include "table.h"

#define JOIN_NAMED(a, b) a##b
#define JOIN(a, b) JOIN_NAMED(a, b)
#define NAME(operation) JOIN(ckernels_##operation##_, SET)

LANES_INLINE void normalize_row(
    const float *x, size_t columns, const float *weights, float epsilon, float *y) {
    size_t whole = columns / LANES * LANES;
    lanes squares = {0};
    for (size_t c = 0; c < whole; c += LANES) {
        lanes v = lanes_load(x + c);
        squares = lanes_fma(v, v, squares);
    }
    if (whole < columns) {
        // 0 * -0 = -0, which added leaves every number as it is, -0 too.
        lanes a = lanes_load_partial(x + whole, columns - whole, 0.0f);
        lanes b = lanes_load_partial(x + whole, columns - whole, -0.0f);
        squares = lanes_fma(a, b, squares);
    }
    float mean = lanes_sum(squares) / (float)columns;
    float factor = 1.0f / sqrtf(mean + epsilon);
    for (size_t c = 0; c < whole; c += LANES) {
        lanes_store(y + c, lanes_load(x + c) * factor * lanes_load(weights + c));
    }
    for (size_t c = whole; c < columns; c++) y[c] = x[c] * factor * weights[c];
}

TARGET void NAME(normalize)(
    const float *x, size_t rows, size_t columns, const float *weights, float epsilon, float *y) {
    for (size_t r = 0; r < rows; r++) {
        normalize_row(x + r * columns, columns, weights, epsilon, y + r * columns);
    }
}

TARGET void NAME(store_half)(const float *x, size_t count, uint8_t *halves) {
    size_t whole = count / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        half_lanes half = __builtin_convertvector(lanes_load(x + i), half_lanes);
        memcpy(halves + 2 * i, &half, sizeof half);
    }
    for (size_t i = whole; i < count; i++) {
        uint16_t half = half_from_float(x[i]);
        memcpy(halves + 2 * i, &half, sizeof half);
    }
}

LANES_INLINE float largest_of(const float *x, size_t count) {
    lanes max = lanes_splat(-INFINITY);
    for (size_t i = 0; i < count; i += LANES) {
        lanes v = i + LANES <= count ? lanes_load(x + i)
                                     : lanes_load_partial(x + i, count - i, -INFINITY);
        max = lanes_select(v > max, v, max);
    }
    float largest = max[0];
    for (int i = 1; i < LANES; i++) largest = max[i] > largest ? max[i] : largest;
    return largest;
}

TARGET void NAME(softmax)(float *x, size_t count) {
    lanes max = lanes_splat(largest_of(x, count));
    lanes sums = {0};
    for (size_t i = 0; i < count; i += LANES) {
        size_t present = smaller(count - i, LANES);
        lanes v = lanes_exponential(lanes_load_partial(x + i, present, 0.0f) - max);
        memcpy(x + i, &v, present * sizeof(float));
        sums += lanes_load_partial(x + i, present, 0.0f);
    }
    float sum = lanes_sum(sums);
    for (size_t i = 0; i < count; i++) x[i] = x[i] / sum;
}
