/* Causal depthwise convolution: forward and backward, in float32.
 *
 *     y[t, i] = bias[i] + sum_k weight[i, k] x[t - (K - 1) + k, i],   x zero before the first position
 *
 * A task is one sequence. It goes from position to position, so the K rows in use stay in the cache.
 */
#include "parallel.h"
#include "vector.h"

typedef struct {
    int64_t batch, length, channels, taps, threads;
    rows x, grad_y;
    const float *weight, *bias; /* [K, I] and [I] */
    float *y;                   /* [B, L, I] */
    float *grad_x;              /* [B, L, I] */
    float *grad_weight;         /* [B, K, I] */
    float *grad_bias;           /* [B, I] */
} convolution;

/* Call with whole vectors as long as there are, then with the channels that are left. The number is a
 * constant in the first call, so that loads and stores are single instructions there.
 */
#define EACH_VECTOR(call)                                                   \
    do {                                                                    \
        int64_t first = 0;                                                  \
        for (; first + LANES <= channels; first += LANES) call(LANES);      \
        if (first < channels) call(channels - first);                       \
    } while (0)

INLINE void forward_at(const convolution *a, int64_t b, int64_t t, int64_t first, int64_t count) {
    vec sum = load(a->bias + first, count);
    for (int64_t k = t + 1 < a->taps ? a->taps - 1 - t : 0; k < a->taps; k++)
        sum += load(a->weight + k * a->channels + first, count) *
               load(row(a->x, b, t - (a->taps - 1) + k) + first, count);
    store(a->y + (b * a->length + t) * a->channels + first, sum, count);
}

/* `totals` are the gradients of weight [K, I] and bias [I] so far. */
INLINE void backward_at(const convolution *a, int64_t b, int64_t t, int64_t first, int64_t count,
                        float *totals) {
    const vec grad_y = load(row(a->grad_y, b, t) + first, count);
    vec grad_x = splat(0.0f);
    for (int64_t lag = 0; lag < a->taps; lag++) {
        const int64_t at = (a->taps - 1 - lag) * a->channels + first;
        if (t + lag < a->length)
            grad_x += load(a->weight + at, count) * load(row(a->grad_y, b, t + lag) + first, count);
        if (t >= lag)
            store(totals + at,
                  load(totals + at, count) + grad_y * load(row(a->x, b, t - lag) + first, count),
                  count);
    }
    float *grad_bias = totals + a->taps * a->channels + first;
    store(grad_bias, load(grad_bias, count) + grad_y, count);
    store(a->grad_x + (b * a->length + t) * a->channels + first, grad_x, count);
}

static void forward(const void *arguments, int64_t b, float *scratch) {
    (void)scratch;
    const convolution *a = arguments;
    const int64_t channels = a->channels;
#define AT(count) forward_at(a, b, t, first, count)
    for (int64_t t = 0; t < a->length; t++) EACH_VECTOR(AT);
#undef AT
}

static void backward(const void *arguments, int64_t b, float *scratch) {
    const convolution *a = arguments;
    const int64_t channels = a->channels, weights = a->taps * channels;
    memset(scratch, 0, (weights + channels) * sizeof(float));
#define AT(count) backward_at(a, b, t, first, count, scratch)
    for (int64_t t = 0; t < a->length; t++) EACH_VECTOR(AT);
#undef AT
    memcpy(a->grad_weight + b * weights, scratch, weights * sizeof(float));
    memcpy(a->grad_bias + b * channels, scratch + weights, channels * sizeof(float));
}

static int run(const convolution *a, seqzoo_task task, int64_t scratch_floats) {
    int64_t useful = 1 + (a->batch * a->length * a->channels * a->taps >> 18);
    return seqzoo_parallel(task, a, a->batch, a->threads < useful ? a->threads : useful,
                           scratch_floats);
}

int EXPORT(seqzoo_convolution_forward)(const convolution *a) { return run(a, forward, 0); }

int EXPORT(seqzoo_convolution_backward)(const convolution *a) {
    return run(a, backward, (a->taps + 1) * a->channels);
}
