// The softplus, log(1 + exp(x)): gates of what attention gives, decays of states, and its root,
// scores of experts (expert_gating_func 4). In double precision without the C library's logarithm,
// which differs between machines.

#include "scalar.h"

// log((1 + s) / (1 - s)) for s in [-0.1716, 0.1716]: twice the series of artanh, to within 1e-13.
static double log_of_ratio(double s) {
    double square = s * s;
    double sum = 0;
    for (int n = 15; n > 1; n -= 2) sum = (sum + 1.0 / n) * square;
    return 2 * (s + s * sum);
}

// log(1 + u) for u >= 0.
static double log_of_one_and(double u) {
    // Below sqrt(2) - 1 nothing of u is lost in a sum with 1.
    if (u < 0.4142135623730951) return log_of_ratio(u / (2 + u));
    int exponent = 0;
    double mantissa = frexp(1 + u, &exponent);
    if (mantissa < 0.7071067811865476) {
        mantissa *= 2;
        exponent--;
    }
    return exponent * 0.6931471805599453 + log_of_ratio((mantissa - 1) / (mantissa + 1));
}

// Beyond 20 it is x to a float.
static double softplus(float x) { return x > 20 ? x : log_of_one_and(ckernels_exp(x)); }

void ckernels_softplus(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = (float)softplus(x[i]);
}

void ckernels_decays(
    const float *bias, const float *factors, size_t tokens, size_t heads, float *x) {
    for (size_t t = 0; t < tokens; t++, x += heads) {
        for (size_t h = 0; h < heads; h++) {
            x[h] = exponential(factors[h] * (float)softplus(x[h] + bias[h]));
        }
    }
}

void ckernels_bounded_decays(
    const float *bias, const float *factors, float bound, size_t tokens, size_t heads,
    size_t width, float *x) {
    for (size_t row = 0; row < tokens * heads; row++, x += width) {
        size_t h = row % heads;
        for (size_t i = 0; i < width; i++) {
            x[i] = exponential(bound * logistic(factors[h] * (x[i] + bias[h * width + i])));
        }
    }
}

void ckernels_time_steps(
    const float *bias, const float *factors, size_t tokens, size_t heads, float *steps,
    float *decays) {
    for (size_t t = 0; t < tokens; t++, steps += heads, decays += heads) {
        for (size_t h = 0; h < heads; h++) {
            steps[h] = (float)softplus(steps[h] + bias[h]);
            decays[h] = exponential(factors[h] * steps[h]);
        }
    }
}

void ckernels_root_softplus(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = (float)sqrt(softplus(x[i]));
}
