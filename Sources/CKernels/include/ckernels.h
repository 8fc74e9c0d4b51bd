// The kernels' face: what each computes, in which order of floating-point operations, and the table
// through which one instruction set's implementations are reached. Refuses nothing: sizes and
// pointers are checked by the Swift target Kernels, its only user.
//
// The contract. Every implementation of an operation returns the same bits as the scalar one (a NaN
// equals any other NaN). That holds because the order of rounding is part of each operation,
// written down here, and because nothing is contracted or reassociated: a fused multiply-add
// happens exactly where the text says fma. The result for one token depends neither on how many
// tokens share a call nor on how rows or tokens are split among threads.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "ckernels_recurrent.h"

// Block formats, numbered for tables; names as in the GGUF specification.
enum {
    CKERNELS_F32,
    CKERNELS_F16,
    CKERNELS_BF16,
    CKERNELS_Q4_0,
    CKERNELS_Q4_1,
    CKERNELS_Q5_0,
    CKERNELS_Q5_1,
    CKERNELS_Q8_0,
    CKERNELS_Q2_K,
    CKERNELS_Q3_K,
    CKERNELS_Q4_K,
    CKERNELS_Q5_K,
    CKERNELS_Q6_K,
    CKERNELS_IQ4_NL,
    CKERNELS_IQ4_XS,
    CKERNELS_MXFP4,
    CKERNELS_FORMAT_COUNT
};

// Nonlinearities. The last has a gate always, and its own way to multiply: with g = min(gate, 7)
// and u = up bounded to +-7, g * sigmoid(1.702 * g) * (u + 1).
enum { CKERNELS_SILU, CKERNELS_GELU, CKERNELS_RELU, CKERNELS_RELU2, CKERNELS_SWIGLU_OAI };

enum {
    // Rows that a tile interleaves.
    CKERNELS_TILE_ROWS = 16,
    // Activations that share one 8-bit scale.
    CKERNELS_QUANT_BLOCK = 32,
    // Tokens in a page of the KV cache.
    CKERNELS_PAGE_TOKENS = 64,
    // Pages of a span of attention.
    CKERNELS_SPAN_PAGES = 8
};

// A product of a tile-interleaved matrix with the rows of a batch of activations:
// y[t * y_stride + r] = sum over c of W[r][c] * x[t][c].
//
// F32, F16 and BF16 use the float activations. Per row and token, over columns c in order:
//     acc = fma(w, x[c], acc), where w is the decoded weight (see ckernels_dequantize)
// All other formats use the 8-bit activations. Per row and token, over blocks of 32 in order, with
// d0 and d1 the exact dot products of integer weights and quants in the block's first and last 16
// columns, s0 and s1 the sums of those quants, x the activations' scale:
//     acc = fma((float)(d0 + d1), step * x, acc)
//         step: d; Q4_K, Q5_K, IQ4_XS: d * (float)scale
//     acc = fma(m, x * (float)(s0 + s1), acc)       Q4_1, Q5_1: m; Q4_K, Q5_K: -(dmin * (float)min)
// and where integer scales c0 and c1 hold for 16 columns (Q2_K, Q3_K, Q6_K), all exact in int32:
//     acc = fma((float)(c0 * d0 + c1 * d1), d * x, acc)
//     acc = fma(-(dmin * (float)min0), x * (float)s0, acc), then min1 and s1 alike       Q2_K only
typedef struct {
    // Whole tiles: for each block of a row, each field, each unit, 16 rows' units side by side.
    const uint8_t *weights;
    // Where not NULL there are no tiles: row r's blocks are at row_list[r], as a GGUF file has
    // them.
    const uint8_t *const *row_list;
    // Rows wanted; the last tile may hold more.
    size_t rows;
    size_t columns;
    size_t tokens;
    // [tokens][columns]
    const float *floats;
    // [tokens][columns], each in -127...127
    const int8_t *quants;
    // [tokens][columns / 32]
    const float *scales;
    // [tokens][columns / 16]: sums of a block's first and last 16 quants
    const int32_t *sums;
    float *y;
    size_t y_stride;
} ckernels_product;

