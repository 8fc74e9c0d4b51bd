// Gates on what attention gives: few numbers for each token, so one implementation serves all sets.

#include "scalar.h"

void ckernels_softplus(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) {
        // Beyond 20 it is x itself, to the last bit.
        if (!(x[i] > 20.0f)) x[i] = log1pf(exponential(x[i]));
    }
}

void ckernels_multiply_rows(const float *factors, size_t rows, size_t width, float *y) {
    if (width == 1) {
        for (size_t r = 0; r < rows; r++) y[r] *= factors[r];
        return;
    }
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < width; i++) y[r * width + i] *= factors[r];
    }
}
