// Operations on rows and elements: quantising, norms, rotation, halves, nonlinearities, sums.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cross.h"

// What all of these take, each its own choice of it.
typedef struct {
    size_t rows;
    size_t columns;
    const float *x;
    const float *weights;
    const float *added;
    const float *bias;
    const int32_t *indices;
    // Which nonlinearity, how many experts, how many elements of a head are rotated.
    size_t choice;
    int halves;
    float factor;
} element_case;

static void quantize(const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->quantize(c->x, c->rows, parts[0], parts[1], parts[2]);
}

static void normalize(const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->normalize(
        parts[0], c->added, c->rows, c->columns, c->weights, c->factor, parts[1]);
}

static void normalize_in_place(
    const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->normalize(parts[0], NULL, c->rows, c->columns, c->weights, c->factor, parts[0]);
}

static void layer_norm(const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->layer_norm(
        parts[0], c->added, c->rows, c->columns, c->weights, c->bias, c->factor, parts[1]);
}

static void layer_norm_in_place(
    const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->layer_norm(
        parts[0], NULL, c->rows, c->columns, c->weights, c->bias, c->factor, parts[0]);
}

static void gate_rows(const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->gate_rows(c->x, c->weights, c->rows, c->columns, parts[0]);
}

// `rows` tokens of two heads.
static void rotate(const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->rotate(
        parts[0], c->rows, 2, c->columns, c->choice, c->weights, c->added, c->halves);
}

static void store_half(const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->store_half(c->x, c->columns, parts[0]);
}

static void store_half_unaligned(
    const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->store_half(c->x, c->columns, (uint8_t *)parts[0] + 1);
}

static void activate(const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->activate((int)c->choice, c->x, c->added, parts[0], c->columns);
}

static void add(const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->add(c->added, c->factor, parts[0], c->columns);
}

static void add_bias(const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->add_bias(c->weights, parts[0], c->rows, c->columns);
}

static void add_experts(const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->add_experts(
        c->x, c->indices, c->weights, c->choice, c->columns, c->added, parts[0]);
}

static void softmax(const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->softmax(parts[0], c->columns);
}

static void sigmoid(const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->sigmoid(parts[0], c->columns);
}

static void soft_cap(const ckernels_table *table, const void *context, void *const *parts) {
    const element_case *c = context;
    table->soft_cap(parts[0], c->columns, 30);
}

// The same function for every set: machines are compared.
static void root_softplus(const ckernels_table *table, const void *context, void *const *parts) {
    (void)table;
    const element_case *c = context;
    ckernels_root_softplus(parts[0], c->columns);
}

// One result of floats, which holds `before` at first.
static void check_floats(
    const char *name, operation run, const element_case *c, size_t count, const float *before) {
    result_part part = {FLOATS, count * sizeof(float), before};
    compare_sets(name, run, c, 1, &part);
}

static void check_rows(size_t columns, nature nature) {
    enum { ROWS = 3 };
    float *x = random_floats(ROWS * columns, nature);
    float *weights = random_floats(columns, nature);
    float *added = random_floats(ROWS * columns, nature);
    float *bias = random_floats(columns, nature);
    element_case c = {
        .rows = ROWS, .columns = columns, .x = x, .weights = weights, .bias = bias, .factor = 1e-5f,
    };
    describe_case("%zu columns, %s", columns, nature_names[nature]);
    size_t bytes = ROWS * columns * sizeof(float);
    result_part parts[2] = {{FLOATS, bytes, x}, {FLOATS, bytes, NULL}};
    compare_sets("normalize", normalize, &c, 2, parts);
    compare_sets("normalize in place", normalize_in_place, &c, 1, parts);
    compare_sets("layer_norm", layer_norm, &c, 2, parts);
    compare_sets("layer_norm in place", layer_norm_in_place, &c, 1, parts);
    c.added = added;
    compare_sets("normalize after adding", normalize, &c, 2, parts);
    compare_sets("layer_norm after adding", layer_norm, &c, 2, parts);
    check_floats("gate_rows", gate_rows, &c, ROWS * columns, added);
    check_floats("add_bias", add_bias, &c, ROWS * columns, x);
    free(bias);
    free(added);
    free(weights);
    free(x);
}

