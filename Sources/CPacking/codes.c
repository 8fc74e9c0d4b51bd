#include "codes.h"

#include "grids.h"

// The sign byte whose low seven bits are `index`: the eighth makes their number even.
static uint8_t even_signs(uint32_t index) {
    return (uint8_t)(index | (uint32_t)__builtin_parity(index) << 7);
}

static void put_signed(int8_t *values, size_t i, int magnitude, uint8_t signs, size_t bit) {
    values[i] = (int8_t)(signs >> bit & 1 ? -magnitude : magnitude);
}

// 8 values of an IQ2 codebook entry.
static void put_iq2(int8_t *values, uint16_t entry, uint8_t signs) {
    static const uint8_t magnitudes[4] = {8, 25, 43, 0};
    for (size_t i = 0; i < 8; i++) {
        put_signed(values, i, magnitudes[entry >> (2 * i) & 3], signs, i);
    }
}

// 8 values of two entries of an IQ3 codebook.
static void put_iq3(
    int8_t *values, uint16_t first, uint16_t second, const uint8_t *magnitudes, uint8_t signs
) {
    for (size_t i = 0; i < 4; i++) {
        put_signed(values, i, magnitudes[first >> (3 * i) & 7], signs, i);
        put_signed(values, i + 4, magnitudes[second >> (3 * i) & 7], signs, i + 4);
    }
}

// 8 values of an IQ1 codebook entry, -1, 0 and 1, moved by an eighth; in eighths.
static void put_iq1(int8_t *values, uint16_t entry, int moved_down) {
    for (size_t i = 0; i < 8; i++) {
        int value = (entry >> (2 * i) & 3) - 1;
        values[i] = (int8_t)(8 * value + (moved_down ? -1 : 1));
    }
}

static void set_scales(weight_codes *codes, size_t first, size_t count, int32_t scale) {
    for (size_t i = 0; i < count; i++) codes->scale[first / 16 + i] = scale;
}

// d, then for each 32 elements four codebook indices, four sign indices and a scale.
static void read_iq2_xxs(const uint8_t *block, weight_codes *codes) {
    codes->unit = float_of_half(load16(block)) * 0.125f;
    for (size_t group = 0; group < 8; group++) {
        const uint8_t *q = block + 2 + group * 8;
        uint32_t high = load32(q + 4);
        set_scales(codes, group * 32, 2, (int32_t)(high >> 28) * 2 + 1);
        for (size_t i = 0; i < 4; i++) {
            put_iq2(
                codes->value + group * 32 + i * 8, grid_iq2_xxs[q[i]],
                even_signs(high >> (7 * i) & 127));
        }
    }
}

// d, 32 words of codebook index and sign index, a 4-bit scale for each 16 elements.
static void read_iq2_xs(const uint8_t *block, weight_codes *codes) {
    codes->unit = float_of_half(load16(block)) * 0.125f;
    for (size_t i = 0; i < 16; i++) {
        codes->scale[i] = (block[66 + i / 2] >> (i % 2 * 4) & 15) * 2 + 1;
    }
    for (size_t i = 0; i < 32; i++) {
        uint16_t word = load16(block + 2 + i * 2);
        put_iq2(codes->value + i * 8, grid_iq2_xs[word & 511], even_signs(word >> 9));
    }
}

// d, low bytes of the indices, signs, high bits of the indices, a 4-bit scale for each 16.
static void read_iq2_s(const uint8_t *block, weight_codes *codes) {
    const uint8_t *q = block + 2, *signs = q + 32, *high = signs + 32, *scales = high + 8;
    codes->unit = float_of_half(load16(block)) * 0.125f;
    for (size_t i = 0; i < 16; i++) {
        codes->scale[i] = (scales[i / 2] >> (i % 2 * 4) & 15) * 2 + 1;
    }
    for (size_t i = 0; i < 32; i++) {
        uint32_t index = q[i] | (uint32_t)(high[i / 4] >> (i % 4 * 2) & 3) << 8;
        put_iq2(codes->value + i * 8, grid_iq2_s[index], signs[i]);
    }
}

