// One query's way through the pages, and what scoring keys and adding values need beside it. The
// includer is attend_lanes.h.

enum {
    QUERIES_MAX = TILE_LANES < 8 ? TILE_LANES : 8,
    PAGE_VECTORS = CKERNELS_PAGE_TOKENS / LANES,
    // Of a tile's keys or values in codes: their words stay in registers, too.
    CODE_VECTORS = 2,
    // Channels of keys of 4 or 2 bits whose steps are folded into a query at once.
    STRIP_CHANNELS = 256,
    // Of the next page's part, called for ahead.
    PREFETCH_BYTES = 4608
};

// 16 elements of the cache; `bytes`, a constant, is 2 for halves and 4 for floats.
LANES_INLINE lanes load_elements(const size_t bytes, const uint8_t *p) {
    return bytes == 2 ? lanes_load_halves(p) : lanes_load(p);
}

// Number k of the b-bit codes of 16 words; both are constants.
LANES_INLINE lanes codes_at(const size_t bits, const size_t k, word_lanes words) {
    if (k > 0) words >>= (uint32_t)(bits * k);
    if (bits * (k + 1) < 32) words &= code_mask(bits);
    return lanes_from_words(words);
}

// How many vectors a tile of `count` queries takes, at most `vectors_max`.
LANES_INLINE int vectors_of(const int count, const int vectors_max) {
    return TILE_LANES / count < vectors_max ? TILE_LANES / count : vectors_max;
}

// One token's one head on its way through the pages of a span.
typedef struct {
    const float *query;
    const float *value_query;
    // In place of the query where the steps of keys are folded into it.
    const float *factors;
    float query_sum;
    // It sees positions begin ..< positions, in the present page hidden ..< visible.
    size_t begin;
    size_t positions;
    size_t hidden;
    size_t visible;
    float max;
    float sum;
    float correction;
    // Scores of a page, then their weights.
    float weights[CKERNELS_PAGE_TOKENS];
    // The weights times the steps of values in codes, 0 where not visible; and the sum of weights
    // times minima.
    float scaled[CKERNELS_PAGE_TOKENS];
    float base;
    float folded[STRIP_CHANNELS];
    float y[STRIP_COLUMNS];
} attention_query;

// What a pass over pages computes.
typedef struct {
    const ckernels_attention *attention;
    size_t kv_head;
    // The strip of values.
    size_t column;
    size_t columns;
} attention_pass;

// Which of the page's positions from LANES * j on the query sees.
LANES_INLINE int_lanes visible_lanes(const attention_query *query, int j) {
    const int_lanes index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return (index < (int)query->visible - LANES * j) & (index >= (int)query->hidden - LANES * j);
}

LANES_INLINE int sees_whole_page(const attention_query *query) {
    return query->hidden == 0 && query->visible == CKERNELS_PAGE_TOKENS;
}
