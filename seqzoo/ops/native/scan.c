/* Selective scan (Mamba-1) and SSD (Mamba-2): forward, backward, the last state and one step, in
 * float32.
 *
 * For channel i and state n, with the state zero before the first position:
 *
 *     state[t, n, i] = exp(step[t, i] decay[n, i]) state[t - 1, n, i] + step[t, i] x[t, i] write[t, n]
 *     y[t, i]        = sum_n state[t, n, i] read[t, n]
 *
 * In SSD the `width` channels of a head share step and decay, and decay does not depend on n, so its
 * exponentials are few. `shared` tells the two apart; it is a constant wherever it is inlined.
 *
 * A task is one sequence and one group of 64 channels. Within it a block of BLOCK channels, VECTORS
 * vectors, is carried through all positions, so its state stays in the cache and is never written to
 * memory. The backward pass keeps the state at the start of every chunk of ROWS positions and
 * computes the states within a chunk again.
 */
#include "parallel.h"
#include "vector.h"

#define VECTORS 4
#define BLOCK (VECTORS * LANES)
#define GROUP 64

typedef struct {
    int64_t batch, length, channels, states, width, shared, threads;
    rows x, step, write, read, grad_y;
    const float *decay;     /* [N, I], or [H] where shared */
    const int64_t *lengths; /* [B], or NULL for whole sequences */
    float *y;               /* [B, L, I], or NULL */
    float *last;            /* [B, N, I], or NULL */
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

INLINE void load_decay(vec *decay, const scan *a, int64_t first, int64_t count, int shared) {
    if (shared)
        load_shared((float *)decay, a->decay, 0, first, count, 1, a->width);
    else
        load_rows((float *)decay, a->decay, a->channels, first, count, a->states);
}

/* Carry a block through a sequence; keep outputs (`with_y`), the last state, or chunk starts. */
INLINE void forward_block(const scan *a, int64_t b, int64_t first, int64_t count, vec *scratch,
                          vec *starts, int with_y, int shared) {
    const int64_t states = a->states;
    vec *state = scratch, *decay = state + states * VECTORS;
    vec *x = decay + states * VECTORS, *step = x + ROWS * VECTORS;
    int64_t length = a->length;
    if (a->lengths && a->lengths[b] < length) length = a->lengths[b];
    load_decay(decay, a, first, count, shared);
    memset(state, 0, states * VECTORS * sizeof(vec));
    for (int64_t start = 0; start < length; start += ROWS) {
        int64_t steps = length - start < ROWS ? length - start : ROWS;
        load_rows((float *)x, row(a->x, b, start), a->x.time_stride, first, count, steps);
        load_shared((float *)step, row(a->step, b, start), a->step.time_stride, first, count, steps,
                    a->width);
        if (starts) {
            memcpy(starts, state, states * VECTORS * sizeof(vec));
            starts += states * VECTORS;
        }
        for (int64_t t = 0; t < steps; t++) {
            const float *write = row(a->write, b, start + t);
            const float *read = with_y ? row(a->read, b, start + t) : NULL;
            vec size[VECTORS], input[VECTORS], factor[VECTORS], y[VECTORS];
            for (int v = 0; v < VECTORS; v++) {
                size[v] = step[t * VECTORS + v];
                input[v] = size[v] * x[t * VECTORS + v];
                y[v] = splat(0.0f);
                if (shared) factor[v] = exponential(size[v] * decay[v]);
            }
            for (int64_t n = 0; n < states; n++) {
                for (int v = 0; v < VECTORS; v++) {
                    vec *at = state + n * VECTORS + v;
                    vec kept = shared ? factor[v] : exponential(size[v] * decay[n * VECTORS + v]);
                    vec now = kept * *at + input[v] * write[n];
                    *at = now;
                    if (with_y) y[v] += now * read[n];
                }
            }
            if (with_y)
                store_row(a->y + (b * a->length + start + t) * a->channels + first, y, count);
        }
    }
    if (a->last && !starts)
        for (int64_t n = 0; n < states; n++)
            store_row(a->last + (b * states + n) * a->channels + first, state + n * VECTORS, count);
}

INLINE void backward_block(const scan *a, int64_t b, int64_t first, int64_t count, vec *scratch,
                           int shared) {
    const int64_t states = a->states, length = a->length;
    const int64_t chunks = (length + ROWS - 1) / ROWS, group = first / GROUP;
    /* The first part of the scratch space is that of the forward pass. */
    vec *carry = scratch, *decay = carry + states * VECTORS;
    vec *x = decay + states * VECTORS, *step = x + ROWS * VECTORS;
    vec *grad_y = step + ROWS * VECTORS, *input = grad_y + ROWS * VECTORS;
    vec *grad_input = input + ROWS * VECTORS, *grad_step = grad_input + ROWS * VECTORS;
    vec *factors = grad_step + ROWS * VECTORS, *before = factors + ROWS * VECTORS;
    vec *read_sums = before + ROWS * VECTORS, *write_sums = read_sums + ROWS;
    vec *grad_decay = write_sums + ROWS, *starts = grad_decay + states * VECTORS;
    const int more = first % GROUP != 0; /* an earlier block of the group has written its share */

    forward_block(a, b, first, count, scratch, starts, 0, shared);
    memset(carry, 0, states * VECTORS * sizeof(vec));
    memset(grad_decay, 0, states * VECTORS * sizeof(vec));
    memset(read_sums, 0, 2 * ROWS * sizeof(vec));
    for (int64_t chunk = chunks - 1; chunk >= 0; chunk--) {
        const int64_t start = chunk * ROWS;
        const int64_t steps = length - start < ROWS ? length - start : ROWS;
        load_rows((float *)x, row(a->x, b, start), a->x.time_stride, first, count, steps);
        load_shared((float *)step, row(a->step, b, start), a->step.time_stride, first, count, steps,
                    a->width);
        load_rows((float *)grad_y, row(a->grad_y, b, start), a->grad_y.time_stride, first, count,
                  steps);
        for (int64_t i = 0; i < steps * VECTORS; i++) {
            input[i] = step[i] * x[i];
            grad_input[i] = grad_step[i] = splat(0.0f);
            if (shared) factors[i] = exponential(step[i] * decay[i % VECTORS]);
        }
        for (int64_t n = 0; n < states; n++) {
            const float *write = row(a->write, b, start) + n;
            const float *read = row(a->read, b, start) + n;
            const vec *rate = decay + (shared ? 0 : n * VECTORS);
            vec state[VECTORS], grad[VECTORS], total[VECTORS];
            for (int v = 0; v < VECTORS; v++) {
                state[v] = starts[(chunk * states + n) * VECTORS + v];
                grad[v] = carry[n * VECTORS + v];
                total[v] = splat(0.0f);
            }
            for (int64_t t = 0; t < steps; t++) {
                const float now = write[t * a->write.time_stride];
                vec sum = splat(0.0f);
                for (int v = 0; v < VECTORS; v++) {
                    const int64_t at = t * VECTORS + v;
                    if (!shared) factors[at] = exponential(step[at] * rate[v]);
                    before[at] = state[v];
                    state[v] = factors[at] * state[v] + input[at] * now;
                    sum += state[v] * grad_y[at];
                }
                read_sums[t] = sum;
            }
            for (int64_t t = steps - 1; t >= 0; t--) {
                const float seen = read[t * a->read.time_stride];
                const float now = write[t * a->write.time_stride];
                vec sum = splat(0.0f);
                for (int v = 0; v < VECTORS; v++) {
                    const int64_t at = t * VECTORS + v;
                    grad[v] += grad_y[at] * seen;
                    grad_input[at] += grad[v] * now;
                    sum += grad[v] * input[at];
                    grad[v] *= factors[at];
                    /* The gradient of step * decay. */
                    vec product = grad[v] * before[at];
                    if (shared) {
                        grad_step[at] += product;
                    } else {
                        grad_step[at] += product * rate[v];
                        total[v] += product * step[at];
                    }
                }
                write_sums[t] = sum;
            }
            for (int v = 0; v < VECTORS; v++) {
                carry[n * VECTORS + v] = grad[v];
                if (!shared) grad_decay[n * VECTORS + v] += total[v];
            }
            float sums[2][ROWS];
            lane_sums(read_sums, sums[0]);
            lane_sums(write_sums, sums[1]);
            const int64_t offset = ((group * a->batch + b) * length + start) * states + n;
            for (int64_t t = 0; t < steps; t++) {
                float *to_read = a->grad_read + offset + t * states;
                float *to_write = a->grad_write + offset + t * states;
                *to_read = more ? *to_read + sums[0][t] : sums[0][t];
                *to_write = more ? *to_write + sums[1][t] : sums[1][t];
            }
        }
        for (int64_t t = 0; t < steps; t++) {
            for (int v = 0; v < VECTORS; v++) {
                const int64_t at = t * VECTORS + v;
                if (shared) {
                    grad_decay[v] += grad_step[at] * step[at];
                    grad_step[at] *= decay[v];
                }
                grad_step[at] += grad_input[at] * x[at];
                grad_input[at] *= step[at];
            }
            const int64_t offset = (b * length + start + t) * a->channels + first;
            store_row(a->grad_x + offset, grad_input + t * VECTORS, count);
            store_row(a->grad_step + offset, grad_step + t * VECTORS, count);
        }
    }
    const int64_t rates = shared ? 1 : states;
    for (int64_t n = 0; n < rates; n++)
        store_row(a->grad_decay + (b * rates + n) * a->channels + first, grad_decay + n * VECTORS,
                  count);
}

static int64_t groups(const scan *a) { return (a->channels + GROUP - 1) / GROUP; }

#define EACH_BLOCK(call)                                                               \
    const scan *a = arguments;                                                         \
    const int64_t b = index / groups(a), base = index % groups(a) * GROUP;             \
    const int64_t end = base + GROUP < a->channels ? base + GROUP : a->channels;       \
    for (int64_t first = base; first < end; first += BLOCK) {                          \
        const int64_t count = end - first < BLOCK ? end - first : BLOCK;               \
        call;                                                                          \
    }

static void forward_own(const void *arguments, int64_t index, float *scratch) {
    EACH_BLOCK(forward_block(a, b, first, count, (vec *)scratch, NULL, 1, 0))
}
static void forward_shared(const void *arguments, int64_t index, float *scratch) {
    EACH_BLOCK(forward_block(a, b, first, count, (vec *)scratch, NULL, 1, 1))
}
static void last_own(const void *arguments, int64_t index, float *scratch) {
    EACH_BLOCK(forward_block(a, b, first, count, (vec *)scratch, NULL, 0, 0))
}
static void last_shared(const void *arguments, int64_t index, float *scratch) {
    EACH_BLOCK(forward_block(a, b, first, count, (vec *)scratch, NULL, 0, 1))
}
static void backward_own(const void *arguments, int64_t index, float *scratch) {
    EACH_BLOCK(backward_block(a, b, first, count, (vec *)scratch, 0))
}
static void backward_shared(const void *arguments, int64_t index, float *scratch) {
    EACH_BLOCK(backward_block(a, b, first, count, (vec *)scratch, 1))
}

/* One more position of every sequence: everything is contiguous. */
typedef struct {
    int64_t batch, channels, states, threads;
    const float *x, *step, *decay, *write, *read, *state; /* state [B, N, I] */
    float *y, *after;
} one_step;

INLINE void step_lanes(const one_step *a, int64_t b, int64_t first, int64_t count) {
    const int64_t states = a->states, channels = a->channels, at = b * channels + first;
    const vec size = load(a->step + at, count), input = size * load(a->x + at, count);
    vec y = splat(0.0f);
    for (int64_t n = 0; n < states; n++) {
        const int64_t cell = (b * states + n) * channels + first;
        const vec kept = exponential(size * load(a->decay + n * channels + first, count));
        const vec now = kept * load(a->state + cell, count) + input * a->write[b * states + n];
        store(a->after + cell, now, count);
        y += now * a->read[b * states + n];
    }
    store(a->y + at, y, count);
}

static void step_sequence(const void *arguments, int64_t b, float *scratch) {
    (void)scratch;
    const one_step *a = arguments;
    int64_t first = 0;
    for (; first + LANES <= a->channels; first += LANES) step_lanes(a, b, first, LANES);
    if (first < a->channels) step_lanes(a, b, first, a->channels - first);
}

/* One more position of every sequence by SSD: everything is contiguous. */
typedef struct {
    int64_t batch, heads, width, states, threads;
    const float *x, *step, *decay, *write, *read, *state; /* state [B, H, P, N] */
    float *y, *after;
} one_ssd_step;

/* `count` states of one channel, from state n on; returns what they add to the lanes of y. */
INLINE vec ssd_step_lanes(const one_ssd_step *a, int64_t cell, const float *write, const float *read,
                          vec kept, float input, int64_t count) {
    const vec now = kept * load(a->state + cell, count) + input * load(write, count);
    store(a->after + cell, now, count);
    return now * load(read, count);
}

/* States are contiguous here, so a vector holds states of one channel and y sums over its lanes. */
static void ssd_step_sequence(const void *arguments, int64_t b, float *scratch) {
    (void)scratch;
    const one_ssd_step *a = arguments;
    const int64_t states = a->states, channels = a->heads * a->width;
    const float *write = a->write + b * states, *read = a->read + b * states;
    for (int64_t first = 0; first < channels; first += ROWS) {
        const int64_t count = channels - first < ROWS ? channels - first : ROWS;
        vec products[ROWS], kept = splat(0.0f);
        float sums[ROWS], size = 0.0f;
        for (int64_t i = 0; i < ROWS; i++) products[i] = splat(0.0f);
        for (int64_t i = 0; i < count; i++) {
            const int64_t channel = first + i, head = channel / a->width;
            if (i == 0 || channel % a->width == 0) {
                size = a->step[b * a->heads + head];
                kept = exponential(splat(size * a->decay[head]));
            }
            const float input = size * a->x[b * channels + channel];
            const int64_t cell = (b * channels + channel) * states;
            vec product = splat(0.0f);
            int64_t n = 0;
            for (; n + LANES <= states; n += LANES)
                product += ssd_step_lanes(a, cell + n, write + n, read + n, kept, input, LANES);
            if (n < states)
                product +=
                    ssd_step_lanes(a, cell + n, write + n, read + n, kept, input, states - n);
            products[i] = product;
        }
        lane_sums(products, sums);
        memcpy(a->y + b * channels + first, sums, (size_t)count * 4);
    }
}

/* One thread for every 2^18 states: starting more costs more than they save. */
static int run(const scan *a, seqzoo_task own, seqzoo_task shared, int64_t scratch_vectors) {
    int64_t useful = 1 + (a->batch * a->length * a->channels * a->states >> 18);
    return seqzoo_parallel(a->shared ? shared : own, a, a->batch * groups(a),
                           a->threads < useful ? a->threads : useful, scratch_vectors * LANES);
}

int EXPORT(seqzoo_scan_forward)(const scan *a) {
    int64_t vectors = (2 * a->states + 2 * ROWS) * VECTORS;
    return a->y ? run(a, forward_own, forward_shared, vectors)
                : run(a, last_own, last_shared, vectors);
}

int EXPORT(seqzoo_scan_backward)(const scan *a) {
    int64_t chunks = (a->length + ROWS - 1) / ROWS;
    int64_t vectors = ((3 + chunks) * a->states + 8 * ROWS) * VECTORS + 2 * ROWS;
    return run(a, backward_own, backward_shared, vectors);
}

int EXPORT(seqzoo_scan_step)(const one_step *a) {
    int64_t useful = 1 + (a->batch * a->channels * a->states >> 18);
    return seqzoo_parallel(step_sequence, a, a->batch, a->threads < useful ? a->threads : useful, 0);
}

int EXPORT(seqzoo_ssd_step)(const one_ssd_step *a) {
    int64_t useful = 1 + (a->batch * a->heads * a->width * a->states >> 18);
    return seqzoo_parallel(ssd_step_sequence, a, a->batch, a->threads < useful ? a->threads : useful,
                           0);
}