// Causal attention over KV pages. Token t sees positions 0...first_position + t, with a window only
// the last `window` of them; pages and spans before those are passed over, and need not be there.
//
// The page of position p starts at pool + page_offsets[p / 64]: each key-value head's keys, then
// each one's values. Keys and values have 32 (floats), 16 (halves), 8, 4 or 2 bits each, in any
// combination. What a head of width w has in a page, so that 64 keys of positions and w columns of
// values lie side by side:
//     32, 16    keys [w][64], values [64][w]
//     8, 4, 2   words of codes, the first code in the lowest of its b bits:
//               keys [ceil(w * b / 32)][64], a word holding 32 / b channels of a position (0 in
//               what is left of the last), values [2 * b][w], a word holding 32 / b positions of a
//               column; then halves, first all steps s, then all minima m:
//                   8, and values of 4: [64], for each position
//                   keys of 4: [w], for each channel of all 64 positions
//                   keys of 2: [2][w], for each channel of 32 positions
//                   values of 2: [ceil(w / 32)][64], for 32 columns of each position
// A code c stands for c * s + m. A page at `open_page` has halves for both instead.
//
// Positions are cut into spans of 512 (8 pages). Per token, head and span, from m = -infinity,
// l = 0, y = 0, over the span's pages in order (L16 is a sum in 16 lanes, see below):
//     score[j] = dot[j] * scale, with value queries (dot[j] + dot'[j]) * scale,
//     with a cap then cap * tanh(score[j] / cap)
//     m' = max(m, max of visible scores)             c = exp(m - m')
//     p[j] = exp(score[j] - m'), 0 where not visible l = fma(l, c, L16(p))
//     y[v] = y[v] * c, then for visible j in order y[v] = fma(p[j], value[j][v], y[v])
// Each span after the first is then joined to those before it (M, L, Y), in order:
//     M' = max(M, m)                  c = exp(M - M')               d = exp(m - M')
//     L = fma(L, c, l * d)            Y[v] = fma(Y[v], c, y[v] * d)
// and last Y[v] = Y[v] / L; with sinks, where S is the head's,
//     M' = max(M, S)    c = exp(M - M')    Y[v] = Y[v] * c / fma(L, c, exp(S - M'))
// Spans can so be computed in parallel, with the same bits.
//
// dot, with fma over the key's width, in order, from 0 where nothing else is said:
//     32, 16    fma of query[i] and key[i][j]
//     8         fma(s[j], d, m[j] * L16(query)), where d is fma of query[i] and code[i][j]
//     4, 2      fma of query[i] * s[i] and code[i][j], from L16(fma of query[i] and m[i])
// dot', of a value query and a position's value, is
//     32, 16    L16(fma of query[v] and value[j][v])
//     8, 4      fma(s[j], L16(fma of query[v] and code[j][v]), m[j] * L16(query))
//     2         the same of each 32 columns, added in order
// and for values of 8, 4 or 2 bits y[v] is, in place of the line above,
//     y[v] = fma(y[v], c, L16(fma of p[j] and m[j])), then for visible j in order
//     y[v] = fma(p[j] * s[j], code[j][v], y[v]), then y[v] = y[v] + 0
//
// Queries stay floats in every set. Integer dot products (AVX-VNNI, dotprod) would have them
// rounded to 8 bits, and save nothing that is short: decoding codes hides behind the fma that a
// group's queries need anyway, and a page's bytes are the same.
//
// Error: with numbers for codes, each score is off by at most key_width * 2^-24 * scale * sum
// |query * key|, which scales its weight by e to that; beyond that each result is within 2e-6 of
// the largest |value| that it averages. For codes |query| * (|c * s| + |m|) stands for |query *
// key|, twice over, and |c * s| + |m| for |value|.
typedef struct {
    size_t head_count;
    size_t kv_head_count;
    size_t key_width;
    size_t value_width;
    float scale;
    size_t tokens;
    size_t first_position;
    // Positions that a token sees at most, its own included; 0: all.
    size_t window;
    // Of scores; 0: none.
    float score_cap;
    // NULL, or [head_count]: scores of nothing, which take part in the softmax alone.
    const float *sinks;
    // [tokens][head_count][key_width]
    const float *queries;
    // NULL, or [tokens][head_count][value_width]: values are keys too. Then value_width is a
    // multiple of 16.
    const float *value_queries;
    const uint8_t *pool;
    const intptr_t *page_offsets;
    // Of a number: 32, 16, 8, 4 or 2.
    size_t key_bits;
    size_t value_bits;
    // NULL, or where the page of number `open_index` is, in place of what page_offsets says.
    const uint8_t *open_page;
    size_t open_index;
    // `attend` alone: the spans that it joins, first_span ..< end_span, or with end_span 0 to the
    // last; all tokens see beyond those before first_span, and beyond end_span. Before and after
    // each call but the last, y holds Y, and `states` M and L: [tokens][head_count][2].
    size_t first_span;
    size_t end_span;
    float *states;
    // [tokens][head_count][value_width]
    float *y;
} ckernels_attention;

