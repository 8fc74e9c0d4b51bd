// Sixteen floats side by side, written once with the compiler's vectors and compiled for each
// instruction set: the includer defines TARGET as the set's attribute (or nothing). Lane operations
// round as the scalar ones do, so bits agree between sets.
#ifndef CKERNELS_LANES_H
#define CKERNELS_LANES_H

#include "scalar.h"

// The functions here are always inlined, so how vectors would be passed does not matter.
#pragma clang diagnostic ignored "-Wpsabi"

#define LANES_INLINE TARGET static inline __attribute__((always_inline))

enum { LANES = 16 };
typedef float lanes __attribute__((vector_size(64)));
typedef int32_t int_lanes __attribute__((vector_size(64)));
typedef uint32_t word_lanes __attribute__((vector_size(64)));
typedef _Float16 half_lanes __attribute__((vector_size(32)));
typedef uint16_t short_lanes __attribute__((vector_size(32)));

LANES_INLINE lanes lanes_load(const void *floats) {
    lanes value;
    memcpy(&value, floats, sizeof value);
    return value;
}

LANES_INLINE void lanes_store(void *floats, lanes value) {
    memcpy(floats, &value, sizeof value);
}

LANES_INLINE word_lanes lanes_load_words(const uint8_t *bytes) {
    word_lanes value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

LANES_INLINE lanes lanes_load_halves(const uint8_t *bytes) {
    half_lanes value;
    memcpy(&value, bytes, sizeof value);
    return __builtin_convertvector(value, lanes);
}

LANES_INLINE lanes lanes_load_bfloats(const uint8_t *bytes) {
    short_lanes value;
    memcpy(&value, bytes, sizeof value);
    return (lanes)(__builtin_convertvector(value, word_lanes) << 16);
}

LANES_INLINE lanes lanes_splat(float v) {
    return (lanes){v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v};
}

LANES_INLINE lanes lanes_fma(lanes a, lanes b, lanes c) {
    return __builtin_elementwise_fma(a, b, c);
}

// Small integers to floats.
LANES_INLINE lanes lanes_from_words(word_lanes words) {
    return __builtin_convertvector((int_lanes)words, lanes);
}

// Where `mask` is all ones take a, where it is zero take b.
LANES_INLINE lanes lanes_select(int_lanes mask, lanes a, lanes b) {
    return (lanes)((mask & (int_lanes)a) | (~mask & (int_lanes)b));
}

// The first `count` lanes from memory, the rest `fill`.
LANES_INLINE lanes lanes_load_partial(const float *floats, size_t count, float fill) {
    float values[LANES];
    for (size_t i = 0; i < LANES; i++) values[i] = fill;
    memcpy(values, floats, count * sizeof(float));
    return lanes_load(values);
}

// The lanes of a sum, added pairwise in the order of sum_of_lanes.
LANES_INLINE float lanes_sum(lanes v) {
    typedef float eight __attribute__((vector_size(32)));
    typedef float four __attribute__((vector_size(16)));
    eight a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7)
        + __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    four b = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
    float even = b[0] + b[2];
    float odd = b[1] + b[3];
    return even + odd;
}

// The largest lane. NaN must not be among them.
LANES_INLINE float lanes_largest(lanes v) {
    lanes w = __builtin_shufflevector(
        v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
    v = lanes_select(v > w, v, w);
    w = __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
    v = lanes_select(v > w, v, w);
    w = __builtin_shufflevector(v, v, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3);
    v = lanes_select(v > w, v, w);
    return v[0] > v[1] ? v[0] : v[1];
}

// scalar.h's exponential in 16 lanes; the same operations in the same order.
LANES_INLINE lanes lanes_exponential(lanes x) {
    lanes bounded = lanes_select(x > 89.0f, lanes_splat(89.0f), x);
    bounded = lanes_select(bounded < -104.0f, lanes_splat(-104.0f), bounded);
    lanes magic = lanes_splat(ROUNDING_MAGIC);
    lanes shifted = lanes_fma(bounded, lanes_splat(1.44269504f), magic);
    lanes n = shifted - magic;
    lanes r = lanes_fma(n, lanes_splat(-0.693145752f), bounded);
    r = lanes_fma(n, lanes_splat(-1.42860677e-6f), r);
    lanes p = lanes_splat(1.9875691500e-4f);
    p = lanes_fma(p, r, lanes_splat(1.3981999507e-3f));
    p = lanes_fma(p, r, lanes_splat(8.3334519073e-3f));
    p = lanes_fma(p, r, lanes_splat(4.1665795894e-2f));
    p = lanes_fma(p, r, lanes_splat(1.6666665459e-1f));
    p = lanes_fma(p, r, lanes_splat(5.0000001201e-1f));
    p = lanes_fma(p, r * r, r) + 1.0f;
    word_lanes exponent = (word_lanes)shifted - (word_lanes)magic;
    word_lanes first = ((exponent + 256) >> 1) - 128;
    word_lanes second = exponent - first;
    p = p * (lanes)((first + 127) << 23);
    return p * (lanes)((second + 127) << 23);
}

// scalar.h's soft_cap in 16 lanes.
LANES_INLINE lanes lanes_soft_cap(lanes x, float cap) {
    lanes t = 2.0f * x / cap;
    t = lanes_select(t > 40.0f, lanes_splat(40.0f), t);
    t = lanes_select(t < -40.0f, lanes_splat(-40.0f), t);
    lanes e = lanes_exponential(-t);
    return cap * ((1.0f - e) / (1.0f + e));
}

#endif
