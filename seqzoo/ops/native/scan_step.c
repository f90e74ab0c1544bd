/* One more position of every sequence, in float32; the equations are those of scan.c. */
#include "scan_step.h"

INLINE void step_lanes(const one_step *a, int64_t b, int64_t first, int64_t count) {
    const int64_t states = a->states, channels = a->channels, at = b * channels + first;
    const vec size = load(a->step + at, count), input = size * load(a->x + at, count);
    const vec scaled = size * RATE_UNIT;
    vec y = splat(0.0f);
    for (int64_t n = 0; n < states; n++) {
        const int64_t cell = (b * states + n) * channels + first;
        const vec kept = decayed(scaled, load(a->decay + n * channels + first, count));
        const vec now = kept * load(a->state + cell, count) + input * a->write[b * states + n];
        store(a->after + cell, now, count);
        y += now * a->read[b * states + n];
    }
    store(a->y + at, y, count);
}

void JOIN(seqzoo_scan_step_of, LEVEL)(const void *arguments, int64_t b, float *scratch) {
    (void)scratch;
    const one_step *a = arguments;
    int64_t first = 0;
    for (; first + LANES <= a->channels; first += LANES) step_lanes(a, b, first, LANES);
    if (first < a->channels) step_lanes(a, b, first, a->channels - first);
}

/* `count` states of one channel, from state n on; returns what they add to the lanes of y. */
INLINE vec ssd_step_lanes(const one_ssd_step *a, int64_t cell, const float *write, const float *read,
                          vec kept, float input, int64_t count) {
    const vec now = kept * load(a->state + cell, count) + input * load(write, count);
    store(a->after + cell, now, count);
    return now * load(read, count);
}

/* States are contiguous here, so a vector holds states of one channel and y sums over its lanes. */
void JOIN(seqzoo_ssd_step_of, LEVEL)(const void *arguments, int64_t b, float *scratch) {
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

int EXPORT(seqzoo_scan_step)(const one_step *a) {
    const int64_t useful = 1 + (a->batch * a->channels * a->states >> 18);
    return seqzoo_parallel(JOIN(seqzoo_scan_step_of, LEVEL), a, a->batch,
                           a->threads < useful ? a->threads : useful, 0);
}

int EXPORT(seqzoo_ssd_step)(const one_ssd_step *a) {
    const int64_t useful = 1 + (a->batch * a->heads * a->width * a->states >> 18);
    return seqzoo_parallel(JOIN(seqzoo_ssd_step_of, LEVEL), a, a->batch,
                           a->threads < useful ? a->threads : useful, 0);
}