// Bytes of one head's keys, and values, in a page.
static inline size_t ckernels_key_bytes(size_t bits, size_t width) {
    if (bits >= 16) return CKERNELS_PAGE_TOKENS * width * bits / 8;
    size_t words = (width * bits + 31) / 32 * CKERNELS_PAGE_TOKENS;
    return 4 * words + 4 * (bits == 8 ? CKERNELS_PAGE_TOKENS : bits == 4 ? width : 2 * width);
}

static inline size_t ckernels_value_bytes(size_t bits, size_t width) {
    size_t numbers = CKERNELS_PAGE_TOKENS * width * bits / 8;
    if (bits >= 16) return numbers;
    return numbers + 4 * CKERNELS_PAGE_TOKENS * (bits == 2 ? (width + 31) / 32 : 1);
}

// What the columns of listed neurons add to the rows of a batch: for each token t and element e,
// over the list in order, but for neurons whose bit t in masks is 0:
//     y[t * y_stride + e] = fma(values[neuron * tokens + t], w[e], y[t * y_stride + e])
// where w is the decoded column (see ckernels_dequantize). Columns are F32, F16, BF16 or Q8_0; or,
// with `scales`, one signed byte q per element, and w[e] is scale * (float)q, scale being the IEEE
// half for the neuron's 32 and e.
typedef struct {
    // Where each listed neuron's record is; its column begins `record_offset` further.
    const uint8_t *const *records;
    size_t record_offset;
    // Numbers of the listed neurons.
    const uint32_t *neurons;
    size_t count;
    // By the neuron's number: bit t for token t.
    const uint64_t *masks;
    // [neurons][tokens]
    const float *values;
    // At most 64.
    size_t tokens;
    // NULL, or [neurons / 32][width] halves; may be unaligned.
    const uint8_t *scales;
    size_t width;
    float *y;
    size_t y_stride;
} ckernels_columns;

// How likely neurons are to fire, as log-odds, from a low-rank code of the network's input z, in
// 8-bit blocks of 32. Of the code's coordinates the first `fine` meet 4-bit codes, the next
// `coarse` 2-bit ones (both multiples of 32); code c of b bits stands for the level
// 2 * c - (2^b - 1). Per neuron and token, over the blocks of each part in order from 0, with d the
// exact dot product of levels and quants and x the block's scale:
//     part = fma((float)d, x, part)
//     y = fma(coarse_step, coarse_part, fma(fine_step, fine_part, bias))
// A tile holds 16 neurons: per block of fine codes 4 words, per block of coarse ones 2 words, each
// word 16 times side by side; then 16 fine steps and 16 coarse steps (IEEE halves), 16 biases
// (floats). In a word of b-bit codes, bits 8 * i + b * k hold coordinate 4 * k + i.
typedef struct {
    const uint8_t *tiles;
    size_t neurons;
    size_t fine;
    size_t coarse;
    size_t tokens;
    // [tokens][fine + coarse], and as in ckernels_product
    const int8_t *quants;
    const float *scales;
    const int32_t *sums;
    // [tokens][neurons]
    float *y;
} ckernels_scores;

