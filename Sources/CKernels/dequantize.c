// The GGUF specification's block formats, decoded with the `gguf` Python package's order of
// rounding.

#include "dequantize.h"

static const block_layout layouts[CKERNELS_FORMAT_COUNT] = {
    [CKERNELS_F32] = {1, 4, {{4, 4}}},
    [CKERNELS_F16] = {1, 2, {{2, 2}}},
    [CKERNELS_BF16] = {1, 2, {{2, 2}}},
    [CKERNELS_Q4_0] = {32, 18, {{2, 2}, {16, 4}}},
    [CKERNELS_Q4_1] = {32, 20, {{2, 2}, {2, 2}, {16, 4}}},
    [CKERNELS_Q5_0] = {32, 22, {{2, 2}, {4, 4}, {16, 4}}},
    [CKERNELS_Q5_1] = {32, 24, {{2, 2}, {2, 2}, {4, 4}, {16, 4}}},
    [CKERNELS_Q8_0] = {32, 34, {{2, 2}, {32, 4}}},
    [CKERNELS_Q2_K] = {256, 84, {{16, 4}, {64, 4}, {2, 2}, {2, 2}}},
    [CKERNELS_Q3_K] = {256, 110, {{32, 4}, {64, 4}, {12, 4}, {2, 2}}},
    [CKERNELS_Q4_K] = {256, 144, {{2, 2}, {2, 2}, {12, 4}, {128, 4}}},
    [CKERNELS_Q5_K] = {256, 176, {{2, 2}, {2, 2}, {12, 4}, {32, 4}, {128, 4}}},
    [CKERNELS_Q6_K] = {256, 210, {{128, 4}, {64, 4}, {16, 4}, {2, 2}}},
    [CKERNELS_IQ4_NL] = {32, 18, {{2, 2}, {16, 4}}},
    [CKERNELS_IQ4_XS] = {256, 136, {{2, 2}, {2, 2}, {4, 4}, {128, 4}}},
    [CKERNELS_MXFP4] = {32, 17, {{1, 1}, {16, 4}}},
};

const int8_t ckernels_iq4_values[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
};

const int8_t ckernels_mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

const block_layout *ckernels_block_layout(int format) { return &layouts[format]; }

int ckernels_has_scales(int format) {
    return format == CKERNELS_Q2_K || format == CKERNELS_Q3_K || format == CKERNELS_Q6_K;
}

int ckernels_has_offsets(int format) {
    return format == CKERNELS_Q4_1 || format == CKERNELS_Q5_1 || format == CKERNELS_Q2_K
        || format == CKERNELS_Q4_K || format == CKERNELS_Q5_K;
}

void ckernels_gather_block(
    const block_layout *layout, const uint8_t *tile_block, size_t r, uint8_t *bytes) {
    for (size_t f = 0; f < FIELDS_MAX && layout->fields[f].bytes > 0; f++) {
        size_t unit = layout->fields[f].unit;
        for (size_t at = 0; at < layout->fields[f].bytes; at += unit) {
            memcpy(bytes + at, tile_block + at * CKERNELS_TILE_ROWS + r * unit, unit);
        }
        bytes += layout->fields[f].bytes;
        tile_block += layout->fields[f].bytes * CKERNELS_TILE_ROWS;
    }
}

void ckernels_take_block(
    const block_layout *layout, const ckernels_product *product, size_t tile, size_t r,
    size_t index, uint8_t *bytes) {
    if (product->row_list) {
        size_t row = smaller(tile * CKERNELS_TILE_ROWS + r, product->rows - 1);
        memcpy(bytes, product->row_list[row] + index * layout->bytes, layout->bytes);
        return;
    }
    size_t blocks = product->columns / layout->elements;
    size_t at = (tile * blocks + index) * layout->bytes * CKERNELS_TILE_ROWS;
    ckernels_gather_block(layout, product->weights + at, r, bytes);
}

static float half_at(const uint8_t *bytes) { return float_from_half(load_u16(bytes)); }

