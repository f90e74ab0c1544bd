/* Selective scan (Mamba-1) and SSD (Mamba-2): forward and backward, in float32.
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
#include "scan.h"

/* Carry a block through a sequence; keep outputs (`with_y`) or chunk starts. */
INLINE void forward_block(const scan *a, int64_t b, int64_t first, int64_t count, vec *scratch,
                          vec *starts, int with_y, int shared) {
    const int64_t states = a->states, length = a->length;
    vec *state = scratch, *decay = state + states * VECTORS;
    vec *x = decay + states * VECTORS, *step = x + ROWS * VECTORS;
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
                if (shared) factor[v] = decayed(size[v], decay[v]);
            }
            for (int64_t n = 0; n < states; n++) {
                for (int v = 0; v < VECTORS; v++) {
                    vec *at = state + n * VECTORS + v;
                    vec kept = shared ? factor[v] : decayed(size[v], decay[n * VECTORS + v]);
                    vec now = kept * *at + input[v] * write[n];
                    *at = now;
                    if (with_y) y[v] += now * read[n];
                }
            }
            if (with_y)
                store_row(a->y + (b * a->length + start + t) * a->channels + first, y, count);
        }
    }
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
            if (shared) factors[i] = decayed(step[i], decay[i % VECTORS]);
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
                    if (!shared) factors[at] = decayed(step[at], rate[v]);
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
                grad_step[at] = grad_step[at] * (1.0f / RATE_UNIT) + grad_input[at] * x[at];
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

static void forward_own(const void *arguments, int64_t index, float *scratch) {
    EACH_BLOCK(forward_block(a, b, first, count, (vec *)scratch, NULL, 1, 0))
}
static void forward_shared(const void *arguments, int64_t index, float *scratch) {
    EACH_BLOCK(forward_block(a, b, first, count, (vec *)scratch, NULL, 1, 1))
}
static void backward_own(const void *arguments, int64_t index, float *scratch) {
    EACH_BLOCK(backward_block(a, b, first, count, (vec *)scratch, 0))
}
static void backward_shared(const void *arguments, int64_t index, float *scratch) {
    EACH_BLOCK(backward_block(a, b, first, count, (vec *)scratch, 1))
}

static int run(const scan *a, seqzoo_task own, seqzoo_task shared, int64_t scratch_vectors) {
    return seqzoo_parallel(a->shared ? shared : own, a, a->batch * groups(a), threads_of(a),
                           scratch_vectors * LANES);
}

int EXPORT(seqzoo_scan_forward)(const scan *a) {
    return run(a, forward_own, forward_shared, (2 * a->states + 2 * ROWS) * VECTORS);
}

int EXPORT(seqzoo_scan_backward)(const scan *a) {
    int64_t chunks = (a->length + ROWS - 1) / ROWS;
    int64_t vectors = ((3 + chunks) * a->states + 8 * ROWS) * VECTORS + 2 * ROWS;
    return run(a, backward_own, backward_shared, vectors);
}
