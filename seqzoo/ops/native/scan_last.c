/* The last state of the selective scan (Mamba-1), in float32.
 *
 *     state[n, i] = sum_t exp(decay[n, i] later[t, i]) step[t, i] x[t, i] write[t, n]
 *
 * with later[t, i], the sum of step[s, i] over s > t. Sequences are read from the end, ROWS positions
 * at a time. In most models the greater rates have forgotten nearly all of a sequence: what has
 * decayed below 2^-60 of itself is left out, as float32 would not show it beside the rest.
 */
#include "functions.h"
#include "rows.h"
#include "scan.h"

#define FORGOTTEN (-60.0f * 0.693147181f * RATE_UNIT)

/* The channels of a block: their states so far, their rates, and the sum of their step sizes. */
typedef struct {
    vec *state, *decay, *sum;
    int64_t *open, kept; /* states that are not forgotten */
} kept_states;

/* Step sizes from R numbers of each position. */
INLINE void project_steps(const scan *a, const float *low, int64_t stride, int64_t steps,
                          int64_t first, int64_t count, vec *step) {
    vec weight[VECTORS];
    load_rows((float *)weight, a->bias, 0, first, count, 1);
    for (int64_t t = 0; t < steps; t++)
        for (int v = 0; v < VECTORS; v++) step[t * VECTORS + v] = weight[v];
    for (int64_t r = 0; r < a->rank; r++) {
        load_rows((float *)weight, a->weight + r * a->channels, 0, first, count, 1);
        for (int64_t t = 0; t < steps; t++)
            for (int v = 0; v < VECTORS; v++)
                step[t * VECTORS + v] += low[t * stride + r] * weight[v];
    }
    for (int64_t i = 0; i < steps * VECTORS; i++) step[i] = softplus(step[i]);
}

/* Vectors that `begin` uses, and numbers of states after them. */
INLINE int64_t vectors_of(const scan *a) { return (2 * a->states + 1) * VECTORS; }

INLINE kept_states begin(const scan *a, int64_t first, int64_t count, vec *memory, int64_t *open) {
    const int64_t states = a->states;
    const kept_states of = {memory, memory + states * VECTORS, memory + 2 * states * VECTORS, open,
                            states};
    load_decay(of.decay, a, first, count, 0);
    memset(of.state, 0, states * VECTORS * sizeof(vec));
    memset(of.sum, 0, VECTORS * sizeof(vec));
    /* Lanes without a channel are forgotten from the beginning. */
    for (int64_t c = count; c < BLOCK; c++) {
        ((float *)of.sum)[c] = 1e9f;
        for (int64_t n = 0; n < states; n++) ((float *)(of.decay + n * VECTORS))[c] = -1.0f;
    }
    for (int64_t n = 0; n < states; n++) of.open[n] = n;
    return of;
}

/* Add the positions before those so far; x is overwritten, write[t * stride + n] is for state n. */
INLINE void add_positions(kept_states *of, vec *x, const vec *step, int64_t steps,
                          const float *write, int64_t stride) {
    vec later[ROWS * VECTORS];
    for (int64_t t = steps - 1; t >= 0; t--) {
        for (int v = 0; v < VECTORS; v++) {
            const int64_t at = t * VECTORS + v;
            later[at] = of->sum[v];
            x[at] *= step[at];
            of->sum[v] += step[at];
        }
    }
    int64_t left = 0;
    for (int64_t k = 0; k < of->kept; k++) {
        const int64_t n = of->open[k];
        const vec *rate = of->decay + n * VECTORS;
        vec now[VECTORS];
        for (int v = 0; v < VECTORS; v++) now[v] = of->state[n * VECTORS + v];
        for (int64_t t = 0; t < steps; t++) {
            const float factor = write[t * stride + n];
            for (int v = 0; v < VECTORS; v++) {
                const int64_t at = t * VECTORS + v;
                now[v] += decayed(later[at], rate[v]) * (x[at] * factor);
            }
        }
        int forgotten = 1;
        for (int v = 0; v < VECTORS; v++) {
            of->state[n * VECTORS + v] = now[v];
            forgotten &= all_below(of->sum[v] * rate[v], FORGOTTEN);
        }
        if (!forgotten) of->open[left++] = n;
    }
    of->kept = left;
}

