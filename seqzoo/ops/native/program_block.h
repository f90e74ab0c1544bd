/* A block of users, which go through the instructions of a program together, and linear layers. */
#ifndef SEQZOO_PROGRAM_BLOCK_H
#define SEQZOO_PROGRAM_BLOCK_H

#include "program.h"

#define TOGETHER 4 /* users, and rows of a matrix, whose products are computed together */

typedef struct {
    const program *a;
    const float *prepared;
} job;

typedef struct {
    const job *of;
    float *registers;
    int64_t first, users; /* of the block */
} block;

INLINE const instruction *instructions(const program *a) { return (const instruction *)(a + 1); }

/* The states `before` (0) or `after` (1) of a user, for an instruction whose state has `size` numbers. */
INLINE float *state_of(const block *to, const instruction *now, int after, int64_t user,
                       int64_t size) {
    const program *a = to->of->a;
    const uint64_t *addresses = (const uint64_t *)(instructions(a) + a->instructions);
    const uint64_t address = addresses[after * a->states + now->state];
    return (float *)(uintptr_t)address + (to->first + user) * size;
}

INLINE float *at(const block *to, int64_t user, int64_t place) {
    return to->registers + user * to->of->a->registers + place;
}

/* Dot products of `outputs` rows of a matrix with the vectors of `users` users, ROWS at most. */
INLINE void dot_products(const float *weight, int64_t inner, const float *x, int64_t stride,
                         const int outputs, const int users, float *sums) {
    vec part[ROWS];
    int64_t k = 0;
    for (int i = 0; i < ROWS; i++) part[i] = splat(0.0f);
    for (; k + LANES <= inner; k += LANES) {
#pragma GCC unroll 16
        for (int o = 0; o < outputs; o++) {
            const vec values = load(weight + o * inner + k, LANES);
#pragma GCC unroll 4
            for (int u = 0; u < users; u++)
                part[o * users + u] += values * load(x + u * stride + k, LANES);
        }
    }
    if (k)
        lane_sums(part, sums);
    else
        memset(sums, 0, ROWS * sizeof(float));
    for (; k < inner; k++)
        for (int o = 0; o < outputs; o++)
            for (int u = 0; u < users; u++)
                sums[o * users + u] =
                    fused(weight[o * inner + k], x[u * stride + k], sums[o * users + u]);
}

INLINE void add_bias(const block *to, const instruction *now, int64_t user, int64_t first,
                     const int outputs, const int users, const float *sums) {
    for (int u = 0; u < users; u++) {
        float *y = at(to, user + u, now->to) + first;
        for (int o = 0; o < outputs; o++)
            y[o] = sums[o * users + u] + (now->bias ? now->bias[first + o] : 0.0f);
    }
}

static void linear(const block *to, const instruction *now) {
    const int64_t inner = now->inner, count = now->count, stride = to->of->a->registers;
    const int64_t together = count < TOGETHER ? 0 : to->users / TOGETHER * TOGETHER;
    float sums[ROWS];
    /* The last rows of a matrix are computed twice, rather than one by one. */
    for (int64_t o = 0; together && o < count; o += TOGETHER) {
        const int64_t first = o + TOGETHER <= count ? o : count - TOGETHER;
        for (int64_t u = 0; u < together; u += TOGETHER) {
            dot_products(now->weight + first * inner, inner, at(to, u, now->from), stride, TOGETHER,
                         TOGETHER, sums);
            add_bias(to, now, u, first, TOGETHER, TOGETHER, sums);
        }
    }
    for (int64_t u = together; u < to->users; u++) {
        const float *x = at(to, u, now->from);
        if (count < ROWS) {
            dot_products(now->weight, inner, x, stride, (int)count, 1, sums);
            add_bias(to, now, u, 0, (int)count, 1, sums);
            continue;
        }
        for (int64_t o = 0; o < count; o += ROWS) {
            const int64_t first = o + ROWS <= count ? o : count - ROWS;
            dot_products(now->weight + first * inner, inner, x, stride, ROWS, 1, sums);
            add_bias(to, now, u, first, ROWS, 1, sums);
        }
    }
}

#endif
