/* Gated recurrent unit: forward and backward, in float32.
 *
 *     r = sigmoid(W_r x[t] + U_r h[t - 1]),   z = sigmoid(W_z x[t] + U_z h[t - 1])
 *     n = tanh(W_n x[t] + r (U_n h[t - 1])),  h[t] = n + z (h[t - 1] - n),   h zero at first
 *
 * A task is a block of sequences, which go from position to position together: each vector of the
 * weights is read once for all of them. The sums of a sequence have one order, whatever the block, so
 * its results do not depend on the others, to the last bit.
 */
#include "functions.h"
#include "parallel.h"
#include "rows.h"

#define MOST TILE /* sequences of a block */

typedef struct {
    int64_t batch, length, width, channels, block, threads;
    rows x, grad_y;
    const float *outer; /* [panels, D, 3, PANEL]: W by inputs */
    const float *inner; /* [panels, G, 3, PANEL]: U by inputs; backward [panels, 3 G, PANEL] */
    const int64_t *lengths;   /* [B]; NULL for whole sequences */
    float *last;              /* [B, G]: h at the end of each sequence, or NULL */
    float *states;            /* [B, L, G]: all h, or NULL if only the last are wanted */
    float *r, *z, *n, *mixed; /* [B, L, G] for the backward pass, mixed is U_n h; or NULL */
    float *grad_gates;        /* [B, L, 4 G]: before the activations, of r, z, n, and of U_n h */
} gru;

INLINE int64_t length_of(const gru *a, int64_t b) {
    if (!a->lengths || a->lengths[b] > a->length) return a->length;
    return a->lengths[b];
}

/* sums[g][u] += sum_k weight[k, g] values[u][k] for the three gates. */
INLINE void add_products(const float *weight, const float *const *values, int64_t inputs,
                         const int users, vec sums[3][MOST]) {
    for (int64_t k = 0; k < inputs; k++, weight += 3 * PANEL) {
        const vec r = load(weight, LANES), z = load(weight + PANEL, LANES);
        const vec n = load(weight + 2 * PANEL, LANES);
#pragma GCC unroll 8
        for (int u = 0; u < users; u++) {
            const vec value = splat(values[u][k]);
            sums[0][u] += r * value;
            sums[1][u] += z * value;
            sums[2][u] += n * value;
        }
    }
}

/* One position of `count` sequences from `first` on; `users` is a constant that is no less. */
INLINE void forward_at(const gru *a, int64_t first, int64_t count, int64_t t, const int users,
                       const float *before, float *after) {
    const int64_t channels = a->channels, stride = in_panels(channels);
    const float *x[MOST], *h[MOST];
    for (int u = 0; u < users; u++) {
        /* Places without a sequence compute the last one again. */
        const int64_t own = u < count ? u : count - 1;
        x[u] = row(a->x, first + own, t);
        h[u] = before + own * stride;
    }
    for (int64_t c = 0; c < channels; c += LANES) {
        const int64_t panel = c / PANEL, lane = c % PANEL;
        const int64_t some = channels - c < LANES ? channels - c : LANES;
        vec sums[3][MOST], own[MOST];
        for (int g = 0; g < 3; g++)
            for (int u = 0; u < users; u++) sums[g][u] = splat(0.0f);
        add_products(a->outer + panel * a->width * 3 * PANEL + lane, x, a->width, users, sums);
        for (int u = 0; u < users; u++) own[u] = sums[2][u], sums[2][u] = splat(0.0f);
        add_products(a->inner + panel * channels * 3 * PANEL + lane, h, channels, users, sums);
        for (int64_t u = 0; u < count; u++) {
            const vec r = sigmoid(sums[0][u]), z = sigmoid(sums[1][u]);
            const vec n = hyperbolic_tangent(own[u] + r * sums[2][u]);
            const vec state = n + z * (load(h[u] + c, LANES) - n);
            const int64_t place = ((first + u) * a->length + t) * channels + c;
            store(after + u * stride + c, state, LANES);
            if (a->states) store(a->states + place, state, some);
            if (a->last && t == length_of(a, first + u) - 1)
                store(a->last + (first + u) * channels + c, state, some);
            if (!a->r) continue;
            store(a->r + place, r, some);
            store(a->z + place, z, some);
            store(a->n + place, n, some);
            store(a->mixed + place, sums[2][u], some);
        }
    }
}

