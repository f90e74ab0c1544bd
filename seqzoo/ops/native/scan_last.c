/* The last state of the selective scan (Mamba-1), in float32.
 *
 *     state[n, i] = sum_t exp(decay[n, i] later[t, i]) step[t, i] x[t, i] write[t, n]
 *
 * with later[t, i], the sum of step[s, i] over s > t. Sequences are read from the end, ROWS positions
 * at a time. In most models the greater rates have forgotten nearly all of a sequence: what has
 * decayed below 2^-60 of itself is left out, as float32 would not show it beside the rest.
 */
#include "functions.h"
#include "scan.h"

#define FORGOTTEN (-60.0f * 0.693147181f * RATE_UNIT)

/* The step sizes of some positions, computed from their R numbers if that is wanted. */
INLINE void load_steps(const scan *a, int64_t b, int64_t start, int64_t steps, int64_t first,
                       int64_t count, vec *step) {
    if (!a->rank) {
        load_rows((float *)step, row(a->step, b, start), a->step.time_stride, first, count, steps);
        return;
    }
    vec weight[VECTORS];
    load_rows((float *)weight, a->bias, 0, first, count, 1);
    for (int64_t t = 0; t < steps; t++)
        for (int v = 0; v < VECTORS; v++) step[t * VECTORS + v] = weight[v];
    for (int64_t r = 0; r < a->rank; r++) {
        load_rows((float *)weight, a->weight + r * a->channels, 0, first, count, 1);
        for (int64_t t = 0; t < steps; t++) {
            const float low = row(a->step, b, start + t)[r];
            for (int v = 0; v < VECTORS; v++) step[t * VECTORS + v] += low * weight[v];
        }
    }
    for (int64_t i = 0; i < steps * VECTORS; i++) step[i] = softplus(step[i]);
}

static void last_of_block(const scan *a, int64_t b, int64_t first, int64_t count, vec *scratch) {
    const int64_t states = a->states;
    vec *state = scratch, *decay = state + states * VECTORS, *x = decay + states * VECTORS;
    vec *step = x + ROWS * VECTORS, *later = step + ROWS * VECTORS, *sum = later + ROWS * VECTORS;
    int64_t *open = (int64_t *)(sum + VECTORS), kept = states; /* states that are not forgotten */
    int64_t length = a->length;
    if (a->lengths && a->lengths[b] < length) length = a->lengths[b];
    load_decay(decay, a, first, count, 0);
    memset(state, 0, states * VECTORS * sizeof(vec));
    memset(sum, 0, VECTORS * sizeof(vec));
    /* Lanes without a channel are forgotten from the beginning. */
    for (int64_t c = count; c < BLOCK; c++) {
        ((float *)sum)[c] = 1e9f;
        for (int64_t n = 0; n < states; n++) ((float *)(decay + n * VECTORS))[c] = -1.0f;
    }
    for (int64_t n = 0; n < states; n++) open[n] = n;
    for (int64_t stop = length; stop > 0 && kept; stop -= ROWS) {
        const int64_t start = stop > ROWS ? stop - ROWS : 0, steps = stop - start;
        load_rows((float *)x, row(a->x, b, start), a->x.time_stride, first, count, steps);
        load_steps(a, b, start, steps, first, count, step);
        for (int64_t t = steps - 1; t >= 0; t--) {
            for (int v = 0; v < VECTORS; v++) {
                const int64_t at = t * VECTORS + v;
                later[at] = sum[v];
                x[at] *= step[at];
                sum[v] += step[at];
            }
        }
        int64_t left = 0;
        for (int64_t k = 0; k < kept; k++) {
            const int64_t n = open[k];
            const vec *rate = decay + n * VECTORS;
            vec now[VECTORS];
            for (int v = 0; v < VECTORS; v++) now[v] = state[n * VECTORS + v];
            for (int64_t t = 0; t < steps; t++) {
                const float write = row(a->write, b, start + t)[n];
                for (int v = 0; v < VECTORS; v++) {
                    const int64_t at = t * VECTORS + v;
                    now[v] += decayed(later[at], rate[v]) * (x[at] * write);
                }
            }
            int forgotten = 1;
            for (int v = 0; v < VECTORS; v++) {
                state[n * VECTORS + v] = now[v];
                forgotten &= all_below(sum[v] * rate[v], FORGOTTEN);
            }
            if (!forgotten) open[left++] = n;
        }
        kept = left;
    }
    for (int64_t n = 0; n < states; n++)
        store_row(a->last + (b * states + n) * a->channels + first, state + n * VECTORS, count);
}

static void last(const void *arguments, int64_t index, float *scratch) {
    EACH_BLOCK(last_of_block(a, b, first, count, (vec *)scratch))
}

int EXPORT(seqzoo_scan_last)(const scan *a) {
    const int64_t vectors = (2 * a->states + 3 * ROWS + 1) * VECTORS;
    /* Numbers of states have 64 bits. */
    return seqzoo_parallel(last, a, a->batch * groups(a), threads_of(a),
                           vectors * LANES + 2 * a->states);
}
