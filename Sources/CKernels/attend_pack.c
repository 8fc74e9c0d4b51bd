// Whole pages of halves to other widths: once for 64 tokens, so one implementation serves all sets.

#include "attend_codes.h"

// Numbers in codes that share words with numbers that have other steps: the first is at code
// `place` of word `index`; each next one `word_stride` words and `place_stride` codes further.
typedef struct {
    size_t index;
    size_t place;
    size_t word_stride;
    size_t place_stride;
} group_place;

static void pack_group(
    size_t bits, const code_row *row, group_place at, uint8_t *words, const code_scale *scale) {
    for (size_t i = 0; i < row->count; i++) {
        uint32_t code = code_of(number_at(row, i), scale);
        put_code(
            words, at.index + i * at.word_stride, bits * (at.place + i * at.place_stride),
            code_mask(bits), code);
    }
}

// Keys of 4 or 2 bits: groups are positions of a channel.
static void pack_key_groups(
    const uint8_t *halves, size_t width, size_t bits, uint8_t *part) {
    uint8_t *steps = part + key_steps_offset(bits, width);
    size_t codes = codes_of_word(bits), group = key_group(bits);
    memset(part, 0, (size_t)(steps - part));
    for (size_t i = 0; i < width; i++) {
        for (size_t first = 0; first < CKERNELS_PAGE_TOKENS; first += group) {
            code_row row = {halves + 2 * (i * CKERNELS_PAGE_TOKENS + first), 2, 1, group};
            group_place at = {i / codes * CKERNELS_PAGE_TOKENS + first, i % codes, 1, 0};
            code_scale scale = scale_of_row(&row, bits);
            size_t index = first / group * width + i;
            store_scale(&scale, steps, key_steps_count(bits, width), index);
            pack_group(bits, &row, at, part, &scale);
        }
    }
}

// Values of 2 bits: groups are 32 columns of a position.
static void pack_value_groups(const uint8_t *halves, size_t width, uint8_t *part) {
    uint8_t *steps = part + value_steps_offset(2, width);
    for (size_t t = 0; t < CKERNELS_PAGE_TOKENS; t++) {
        for (size_t first = 0; first < width; first += GROUP_NUMBERS) {
            size_t count = smaller(width - first, GROUP_NUMBERS);
            code_row row = {halves + 2 * (t * width + first), 2, 1, count};
            group_place at = {t / 16 * width + first, t % 16, 1, 0};
            size_t index = first / GROUP_NUMBERS * CKERNELS_PAGE_TOKENS + t;
            code_scale scale = scale_of_row(&row, 2);
            store_scale(&scale, steps, value_steps_count(2, width), index);
            pack_group(2, &row, at, part, &scale);
        }
    }
}

static void widen(const uint8_t *halves, size_t count, uint8_t *floats) {
    for (size_t i = 0; i < count; i++) {
        store_u32(floats + 4 * i, bits_from_float(half_at(halves, i)));
    }
}

void ckernels_pack_keys(const uint8_t *halves, size_t width, size_t bits, uint8_t *part) {
    size_t count = CKERNELS_PAGE_TOKENS * width;
    switch (bits) {
    case 32: widen(halves, count, part); return;
    case 16: memcpy(part, halves, 2 * count); return;
    case 4:
    case 2: pack_key_groups(halves, width, bits, part); return;
    default: break;
    }
    for (size_t t = 0; t < CKERNELS_PAGE_TOKENS; t++) {
        code_row row = {halves + 2 * t, 2, CKERNELS_PAGE_TOKENS, width};
        store_key_codes(&row, t, part);
    }
}

void ckernels_pack_values(const uint8_t *halves, size_t width, size_t bits, uint8_t *part) {
    size_t count = CKERNELS_PAGE_TOKENS * width;
    switch (bits) {
    case 32: widen(halves, count, part); return;
    case 16: memcpy(part, halves, 2 * count); return;
    case 2: pack_value_groups(halves, width, part); return;
    default: break;
    }
    for (size_t t = 0; t < CKERNELS_PAGE_TOKENS; t++) {
        code_row row = {halves + 2 * t * width, 2, 1, width};
        store_value_codes(bits, &row, t, part);
    }
}