static void forward(const void *arguments, int64_t index, float *scratch) {
    const gru *a = arguments;
    const int64_t first = index * a->block, stride = in_panels(a->channels);
    const int64_t count = a->batch - first < a->block ? a->batch - first : a->block;
    float *before = scratch, *after = scratch + MOST * stride;
    int64_t length = 0;
    memset(scratch, 0, 2 * MOST * stride * sizeof(float));
    for (int64_t u = 0; u < count; u++)
        if (length < length_of(a, first + u)) length = length_of(a, first + u);
    for (int64_t t = 0; t < length; t++) {
        if (count > 4)
            forward_at(a, first, count, t, 8, before, after);
        else if (count > 1)
            forward_at(a, first, count, t, 4, before, after);
        else
            forward_at(a, first, count, t, 1, before, after);
        float *next = before;
        before = after, after = next;
    }
}

/* The gradients of the gates of one sequence at a position: [3, stride], those that U is applied to.
 * `grad` [stride] is the gradient of h[t]; what of it h[t - 1] gets without U takes its place.
 */
INLINE void gates_backward(const gru *a, int64_t b, int64_t t, float *grad, float *found) {
    const int64_t channels = a->channels, stride = in_panels(channels), place = b * a->length + t;
    float *to = a->grad_gates + place * 4 * channels;
    for (int64_t c = 0; c < channels; c += LANES) {
        const int64_t some = channels - c < LANES ? channels - c : LANES;
        const int64_t now = place * channels + c;
        const vec r = load(a->r + now, some), z = load(a->z + now, some);
        const vec n = load(a->n + now, some), mixed = load(a->mixed + now, some);
        const vec before = t ? load(a->states + now - channels, some) : splat(0.0f);
        const vec total = load(grad + c, LANES) + load(row(a->grad_y, b, t) + c, some);
        const vec grad_z = total * (before - n) * z * (1.0f - z);
        const vec grad_n = total * (1.0f - z) * (1.0f - n * n);
        const vec grad_r = grad_n * mixed * r * (1.0f - r), grad_mixed = grad_n * r;
        store(to + c, grad_r, some);
        store(to + channels + c, grad_z, some);
        store(to + 2 * channels + c, grad_n, some);
        store(to + 3 * channels + c, grad_mixed, some);
        store(found + c, grad_r, LANES);
        store(found + stride + c, grad_z, LANES);
        store(found + 2 * stride + c, grad_mixed, LANES);
        store(grad + c, total * z, LANES);
    }
}

/* grad[u] += U^T found[u]. */
INLINE void states_backward(const gru *a, const int users, float *grad, const float *found) {
    const int64_t channels = a->channels, stride = in_panels(channels);
    for (int64_t c = 0; c < channels; c += LANES) {
        const float *weight = a->inner + c / PANEL * 3 * channels * PANEL + c % PANEL;
        vec sums[MOST];
        for (int u = 0; u < users; u++) sums[u] = load(grad + u * stride + c, LANES);
        for (int g = 0; g < 3; g++) {
            const float *own = found + g * stride;
            for (int64_t k = 0; k < channels; k++, weight += PANEL) {
                const vec values = load(weight, LANES);
#pragma GCC unroll 8
                for (int u = 0; u < users; u++) sums[u] += values * splat(own[u * 3 * stride + k]);
            }
        }
        for (int u = 0; u < users; u++) store(grad + u * stride + c, sums[u], LANES);
    }
}

static void backward(const void *arguments, int64_t index, float *scratch) {
    const gru *a = arguments;
    const int64_t first = index * a->block, stride = in_panels(a->channels);
    const int64_t count = a->batch - first < a->block ? a->batch - first : a->block;
    float *grad = scratch, *found = scratch + MOST * stride;
    memset(scratch, 0, 4 * MOST * stride * sizeof(float));
    for (int64_t t = a->length - 1; t >= 0; t--) {
        for (int64_t u = 0; u < count; u++)
            gates_backward(a, first + u, t, grad + u * stride, found + u * 3 * stride);
        if (count > 4)
            states_backward(a, 8, grad, found);
        else if (count > 1)
            states_backward(a, 4, grad, found);
        else
            states_backward(a, 1, grad, found);
    }
}

static int run(const gru *a, seqzoo_task task) {
    return seqzoo_parallel(task, a, (a->batch + a->block - 1) / a->block, a->threads,
                           4 * MOST * in_panels(a->channels));
}

int EXPORT(seqzoo_gru_forward)(const gru *a) { return run(a, forward); }

int EXPORT(seqzoo_gru_backward)(const gru *a) { return run(a, backward); }
