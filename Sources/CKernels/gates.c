// Gates on what attention gives: few numbers for each token, so one implementation serves all sets.

#include "scalar.h"

void ckernels_multiply_rows(const float *factors, size_t rows, size_t width, float *y) {
    if (width == 1) {
        for (size_t r = 0; r < rows; r++) y[r] *= factors[r];
        return;
    }
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < width; i++) y[r * width + i] *= factors[r];
    }
}