static void check_elements_of(size_t count, nature nature) {
    float *x = random_floats(count, nature);
    float *up = random_floats(count, nature);
    element_case c = {.columns = count, .x = x, .factor = random_float(nature)};
    describe_case("%zu elements, %s", count, nature_names[nature]);
    for (c.choice = CKERNELS_SILU; c.choice <= CKERNELS_RELU2; c.choice++) {
        c.added = NULL;
        check_floats("activate", activate, &c, count, NULL);
        c.added = up;
        check_floats("activate with a factor", activate, &c, count, NULL);
    }
    c.choice = CKERNELS_SWIGLU_OAI;
    check_floats("activate, bounded", activate, &c, count, NULL);
    check_floats("add", add, &c, count, x);
    check_floats("sigmoid", sigmoid, &c, count, x);
    check_floats("soft_cap", soft_cap, &c, count, x);
    check_floats("root_softplus", root_softplus, &c, count, x);
    check_floats("softmax", softmax, &c, count, x);
    x[random_below(count)] = nature == ORDINARY ? -INFINITY : x[0];
    check_floats("softmax with -infinity", softmax, &c, count, x);
    result_part halves = {HALVES, 2 * count, NULL};
    compare_sets("store_half", store_half, &c, 1, &halves);
    result_part unaligned = {BYTES, 2 * count + 1, NULL};
    for (size_t i = 0; i < count; i++) x[i] = isnan(x[i]) ? 1 : x[i];
    compare_sets("store_half unaligned", store_half_unaligned, &c, 1, &unaligned);
    free(up);
    free(x);
}

static void check_quantize(size_t blocks, nature nature) {
    float *x = random_floats(32 * blocks, nature);
    element_case c = {.rows = blocks, .x = x};
    describe_case("%zu blocks, %s", blocks, nature_names[nature]);
    result_part parts[3] = {
        {BYTES, 32 * blocks, NULL},
        {FLOATS, blocks * sizeof(float), NULL},
        {BYTES, 2 * blocks * sizeof(int32_t), NULL},
    };
    compare_sets("quantize", quantize, &c, 3, parts);
    free(x);
}

static void check_rotate(size_t width, size_t rotated, nature nature) {
    enum { TOKENS = 3 };
    float *x = random_floats(TOKENS * 2 * width, nature);
    float *cosines = random_floats(TOKENS * rotated / 2, nature);
    float *sines = random_floats(TOKENS * rotated / 2, nature);
    element_case c = {
        .rows = TOKENS, .columns = width, .weights = cosines, .added = sines, .choice = rotated,
    };
    for (c.halves = 0; c.halves < 2; c.halves++) {
        describe_case(
            "%zu of %zu, halves %d, %s", rotated, width, c.halves, nature_names[nature]);
        check_floats("rotate", rotate, &c, TOKENS * 2 * width, x);
    }
    free(sines);
    free(cosines);
    free(x);
}

static void check_experts(size_t count, size_t columns, nature nature) {
    enum { EXPERT_ROWS = 9 };
    float *rows = random_floats(EXPERT_ROWS * columns, nature);
    float *weights = random_floats(EXPERT_ROWS, nature);
    float *shared = random_floats(columns, nature);
    float *y = random_floats(columns, nature);
    int32_t indices[EXPERT_ROWS];
    for (size_t i = 0; i < EXPERT_ROWS; i++) indices[i] = (int32_t)random_below(EXPERT_ROWS);
    element_case c = {
        .columns = columns, .x = rows, .weights = weights, .indices = indices, .choice = count,
    };
    describe_case("%zu experts, %zu columns, %s", count, columns, nature_names[nature]);
    check_floats("add_experts", add_experts, &c, columns, y);
    c.added = shared;
    check_floats("add_experts with a shared one", add_experts, &c, columns, y);
    free(y);
    free(shared);
    free(weights);
    free(rows);
}

void check_elements(void) {
    for (nature nature = 0; nature < NATURE_COUNT; nature++) {
        for (size_t columns = 1; columns < 600; columns += 1 + columns / 2) {
            check_rows(columns, nature);
        }
        for (size_t count = 1; count < 1500; count += 1 + count / 3) {
            check_elements_of(count, nature);
        }
        check_elements_of(16, nature);
        check_elements_of(64, nature);
        for (size_t blocks = 1; blocks <= 9; blocks += 4) check_quantize(blocks, nature);
        check_rotate(20, 2, nature);
        check_rotate(20, 20, nature);
        check_rotate(64, 48, nature);
        check_rotate(128, 128, nature);
        for (size_t count = 0; count <= 9; count += 3) {
            check_experts(count, 50, nature);
            check_experts(count, 64, nature);
            check_experts(count, 210, nature);
        }
    }
}
