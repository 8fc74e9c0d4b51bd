// What layers with a state compute besides products: a short convolution and the rule of a state.
// Channels, and columns of a state, are independent: plain loops over some of them at a time, which
// the compiler vectorises for whichever set the includer names with TARGET and SET. Without
// contraction and reassociation the bits are the same.

#include "scalar.h"
#include "table.h"

#define RECURRENT_INLINE TARGET static inline __attribute__((always_inline))
#define JOIN_NAMED(a, b) a##b
#define JOIN(a, b) JOIN_NAMED(a, b)
#define NAME(operation) JOIN(ckernels_##operation##_, SET)

// Channels, and columns, whose numbers stay in the nearest cache over all tokens.
enum { STRIP = 32 };

// `width` channels from `first` on.
RECURRENT_INLINE void convolve_strip(
    const ckernels_convolution *c, size_t first, const size_t width) {
    float inputs[CKERNELS_CONVOLUTION_MAX][STRIP];
    size_t last = c->length - 1;
    for (size_t j = 0; j < last; j++) {
        memcpy(inputs[j], c->state + j * c->channels + first, width * sizeof(float));
    }
    for (size_t t = 0; t < c->tokens; t++) {
        size_t at = t * c->channels + first;
        memcpy(inputs[last], c->x + at, width * sizeof(float));
        if (c->before) {
            for (size_t i = 0; i < width; i++) inputs[last][i] *= c->before[at + i];
        }
        float sums[STRIP] = {0};
        for (size_t j = 0; j < c->length; j++) {
            const float *weights = c->weights + j * c->channels + first;
            for (size_t i = 0; i < width; i++) {
                sums[i] = __builtin_fmaf(weights[i], inputs[j][i], sums[i]);
            }
        }
        if (c->bias) {
            for (size_t i = 0; i < width; i++) sums[i] += c->bias[first + i];
        }
        if (c->activates) {
            for (size_t i = 0; i < width; i++) sums[i] = silu(sums[i]);
        }
        if (c->after) {
            for (size_t i = 0; i < width; i++) sums[i] *= c->after[at + i];
        }
        memcpy(c->y + at, sums, width * sizeof(float));
        for (size_t j = 0; j < last; j++) {
            memcpy(inputs[j], inputs[j + 1], width * sizeof(float));
        }
    }
    for (size_t j = 0; j < last; j++) {
        memcpy(c->state + j * c->channels + first, inputs[j], width * sizeof(float));
    }
}

TARGET void NAME(convolve)(const ckernels_convolution *convolution, size_t first, size_t end) {
    size_t c = first;
    for (; c + STRIP <= end; c += STRIP) convolve_strip(convolution, c, STRIP);
    if (c < end) convolve_strip(convolution, c, end - c);
}

// `width` columns of the state from `first` on.
RECURRENT_INLINE void delta_rule_strip(
    const ckernels_state_rule *rule, size_t first, const size_t width) {
    for (size_t t = 0; t < rule->tokens; t++) {
        const float *key = rule->key + t * rule->stride;
        const float *query = rule->query + t * rule->stride;
        const float *value = rule->value + t * rule->stride + first;
        const float *decays = rule->decay + t * rule->gate_stride * rule->decay_count;
        float step = rule->step[t * rule->gate_stride];
        float found[STRIP] = {0};
        for (size_t k = 0; k < rule->key_width; k++) {
            float *state = rule->state + k * rule->value_width + first;
            float decay = decays[rule->decay_count > 1 ? k : 0];
            for (size_t i = 0; i < width; i++) {
                state[i] *= decay;
                found[i] = __builtin_fmaf(key[k], state[i], found[i]);
            }
        }
        float error[STRIP];
        for (size_t i = 0; i < width; i++) error[i] = step * (value[i] - found[i]);
        float sums[STRIP] = {0};
        for (size_t k = 0; k < rule->key_width; k++) {
            float *state = rule->state + k * rule->value_width + first;
            for (size_t i = 0; i < width; i++) {
                state[i] = __builtin_fmaf(key[k], error[i], state[i]);
                sums[i] = __builtin_fmaf(query[k], state[i], sums[i]);
            }
        }
        memcpy(rule->y + t * rule->y_stride + first, sums, width * sizeof(float));
    }
}

// The same where a state only adds: once over its rows.
RECURRENT_INLINE void adding_strip(
    const ckernels_state_rule *rule, size_t first, const size_t width) {
    for (size_t t = 0; t < rule->tokens; t++) {
        const float *key = rule->key + t * rule->stride;
        const float *query = rule->query + t * rule->stride;
        const float *value = rule->value + t * rule->stride + first;
        float decay = rule->decay[t * rule->gate_stride];
        float step = rule->step[t * rule->gate_stride];
        float added[STRIP];
        for (size_t i = 0; i < width; i++) added[i] = step * value[i];
        float sums[STRIP] = {0};
        for (size_t k = 0; k < rule->key_width; k++) {
            float *state = rule->state + k * rule->value_width + first;
            for (size_t i = 0; i < width; i++) {
                state[i] = __builtin_fmaf(key[k], added[i], decay * state[i]);
                sums[i] = __builtin_fmaf(query[k], state[i], sums[i]);
            }
        }
        float *y = rule->y + t * rule->y_stride + first;
        for (size_t i = 0; i < width; i++) y[i] = __builtin_fmaf(rule->skip, value[i], sums[i]);
    }
}

RECURRENT_INLINE void state_rule_strip(
    const ckernels_state_rule *rule, size_t first, const size_t width) {
    if (rule->only_adds) {
        adding_strip(rule, first, width);
    } else {
        delta_rule_strip(rule, first, width);
    }
}

TARGET void NAME(state_rule)(const ckernels_state_rule *rule, size_t first, size_t end) {
    size_t c = first;
    for (; c + STRIP <= end; c += STRIP) state_rule_strip(rule, c, STRIP);
    if (c < end) state_rule_strip(rule, c, end - c);
}