INLINE void store_states(const scan *a, const kept_states *of, int64_t b, int64_t first,
                         int64_t count) {
    for (int64_t n = 0; n < a->states; n++)
        store_row(a->last + (b * a->states + n) * a->channels + first, of->state + n * VECTORS,
                  count);
}

INLINE int64_t length_of(const scan *a, int64_t b) {
    return a->lengths && a->lengths[b] < a->length ? a->lengths[b] : a->length;
}

static void last_of_block(const scan *a, int64_t b, int64_t first, int64_t count, vec *scratch) {
    vec *x = scratch, *step = x + ROWS * VECTORS, *memory = step + ROWS * VECTORS;
    kept_states of = begin(a, first, count, memory, (int64_t *)(memory + vectors_of(a)));
    for (int64_t stop = length_of(a, b); stop > 0 && of.kept; stop -= ROWS) {
        const int64_t start = stop > ROWS ? stop - ROWS : 0, steps = stop - start;
        load_rows((float *)x, row(a->x, b, start), a->x.time_stride, first, count, steps);
        load_rows((float *)step, row(a->step, b, start), a->step.time_stride, first, count, steps);
        add_positions(&of, x, step, steps, row(a->write, b, start), a->write.time_stride);
    }
    store_states(a, &of, b, first, count);
}

static void last(const void *arguments, int64_t index, float *scratch) {
    EACH_BLOCK(last_of_block(a, b, first, count, (vec *)scratch))
}

int EXPORT(seqzoo_scan_last)(const scan *a) {
    /* Numbers of states have 64 bits. */
    return seqzoo_parallel(last, a, a->batch * groups(a), threads_of(a),
                           (2 * ROWS * VECTORS + vectors_of(a)) * LANES + 2 * a->states);
}

/* The same for x = silu(convolution(project(hidden))), from which the step sizes and `write` are
 * projected in turn. Positions that all states have forgotten are not computed at all.
 */
typedef struct {
    scan of;                             /* of.x is the input of the projection [B, L, D] */
    int64_t inputs, taps;                /* D and K */
    const float *project;                /* [panels, D, PANEL] */
    const float *kernel, *kernel_bias;   /* [K, in_panels(I)] and [in_panels(I)] */
    const float *select;                 /* [panels, I, PANEL]: R numbers of the steps, N of write */
    float *newest;                       /* [B, I]: x at the end of each sequence */
} convolved_scan;

/* Projections of the positions from `start` on, in multiples of TILE; zeros before the first one. */
INLINE void project(const convolved_scan *a, int64_t b, int64_t start, int64_t stop, int64_t count,
                    float *inputs, float *to) {
    const int64_t width = in_panels(a->of.channels);
    for (int64_t first = 0; first < count; first += TILE) {
        memset(inputs, 0, TILE * a->inputs * sizeof(float));
        for (int64_t r = 0; r < TILE; r++) {
            const int64_t t = start + first + r;
            if (t >= 0 && t < stop)
                memcpy(inputs + r * a->inputs, row(a->of.x, b, t), a->inputs * sizeof(float));
        }
        tile_product(a->project, a->inputs, a->of.channels, inputs, a->inputs, to + first * width,
                     width);
    }
}

/* x of ROWS positions, from their projections and those of the K - 1 positions before. */
INLINE void convolve(const convolved_scan *a, const float *projected, float *x) {
    const int64_t width = in_panels(a->of.channels);
    for (int64_t i = 0; i < width; i += LANES) {
        for (int64_t t = 0; t < ROWS; t++) {
            vec sum = load(a->kernel_bias + i, LANES);
            for (int64_t k = 0; k < a->taps; k++)
                sum += load(a->kernel + k * width + i, LANES) *
                       load(projected + (t + k) * width + i, LANES);
            store(x + t * width + i, sum * sigmoid(sum), LANES);
        }
    }
}

