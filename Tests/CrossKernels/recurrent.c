// Layers with a state: short convolutions and the rules of a state, results and states, with
// channels that vectors do not divide.

#include <stdlib.h>

#include "cross.h"

static void convolve(const ckernels_table *table, const void *context, void *const *parts) {
    ckernels_convolution c = *(const ckernels_convolution *)context;
    c.y = parts[0];
    c.state = parts[1];
    table->convolve(&c, 0, c.channels / 3);
    table->convolve(&c, c.channels / 3, c.channels);
}

static void state_rule(const ckernels_table *table, const void *context, void *const *parts) {
    ckernels_state_rule rule = *(const ckernels_state_rule *)context;
    rule.y = parts[0];
    rule.state = parts[1];
    table->state_rule(&rule, 0, rule.value_width / 2);
    table->state_rule(&rule, rule.value_width / 2, rule.value_width);
}

static void time_steps(const ckernels_table *table, const void *context, void *const *parts) {
    (void)table;
    const ckernels_state_rule *rule = context;
    ckernels_time_steps(
        rule->key, rule->query, rule->tokens, rule->key_width, parts[0], parts[1]);
}

static void decays(const ckernels_table *table, const void *context, void *const *parts) {
    (void)table;
    const ckernels_state_rule *rule = context;
    ckernels_decays(rule->key, rule->query, rule->tokens, rule->key_width, parts[0]);
}

static void check_convolution(size_t channels, size_t length, nature nature) {
    enum { TOKENS = 5 };
    size_t count = TOKENS * channels;
    float *x = random_floats(count, nature);
    float *before = random_floats(count, nature);
    float *after = random_floats(count, nature);
    float *weights = random_floats(length * channels, nature);
    float *state = random_floats((length - 1) * channels, nature);
    ckernels_convolution c = {
        .x = x, .weights = weights, .tokens = TOKENS, .channels = channels, .length = length,
        .activates = 1,
    };
    describe_case("%zu channels, %zu positions, %s", channels, length, nature_names[nature]);
    result_part parts[2] = {
        {FLOATS, count * sizeof(float), NULL},
        {FLOATS, (length - 1) * channels * sizeof(float), state},
    };
    compare_sets("convolve, activated", convolve, &c, 2, parts);
    c.activates = 0;
    c.bias = weights;
    compare_sets("convolve with a bias", convolve, &c, 2, parts);
    c.before = before;
    c.after = after;
    compare_sets("convolve between gates", convolve, &c, 2, parts);
    free(state);
    free(weights);
    free(after);
    free(before);
    free(x);
}

static void check_delta_rule(size_t width, nature nature) {
    enum { TOKENS = 4 };
    size_t stride = 3 * width;
    float *inputs = random_floats(TOKENS * stride, nature);
    float *gates = random_floats(2 * TOKENS, nature);
    float *state = random_floats(width * width, nature);
    ckernels_state_rule rule = {
        .query = inputs, .key = inputs + width, .value = inputs + 2 * width, .stride = stride,
        .decay = gates, .step = gates + TOKENS, .gate_stride = 1, .decay_count = 1,
        .y_stride = width,
        .tokens = TOKENS, .key_width = width, .value_width = width,
    };
    describe_case("width %zu, %s", width, nature_names[nature]);
    result_part parts[2] = {
        {FLOATS, TOKENS * width * sizeof(float), NULL},
        {FLOATS, width * width * sizeof(float), state},
    };
    compare_sets("state_rule", state_rule, &rule, 2, parts);
    float *apart = random_floats(TOKENS * width, nature);
    rule.decay = apart;
    rule.decay_count = width;
    compare_sets("state_rule, decays apart", state_rule, &rule, 2, parts);
    rule.decay = gates;
    rule.decay_count = 1;
    free(apart);
    rule.only_adds = 1;
    rule.skip = random_float(nature);
    compare_sets("state_rule, adding", state_rule, &rule, 2, parts);
    result_part stepped[2] = {
        {FLOATS, TOKENS * width * sizeof(float), inputs},
        {FLOATS, TOKENS * width * sizeof(float), NULL},
    };
    compare_sets("time_steps", time_steps, &rule, 2, stepped);
    result_part decayed = {FLOATS, TOKENS * width * sizeof(float), inputs};
    compare_sets("decays", decays, &rule, 1, &decayed);
    free(state);
    free(gates);
    free(inputs);
}

void check_recurrent(void) {
    for (nature nature = 0; nature < NATURE_COUNT; nature++) {
        for (size_t channels = 1; channels < 300; channels += 1 + channels / 2) {
            check_convolution(channels, 3, nature);
            check_convolution(channels, 4, nature);
        }
        for (size_t width = 1; width < 130; width += 1 + width / 2) {
            check_delta_rule(width, nature);
        }
        check_delta_rule(128, nature);
    }
}
