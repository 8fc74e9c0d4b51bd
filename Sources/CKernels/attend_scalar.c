// Attention, straight from the definition in ckernels.h: one query at a time.

#include "table.h"

// Scores, then weights, of a page's visible positions; updates m and l and returns c.
static float weigh_page(
    const ckernels_attention *a, const float *query, const uint8_t *keys, size_t visible,
    float *weights, float *m, float *l) {
    float max = *m;
    for (size_t j = 0; j < visible; j++) {
        float products[16] = {0};
        for (size_t i = 0; i < a->key_width; i++) {
            float key = element_at(a->element_bytes, keys, j * a->key_width + i);
            products[i % 16] = fmaf(query[i], key, products[i % 16]);
        }
        weights[j] = sum_of_lanes(products) * a->scale;
        max = weights[j] > max ? weights[j] : max;
    }
    float sums[16] = {0};
    for (size_t j = 0; j < visible; j++) {
        weights[j] = exponential(weights[j] - max);
        sums[j % 16] += weights[j];
    }
    float correction = exponential(*m - max);
    *l = fmaf(*l, correction, sum_of_lanes(sums));
    *m = max;
    return correction;
}

static void attend_query(
    const ckernels_attention *a, size_t kv_head, const float *query, size_t positions, float *y) {
    size_t keys_bytes = CKERNELS_PAGE_TOKENS * a->key_width * a->element_bytes;
    size_t values_bytes = CKERNELS_PAGE_TOKENS * a->value_width * a->element_bytes;
    float m = -INFINITY, l = 0;
    memset(y, 0, a->value_width * sizeof(float));
    for (size_t first = 0; first < positions; first += CKERNELS_PAGE_TOKENS) {
        const uint8_t *page = a->pool + a->page_offsets[first / CKERNELS_PAGE_TOKENS];
        const uint8_t *keys = page + kv_head * keys_bytes;
        const uint8_t *values = page + a->kv_head_count * keys_bytes + kv_head * values_bytes;
        size_t visible = smaller(positions - first, CKERNELS_PAGE_TOKENS);
        float weights[CKERNELS_PAGE_TOKENS];
        float correction = weigh_page(a, query, keys, visible, weights, &m, &l);
        for (size_t v = 0; v < a->value_width; v++) {
            float sum = y[v] * correction;
            for (size_t j = 0; j < visible; j++) {
                float value = element_at(a->element_bytes, values, j * a->value_width + v);
                sum = fmaf(weights[j], value, sum);
            }
            y[v] = sum;
        }
    }
    for (size_t v = 0; v < a->value_width; v++) y[v] = y[v] / l;
}

void ckernels_attend_scalar(
    const ckernels_attention *a, size_t kv_head, size_t first_token, size_t end_token) {
    size_t group = a->head_count / a->kv_head_count;
    for (size_t t = first_token; t < end_token; t++) {
        for (size_t h = kv_head * group; h < (kv_head + 1) * group; h++) {
            size_t at = t * a->head_count + h;
            attend_query(
                a, kv_head, a->queries + at * a->key_width, a->first_position + t + 1,
                a->y + at * a->value_width);
        }
    }
}