INLINE int64_t blocks(const convolved_scan *a) { return (a->of.channels + BLOCK - 1) / BLOCK; }

INLINE int64_t kept_rows(const convolved_scan *a) {
    return (ROWS + a->taps - 1 + TILE - 1) / TILE * TILE;
}

static void convolved_last(const void *arguments, int64_t b, float *scratch) {
    const convolved_scan *a = arguments;
    const int64_t before = a->taps - 1, width = in_panels(a->of.channels);
    const int64_t selected = in_panels(a->of.rank + a->of.states), length = length_of(&a->of, b);
    vec *x = (vec *)scratch, *step = x + ROWS * VECTORS, *memory = step + ROWS * VECTORS;
    float *projected = (float *)(memory + blocks(a) * vectors_of(&a->of));
    float *convolved = projected + kept_rows(a) * width, *chosen = convolved + ROWS * width;
    float *inputs = chosen + ROWS * selected;
    int64_t *open = (int64_t *)(inputs + (TILE * a->inputs + 1) / 2 * 2);
    kept_states *of = (kept_states *)(open + blocks(a) * a->of.states);
    for (int64_t k = 0; k < blocks(a); k++) {
        const int64_t first = k * BLOCK, left = a->of.channels - first;
        of[k] = begin(&a->of, first, left < BLOCK ? left : BLOCK,
                      memory + k * vectors_of(&a->of), open + k * a->of.states);
    }
    int kept = 1;
    for (int64_t stop = length; stop > 0 && kept; stop -= ROWS) {
        const int64_t start = stop - ROWS, skipped = start < 0 ? -start : 0, steps = ROWS - skipped;
        if (stop == length) {
            project(a, b, start - before, length, kept_rows(a), inputs, projected);
        } else {
            memmove(projected + ROWS * width, projected, before * width * sizeof(float));
            project(a, b, start - before, length, ROWS, inputs, projected);
        }
        convolve(a, projected, convolved);
        for (int64_t t = 0; t < ROWS; t += TILE)
            tile_product(a->select, a->of.channels, a->of.rank + a->of.states,
                         convolved + t * width, width, chosen + t * selected, selected);
        if (stop == length)
            memcpy(a->newest + b * a->of.channels, convolved + (ROWS - 1) * width,
                   a->of.channels * sizeof(float));
        const float *low = chosen + skipped * selected;
        kept = 0;
        for (int64_t k = 0; k < blocks(a); k++) {
            const int64_t first = k * BLOCK, left = a->of.channels - first;
            const int64_t count = left < BLOCK ? left : BLOCK;
            if (!of[k].kept) continue;
            load_rows((float *)x, convolved + skipped * width, width, first, count, steps);
            project_steps(&a->of, low, selected, steps, first, count, step);
            add_positions(of + k, x, step, steps, low + a->of.rank, selected);
            kept |= of[k].kept > 0;
        }
    }
    for (int64_t k = 0; k < blocks(a); k++) {
        const int64_t first = k * BLOCK, left = a->of.channels - first;
        store_states(&a->of, of + k, b, first, left < BLOCK ? left : BLOCK);
    }
}

int EXPORT(seqzoo_convolved_scan_last)(const convolved_scan *a) {
    const int64_t width = in_panels(a->of.channels);
    const int64_t vectors = 2 * ROWS * VECTORS + blocks(a) * vectors_of(&a->of);
    const int64_t numbers = (kept_rows(a) + ROWS) * width +
                            ROWS * in_panels(a->of.rank + a->of.states) + TILE * a->inputs + 2 +
                            2 * blocks(a) * a->of.states + 16 * blocks(a);
    return seqzoo_parallel(convolved_last, a, a->of.batch, threads_of(&a->of),
                           vectors * LANES + numbers);
}