// 32 elements: low nibbles are the first 16. A fifth bit comes from `high_bits`.
static void split_nibbles(const uint8_t *qs, uint32_t high_bits, int offset, split_block *block) {
    for (int i = 0; i < 16; i++) {
        int low = (qs[i] & 15) | (int)(high_bits >> i & 1) << 4;
        int high = qs[i] >> 4 | (int)(high_bits >> (i + 16) & 1) << 4;
        block->quants[i] = (int8_t)(low - offset);
        block->quants[i + 16] = (int8_t)(high - offset);
    }
}

// The same with a table of values.
static void split_codes(const uint8_t *qs, const int8_t *values, int8_t *quants) {
    for (int i = 0; i < 16; i++) {
        quants[i] = values[qs[i] & 15];
        quants[i + 16] = values[qs[i] >> 4];
    }
}

// Q2_K: fields scales, qs, d, dmin. A byte of qs holds one element of each of 4 runs of 32.
static void split_q2_K(const uint8_t *bytes, split_block *block) {
    const uint8_t *qs = bytes + 16;
    float d = half_at(bytes + 80);
    float dmin = half_at(bytes + 82);
    for (int r = 0; r < 16; r++) {
        block->steps[r / 2] = d;
        block->scales[r] = bytes[r] & 15;
        block->offsets[r] = -(dmin * (float)(bytes[r] >> 4));
    }
    for (int e = 0; e < 256; e++) {
        block->quants[e] = qs[32 * (e / 128) + e % 32] >> 2 * (e / 32 % 4) & 3;
    }
}

// Q3_K: fields hmask, qs, scales, d. A clear bit in hmask takes 4 away.
static void split_q3_K(const uint8_t *bytes, split_block *block) {
    const uint8_t *qs = bytes + 32;
    const uint8_t *scales = bytes + 96;
    float d = half_at(bytes + 108);
    for (int r = 0; r < 16; r++) {
        int low = scales[r % 8] >> 4 * (r / 8) & 15;
        int high = scales[8 + r % 4] >> 2 * (r / 4) & 3;
        block->steps[r / 2] = d;
        block->scales[r] = (low | high << 4) - 32;
    }
    for (int e = 0; e < 256; e++) {
        int low = qs[32 * (e / 128) + e % 32] >> 2 * (e / 32 % 4) & 3;
        int high = bytes[e % 32] >> e / 32 & 1;
        block->quants[e] = (int8_t)(low + 4 * high - 4);
    }
}

// The 6-bit scale and minimum of sub-block `s` of a Q4_K or Q5_K block.
static void sub_block_scale(const uint8_t *scales, int s, int *scale, int *minimum) {
    if (s < 4) {
        *scale = scales[s] & 63;
        *minimum = scales[s + 4] & 63;
    } else {
        *scale = (scales[s + 4] & 15) | (scales[s - 4] >> 2 & 48);
        *minimum = scales[s + 4] >> 4 | (scales[s] >> 2 & 48);
    }
}

// Q4_K, and Q5_K where `qh` holds bit 4 of sub-block s in bit s of its bytes.
static void split_q45_K(
    const uint8_t *bytes, const uint8_t *qh, const uint8_t *qs, split_block *block) {
    float d = half_at(bytes);
    float dmin = half_at(bytes + 2);
    for (int s = 0; s < 8; s++) {
        int scale, minimum;
        sub_block_scale(bytes + 4, s, &scale, &minimum);
        block->steps[s] = d * (float)scale;
        block->offsets[2 * s] = block->offsets[2 * s + 1] = -(dmin * (float)minimum);
        for (int i = 0; i < 32; i++) {
            int q = qs[32 * (s / 2) + i] >> 4 * (s % 2) & 15;
            if (qh) q |= (qh[i] >> s & 1) << 4;
            block->quants[32 * s + i] = (int8_t)q;
        }
    }
}