static inline size_t ckernels_score_tile_bytes(size_t fine, size_t coarse) {
    return CKERNELS_TILE_ROWS * (fine / 2 + coarse / 4 + 8);
}

// Keys or values of one head for neighbouring tokens of a page, from projections to the page.
//
// Numbers become codes of b bits together: a token's row where a token has its step and minimum,
// else those that share them. With low and high the least and the greatest of them, bounded to
// +-65504:
//     m = low rounded down to a half       s = (high - m) / (2^b - 1) rounded up to a half, > 0
//     code = (x - m) * (1 / s), bounded to 0...2^b - 1, rounded to nearest even
// so that a number x within +-65504 is off by at most s / 2, and 2^-23 * (|x| + |m|) for the
// arithmetic. A minimum, and not the usual zero point -m / s: for numbers far from 0 and close to
// each other that is more than a half can hold. Where one of the numbers is infinite or NaN, s and
// m are NaN and the codes 0.
typedef struct {
    // Of the first token; the next is `stride` further.
    const float *x;
    size_t stride;
    size_t tokens;
    size_t width;
    // The first token's place in the page.
    size_t slot;
    // Of a number: 32, 16, 8, or of values 4.
    size_t bits;
    // The head's part of the page.
    uint8_t *part;
} ckernels_page_rows;

// "Sum in 16 lanes": element i is added to lane i % 16 (by fma where products are summed), in order
// of i; then lane[i] += lane[i + 8], then 4, 2 and 1.

