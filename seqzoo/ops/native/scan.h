/* The arguments of a scan over whole sequences; scan.c says what is computed. */
#ifndef SEQZOO_SCAN_H
#define SEQZOO_SCAN_H

#include "parallel.h"
#include "vector.h"

#define GROUP 64 /* channels of a task */
#define VECTORS 4
#define BLOCK (VECTORS * LANES) /* channels that are carried through a sequence together */

typedef struct {
    int64_t batch, length, channels, states, width, shared, threads;
    int64_t rank;           /* R: what step sizes are projected from, in a convolved scan */
    rows x, step, write, read, grad_y;
    const float *weight, *bias; /* [R, I] and [I]: step = softplus(step @ weight + bias) */
    const float *decay;     /* [N, I], or [H] where shared */
    const int64_t *lengths; /* [B], or NULL for whole sequences */
    float *y;               /* [B, L, I], or NULL */
    float *last;            /* [B, N, I], or [B, I, N] where shared; or NULL */
    float *grad_x;          /* [B, L, I] */
    float *grad_step;       /* [B, L, I]: for each channel, also where heads share it */
    float *grad_decay;      /* [B, N, I], or [B, I] where shared */
    float *grad_write;      /* [groups, B, L, N] */
    float *grad_read;       /* [groups, B, L, N] */
} scan;

/* Channels first .. first + count - 1 of `steps` positions, zeros up to BLOCK. */
INLINE void load_rows(float *to, const float *from, int64_t stride, int64_t first, int64_t count,
                      int64_t steps) {
    from += first;
    if (count == BLOCK) {
        for (int64_t t = 0; t < steps; t++) memcpy(to + t * BLOCK, from + t * stride, BLOCK * 4);
        return;
    }
    for (int64_t t = 0; t < steps; t++) {
        for (int64_t c = 0; c < count; c++) to[t * BLOCK + c] = from[t * stride + c];
        for (int64_t c = count; c < BLOCK; c++) to[t * BLOCK + c] = 0.0f;
    }
}

INLINE void store_row(float *to, const vec *from, int64_t count) {
    memcpy(to, from, count == BLOCK ? BLOCK * 4 : (size_t)count * 4);
}

/* The same for a quantity that `width` channels share. */
INLINE void load_shared(float *to, const float *from, int64_t stride, int64_t first, int64_t count,
                        int64_t steps, int64_t width) {
    if (width == 1) {
        load_rows(to, from, stride, first, count, steps);
        return;
    }
    for (int64_t c = 0; c < BLOCK;) {
        int64_t head = (first + c) / width;
        int64_t end = c < count ? (head + 1) * width - first : BLOCK;
        if (c < count && end > count) end = count;
        if (end > BLOCK) end = BLOCK;
        for (int64_t t = 0; t < steps; t++) {
            float value = c < count ? from[t * stride + head] : 0.0f;
            for (int64_t k = c; k < end; k++) to[t * BLOCK + k] = value;
        }
        c = end;
    }
}

/* The rates of a block, in units of RATE_UNIT. */
INLINE void load_decay(vec *decay, const scan *a, int64_t first, int64_t count, int shared) {
    if (shared)
        load_shared((float *)decay, a->decay, 0, first, count, 1, a->width);
    else
        load_rows((float *)decay, a->decay, a->channels, first, count, a->states);
    for (int64_t i = 0; i < (shared ? 1 : a->states) * VECTORS; i++) decay[i] *= RATE_UNIT;
}

INLINE int64_t groups(const scan *a) { return (a->channels + GROUP - 1) / GROUP; }

/* One thread for every 2^18 states: starting more costs more than they save. */
INLINE int64_t threads_of(const scan *a) {
    int64_t useful = 1 + (a->batch * a->length * a->channels * a->states >> 18);
    return a->threads < useful ? a->threads : useful;
}

#define EACH_BLOCK(call)                                                               \
    const scan *a = arguments;                                                         \
    const int64_t b = index / groups(a), base = index % groups(a) * GROUP;             \
    const int64_t end = base + GROUP < a->channels ? base + GROUP : a->channels;       \
    for (int64_t first = base; first < end; first += BLOCK) {                          \
        const int64_t count = end - first < BLOCK ? end - first : BLOCK;               \
        call;                                                                          \
    }

#endif
