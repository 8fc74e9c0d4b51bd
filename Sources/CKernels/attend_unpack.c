// Pages of keys and values back to floats: for what moves or gathers tokens that were stored, once
// in many tokens, so one implementation serves all sets.

#include "attend_codes.h"

static float number_of_code(
    const uint8_t *words, size_t index, size_t shift, size_t bits, const uint8_t *steps,
    size_t steps_count, size_t step) {
    uint32_t code = load_u32(words + 4 * index) >> shift & code_mask(bits);
    return (float)code * half_at(steps, step) + half_at(steps, steps_count + step);
}

void ckernels_unpack_keys(const uint8_t *part, size_t width, size_t bits, float *x) {
    if (bits >= 16) {
        for (size_t t = 0; t < CKERNELS_PAGE_TOKENS; t++) {
            for (size_t i = 0; i < width; i++) {
                x[t * width + i] = element_at(bits / 8, part, i * CKERNELS_PAGE_TOKENS + t);
            }
        }
        return;
    }
    const uint8_t *steps = part + key_steps_offset(bits, width);
    size_t count = key_steps_count(bits, width), codes = codes_of_word(bits);
    for (size_t t = 0; t < CKERNELS_PAGE_TOKENS; t++) {
        for (size_t i = 0; i < width; i++) {
            size_t step = has_channel_steps(bits) ? t / key_group(bits) * width + i : t;
            x[t * width + i] = number_of_code(
                part, i / codes * CKERNELS_PAGE_TOKENS + t, bits * (i % codes), bits, steps,
                count, step);
        }
    }
}

void ckernels_unpack_values(const uint8_t *part, size_t width, size_t bits, float *x) {
    if (bits >= 16) {
        for (size_t i = 0; i < CKERNELS_PAGE_TOKENS * width; i++) {
            x[i] = element_at(bits / 8, part, i);
        }
        return;
    }
    const uint8_t *steps = part + value_steps_offset(bits, width);
    size_t count = value_steps_count(bits, width), codes = codes_of_word(bits);
    for (size_t t = 0; t < CKERNELS_PAGE_TOKENS; t++) {
        for (size_t i = 0; i < width; i++) {
            size_t step = bits == 2 ? i / GROUP_NUMBERS * CKERNELS_PAGE_TOKENS + t : t;
            x[t * width + i] = number_of_code(
                part, t / codes * width + i, bits * (t % codes), bits, steps, count, step);
        }
    }
}