static void split_q6_K(const uint8_t *bytes, split_block *block) {
    const uint8_t *ql = bytes;
    const uint8_t *qh = bytes + 128;
    const uint8_t *scales = bytes + 192;
    float d = half_at(bytes + 208);
    for (int r = 0; r < 16; r++) {
        block->steps[r / 2] = d;
        block->scales[r] = (int8_t)scales[r];
    }
    for (int e = 0; e < 256; e++) {
        int half = e / 128, quarter = e / 32 % 4, i = e % 32;
        int low = ql[64 * half + 32 * (quarter % 2) + i] >> 4 * (quarter / 2) & 15;
        int high = qh[32 * half + i] >> 2 * quarter & 3;
        block->quants[e] = (int8_t)((low | high << 4) - 32);
    }
}

// IQ4_XS: fields d, scales_h, scales_l, qs.
static void split_iq4_xs(const uint8_t *bytes, split_block *block) {
    float d = half_at(bytes);
    for (int s = 0; s < 8; s++) {
        int low = bytes[4 + s / 2] >> 4 * (s % 2) & 15;
        int high = load_u16(bytes + 2) >> 2 * s & 3;
        block->steps[s] = d * (float)((low | high << 4) - 32);
        split_codes(bytes + 8 + 16 * s, ckernels_iq4_values, block->quants + 32 * s);
    }
}

void ckernels_split_block(int format, const uint8_t *bytes, split_block *block) {
    block->steps[0] = half_at(bytes);
    switch (format) {
    case CKERNELS_Q4_0: split_nibbles(bytes + 2, 0, 8, block); break;
    case CKERNELS_Q4_1: split_nibbles(bytes + 4, 0, 0, block); break;
    case CKERNELS_Q5_0: split_nibbles(bytes + 6, load_u32(bytes + 2), 16, block); break;
    case CKERNELS_Q5_1: split_nibbles(bytes + 8, load_u32(bytes + 4), 0, block); break;
    case CKERNELS_Q8_0: memcpy(block->quants, bytes + 2, 32); break;
    case CKERNELS_Q2_K: split_q2_K(bytes, block); break;
    case CKERNELS_Q3_K: split_q3_K(bytes, block); break;
    case CKERNELS_Q4_K: split_q45_K(bytes, NULL, bytes + 16, block); break;
    case CKERNELS_Q5_K: split_q45_K(bytes, bytes + 16, bytes + 48, block); break;
    case CKERNELS_Q6_K: split_q6_K(bytes, block); break;
    case CKERNELS_IQ4_NL: split_codes(bytes + 2, ckernels_iq4_values, block->quants); break;
    case CKERNELS_IQ4_XS: split_iq4_xs(bytes, block); break;
    case CKERNELS_MXFP4:
        block->steps[0] = float_from_exponent(bytes[0]);
        split_codes(bytes + 1, ckernels_mxfp4_values, block->quants);
        break;
    }
    if (format == CKERNELS_Q4_1 || format == CKERNELS_Q5_1) {
        block->offsets[0] = block->offsets[1] = half_at(bytes + 2);
    }
}

void ckernels_dequantize_block(int format, const uint8_t *bytes, float *y) {
    switch (format) {
    case CKERNELS_F32: y[0] = float_from_bits(load_u32(bytes)); return;
    case CKERNELS_F16: y[0] = half_at(bytes); return;
    case CKERNELS_BF16: y[0] = float_from_bits((uint32_t)load_u16(bytes) << 16); return;
    }
    split_block block;
    ckernels_split_block(format, bytes, &block);
    for (size_t i = 0; i < layouts[format].elements; i++) {
        float step = block.steps[i / 32];
        if (ckernels_has_scales(format)) step = step * (float)block.scales[i / 16];
        y[i] = step * (float)block.quants[i];
        if (ckernels_has_offsets(format)) y[i] = y[i] + block.offsets[i / 16];
    }
}

void ckernels_dequantize(int format, const uint8_t *blocks, size_t columns, float *y) {
    size_t elements = layouts[format].elements;
    size_t bytes = layouts[format].bytes;
    for (size_t c = 0; c < columns; c += elements, blocks += bytes) {
        ckernels_dequantize_block(format, blocks, y + c);
    }
}
