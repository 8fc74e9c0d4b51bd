// What every kernel file shares: inlining, unaligned loads, half precision in integers, the
// exponential and the activations as plain branch-free C that vectorises to the same bits.
#ifndef CKERNELS_SCALAR_H
#define CKERNELS_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ckernels.h"

#pragma STDC FP_CONTRACT OFF

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE uint16_t load_u16(const uint8_t *bytes) {
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

ALWAYS_INLINE uint32_t load_u32(const void *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

ALWAYS_INLINE float float_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

ALWAYS_INLINE uint32_t bits_from_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

ALWAYS_INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

// IEEE 754 binary16 to binary32; exact. A signalling NaN becomes quiet, as in hardware.
ALWAYS_INLINE float float_from_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 31;
    uint32_t mantissa = half & 0x3ff;
    if (exponent == 31) {
        uint32_t quiet = mantissa ? 0x400000 : 0;
        return float_from_bits(sign | 0x7f800000 | quiet | mantissa << 13);
    }
    if (exponent == 0) {
        return float_from_bits(sign | bits_from_float((float)mantissa * 0x1p-24f));
    }
    return float_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

// Element `index` of an array of floats (4 bytes each) or halves (2).
ALWAYS_INLINE float element_at(size_t bytes, const uint8_t *elements, size_t index) {
    return bytes == 2 ? float_from_half(load_u16(elements + 2 * index))
                      : ((const float *)elements)[index];
}

// Binary32 to binary16, round to nearest even.
ALWAYS_INLINE uint16_t half_from_float(float value) {
    uint32_t bits = bits_from_float(value);
    uint32_t sign = bits >> 16 & 0x8000;
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    }
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) {
        // 0.5's last place is the smallest half: the addition rounds as wanted.
        uint32_t sum = bits_from_float(float_from_bits(magnitude) + 0.5f);
        return (uint16_t)(sign | (sum - 0x3f000000));
    }
    uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((rounded >> 13) - (112 << 10)));
}

// The 16 lanes of a sum, added pairwise; see ckernels.h.
ALWAYS_INLINE float sum_of_lanes(float *lanes) {
    for (size_t width = 8; width > 0; width /= 2) {
        for (size_t i = 0; i < width; i++) lanes[i] += lanes[i + width];
    }
    return lanes[0];
}

// Adding this to a float of magnitude below 2^22 leaves its nearest integer (ties to even) in the
// low bits.
#define ROUNDING_MAGIC 12582912.0f

// e^x after Cody and Waite (Software Manual for the Elementary Functions, 1980): x = n ln 2 + r
// with |r| <= ln 2 / 2, a polynomial for e^r (coefficients of Cephes' expf), and 2^n in two factors
// so that results below the normal range round once. NaN propagates; the ends are 0 and infinity.
ALWAYS_INLINE float exponential(float x) {
    float bounded = x > 89.0f ? 89.0f : x;
    bounded = bounded < -104.0f ? -104.0f : bounded;
    float shifted = __builtin_fmaf(bounded, 1.44269504f, ROUNDING_MAGIC);
    float n = shifted - ROUNDING_MAGIC;
    float r = __builtin_fmaf(n, -0.693145752f, bounded);
    r = __builtin_fmaf(n, -1.42860677e-6f, r);
    float p = 1.9875691500e-4f;
    p = __builtin_fmaf(p, r, 1.3981999507e-3f);
    p = __builtin_fmaf(p, r, 8.3334519073e-3f);
    p = __builtin_fmaf(p, r, 4.1665795894e-2f);
    p = __builtin_fmaf(p, r, 1.6666665459e-1f);
    p = __builtin_fmaf(p, r, 5.0000001201e-1f);
    p = __builtin_fmaf(p, r * r, r) + 1.0f;
    uint32_t exponent = bits_from_float(shifted) - bits_from_float(ROUNDING_MAGIC);
    // Arithmetic shift of a small signed number, done in unsigned: (n + 256) / 2 - 128.
    uint32_t first = ((exponent + 256) >> 1) - 128;
    uint32_t second = exponent - first;
    p = p * float_from_bits((first + 127) << 23);
    return p * float_from_bits((second + 127) << 23);
}

ALWAYS_INLINE float logistic(float x) { return 1.0f / (1.0f + exponential(-x)); }

// x * logistic(x). The bound keeps -infinity from becoming NaN; below it the result is -0 anyway.
ALWAYS_INLINE float silu(float x) {
    float bounded = x < -128.0f ? -128.0f : x;
    return bounded / (1.0f + exponential(-bounded));
}

// The tanh form of GELU (arXiv 1606.08415, section 2), which GGUF's families mean by "gelu":
// x * logistic(2 * sqrt(2 / pi) * (x + 0.044715 * x^3)).
ALWAYS_INLINE float gelu(float x) {
    float bounded = x < -32.0f ? -32.0f : x;
    float cubic = __builtin_fmaf(0.044715f * bounded * bounded, bounded, bounded);
    return bounded / (1.0f + exponential(-1.59576912f * cubic));
}

// gpt-oss's gate (GGML_GLU_OP_SWIGLU_OAI): with g = min(x, 7), g * logistic(1.702 * g).
ALWAYS_INLINE float clamped_silu(float x) {
    float g = x > 7.0f ? 7.0f : x;
    g = g < -80.0f ? -80.0f : g;
    return g / (1.0f + exponential(-1.702f * g));
}

// What gpt-oss multiplies it with: x, bounded to +-7, plus 1.
ALWAYS_INLINE float clamped_up(float x) {
    float u = x > 7.0f ? 7.0f : x;
    u = u < -7.0f ? -7.0f : u;
    return u + 1.0f;
}

// cap * tanh(x / cap) = cap * (1 - e) / (1 + e) with e = exp(-2x / cap). NaN propagates.
ALWAYS_INLINE float soft_cap(float x, float cap) {
    float t = 2.0f * x / cap;
    t = t > 40.0f ? 40.0f : t;
    t = t < -40.0f ? -40.0f : t;
    float e = exponential(-t);
    return cap * ((1.0f - e) / (1.0f + e));
}

ALWAYS_INLINE float relu(float x) { return x <= 0.0f ? 0.0f : x; }

ALWAYS_INLINE float squared_relu(float x) { return relu(x) * relu(x); }

#endif
