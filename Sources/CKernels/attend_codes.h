// Keys and values in codes of 8, 4 or 2 bits: where steps and minima are in a page, and how numbers
// become codes. All of it plain C that every set compiles for itself.
#ifndef CKERNELS_ATTEND_CODES_H
#define CKERNELS_ATTEND_CODES_H

#include "scalar.h"

enum {
    // Columns of a value of 2 bits that share a step.
    GROUP_NUMBERS = 32
};

// Whether a key's steps are its channels', and not its own.
ALWAYS_INLINE int has_channel_steps(size_t key_bits) { return key_bits <= 4; }

// Positions of a key's channel that share a step.
ALWAYS_INLINE size_t key_group(size_t bits) { return bits == 2 ? 32 : CKERNELS_PAGE_TOKENS; }

ALWAYS_INLINE size_t codes_of_word(size_t bits) { return 32 / bits; }

ALWAYS_INLINE uint32_t code_mask(size_t bits) { return (1u << bits) - 1; }

// Where a head's steps begin; `steps_count` further, its minima.
ALWAYS_INLINE size_t key_steps_offset(size_t bits, size_t width) {
    return (width * bits + 31) / 32 * 4 * CKERNELS_PAGE_TOKENS;
}

ALWAYS_INLINE size_t value_steps_offset(size_t bits, size_t width) {
    return CKERNELS_PAGE_TOKENS * width * bits / 8;
}

ALWAYS_INLINE size_t key_steps_count(size_t bits, size_t width) {
    if (!has_channel_steps(bits)) return CKERNELS_PAGE_TOKENS;
    return CKERNELS_PAGE_TOKENS / key_group(bits) * width;
}

ALWAYS_INLINE size_t value_steps_count(size_t bits, size_t width) {
    return CKERNELS_PAGE_TOKENS
        * (bits == 2 ? (width + GROUP_NUMBERS - 1) / GROUP_NUMBERS : 1);
}

ALWAYS_INLINE float half_at(const uint8_t *halves, size_t index) {
    return float_from_half(load_u16(halves + 2 * index));
}

// Numbers that get a step and a minimum together: floats or halves, `step` elements apart.
typedef struct {
    const uint8_t *x;
    size_t element_bytes;
    size_t step;
    size_t count;
} code_row;

ALWAYS_INLINE float number_at(const code_row *row, size_t index) {
    return element_at(row->element_bytes, row->x, index * row->step);
}

// Step and minimum, as they are stored and as codes are made by them.
typedef struct {
    uint16_t step;
    uint16_t minimum;
    float low;
    float inverse;
    float largest;
} code_scale;

ALWAYS_INLINE float bounded_to_half(float x) {
    return x < -65504.0f ? -65504.0f : x > 65504.0f ? 65504.0f : x;
}

// The greatest half that is not above x, the least that is not below; x within +-65504.
ALWAYS_INLINE uint16_t half_below(float x) {
    uint16_t half = half_from_float(x);
    if (float_from_half(half) <= x) return half;
    if (half == 0) return 0x8001;
    return (uint16_t)(half & 0x8000 ? half + 1 : half - 1);
}

ALWAYS_INLINE uint16_t half_above_zero(float x) {
    if (!(x > 0)) return 1;
    uint16_t half = half_from_float(x);
    return (uint16_t)(float_from_half(half) < x ? half + 1 : half);
}

ALWAYS_INLINE code_scale scale_of_row(const code_row *row, size_t bits) {
    float low[16], high[16];
    uint32_t magnitude[16] = {0};
    for (size_t l = 0; l < 16; l++) low[l] = high[l] = number_at(row, 0);
    for (size_t i = 0; i < row->count; i += 16) {
        // The last numbers stand in for those that are missing.
        size_t first = i + 16 <= row->count || row->count < 16 ? i : row->count - 16;
        size_t lanes = smaller(row->count - first, 16);
        for (size_t l = 0; l < lanes; l++) {
            float x = number_at(row, first + l);
            uint32_t size = bits_from_float(x) & 0x7fffffff;
            low[l] = x < low[l] ? x : low[l];
            high[l] = x > high[l] ? x : high[l];
            magnitude[l] = size > magnitude[l] ? size : magnitude[l];
        }
    }
    for (size_t l = 1; l < 16; l++) {
        low[0] = low[l] < low[0] ? low[l] : low[0];
        high[0] = high[l] > high[0] ? high[l] : high[0];
        magnitude[0] = magnitude[l] > magnitude[0] ? magnitude[l] : magnitude[0];
    }
    float largest = (float)code_mask(bits);
    // An inverse of 0 makes every code 0.
    if (magnitude[0] >= 0x7f800000) return (code_scale){0x7e00, 0x7e00, 0, 0, 0};
    // Which zero is the least depends on the order; all say +0.
    uint16_t minimum = half_below(bounded_to_half(low[0]) + 0.0f);
    float least = float_from_half(minimum);
    uint16_t step = half_above_zero((bounded_to_half(high[0]) - least) / largest);
    return (code_scale){step, minimum, least, 1 / float_from_half(step), largest};
}

