// Norms, softmax and half stores in 16 lanes. The includer defines TARGET and SET.

#include "lanes.h"
#include "table.h"

#define JOIN_NAMED(a, b) a##b
#define JOIN(a, b) JOIN_NAMED(a, b)
#define NAME(operation) JOIN(ckernels_##operation##_, SET)

// x, or the new x where something is added to it.
LANES_INLINE lanes next_lanes(float *x, const float *added) {
    lanes v = lanes_load(x);
    if (added) {
        v += lanes_load(added);
        lanes_store(x, v);
    }
    return v;
}

LANES_INLINE void normalize_row(
    float *x, const float *added, size_t columns, const float *weights, float epsilon, float *y) {
    size_t whole = columns / LANES * LANES;
    lanes squares = {0};
    for (size_t c = 0; c < whole; c += LANES) {
        lanes v = next_lanes(x + c, added ? added + c : NULL);
        squares = lanes_fma(v, v, squares);
    }
    if (whole < columns) {
        for (size_t c = whole; added && c < columns; c++) x[c] += added[c];
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
    float *x, const float *added, size_t rows, size_t columns, const float *weights, float epsilon,
    float *y) {
    for (size_t r = 0; r < rows; r++, x += columns, y += columns) {
        if (added) {
            normalize_row(x, added + r * columns, columns, weights, epsilon, y);
        } else {
            normalize_row(x, NULL, columns, weights, epsilon, y);
        }
    }
}

LANES_INLINE void layer_norm_row(
    float *x, const float *added, size_t columns, const float *weights, const float *bias,
    float epsilon, float *y) {
    size_t whole = columns / LANES * LANES;
    lanes sums = {0};
    for (size_t c = 0; c < whole; c += LANES) {
        sums += next_lanes(x + c, added ? added + c : NULL);
    }
    if (whole < columns) {
        for (size_t c = whole; added && c < columns; c++) x[c] += added[c];
        sums += lanes_load_partial(x + whole, columns - whole, -0.0f);
    }
    float mean = lanes_sum(sums) / (float)columns;
    lanes squares = {0};
    for (size_t c = 0; c < whole; c += LANES) {
        lanes v = lanes_load(x + c) - mean;
        squares = lanes_fma(v, v, squares);
    }
    if (whole < columns) {
        // Missing elements deviate by 0. A mean that is not finite makes all results NaN anyway.
        lanes v = lanes_load_partial(x + whole, columns - whole, mean) - mean;
        squares = lanes_fma(v, v, squares);
    }
    float factor = 1.0f / sqrtf(lanes_sum(squares) / (float)columns + epsilon);
    for (size_t c = 0; c < whole; c += LANES) {
        lanes v = (lanes_load(x + c) - mean) * factor;
        lanes_store(y + c, lanes_fma(v, lanes_load(weights + c), lanes_load(bias + c)));
    }
    for (size_t c = whole; c < columns; c++) {
        y[c] = __builtin_fmaf((x[c] - mean) * factor, weights[c], bias[c]);
    }
}

TARGET void NAME(layer_norm)(
    float *x, const float *added, size_t rows, size_t columns, const float *weights,
    const float *bias, float epsilon, float *y) {
    for (size_t r = 0; r < rows; r++, x += columns, y += columns) {
        if (added) {
            layer_norm_row(x, added + r * columns, columns, weights, bias, epsilon, y);
        } else {
            layer_norm_row(x, NULL, columns, weights, bias, epsilon, y);
        }
    }
}

TARGET void NAME(gate_rows)(
    const float *x, const float *weights, size_t rows, size_t columns, float *y) {
    size_t whole = columns / LANES * LANES;
    for (size_t r = 0; r < rows; r++, x += columns, y += columns) {
        lanes products = {0};
        for (size_t c = 0; c < whole; c += LANES) {
            products = lanes_fma(lanes_load(weights + c), lanes_load(x + c), products);
        }
        if (whole < columns) {
            // 0 * -0 = -0, which added leaves every number as it is.
            lanes a = lanes_load_partial(weights + whole, columns - whole, 0.0f);
            lanes b = lanes_load_partial(x + whole, columns - whole, -0.0f);
            products = lanes_fma(a, b, products);
        }
        float gate = logistic(lanes_sum(products));
        for (size_t c = 0; c < columns; c++) y[c] *= gate;
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
