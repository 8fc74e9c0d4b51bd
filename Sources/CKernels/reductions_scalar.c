// Norms, softmax and half stores, straight from the definitions in ckernels.h.

#include "table.h"

void ckernels_normalize_scalar(
    float *x, const float *added, size_t rows, size_t columns, const float *weights, float epsilon,
    float *y) {
    for (size_t r = 0; r < rows; r++, x += columns, y += columns) {
        for (size_t c = 0; added && c < columns; c++) x[c] += added[r * columns + c];
        float squares[16] = {0};
        for (size_t c = 0; c < columns; c++) squares[c % 16] = fmaf(x[c], x[c], squares[c % 16]);
        float mean = sum_of_lanes(squares) / (float)columns;
        float factor = 1.0f / sqrtf(mean + epsilon);
        for (size_t c = 0; c < columns; c++) y[c] = x[c] * factor * weights[c];
    }
}

void ckernels_layer_norm_scalar(
    float *x, const float *added, size_t rows, size_t columns, const float *weights,
    const float *bias, float epsilon, float *y) {
    for (size_t r = 0; r < rows; r++, x += columns, y += columns) {
        for (size_t c = 0; added && c < columns; c++) x[c] += added[r * columns + c];
        float sums[16] = {0};
        for (size_t c = 0; c < columns; c++) sums[c % 16] += x[c];
        float mean = sum_of_lanes(sums) / (float)columns;
        float squares[16] = {0};
        for (size_t c = 0; c < columns; c++) {
            squares[c % 16] = fmaf(x[c] - mean, x[c] - mean, squares[c % 16]);
        }
        float factor = 1.0f / sqrtf(sum_of_lanes(squares) / (float)columns + epsilon);
        for (size_t c = 0; c < columns; c++) {
            y[c] = fmaf((x[c] - mean) * factor, weights[c], bias[c]);
        }
    }
}

void ckernels_gate_rows_scalar(
    const float *x, const float *weights, size_t rows, size_t columns, float *y) {
    for (size_t r = 0; r < rows; r++, x += columns, y += columns) {
        float products[16] = {0};
        for (size_t c = 0; c < columns; c++) {
            products[c % 16] = fmaf(weights[c], x[c], products[c % 16]);
        }
        float gate = logistic(sum_of_lanes(products));
        for (size_t c = 0; c < columns; c++) y[c] *= gate;
    }
}

void ckernels_store_half_scalar(const float *x, size_t count, uint8_t *halves) {
    for (size_t i = 0; i < count; i++) {
        uint16_t half = half_from_float(x[i]);
        memcpy(halves + 2 * i, &half, sizeof half);
    }
}

void ckernels_softmax_scalar(float *x, size_t count) {
    float max = -INFINITY;
    for (size_t i = 0; i < count; i++) max = x[i] > max ? x[i] : max;
    float sums[16] = {0};
    for (size_t i = 0; i < count; i++) {
        x[i] = exponential(x[i] - max);
        sums[i % 16] += x[i];
    }
    float sum = sum_of_lanes(sums);
    for (size_t i = 0; i < count; i++) x[i] = x[i] / sum;
}