// The bounds come first: what they leave the rounding is exact for. A NaN becomes 0.
ALWAYS_INLINE uint32_t code_of(float x, const code_scale *scale) {
    float code = (x - scale->low) * scale->inverse;
    code = code > 0 ? code : 0;
    code = code < scale->largest ? code : scale->largest;
    return bits_from_float(code + ROUNDING_MAGIC) & 0xff;
}

ALWAYS_INLINE void store_u16(uint8_t *at, uint16_t value) { memcpy(at, &value, sizeof value); }

ALWAYS_INLINE void store_u32(uint8_t *at, uint32_t value) { memcpy(at, &value, sizeof value); }

// Puts one code into a word that has others.
ALWAYS_INLINE void put_code(
    uint8_t *restrict words, size_t index, size_t shift, uint32_t mask, uint32_t code) {
    uint32_t others = load_u32(words + 4 * index) & ~(mask << shift);
    store_u32(words + 4 * index, others | code << shift);
}

ALWAYS_INLINE void store_scale(
    const code_scale *scale, uint8_t *steps, size_t steps_count, size_t index) {
    store_u16(steps + 2 * index, scale->step);
    store_u16(steps + 2 * (steps_count + index), scale->minimum);
}

// One key of 8 bits: its words go 64 apart.
ALWAYS_INLINE void store_key_codes(const code_row *row, size_t slot, uint8_t *part) {
    const size_t bits = 8;
    code_scale scale = scale_of_row(row, bits);
    size_t codes = codes_of_word(bits), width = row->count;
    for (size_t i = 0; i < width; i += codes) {
        uint32_t word = 0;
        for (size_t k = 0; k < smaller(codes, width - i); k++) {
            word |= code_of(number_at(row, i + k), &scale) << (bits * k);
        }
        store_u32(part + 4 * (i / codes * CKERNELS_PAGE_TOKENS + slot), word);
    }
    uint8_t *steps = part + key_steps_offset(bits, width);
    store_scale(&scale, steps, CKERNELS_PAGE_TOKENS, slot);
}

// One value of 8 or 4 bits: it shares its words with the positions beside it.
ALWAYS_INLINE void store_value_codes(
    const size_t bits, const code_row *row, size_t slot, uint8_t *restrict part) {
    code_scale scale = scale_of_row(row, bits);
    size_t codes = codes_of_word(bits), width = row->count;
    uint8_t *words = part + 4 * (slot / codes * width);
    for (size_t i = 0; i < width; i++) {
        uint32_t code = code_of(number_at(row, i), &scale);
        put_code(words, i, bits * (slot % codes), code_mask(bits), code);
    }
    uint8_t *steps = part + value_steps_offset(bits, width);
    store_scale(&scale, steps, CKERNELS_PAGE_TOKENS, slot);
}

// Row t of keys or values on their way to a page.
ALWAYS_INLINE code_row row_to_store(const ckernels_page_rows *rows, size_t t) {
    return (code_row){(const uint8_t *)(rows->x + t * rows->stride), 4, 1, rows->width};
}

ALWAYS_INLINE void store_keys_in_codes(const ckernels_page_rows *rows) {
    for (size_t t = 0; t < rows->tokens; t++) {
        code_row row = row_to_store(rows, t);
        store_key_codes(&row, rows->slot + t, rows->part);
    }
}

ALWAYS_INLINE void store_values_in_codes(const ckernels_page_rows *rows) {
    for (size_t t = 0; t < rows->tokens; t++) {
        code_row row = row_to_store(rows, t);
        if (rows->bits == 8) {
            store_value_codes(8, &row, rows->slot + t, rows->part);
        } else {
            store_value_codes(4, &row, rows->slot + t, rows->part);
        }
    }
}

#endif
