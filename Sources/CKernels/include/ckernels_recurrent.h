// What layers with a state compute besides products: part of the contract of ckernels.h.
#ifndef CKERNELS_RECURRENT_H
#define CKERNELS_RECURRENT_H

#include <stddef.h>

enum {
    // Positions of the longest short convolution.
    CKERNELS_CONVOLUTION_MAX = 8
};

// A causal convolution of each channel over positions (depthwise), as LFM2 and linear attention
// have it. With u = x * before, or x where that is NULL, and the state's rows before it,
//     y[t] = act(sum over j of weights[j] * u[t - (length - 1) + j] + bias) * after[t]
// by fma from 0 on in order of j, act being SiLU where `activates`, and without what is NULL. The
// last length - 1 rows of u are the state then. y may not be x.
typedef struct {
    // [tokens][channels], each
    const float *x;
    const float *before;
    const float *after;
    float *y;
    // [length][channels], the oldest position's first
    const float *weights;
    // [channels]
    const float *bias;
    // [length - 1][channels], the oldest first
    float *state;
    size_t tokens;
    size_t channels;
    // 2 to CKERNELS_CONVOLUTION_MAX
    size_t length;
    int activates;
} ckernels_convolution;

// One head's state, token by token, as the gated delta rule has it (Gated DeltaNet, arXiv
// 2412.06464):
//     S = decay * S;  e = step * (value - S^T key);  S = S + key e^T;  y = S^T query
// by fma over rows in order, from 0 on. With a decay for each number of a key, each row of S has
// its own. Columns are independent. Where it `only_adds`, as a state space does (Mamba 2, arXiv
// 2405.21060), e = step * value and y = fma(skip, value, S^T query).
typedef struct {
    // Rows of a token, `stride` floats apart: query and key of key_width, value of value_width.
    const float *query;
    const float *key;
    const float *value;
    size_t stride;
    // Numbers of a token, `gate_stride` floats apart.
    const float *decay;
    const float *step;
    size_t gate_stride;
    // Of a token: 1, or key_width, and then `decay` has as many for each of `gate_stride`.
    size_t decay_count;
    // [key_width][value_width]
    float *state;
    // Rows of value_width, `y_stride` floats apart.
    float *y;
    size_t y_stride;
    size_t tokens;
    size_t key_width;
    size_t value_width;
    int only_adds;
    float skip;
} ckernels_state_rule;

// What a state space learns and forgets: steps[t][h] = ln(1 + exp(steps[t][h] + bias[h])), and
// decays[t][h] = exp(factors[h] * that).
void ckernels_time_steps(
    const float *bias, const float *factors, size_t tokens, size_t heads, float *steps,
    float *decays);

// What a delta rule forgets: x[t][h] = exp(factors[h] * ln(1 + exp(x[t][h] + bias[h]))).
void ckernels_decays(
    const float *bias, const float *factors, size_t tokens, size_t heads, float *x);

// The same within a bound, and with a bias for each number of a head (Kimi's delta rule as Ling 3
// has it): x[t][h][i] = exp(bound * logistic(factors[h] * (x[t][h][i] + bias[h][i]))).
void ckernels_bounded_decays(
    const float *bias, const float *factors, float bound, size_t tokens, size_t heads,
    size_t width, float *x);

#endif
