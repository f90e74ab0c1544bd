/* The last state of SSD (Mamba-2), in float32.
 *
 * What position t writes is decayed by all later positions, by a factor that a head shares:
 *
 *     scale[t, h]    = step[t, h] exp(decay[h] sum of step[s, h] over s > t)
 *     state[i, n]    = sum_t scale[t, h(i)] x[t, i] write[t, n]
 *
 * That is a matrix product, whose tiles stay in registers. Sequences are read from the end, CHUNK
 * positions at a time: the sums of steps grow from there, without differences of large sums.
 */
#include "scan.h"

#define CHUNK 64
#if LANES == 8
#define TILE 4 /* channels whose sums are in registers: AVX2 has 16 of these */
#else
#define TILE 8
#endif

/* Fill `scaled` [CHUNK, GROUP] with scale * x of `steps` positions; `later` [GROUP] holds the sums of
 * step * decay so far, one for each head from that of channel `first` on.
 */
INLINE void scale_inputs(const scan *a, int64_t b, int64_t start, int64_t steps, int64_t first,
                         int64_t count, float *later, float *scaled) {
    float factors[CHUNK];
    for (int64_t t = steps; t < CHUNK; t++) factors[t] = 0.0f;
    for (int64_t c = 0, slot = 0; c < count; slot++) {
        const int64_t head = (first + c) / a->width;
        int64_t end = (head + 1) * a->width - first;
        if (end > count) end = count;
        for (int64_t t = steps - 1; t >= 0; t--) {
            factors[t] = later[slot];
            later[slot] += row(a->step, b, start + t)[head] * a->decay[head];
        }
        for (int64_t t = 0; t < CHUNK; t += LANES)
            store(factors + t, exponential(load(factors + t, LANES)), LANES);
        for (int64_t t = 0; t < steps; t++) {
            const float factor = factors[t] * row(a->step, b, start + t)[head];
            const float *x = row(a->x, b, start + t) + first;
            for (int64_t i = c; i < end; i++) scaled[t * GROUP + i] = factor * x[i];
        }
        c = end;
    }
}

/* Add what `steps` positions write to TILE channels and to `vectors` vectors of states. */
INLINE void add_tile(const float *scaled, const float *write, int64_t padded, int64_t steps,
                     float *state, const int vectors) {
    vec sums[TILE][2];
    for (int i = 0; i < TILE; i++)
        for (int v = 0; v < vectors; v++)
            sums[i][v] = load(state + i * padded + v * LANES, LANES);
    for (int64_t t = 0; t < steps; t++) {
        vec values[2];
        for (int v = 0; v < vectors; v++) values[v] = load(write + t * padded + v * LANES, LANES);
#pragma GCC unroll 8
        for (int i = 0; i < TILE; i++) {
            const vec input = splat(scaled[t * GROUP + i]);
            for (int v = 0; v < vectors; v++) sums[i][v] += input * values[v];
        }
    }
    for (int i = 0; i < TILE; i++)
        for (int v = 0; v < vectors; v++)
            store(state + i * padded + v * LANES, sums[i][v], LANES);
}

static int64_t padded_states(const scan *a) { return (a->states + LANES - 1) / LANES * LANES; }

static void last_of_group(const void *arguments, int64_t index, float *scratch) {
    const scan *a = arguments;
    const int64_t b = index / groups(a), first = index % groups(a) * GROUP;
    const int64_t count = a->channels - first < GROUP ? a->channels - first : GROUP;
    const int64_t states = a->states, padded = padded_states(a);
    float *state = scratch, *scaled = state + GROUP * padded, *write = scaled + CHUNK * GROUP;
    float later[GROUP] = {0};
    int64_t length = a->length;
    if (a->lengths && a->lengths[b] < length) length = a->lengths[b];
    memset(scratch, 0, (GROUP * padded + CHUNK * GROUP + CHUNK * padded) * sizeof(float));
    for (int64_t stop = length; stop > 0; stop -= CHUNK) {
        const int64_t start = stop > CHUNK ? stop - CHUNK : 0, steps = stop - start;
        scale_inputs(a, b, start, steps, first, count, later, scaled);
        for (int64_t t = 0; t < steps; t++)
            memcpy(write + t * padded, row(a->write, b, start + t), states * sizeof(float));
        for (int64_t i = 0; i < count; i += TILE) {
            int64_t n = 0;
            for (; n + 2 * LANES <= padded; n += 2 * LANES)
                add_tile(scaled + i, write + n, padded, steps, state + i * padded + n, 2);
            if (n < padded)
                add_tile(scaled + i, write + n, padded, steps, state + i * padded + n, 1);
        }
    }
    float *to = a->last + (b * a->channels + first) * states;
    for (int64_t i = 0; i < count; i++)
        memcpy(to + i * states, state + i * padded, states * sizeof(float));
}

int EXPORT(seqzoo_ssd_last)(const scan *a) {
    const int64_t floats = (GROUP + CHUNK) * padded_states(a) + CHUNK * GROUP;
    return seqzoo_parallel(last_of_group, a, a->batch * groups(a), threads_of(a), floats);
}