// One instruction set's implementations.
typedef struct ckernels_table {
    const char *name;

    // Tiles first_tile ..< end_tile of a product, for one weight format.
    void (*multiply[CKERNELS_FORMAT_COUNT])(
        const ckernels_product *product, size_t first_tile, size_t end_tile);

    // Tiles first_tile ..< end_tile of neurons' scores.
    void (*score)(const ckernels_scores *scores, size_t first_tile, size_t end_tile);

    // Elements first ..< end of the columns' sums; `first` is a multiple of 32, and `end` too but
    // for the last element of plain numbers.
    void (*add_columns)(int format, const ckernels_columns *columns, size_t first, size_t end);

    // Blocks of 32 floats to 8 bits. With m the largest magnitude: scale = m / 127, rounded to half
    // precision where that is a normal number, and q = x * (127 / m) rounded to nearest even. When
    // m < 2^-100 scale and quants are 0. When a value is infinite or NaN the scale is infinite or
    // NaN and the quants are 0, so that every product with the block is NaN. sums: of each block's
    // first and last 16 quants.
    void (*quantize)(
        const float *x, size_t blocks, int8_t *quants, float *scales, int32_t *sums);

    // Root-mean-square norm of each row: x = x + added first unless `added` is NULL, s = L16(fma
    // squares), f = 1 / sqrt(s / columns + epsilon), y = (x * f) * weight. Without `added` x is not
    // written, and y may be x. Relative error at most (columns / 32 + 6) * 2^-24 for normal numbers
    // whose squares neither overflow nor vanish.
    void (*normalize)(
        float *x, const float *added, size_t rows, size_t columns, const float *weights,
        float epsilon, float *y);

    // Layer norm of each row: x = x + added first unless `added` is NULL, m = L16(x) / columns,
    // s = L16(fma squares of x - m), f = 1 / sqrt(s / columns + epsilon),
    // y = fma((x - m) * f, weight, bias). Without `added` x is not written, and y may be x. For
    // numbers as above, with a the largest |x| of the row and e = (columns / 16 + 8) * 2^-24, the
    // error is at most e * ((2 * a * f + |(x - m) * f|) * |weight| + |y|) while e * a * f is below
    // 2^-10.
    void (*layer_norm)(
        float *x, const float *added, size_t rows, size_t columns, const float *weights,
        const float *bias, float epsilon, float *y);

    // Rotary position embedding, in place. x: [tokens][heads][width]; cosines and sines:
    // [tokens][rotated / 2]. Pair i is (2i, 2i + 1), or with `halves` (i, i + rotated / 2).
    // a' = a * cos - b * sin, b' = a * sin + b * cos, no fma: within 3 * 2^-24 * (|a| + |b|) of the
    // exact rotation by the given sines and cosines.
    void (*rotate)(
        float *x, size_t tokens, size_t heads, size_t width, size_t rotated, const float *cosines,
        const float *sines, int halves);

    // Float to IEEE half, round to nearest even. `halves` may be unaligned.
    void (*store_half)(const float *x, size_t count, uint8_t *halves);

    // Rows of keys, and rows of values, into their page; halves round to nearest even. `part` is
    // aligned to 2 bytes for halves, else to 4.
    void (*store_keys)(const ckernels_page_rows *rows);
    void (*store_values)(const ckernels_page_rows *rows);

    // All heads of one key-value head, for tokens first_token ..< end_token: all spans, or some of
    // them, where the next call goes on.
    void (*attend)(
        const ckernels_attention *attention, size_t kv_head, size_t first_token, size_t end_token);

    // One token and one span, for all heads of one key-value head. `partial` receives for each of
    // them m, l and y: [heads of the group][2 + value_width].
    void (*attend_span)(
        const ckernels_attention *attention, size_t kv_head, size_t token, size_t span,
        float *partial);

    // Joins all spans of one token, for all heads of one key-value head, into y. The first that the
    // token sees is at partials, as attend_span left it, each next one `stride` further.
    void (*join_spans)(
        const ckernels_attention *attention, size_t kv_head, size_t token, const float *partials,
        size_t stride);

    // y = act(gate) * up, or y = act(gate) when up is NULL. y may be gate or up. Relative error of
    // act at most 2e-6 where the result is above 1e-3 in magnitude, 2e-9 absolute below.
    void (*activate)(int activation, const float *gate, const float *up, float *y, size_t count);

    // y = fma(scale, x, y)
    void (*add)(const float *x, float scale, float *y, size_t count);

    // A token's experts in the order of their ranking: s = the shared network's row, or 0 where
    // `shared` is NULL; for r in order s = fma(weights[r], rows[indices[r] * columns ...], s); then
    // y = y + s.
    void (*add_experts)(
        const float *rows, const int32_t *indices, const float *weights, size_t count,
        size_t columns, const float *shared, float *y);

    // Each row of y times sigmoid(L16(fma of the weights with x's row)).
    void (*gate_rows)(
        const float *x, const float *weights, size_t rows, size_t columns, float *y);

    // Each row of y plus bias.
    void (*add_bias)(const float *bias, float *y, size_t rows, size_t columns);

    // x = exp(x - max) / L16(exp(x - max)). A NaN or +infinity anywhere, or nothing but -infinity,
    // makes every element NaN. Relative error at most 1e-6 + 2^-24 * (max - x) where the result is
    // normal.
    void (*softmax)(float *x, size_t count);

    // x = 1 / (1 + exp(-x)), relative error at most 1e-6 where the result is normal.
    void (*sigmoid)(float *x, size_t count);

    // x = cap * tanh(x / cap), within cap * 2^-21; cap is above 0.
    void (*soft_cap)(float *x, size_t count, float cap);

    // Channels first ..< end of a short convolution.
    void (*convolve)(const ckernels_convolution *convolution, size_t first, size_t end);

    // Columns first ..< end of a head's state, which are those of its values and results.
    void (*state_rule)(const ckernels_state_rule *rule, size_t first, size_t end);
} ckernels_table;

// Tables that this machine can run, scalar first and the fastest last.
size_t ckernels_table_count(void);
const ckernels_table *ckernels_table_at(size_t index);

// The table of that name (scalar; avx2, avxvnni, avx512; neon, neon_dotprod, neon_i8mm); the
// fastest when `name` is NULL or is none that this machine can run.
const ckernels_table *ckernels_choose_table(const char *name);

// ckernels_choose_table for the environment variable SLUICE_KERNELS.
const ckernels_table *ckernels_best_table(void);

// One row of GGUF block bytes, as stored in GGUF files, to floats. The values are those of the
// reference decoders in the `gguf` Python package, bit for bit.
void ckernels_dequantize(int format, const uint8_t *blocks, size_t columns, float *y);

