// Codes to floats and to the native formats. No fused multiply-adds: the same bytes everywhere.
#include <math.h>
#include <stdlib.h>

#include "codes.h"

#pragma STDC FP_CONTRACT OFF

static void codes_floats(const weight_codes *codes, float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        values[i] = codes->unit * ((float)codes->scale[i / 16] * (float)codes->value[i]);
    }
}

// An I8 to I64 or F64.
static double number(uint32_t type, const uint8_t *source) {
    switch (type) {
    case CPACKING_I8: return (int8_t)source[0];
    case CPACKING_I16: return (int16_t)load16(source);
    case CPACKING_I32: return (int32_t)load32(source);
    case CPACKING_I64: return (double)(int64_t)load64(source);
    default: {
        uint64_t bits = load64(source);
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    }
}

static size_t number_bytes(uint32_t type) {
    switch (type) {
    case CPACKING_I8: return 1;
    case CPACKING_I16:
    case CPACKING_F16:
    case CPACKING_BF16: return 2;
    case CPACKING_I32:
    case CPACKING_F32: return 4;
    default: return 8;
    }
}

static float nearest(uint32_t type, const uint8_t *source) {
    switch (type) {
    case CPACKING_F32: return float_of_bits(load32(source));
    case CPACKING_F16: return float_of_half(load16(source));
    case CPACKING_BF16: return float_of_bits((uint32_t)load16(source) << 16);
    // Through a double, it would be rounded twice.
    case CPACKING_I64: return (float)(int64_t)load64(source);
    default: return (float)number(type, source);
    }
}

static void add_error(cpacking_error *error, double source, double stored) {
    double difference = source - stored;
    if (!isfinite(difference)) return;
    error->error += difference * difference;
    error->norm += source * source;
}

// Elements that are read before any is written.
static size_t group_elements(block_size block, uint32_t target) {
    return target == CPACKING_Q6_K && block.elements < 256 ? 256 : block.elements;
}

static const uint8_t *read_group(
    uint32_t type, block_size block, const uint8_t *source, weight_codes *codes, size_t count
) {
    for (size_t first = 0; first < count; first += block.elements, source += block.bytes) {
        codes_read(type, source, codes, first);
    }
    return source;
}

void cpacking_decode(uint32_t type, const uint8_t *source, float *values, size_t elements) {
    block_size block = codes_block_size(type);
    if (block.elements == 0) {
        for (size_t i = 0; i < elements; i++, source += number_bytes(type)) {
            values[i] = nearest(type, source);
        }
        return;
    }
    weight_codes codes;
    for (size_t i = 0; i < elements; i += block.elements) {
        source = read_group(type, block, source, &codes, block.elements);
        codes_floats(&codes, values + i, block.elements);
    }
}

// MARK: - Encoders. Each takes one group of codes, returns where the next block goes, and writes
// the stored values for the error.

static uint8_t *encode_q2_k(const weight_codes *codes, uint8_t *out, float *stored) {
    // d * 1 * q - d * 1 with q from 0 to 3: exact.
    memset(out, 0x11, 16);
    memset(out + 16, 0, 64);
    for (size_t i = 0; i < 256; i++) {
        size_t run = i / 32;
        out[16 + run / 4 * 32 + i % 32] |=
            (uint8_t)((codes->value[i] + 1) << (run % 4 * 2));
    }
    uint16_t half = half_of_float(codes->unit);
    store16(out + 80, half);
    store16(out + 82, half);
    codes_floats(codes, stored, 256);
    return out + 84;
}

static uint8_t *encode_q4_0(
    const weight_codes *codes, size_t count, uint8_t *out, float *stored
) {
    for (size_t first = 0; first < count; first += 32, out += 18) {
        store16(out, half_of_float(codes->unit));
        for (size_t i = 0; i < 16; i++) {
            out[2 + i] = (uint8_t)(
                (codes->value[first + i] + 8) | (codes->value[first + 16 + i] + 8) << 4);
        }
    }
    codes_floats(codes, stored, count);
    return out;
}

// Odd values from -15 to 15 with equal scales in each 32: d * scale * q - dmin * scale, where q
// counts steps of 2 from -15. Only dmin, 15 units, is rounded.
static uint8_t *encode_q4_k(const weight_codes *codes, uint8_t *out, float *stored) {
    uint16_t step = half_of_float(codes->unit * 2), offset = half_of_float(codes->unit * 15);
    store16(out, step);
    store16(out + 2, offset);
    uint8_t *scales = out + 4;
    for (size_t j = 0; j < 4; j++) {
        uint8_t low = (uint8_t)codes->scale[j * 2], high = (uint8_t)codes->scale[j * 2 + 8];
        scales[j] = (uint8_t)(low | high >> 4 << 6);
        scales[j + 4] = scales[j];
        scales[j + 8] = (uint8_t)((high & 15) | high << 4);
    }
    float d = float_of_half(step), dmin = float_of_half(offset);
    memset(out + 16, 0, 128);
    for (size_t i = 0; i < 256; i++) {
        uint8_t q = (uint8_t)((codes->value[i] + 15) / 2);
        out[16 + i / 64 * 32 + i % 32] |= (uint8_t)(q << (i / 32 % 2 * 4));
        float scale = (float)codes->scale[i / 16];
        stored[i] = d * scale * q - dmin * scale;
    }
    return out + 144;
}

// To the nearest whole number, for |x| < 2^22.
static inline float rounded(float x) { return (x + 12582912.0f) - 12582912.0f; }

// The quotient that a 6-bit number holds, the one below -31 aside: signs stay symmetrical.
static inline float quotient6(float target, float inverse) {
    float q = target * inverse;
    return rounded(q < -31 ? -31 : q > 31 ? 31 : q);
}

// The distinct magnitudes of 16 values and how often each occurs: codebooks have few.
typedef struct {
    size_t count;
    float magnitude[16];
    float frequency[16];
    float greatest;
} magnitudes;

static magnitudes magnitudes_of(int32_t scale, const int8_t *values) {
    magnitudes result = {.count = 0, .greatest = 0};
    for (size_t i = 0; i < 16; i++) {
        float magnitude = (float)scale * (float)abs(values[i]);
        size_t at = 0;
        while (at < result.count && result.magnitude[at] != magnitude) at++;
        if (at == result.count) {
            result.magnitude[at] = magnitude;
            result.frequency[at] = 0;
            result.count++;
        }
        result.frequency[at] += 1;
        if (magnitude > result.greatest) result.greatest = magnitude;
    }
    return result;
}

// The steps that scales 1 to 127 of a super-block make, in units of the source, and their inverses.
typedef struct {
    float step[128];
    float inverse[128];
} scale_steps;

static void steps_of(float ratio, scale_steps *steps) {
    for (int scale = 0; scale < 128; scale++) {
        steps->step[scale] = (float)scale * ratio;
        steps->inverse[scale] = 1 / ((float)scale * ratio);
    }
}

static float error_of(const magnitudes *group, const scale_steps *steps, int scale) {
    float error = 0;
    for (size_t i = 0; i < group->count; i++) {
        float q = quotient6(group->magnitude[i], steps->inverse[scale]);
        float difference = group->magnitude[i] - steps->step[scale] * q;
        error += group->frequency[i] * (difference * difference);
    }
    return error;
}

// The scale, 1 to 127, whose products by 0 to 31 come nearest to the magnitudes: the source's own,
// `scale`, or its double where that is exact; else the best of those that make the greatest
// magnitude 16 to 31, the smallest one where several are.
static int best_scale(const magnitudes *group, const scale_steps *steps, float scale) {
    for (int times = 1; times <= 2; times++, scale *= 2) {
        if (scale >= 1 && scale <= 127 && scale == rounded(scale)
            && error_of(group, steps, (int)scale) == 0) {
            return (int)scale;
        }
    }
    int least = 1;
    while (least < 127 && group->greatest * steps->inverse[least] >= 31.5f) least++;
    int end = 2 * least < 127 ? 2 * least + 1 : 128;
    float errors[128] = {0};
    for (size_t i = 0; i < group->count; i++) {
        float target = group->magnitude[i], frequency = group->frequency[i];
        for (int at = least; at < end; at++) {
            float q = quotient6(target, steps->inverse[at]);
            float difference = target - steps->step[at] * q;
            errors[at] += frequency * (difference * difference);
        }
    }
    int best = least;
    for (int at = least; at < end; at++) {
        if (errors[at] < errors[best]) best = at;
    }
    return best;
}

// The power of two, times the source's unit, that is the stored unit: the smallest with which the
// greatest product still is a scale of at most 127 times 26, the quotient that fits 43, 25 and 8
// best; and not so small that 16 bits hold it badly.
static float unit_factor(const weight_codes *codes) {
    int64_t greatest = 1;
    for (size_t i = 0; i < 256; i++) {
        int64_t product = (int64_t)codes->scale[i / 16] * codes->value[i];
        if (product < 0) product = -product;
        if (product > greatest) greatest = product;
    }
    float factor = 0x1p-8f;
    while (factor * 127 * 26 < (float)greatest) factor *= 2;
    float unit = fabsf(codes->unit);
    while (unit > 0 && unit * factor < 0x1p-14f && factor < 1) factor *= 2;
    return factor;
}

static uint8_t *encode_q6_k(const weight_codes *codes, uint8_t *out, float *stored) {
    float factor = unit_factor(codes);
    uint16_t half = half_of_float(codes->unit * factor);
    float unit = float_of_half(half), ratio = unit / codes->unit;
    if (!(ratio > 0 && ratio < INFINITY)) ratio = factor;
    scale_steps steps;
    steps_of(ratio, &steps);
    uint8_t *low = out, *high = out + 128, *scales = out + 192;
    memset(out, 0, 192);
    for (size_t group = 0; group < 16; group++) {
        float targets[16];
        for (size_t i = 0; i < 16; i++) {
            targets[i] = (float)codes->scale[group] * (float)codes->value[group * 16 + i];
        }
        magnitudes found = magnitudes_of(codes->scale[group], codes->value + group * 16);
        int scale = best_scale(&found, &steps, (float)codes->scale[group] / factor);
        scales[group] = (uint8_t)scale;
        float inverse = steps.inverse[scale];
        for (size_t i = 0; i < 16; i++) {
            size_t at = group * 16 + i, half_block = at / 128, run = at % 128 / 32, l = at % 32;
            float q = quotient6(targets[i], inverse);
            uint8_t bits = (uint8_t)((int)q + 32);
            low[half_block * 64 + run % 2 * 32 + l] |= (uint8_t)((bits & 15) << (run / 2 * 4));
            high[half_block * 32 + l] |= (uint8_t)(bits >> 4 << (run * 2));
            stored[at] = unit * (float)scale * q;
        }
    }
    store16(out + 208, half);
    return out + 210;
}

static uint8_t *encode_q8_0(
    const weight_codes *codes, size_t count, uint8_t *out, float *stored
) {
    for (size_t first = 0; first < count; first += 32, out += 34) {
        int32_t scale = codes->scale[first / 16];
        float greatest = 0;
        for (size_t i = first; i < first + 32; i++) {
            float product = (float)codes->scale[i / 16] * (float)codes->value[i];
            greatest = fmaxf(greatest, fabsf(product));
        }
        // Bytes with one scale stay as they are.
        int is_plain = scale == codes->scale[first / 16 + 1];
        float step = is_plain ? (float)scale : greatest / 127;
        uint16_t half = half_of_float(codes->unit * step);
        float unit = float_of_half(half), ratio = unit / codes->unit;
        if (!(ratio > 0 && ratio < INFINITY)) ratio = step > 0 ? step : 1;
        store16(out, half);
        for (size_t i = 0; i < 32; i++) {
            float value = (float)codes->value[first + i];
            float product = (float)codes->scale[(first + i) / 16] * value;
            float q = is_plain ? value : rounded(fminf(fmaxf(product / ratio, -127), 127));
            out[2 + i] = (uint8_t)(int8_t)q;
            stored[first + i] = unit * q;
        }
    }
    return out;
}

static uint8_t *encode(
    uint32_t target, const weight_codes *codes, size_t count, uint8_t *out, float *stored
) {
    switch (target) {
    case CPACKING_Q2_K: return encode_q2_k(codes, out, stored);
    case CPACKING_Q4_0: return encode_q4_0(codes, count, out, stored);
    case CPACKING_Q4_K: return encode_q4_k(codes, out, stored);
    case CPACKING_Q6_K: return encode_q6_k(codes, out, stored);
    case CPACKING_Q8_0: return encode_q8_0(codes, count, out, stored);
    default: __builtin_trap();
    }
}

static void convert_numbers(
    uint32_t type, const uint8_t *source, uint8_t *out, size_t elements, cpacking_error *error
) {
    for (size_t i = 0; i < elements; i++, source += number_bytes(type)) {
        float value = nearest(type, source);
        memcpy(out + i * 4, &value, 4);
        add_error(error, number(type, source), value);
    }
}

void cpacking_convert(
    uint32_t type, uint32_t target, const uint8_t *source, uint8_t *stored, size_t elements,
    cpacking_error *error
) {
    block_size block = codes_block_size(type);
    if (block.elements == 0) return convert_numbers(type, source, stored, elements, error);
    size_t count = group_elements(block, target);
    weight_codes codes;
    float before[256], after[256];
    for (size_t i = 0; i < elements; i += count) {
        source = read_group(type, block, source, &codes, count);
        codes_floats(&codes, before, count);
        stored = encode(target, &codes, count, stored, after);
        for (size_t j = 0; j < count; j++) add_error(error, before[j], after[j]);
    }
}
