/* Instructions of a program that have a state. */
#ifndef SEQZOO_PROGRAM_STATES_H
#define SEQZOO_PROGRAM_STATES_H

#include "functions.h"
#include "program_block.h"
#include "scan_step.h"

/* `prepared` holds the taps [K, C]. */
static void convolution(const block *to, const instruction *now) {
    const int64_t channels = now->count, kept = now->inner - 1;
    const float *taps = to->of->prepared + now->prepared;
    for (int64_t u = 0; u < to->users; u++) {
        const float *x = at(to, u, now->from);
        const float *before = state_of(to, now, 0, u, kept * channels);
        float *after = state_of(to, now, 1, u, kept * channels), *y = at(to, u, now->to);
        for (int64_t i = 0; i < channels; i += LANES) {
            const int64_t count = channels - i < LANES ? channels - i : LANES;
            vec sum = load(now->bias + i, count);
            for (int64_t k = 0; k < kept; k++)
                sum += load(before + k * channels + i, count) * load(taps + k * channels + i, count);
            store(y + i, sum + load(x + i, count) * load(taps + kept * channels + i, count), LANES);
        }
        if (!kept) continue;
        /* Both may be the same memory. */
        memmove(after, before + channels, (kept - 1) * channels * sizeof(float));
        memcpy(after + (kept - 1) * channels, x, channels * sizeof(float));
    }
}

/* `prepared` holds the rates [N, I]. */
static void scan(const block *to, const instruction *now) {
    const int64_t size = now->count * now->inner;
    for (int64_t u = 0; u < to->users; u++) {
        const one_step a = {
            .batch = 1,
            .channels = now->count,
            .states = now->inner,
            .x = at(to, u, now->from),
            .step = at(to, u, now->second),
            .decay = to->of->prepared + now->prepared,
            .write = at(to, u, now->third),
            .read = at(to, u, now->fourth),
            .state = state_of(to, now, 0, u, size),
            .y = at(to, u, now->to),
            .after = state_of(to, now, 1, u, size),
        };
        JOIN(seqzoo_scan_step_of, LEVEL)(&a, 0, NULL);
    }
}

/* `prepared` holds the rates [H]. */
static void ssd(const block *to, const instruction *now) {
    const int64_t size = now->count * now->width * now->inner;
    for (int64_t u = 0; u < to->users; u++) {
        const one_ssd_step a = {
            .batch = 1,
            .heads = now->count,
            .width = now->width,
            .states = now->inner,
            .x = at(to, u, now->from),
            .step = at(to, u, now->second),
            .decay = to->of->prepared + now->prepared,
            .write = at(to, u, now->third),
            .read = at(to, u, now->fourth),
            .state = state_of(to, now, 0, u, size),
            .y = at(to, u, now->to),
            .after = state_of(to, now, 1, u, size),
        };
        JOIN(seqzoo_ssd_step_of, LEVEL)(&a, 0, NULL);
    }
}

/* One layer of a recurrent network: `bias` is the matrix of the state [3 count, count]. The state has
 * `width` layers, of which this is number `part`; second, third and fourth are places for the state
 * and for what both matrices give.
 */
static void gru(const block *to, const instruction *now) {
    const int64_t channels = now->count, size = now->width * channels, own = now->part * channels;
    instruction product = {.code = LINEAR, .count = 3 * channels, .inner = now->inner};
    product.from = now->from, product.to = now->third, product.weight = now->weight;
    linear(to, &product);
    for (int64_t u = 0; u < to->users; u++)
        memcpy(at(to, u, now->second), state_of(to, now, 0, u, size) + own,
               channels * sizeof(float));
    product.inner = channels;
    product.from = now->second, product.to = now->fourth, product.weight = now->bias;
    linear(to, &product);
    for (int64_t u = 0; u < to->users; u++) {
        const float *x = at(to, u, now->third), *h = at(to, u, now->fourth);
        float *y = at(to, u, now->to);
        for (int64_t i = 0; i < channels; i += LANES) {
            /* What is read after the last channel is never used. */
            const vec before = load(at(to, u, now->second) + i, LANES);
            const vec r = sigmoid(load(x + i, LANES) + load(h + i, LANES));
            const vec z = sigmoid(load(x + channels + i, LANES) + load(h + channels + i, LANES));
            const vec mixed = load(h + 2 * channels + i, LANES);
            const vec n = hyperbolic_tangent(load(x + 2 * channels + i, LANES) + r * mixed);
            store(y + i, n + z * (before - n), LANES);
        }
        memcpy(state_of(to, now, 1, u, size) + own, y, channels * sizeof(float));
    }
}

/* `prepared` holds the real and then the imaginary parts of the factors [count]. */
static void rotation(const block *to, const instruction *now) {
    const int64_t count = now->count, size = 2 * count;
    const float *real = to->of->prepared + now->prepared, *imaginary = real + count;
    for (int64_t u = 0; u < to->users; u++) {
        const float *x = at(to, u, now->from), *before = state_of(to, now, 0, u, size);
        float *y = at(to, u, now->to);
        for (int64_t i = 0; i < count; i++) {
            const float a = before[2 * i], b = before[2 * i + 1];
            y[2 * i] = fused(real[i], a, x[2 * i]) - imaginary[i] * b;
            y[2 * i + 1] = fused(real[i], b, x[2 * i + 1]) + imaginary[i] * a;
        }
        memcpy(state_of(to, now, 1, u, size), y, size * sizeof(float));
    }
}

#endif