// A head's keys, and values, of a whole page in halves become `bits` bits: 32, 16, 8, 4 or 2. The
// numbers in codes are those of store_keys and store_values.
void ckernels_pack_keys(const uint8_t *halves, size_t width, size_t bits, uint8_t *part);
void ckernels_pack_values(const uint8_t *halves, size_t width, size_t bits, uint8_t *part);

// A head's keys, and values, of a page become floats: [64][width], a token's side by side. What is
// in codes is code * s + m, in that order, each rounded.
void ckernels_unpack_keys(const uint8_t *part, size_t width, size_t bits, float *x);
void ckernels_unpack_values(const uint8_t *part, size_t width, size_t bits, float *x);

// What is kept of a head's keys x, [tokens][width], when they leave memory: of each channel the
// least number, rounded down, then of each the greatest, rounded up: floats' upper 16 bits,
// [2][width]. A channel with a NaN has infinities.
void ckernels_summarize_keys(const float *x, size_t tokens, size_t width, uint8_t *summary);

// Upper bounds of the dot products of queries with keys of pages, from what is kept of those: the
// sum over channels of max(q * least, q * greatest), in 16 lanes. NaN where an infinity meets a 0.
typedef struct {
    // What is kept of the first page's keys; the next page's is `stride` bytes further.
    const uint8_t *summaries;
    size_t stride;
    size_t count;
    size_t width;
    // [heads][width]
    const float *queries;
    size_t heads;
    // [heads][y_stride], a page each.
    float *y;
    size_t y_stride;
} ckernels_bounds;

void ckernels_bound_scores(const ckernels_bounds *bounds);

// How much the queries look at each position that they see: the weights of attention, without a
// window, of all tokens and all heads of one key-value head together: sums[first_position +
// tokens]. `room` has 128 * key_width floats, and two for each token and head.
void ckernels_sum_attention(
    const ckernels_attention *attention, size_t kv_head, float *room, float *sums);

// The same without softmax: scores alone, summed.
void ckernels_sum_scores(
    const ckernels_attention *attention, size_t kv_head, float *room, float *sums);

// x = ln(1 + exp(x)).
void ckernels_softplus(float *x, size_t count);

// Each row of y times its factor.
void ckernels_multiply_rows(const float *factors, size_t rows, size_t width, float *y);

// What blocks of 32 quants stand for: x = scale * (float)quant.
void ckernels_widen_quants(const int8_t *quants, const float *scales, size_t blocks, float *x);

// x = 0 where its magnitude is below the threshold. NaN stays.
void ckernels_drop_below(float threshold, float *x, size_t count);

// Neurons first ..< end of activations x, [tokens] rows `stride` apart, turned: values[n * tokens
// + t] = x[t * stride + n], and bit t of masks[n] where that is not 0 (or is NaN). At most 64
// tokens.
void ckernels_turn_activations(
    const float *x, size_t stride, size_t tokens, size_t first, size_t end, uint64_t *masks,
    float *values);

// The neurons first ..< end whose mask is not 0, ascending; returns how many. `neurons` has room
// for all.
size_t ckernels_list_fired(
    const uint64_t *masks, size_t first, size_t end, uint32_t *neurons);

// Multiplies the values of listed neurons first ..< end by up[t * stride + place in the list] for
// the tokens they fire for, and takes away the bits of those that become 0.
void ckernels_scale_fired(
    const float *up, size_t stride, size_t tokens, const uint32_t *neurons, size_t first,
    size_t end, uint64_t *masks, float *values);

// The exponential that softmax, sigmoid and the activations use; at most 2 units in the last place
// from the true value.
float ckernels_exp(float x);

// x = sqrt(log(1 + exp(x))), relative error at most 1e-6. Plain C, the same for every set: a layer
// has as many as experts. NaN propagates.
void ckernels_root_softplus(float *x, size_t count);

// Calls through a table's array, which Swift sees as a tuple.
static inline void ckernels_multiply(
    const ckernels_table *table, int format, const ckernels_product *product, size_t first_tile,
    size_t end_tile) {
    table->multiply[format](product, first_tile, end_tile);
}

#endif
