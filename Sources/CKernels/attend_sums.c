// How much a few queries look at each position, summed: once for a prompt, so one implementation
// serves all sets.

#include "attend_codes.h"

typedef struct {
    const ckernels_attention *attention;
    size_t kv_head;
    // [64][width] and [width][64].
    float *rows;
    float *columns;
} sums_head;

static void load_page(const sums_head *head, size_t index) {
    const ckernels_attention *a = head->attention;
    int is_open = a->open_page && a->open_index == index;
    size_t bits = is_open ? 16 : a->key_bits, width = a->key_width;
    const uint8_t *page = is_open ? a->open_page : a->pool + a->page_offsets[index];
    ckernels_unpack_keys(
        page + head->kv_head * ckernels_key_bytes(bits, width), width, bits, head->rows);
    for (size_t t = 0; t < CKERNELS_PAGE_TOKENS; t++) {
        for (size_t i = 0; i < width; i++) {
            head->columns[i * CKERNELS_PAGE_TOKENS + t] = head->rows[t * width + i];
        }
    }
}

// Scores of a page's positions for one query; returns how many of them the query sees.
static size_t score_page(
    const sums_head *head, size_t token, size_t head_of_group, size_t index, float *scores) {
    const ckernels_attention *a = head->attention;
    size_t group = a->head_count / a->kv_head_count, width = a->key_width;
    const float *query = a->queries
        + (token * a->head_count + head->kv_head * group + head_of_group) * width;
    for (size_t t = 0; t < CKERNELS_PAGE_TOKENS; t++) scores[t] = 0;
    for (size_t i = 0; i < width; i++) {
        const float *column = head->columns + i * CKERNELS_PAGE_TOKENS;
        float x = query[i] * a->scale;
        for (size_t t = 0; t < CKERNELS_PAGE_TOKENS; t++) scores[t] += x * column[t];
    }
    if (a->score_cap > 0) {
        for (size_t t = 0; t < CKERNELS_PAGE_TOKENS; t++) {
            scores[t] = soft_cap(scores[t], a->score_cap);
        }
    }
    size_t end = a->first_position + token + 1, first = index * CKERNELS_PAGE_TOKENS;
    return end <= first ? 0 : smaller(end - first, CKERNELS_PAGE_TOKENS);
}

static void note_page(const float *scores, size_t count, float *largest, float *sum) {
    float most = *largest;
    for (size_t t = 0; t < count; t++) most = scores[t] > most ? scores[t] : most;
    float total = *sum * ckernels_exp(*largest - most);
    for (size_t t = 0; t < count; t++) total += ckernels_exp(scores[t] - most);
    *largest = most;
    *sum = total;
}

void ckernels_sum_scores(
    const ckernels_attention *attention, size_t kv_head, float *room, float *sums) {
    size_t width = attention->key_width, page = CKERNELS_PAGE_TOKENS;
    sums_head head = {attention, kv_head, room, room + page * width};
    size_t group = attention->head_count / attention->kv_head_count;
    size_t positions = attention->first_position + attention->tokens;
    float scores[CKERNELS_PAGE_TOKENS];
    for (size_t p = 0; p < positions; p++) sums[p] = 0;
    for (size_t i = 0; i * page < positions; i++) {
        load_page(&head, i);
        for (size_t q = 0; q < attention->tokens * group; q++) {
            size_t count = score_page(&head, q / group, q % group, i, scores);
            for (size_t t = 0; t < count; t++) sums[i * page + t] += scores[t];
        }
    }
}

void ckernels_sum_attention(
    const ckernels_attention *attention, size_t kv_head, float *room, float *sums) {
    size_t width = attention->key_width, page = CKERNELS_PAGE_TOKENS;
    sums_head head = {attention, kv_head, room, room + page * width};
    float *state = room + 2 * page * width;
    size_t group = attention->head_count / attention->kv_head_count;
    size_t queries = attention->tokens * group;
    size_t positions = attention->first_position + attention->tokens;
    for (size_t q = 0; q < queries; q++) {
        const float *sinks = attention->sinks;
        state[2 * q] = sinks ? sinks[kv_head * group + q % group] : -3.402823466e+38f;
        state[2 * q + 1] = sinks ? 1 : 0;
    }
    float scores[CKERNELS_PAGE_TOKENS];
    for (size_t i = 0; i * page < positions; i++) {
        load_page(&head, i);
        for (size_t q = 0; q < queries; q++) {
            size_t count = score_page(&head, q / group, q % group, i, scores);
            if (count > 0) note_page(scores, count, &state[2 * q], &state[2 * q + 1]);
        }
    }
    for (size_t p = 0; p < positions; p++) sums[p] = 0;
    for (size_t i = 0; i * page < positions; i++) {
        load_page(&head, i);
        for (size_t q = 0; q < queries; q++) {
            size_t count = score_page(&head, q / group, q % group, i, scores);
            for (size_t t = 0; t < count; t++) {
                sums[i * page + t] +=
                    ckernels_exp(scores[t] - state[2 * q]) / state[2 * q + 1];
            }
        }
    }
}