// d, indices of 4 values each, for each 32 elements four sign indices and a scale.
static void read_iq3_xxs(const uint8_t *block, weight_codes *codes) {
    static const uint8_t magnitudes[8] = {4, 12, 20, 28, 36, 44, 52, 62};
    const uint8_t *q = block + 2;
    codes->unit = float_of_half(load16(block)) * 0.25f;
    for (size_t group = 0; group < 8; group++) {
        uint32_t word = load32(q + 64 + group * 4);
        set_scales(codes, group * 32, 2, (int32_t)(word >> 28) * 2 + 1);
        for (size_t i = 0; i < 4; i++) {
            size_t at = group * 8 + i * 2;
            put_iq3(
                codes->value + at * 4, grid_iq3_xxs[q[at]], grid_iq3_xxs[q[at + 1]], magnitudes,
                even_signs(word >> (7 * i) & 127));
        }
    }
}

// d, low bytes of the indices, their high bits, signs, a 4-bit scale for each 32 elements.
static void read_iq3_s(const uint8_t *block, weight_codes *codes) {
    static const uint8_t magnitudes[8] = {1, 3, 5, 7, 9, 11, 13, 15};
    const uint8_t *q = block + 2, *high = q + 64, *signs = high + 8, *scales = signs + 32;
    codes->unit = float_of_half(load16(block));
    for (size_t group = 0; group < 8; group++) {
        set_scales(
            codes, group * 32, 2, (scales[group / 2] >> (group % 2 * 4) & 15) * 2 + 1);
    }
    for (size_t i = 0; i < 32; i++) {
        uint32_t bits = high[i / 4] >> (i % 4 * 2);
        put_iq3(
            codes->value + i * 8, grid_iq3_s[q[i * 2] | (bits & 1) << 8],
            grid_iq3_s[q[i * 2 + 1] | (bits >> 1 & 1) << 8], magnitudes, signs[i]);
    }
}

// d, low bytes of the indices, for each 32 elements a word of high bits, scale and direction.
static void read_iq1_s(const uint8_t *block, weight_codes *codes) {
    codes->unit = float_of_half(load16(block)) * 0.125f;
    for (size_t group = 0; group < 8; group++) {
        uint32_t word = load16(block + 34 + group * 2);
        set_scales(codes, group * 32, 2, (int32_t)(word >> 12 & 7) * 2 + 1);
        for (size_t i = 0; i < 4; i++) {
            uint32_t index = block[2 + group * 4 + i] | (word >> (3 * i) & 7) << 8;
            put_iq1(codes->value + group * 32 + i * 8, grid_iq1[index], word >> 15 != 0);
        }
    }
}

// Low bytes of the indices, a nibble of high bits and direction for each 8 elements, four words of
// four 3-bit scales; the words' upper nibbles together are d.
static void read_iq1_m(const uint8_t *block, weight_codes *codes) {
    uint32_t half = 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t word = load16(block + 48 + i * 2);
        half |= (word >> 12) << (4 * i);
        for (size_t j = 0; j < 4; j++) {
            codes->scale[i * 4 + j] = (int32_t)(word >> (3 * j) & 7) * 2 + 1;
        }
    }
    codes->unit = float_of_half((uint16_t)half) * 0.125f;
    for (size_t i = 0; i < 32; i++) {
        uint32_t bits = block[32 + i / 2] >> (i % 2 * 4);
        put_iq1(codes->value + i * 8, grid_iq1[block[i] | (bits & 7) << 8], (bits & 8) != 0);
    }
}

// `count` runs of elements, one from each byte: the byte times 3, 9, 27 and so on as a fraction of
// 256 counts thirds.
static int8_t *put_thirds(int8_t *values, const uint8_t *bytes, size_t width, size_t count) {
    uint8_t power = 1;
    for (size_t run = 0; run < count; run++, power *= 3) {
        for (size_t i = 0; i < width; i++) {
            uint8_t digit = (uint8_t)(bytes[i] * power);
            *values++ = (int8_t)((digit * 3 >> 8) - 1);
        }
    }
    return values;
}

static void read_tq1_0(const uint8_t *block, weight_codes *codes) {
    codes->unit = float_of_half(load16(block + 52));
    set_scales(codes, 0, 16, 1);
    int8_t *values = put_thirds(codes->value, block, 32, 5);
    values = put_thirds(values, block + 32, 16, 5);
    put_thirds(values, block + 48, 4, 4);
}

static void read_tq2_0(const uint8_t *block, weight_codes *codes) {
    codes->unit = float_of_half(load16(block + 64));
    set_scales(codes, 0, 16, 1);
    for (size_t i = 0; i < 256; i++) {
        size_t run = i / 32;
        codes->value[i] = (int8_t)((block[run / 4 * 32 + i % 32] >> (run % 4 * 2) & 3) - 1);
    }
}

