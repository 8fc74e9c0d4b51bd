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
    [CKERNELS_Q4_K] = {256, 144, {{2, 2}, {2, 2}, {12, 4}, {128, 4}}},
    [CKERNELS_Q5_K] = {256, 176, {{2, 2}, {2, 2}, {12, 4}, {32, 4}, {128, 4}}},
    [CKERNELS_Q6_K] = {256, 210, {{128, 4}, {64, 4}, {16, 4}, {2, 2}}},
};

const block_layout *ckernels_block_layout(int format) { return &layouts[format]; }

static float half_at(const uint8_t *bytes) { return float_from_half(load_u16(bytes)); }

// Q4_0 and Q5_0 (offset, no minimum), Q4_1 and Q5_1 (minimum): low nibbles are the first 16
// elements.
static void decode_nibbles(
    const uint8_t *qs, uint32_t high_bits, float d, int offset, const float *minimum, float *y) {
    for (int i = 0; i < 16; i++) {
        int low = (qs[i] & 15) | (int)(high_bits >> i & 1) << 4;
        int high = qs[i] >> 4 | (int)(high_bits >> (i + 16) & 1) << 4;
        float first = d * (float)(low - offset);
        float second = d * (float)(high - offset);
        y[i] = minimum ? first + *minimum : first;
        y[i + 16] = minimum ? second + *minimum : second;
    }
}

static void decode_q8_0(const uint8_t *bytes, float *y) {
    float d = half_at(bytes);
    for (int i = 0; i < 32; i++) y[i] = (float)(int8_t)bytes[2 + i] * d;
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
static void decode_q45_K(
    const uint8_t *bytes, const uint8_t *qh, const uint8_t *qs, float *y) {
    float d = half_at(bytes);
    float dmin = half_at(bytes + 2);
    for (int s = 0; s < 8; s++) {
        int scale, minimum;
        sub_block_scale(bytes + 4, s, &scale, &minimum);
        float step = d * (float)scale;
        float offset = dmin * (float)minimum;
        for (int i = 0; i < 32; i++) {
            int q = qs[32 * (s / 2) + i] >> 4 * (s % 2) & 15;
            if (qh) q |= (qh[i] >> s & 1) << 4;
            y[32 * s + i] = step * (float)q - offset;
        }
    }
}

static void decode_q6_K(const uint8_t *bytes, float *y) {
    const uint8_t *ql = bytes;
    const uint8_t *qh = bytes + 128;
    const uint8_t *scales = bytes + 192;
    float d = half_at(bytes + 208);
    for (int e = 0; e < 256; e++) {
        int half = e / 128, quarter = e / 32 % 4, i = e % 32;
        int low = ql[64 * half + 32 * (quarter % 2) + i] >> 4 * (quarter / 2) & 15;
        int high = qh[32 * half + i] >> 2 * quarter & 3;
        float step = d * (float)(int8_t)scales[e / 16];
        y[e] = step * (float)((low | high << 4) - 32);
    }
}

void ckernels_dequantize_block(int format, const uint8_t *bytes, float *y) {
    float m;
    switch (format) {
    case CKERNELS_F32: y[0] = float_from_bits(load_u32(bytes)); break;
    case CKERNELS_F16: y[0] = half_at(bytes); break;
    case CKERNELS_BF16: y[0] = float_from_bits((uint32_t)load_u16(bytes) << 16); break;
    case CKERNELS_Q4_0: decode_nibbles(bytes + 2, 0, half_at(bytes), 8, NULL, y); break;
    case CKERNELS_Q4_1:
        m = half_at(bytes + 2);
        decode_nibbles(bytes + 4, 0, half_at(bytes), 0, &m, y);
        break;
    case CKERNELS_Q5_0:
        decode_nibbles(bytes + 6, load_u32(bytes + 2), half_at(bytes), 16, NULL, y);
        break;
    case CKERNELS_Q5_1:
        m = half_at(bytes + 2);
        decode_nibbles(bytes + 8, load_u32(bytes + 4), half_at(bytes), 0, &m, y);
        break;
    case CKERNELS_Q8_0: decode_q8_0(bytes, y); break;
    case CKERNELS_Q4_K: decode_q45_K(bytes, NULL, bytes + 16, y); break;
    case CKERNELS_Q5_K: decode_q45_K(bytes, bytes + 16, bytes + 48, y); break;
    case CKERNELS_Q6_K: decode_q6_K(bytes, y); break;
    }
}

void ckernels_dequantize(int format, const uint8_t *blocks, size_t columns, float *y) {
    size_t elements = layouts[format].elements;
    size_t bytes = layouts[format].bytes;
    for (size_t c = 0; c < columns; c += elements, blocks += bytes) {
        ckernels_dequantize_block(format, blocks, y + c);
    }
}
