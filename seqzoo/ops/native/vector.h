/* Vectors of the processor's own width, by the vector extensions of GCC and Clang.
 *
 * Each file that includes this one is compiled once for each level in build.py; LEVEL ends the names
 * of what it exports.
 */
#ifndef SEQZOO_VECTOR_H
#define SEQZOO_VECTOR_H

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define JOIN_(name, level) name##_##level
#define JOIN(name, level) JOIN_(name, level)
#define EXPORT(name) __attribute__((visibility("default"))) JOIN(name, LEVEL)

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));

/* A tensor [B, L, K] with a contiguous last dimension; strides are counted in numbers. */
typedef struct {
    const float *data;
    int64_t batch_stride, time_stride;
} rows;

#define INLINE static inline __attribute__((always_inline))

INLINE vec splat(float value) { return value - (vec){0}; }

INLINE vec load(const float *from, int64_t count) {
    vec values = {0};
    memcpy(&values, from, count == LANES ? sizeof values : (size_t)count * 4);
    return values;
}

INLINE void store(float *to, vec values, int64_t count) {
    memcpy(to, &values, count == LANES ? sizeof values : (size_t)count * 4);
}

/* a b + c, rounded alike wherever the compiler puts it. */
INLINE float fused(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* NaN in the second argument is returned. */
INLINE vec largest(vec bound, vec value) {
#if defined(__AVX512F__)
    return _mm512_max_ps(bound, value);
#elif defined(__AVX2__)
    return _mm256_max_ps(bound, value);
#elif defined(__SSE2__)
    return _mm_max_ps(bound, value);
#elif defined(__aarch64__)
    return vmaxq_f32(bound, value);
#else
    ivec mask = bound > value;
    return (vec)((mask & (ivec)bound) | (~mask & (ivec)value));
#endif
}

INLINE vec smallest(vec bound, vec value) {
#if defined(__AVX512F__)
    return _mm512_min_ps(bound, value);
#elif defined(__AVX2__)
    return _mm256_min_ps(bound, value);
#elif defined(__SSE2__)
    return _mm_min_ps(bound, value);
#elif defined(__aarch64__)
    return vminq_f32(bound, value);
#else
    ivec mask = bound < value;
    return (vec)((mask & (ivec)bound) | (~mask & (ivec)value));
#endif
}

/* exp with a relative error of about 1e-7; results below the smallest normal number become zero.
 *
 * exp(x) = 2^n exp(r) with n = round(x / ln 2) and |r| <= ln 2 / 2. The polynomial is the minimax fit
 * 1 + r + r^2 q(r), off by 3e-9. ln 2 is split in two, so that r keeps its digits where n is large.
 */
INLINE vec exponential(vec x) {
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    x = smallest(splat(89.0f), largest(splat(-88.0f), x));
    vec shifted = x * 1.44269504089f + shift;
    vec n = shifted - shift;
    vec r = x - n * 0.693145752f;
    r = r - n * 1.42860677e-6f;
    vec q = r * 1.381432051e-3f + 8.368851071e-3f;
    q = q * r + 4.166840109e-2f;
    q = q * r + 1.666651952e-1f;
    q = q * r + 4.999999337e-1f;
    q = q * r + 1.0f;
    q = q * r + 1.0f;
    /* For n = -127 the scale is zero, for 128 it is infinite. */
    ivec scale = ((ivec)shifted << 23) + (127 << 23);
    return q * (vec)scale;
}

/* exp(size rate) for rates in units of RATE_UNIT, where the processor has an instruction for powers of
 * two: 2^t = 2^n 2^f with n = round(t) and |f| <= 1/2. The polynomial is exact at 0 and off by 1e-7.
 */
#if defined(__AVX512F__)
#define RATE_UNIT 1.44269504089f
INLINE vec decayed(vec size, vec rate) {
    const vec t = size * rate;
    const vec n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const vec f = t - n;
    vec q = f * 1.3264727e-3f + 9.6715126e-3f;
    q = q * f + 5.5507337e-2f;
    q = q * f + 2.4022242e-1f;
    q = q * f + 6.9314698e-1f;
    q = q * f + 1.0f;
    return _mm512_scalef_ps(q, n);
}
#else
#define RATE_UNIT 1.0f
INLINE vec decayed(vec size, vec rate) { return exponential(size * rate); }
#endif

/* Whether all lanes are below a bound; NaN is not. */
INLINE int all_below(vec values, float bound) {
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask(values, _mm512_set1_ps(bound), _CMP_LT_OQ) == 0xffff;
#elif defined(__AVX2__)
    return _mm256_movemask_ps(_mm256_cmp_ps(values, _mm256_set1_ps(bound), _CMP_LT_OQ)) == 0xff;
#else
    for (int l = 0; l < LANES; l++)
        if (!(values[l] < bound)) return 0;
    return 1;
#endif
}

INLINE const float *row(rows from, int64_t b, int64_t t) {
    return from.data + b * from.batch_stride + t * from.time_stride;
}

#define ROWS 16

/* The sums of the lanes of ROWS vectors, by a tree that adds pairs of vectors. */
#define MERGE(count, first, second)                                          \
    for (int i = 0; i < (count); i++)                                        \
        part[i] = __builtin_shufflevector(part[2 * i], part[2 * i + 1], first) + \
                  __builtin_shufflevector(part[2 * i], part[2 * i + 1], second);
#define LIST(...) __VA_ARGS__

INLINE void lane_sums(const vec *from, float *sums) {
    vec part[ROWS];
    memcpy(part, from, sizeof part);
#if LANES == 16
    MERGE(8, LIST(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
          LIST(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
    MERGE(4, LIST(0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27),
          LIST(4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31))
    MERGE(2, LIST(0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29),
          LIST(2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31))
    MERGE(1, LIST(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
          LIST(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31))
#elif LANES == 8
    MERGE(8, LIST(0, 1, 2, 3, 8, 9, 10, 11), LIST(4, 5, 6, 7, 12, 13, 14, 15))
    MERGE(4, LIST(0, 1, 4, 5, 8, 9, 12, 13), LIST(2, 3, 6, 7, 10, 11, 14, 15))
    MERGE(2, LIST(0, 2, 4, 6, 8, 10, 12, 14), LIST(1, 3, 5, 7, 9, 11, 13, 15))
#else
    MERGE(8, LIST(0, 1, 4, 5), LIST(2, 3, 6, 7))
    MERGE(4, LIST(0, 2, 4, 6), LIST(1, 3, 5, 7))
#endif
    memcpy(sums, part, ROWS * sizeof(float));
}

#endif