// Four E4M3 scales without sign, then 4-bit floats (E2M1, here doubled), 16 of each scale.
static void read_nvfp4(const uint8_t *block, weight_codes *codes, size_t first) {
    static const int8_t doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    // A scale's last bit is 2^-9, and half of that makes up for the doubling.
    codes->unit = 0x1p-10f;
    for (size_t group = 0; group < 4; group++) {
        uint32_t exponent = block[group] >> 3 & 15, fraction = block[group] & 7;
        uint32_t scale = exponent == 0 ? fraction : (8 + fraction) << (exponent - 1);
        if (block[group] == 0x7F) scale = 0;
        set_scales(codes, first + group * 16, 1, (int32_t)scale);
        int8_t *values = codes->value + first + group * 16;
        for (size_t i = 0; i < 8; i++) {
            uint8_t pair = block[4 + group * 8 + i];
            values[i] = doubled[pair & 15];
            values[i + 8] = doubled[pair >> 4];
        }
    }
}

// d, then one bit an element: -1 or 1.
static void read_q1_0(const uint8_t *block, weight_codes *codes) {
    codes->unit = float_of_half(load16(block));
    set_scales(codes, 0, 8, 1);
    for (size_t i = 0; i < 128; i++) {
        codes->value[i] = block[2 + i / 8] >> (i % 8) & 1 ? 1 : -1;
    }
}

// d, then two bits an element: -1 to 2.
static void read_q2_0(const uint8_t *block, weight_codes *codes) {
    codes->unit = float_of_half(load16(block));
    set_scales(codes, 0, 4, 1);
    for (size_t i = 0; i < 64; i++) {
        codes->value[i] = (int8_t)((block[2 + i / 4] >> (i % 4 * 2) & 3) - 1);
    }
}

// d, a sum that products use, bytes.
static void read_q8_1(const uint8_t *block, weight_codes *codes) {
    codes->unit = float_of_half(load16(block));
    set_scales(codes, 0, 2, 1);
    memcpy(codes->value, block + 4, 32);
}

// d as a 32-bit float, bytes, sums that products use.
static void read_q8_k(const uint8_t *block, weight_codes *codes) {
    codes->unit = float_of_bits(load32(block));
    set_scales(codes, 0, 16, 1);
    memcpy(codes->value, block + 4, 256);
}

block_size codes_block_size(uint32_t type) {
    switch (type) {
    case CPACKING_Q8_1: return (block_size){32, 36};
    case CPACKING_Q8_K: return (block_size){256, 292};
    case CPACKING_IQ2_XXS: return (block_size){256, 66};
    case CPACKING_IQ2_XS: return (block_size){256, 74};
    case CPACKING_IQ3_XXS: return (block_size){256, 98};
    case CPACKING_IQ1_S: return (block_size){256, 50};
    case CPACKING_IQ3_S: return (block_size){256, 110};
    case CPACKING_IQ2_S: return (block_size){256, 82};
    case CPACKING_IQ1_M: return (block_size){256, 56};
    case CPACKING_TQ1_0: return (block_size){256, 54};
    case CPACKING_TQ2_0: return (block_size){256, 66};
    case CPACKING_NVFP4: return (block_size){64, 36};
    case CPACKING_Q1_0: return (block_size){128, 18};
    case CPACKING_Q2_0: return (block_size){64, 18};
    default: return (block_size){0, 0};
    }
}

void codes_read(uint32_t type, const uint8_t *block, weight_codes *codes, size_t first) {
    switch (type) {
    case CPACKING_Q8_1: return read_q8_1(block, codes);
    case CPACKING_Q8_K: return read_q8_k(block, codes);
    case CPACKING_IQ2_XXS: return read_iq2_xxs(block, codes);
    case CPACKING_IQ2_XS: return read_iq2_xs(block, codes);
    case CPACKING_IQ3_XXS: return read_iq3_xxs(block, codes);
    case CPACKING_IQ1_S: return read_iq1_s(block, codes);
    case CPACKING_IQ3_S: return read_iq3_s(block, codes);
    case CPACKING_IQ2_S: return read_iq2_s(block, codes);
    case CPACKING_IQ1_M: return read_iq1_m(block, codes);
    case CPACKING_TQ1_0: return read_tq1_0(block, codes);
    case CPACKING_TQ2_0: return read_tq2_0(block, codes);
    case CPACKING_NVFP4: return read_nvfp4(block, codes, first);
    case CPACKING_Q1_0: return read_q1_0(block, codes);
    case CPACKING_Q2_0: return read_q2_0(block, codes);
    default: __builtin_trap();
    }
}
